"""What comes out of a configuration, as frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from sentinel.core.access import AccessRules
from sentinel.core.bus.housekeeping import Chore
from sentinel.core.foreign.host import HostName
from sentinel.core.model import Check, Component
from sentinel.core.notice.maintenance import MaintenanceWindow
from sentinel.core.notice.route import NoticeRoute
from sentinel.core.notice.storm import StormLimit
from sentinel.core.objective import Objective
from sentinel.core.progress.plan import Plan
from sentinel.core.remediation.brake import ActionLimits, BrakePolicy
from sentinel.core.remediation.breaker import BreakerPolicy
from sentinel.errors import Problem


@dataclass(frozen=True, slots=True)
class Resource:
    """A foreign system, ready to connect. `options` go to its client; `password` is never shown."""

    name: str
    type: str
    address: str
    password: SecretStr | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    password_from: str = ""
    """Where its password comes from: one place, said by `sentinel validate`."""


@dataclass(frozen=True, slots=True)
class ScheduledReport:
    """A report on a calendar."""

    kind: str
    cron: str
    timezone: str
    to: tuple[str, ...] = ()
    pdf: bool = False


@dataclass(frozen=True, slots=True)
class AlertLinks:
    """Addresses before the name of a runbook, and of Grafana; without a slash at the end."""

    runbooks: str
    dashboards: str


@dataclass(frozen=True, slots=True)
class Diagnosing:
    """What reading steps may do by themselves; seconds."""

    diagnose: bool = False
    deadline: float = 60.0
    concurrent: int = 2
    per_hour: int = 30


@dataclass(frozen=True, slots=True)
class ConfiguredChannel:
    """One way to tell people. `options` is the kind's own Options object."""

    name: str
    kind: str
    options: Any
    limit: StormLimit = field(default_factory=StormLimit)


@dataclass(frozen=True, slots=True)
class NoticeSetup:
    """Who is told of what. `page` is the address of the page for people, "" when it is our own."""

    channels: tuple[ConfiguredChannel, ...] = ()
    routes: tuple[NoticeRoute, ...] = ()
    windows: tuple[MaintenanceWindow, ...] = ()
    page: str = ""


@dataclass(frozen=True, slots=True)
class PageAccess:
    """Who may read the page, and the files that make it TLS."""

    rules: AccessRules = field(default_factory=AccessRules)
    certificate_file: Path | None = None
    key_file: Path | None = None
    place: str = ""
    """Where `access:` stands."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """Everything that was configured, checked as a whole. `components` come in dependency order."""

    platform: str
    listen: tuple[str, int]
    state: Path
    resources: Mapping[str, Resource]
    components: tuple[Component, ...]
    checks: tuple[Check, ...]
    actions_enabled: bool
    start_grace: float
    reports: tuple[ScheduledReport, ...]
    report_templates: Path | None
    tasks_per_hour_target: float | None
    retention: float
    report_retention: float
    audit_retention: float
    secrets: frozenset[str]
    folder: Path
    listen_place: str = ""
    trusted_hosts: tuple[HostName, ...] = ()
    access: PageAccess = field(default_factory=PageAccess)
    standstill: float = 30.0
    limits: ActionLimits = field(default_factory=ActionLimits)
    brake: BrakePolicy = field(default_factory=BrakePolicy)
    breaker: BreakerPolicy = field(default_factory=BreakerPolicy)
    chores: tuple[Chore, ...] = ()
    objectives: tuple[Objective, ...] = ()
    links: AlertLinks = AlertLinks("", "")
    runbooks: Diagnosing = field(default_factory=Diagnosing)
    notices: NoticeSetup = field(default_factory=NoticeSetup)
    plan: Plan = field(default_factory=Plan)
    digest: str = ""
    """One word for the files that it was made from."""
    lapsed: tuple[Problem, ...] = ()
    """What was right when it was written, and is over: `sentinel validate` refuses it, a daemon
    goes on without it.
    """
