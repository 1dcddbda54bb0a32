"""Read a folder (or one file), check it as a whole, build the Configuration."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from sentinel.clock import utcnow
from sentinel.config.access import read_access
from sentinel.config.budget import share_budgets
from sentinel.config.build import make_configuration
from sentinel.config.check import CheckReader
from sentinel.config.component import ComponentReader
from sentinel.config.daemon import (
    check_places,
    check_reports,
    read_links,
    read_listen,
    read_overrides,
    read_trusted_hosts,
)
from sentinel.config.housekeeping import read_chores
from sentinel.config.notice import read_notices
from sentinel.config.objective import read_objectives
from sentinel.config.progress import PlanReader
from sentinel.config.resource import read_resources
from sentinel.config.role import Casting
from sentinel.config.value import Configuration
from sentinel.config.written import Written
from sentinel.errors import ConfigurationError
from sentinel.probes import load_kinds
from sentinel.remediation import load_drivers
from sentinel.strict.attempt import REMEDY, describe_surprise
from sentinel.strict.file import show_path


def shipped_folder(name: str) -> Path:
    """A folder that travels with the package: checks, dashboards, runbooks."""
    return Path(__file__).resolve().parents[1] / "shipped" / name


def load(path: Path, environment: Mapping[str, str] | None = None) -> Configuration:
    """The configuration of a folder of YAML files, or of one file. Raises ConfigurationError with
    all problems: nothing is built from a configuration that has one.
    """
    return load_written(path, environment)[0]


def load_written(
    path: Path, environment: Mapping[str, str] | None = None
) -> tuple[Configuration, Written]:
    """`load`, with what was written: for who asks where a value comes from."""
    written = Written(path, os.environ if environment is None else environment)
    try:
        return _load(written), written
    except ConfigurationError as error:
        error.digest = written.digest
        raise
    except Exception as error:
        # A running daemon reads, too: nothing that a file can hold may end it.
        written.note(show_path(path), f"can't be read: {describe_surprise(error)}", REMEDY)
        raise ConfigurationError(written.problems) from error


def _load(written: Written) -> Configuration:
    written.read()
    settings = written.validate_settings()
    resources = read_resources(written, settings)
    casting = Casting(written, settings, resources)
    reader = ComponentReader(casting, load_drivers())
    components = reader.read()
    kinds = load_kinds()
    checks = CheckReader(casting, reader, kinds, utcnow()).read()
    resources = share_budgets(written, resources, reader, components, checks, kinds)
    reader.check_needed()
    check_reports(written, settings)
    objectives = read_objectives(written, settings.objectives, reader, kinds)
    check_places(written, settings)
    plan = PlanReader(written, settings, resources, checks, kinds).read()
    chores = read_chores(written, settings.housekeeping, resources)
    notices = read_notices(written, settings)
    listen = read_listen(written, settings)
    trusted = read_trusted_hosts(written, settings)
    overrides = read_overrides(written)
    access = read_access(written, settings, listen)
    links = read_links(written, settings, listen, encrypted=access.rules.encrypted)
    written.raise_problems()
    return make_configuration(
        written,
        settings,
        overrides,
        resources,
        components,
        checks,
        chores,
        notices,
        objectives,
        links,
        listen,
        trusted,
        access,
        plan,
    )
