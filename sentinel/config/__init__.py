"""YAML → one frozen Configuration, or every problem at once with file, line, key and remedy."""

from sentinel.config.load import load, shipped_folder
from sentinel.config.model import Overrides
from sentinel.config.value import Configuration, PageAccess, Resource

__all__ = ["Configuration", "Overrides", "PageAccess", "Resource", "load", "shipped_folder"]
