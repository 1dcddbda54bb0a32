"""Rules for Prometheus and Alertmanager, made of what kinds declare and of the objectives."""

from sentinel.rules.files import make_files, make_groups
from sentinel.rules.value import Alert, Links, RecordingRule, RuleGroup

__all__ = ["Alert", "Links", "RecordingRule", "RuleGroup", "make_files", "make_groups"]
