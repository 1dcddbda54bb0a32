"""What may stand in the configuration, as strict models."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from sentinel.strict.field import Duration, Name, Percentage, Strict, Text

MIN_INTERVAL = 0.05


def _not_zero(seconds: float) -> float:
    if seconds < MIN_INTERVAL:
        raise ValueError(f"must be at least {MIN_INTERVAL * 1000:g} ms")
    return seconds


def _finite(number: float) -> float:
    if not math.isfinite(number):
        raise ValueError("must be a finite number")
    return number


Positive = Annotated[Duration, AfterValidator(_not_zero)]
Finite = Annotated[float, AfterValidator(_finite)]


class ResourceSettings(Strict):
    """One foreign system by address: exactly one of `redis`, `postgres` or `http`."""

    redis: str | None = None
    postgres: str | None = None
    http: str | None = None
    password_file: str | None = None
    password: SecretStr | None = None
    timeout: Positive = 2.0
    budget: str | None = Field(
        None, description="requests per time, such as 60/15m: spread over it"
    )
    user_agent: str = "sentinel"
    headers: dict[str, SecretStr] = Field(default_factory=dict)
    ca_file: str | None = Field(None, description="issuers to trust beside the system's, as PEM")
    certificate_file: str | None = Field(None, description="certificate to show, as PEM")
    key_file: str | None = Field(None, description="its key, if not in the same file")


class BackoffSettings(Strict):
    """Delays before attempts."""

    first: Duration | None = None
    initial: Duration = 5.0
    factor: float = Field(4.0, ge=1, le=100)
    max: Duration = 300.0
    jitter: float = Field(0.2, ge=0, lt=1)


class RestartSettings(Strict):
    """Caps and times of automatic restarts."""

    max_attempts: int = Field(3, ge=0, le=10)
    per_hour: int = Field(3, ge=0)
    per_day: int = Field(6, ge=0)
    backoff: BackoffSettings = BackoffSettings()
    startup_grace: Duration = 60.0
    success_after: Duration = 60.0
    close_after: Duration = 600.0
    stop_timeout: Duration = 30.0
    kill_safe: bool = False


class ComponentSettings(Strict):
    """The keys that every component has; the others belong to its driver, whose options refuse
    unknown ones.
    """

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    resource: str = ""
    driver: str = ""
    depends_on: list[str] = Field(default_factory=list)
    group: str = ""
    watch: list[str] = Field(default_factory=list)
    restart: RestartSettings = RestartSettings()


class LimitsSettings(Strict):
    """Caps over all components together."""

    concurrent: int = Field(1, ge=1, le=20)
    per_window: int = Field(3, ge=1)
    window: Positive = 300.0
    group_share: Percentage = 0.2
    group_window: Duration = 600.0


class BrakeSettings(Strict):
    """When so many are down together that there is one cause."""

    group_share: Percentage = 0.5
    total_share: Percentage = 0.3
    minimum: int = Field(3, ge=2)
    announce_after: Duration = 10.0


class BreakerSettings(Strict):
    """When automation switches itself off until a person closes the breaker. 0 switches a cause
    off.
    """

    exhausted: int = Field(2, ge=0)
    exhausted_window: Positive = 900.0
    last_attempts: int = Field(6, ge=0)
    success_share: Percentage = 0.5
    starts: int = Field(3, ge=0)
    starts_window: Positive = 600.0
    stall: Duration = 5.0
    stall_window: Positive = 120.0


class ActionsSettings(Strict):
    """Whether sentinel may act, how soon after its own start, and what holds it back."""

    enabled: bool = False
    start_grace: Duration = 60.0
    limits: LimitsSettings = LimitsSettings()
    brake: BrakeSettings = BrakeSettings()
    breaker: BreakerSettings = BreakerSettings()


class ObjectiveSettings(Strict):
    """A target for an SLI that a check measures."""

    name: str
    check: str
    sli: str
    target: Percentage
    window: Duration


class RunbookSettings(Strict):
    """Whether reading steps of runbooks run by themselves when an incident opens, and within what
    bounds.
    """

    diagnose: bool = False
    deadline: Positive = 60.0
    concurrent: int = Field(2, ge=1, le=10)
    per_hour: int = Field(30, ge=1)


class ReportSettings(Strict):
    """A report on a calendar."""

    kind: str
    cron: str
    timezone: str = "UTC"
    to: list[str] = Field(default_factory=list)


class ChoreSettings(Strict):
    """The keys that every chore has; the others belong to its kind. Without `every` and `cron`: by
    hand only.
    """

    name: Name
    kind: str
    resource: str = ""
    every: Positive | None = None
    cron: str | None = None
    timezone: str = "UTC"
    dry_run: bool = True
    max_per_hour: int = Field(1000, ge=1)
    settle: Duration = 600.0


class PlatformSettings(Strict):
    """Every key outside of checks."""

    platform: str = "platform"
    listen: str = "127.0.0.1:9130"
    trusted_hosts: list[str] = Field(
        default_factory=list,
        description="names under which a proxy that keeps Host serves the page: name or name:port",
    )
    state: str = "./var"
    resources: dict[Name, ResourceSettings] = Field(default_factory=dict)
    components: dict[Name, ComponentSettings] = Field(default_factory=dict)
    actions: ActionsSettings = ActionsSettings()
    objectives: list[ObjectiveSettings] = Field(default_factory=list)
    reports: list[ReportSettings] = Field(default_factory=list)
    runbooks: RunbookSettings = RunbookSettings()
    report_templates: str = ""
    tasks_per_hour_target: float | None = Field(None, gt=0)
    retention: Positive = Field(14 * 86400.0, description="how long what happened is remembered")
    report_retention: Positive = Field(
        90 * 86400.0, description="how long reports are kept, and rows that were damaged"
    )
    audit_retention: Positive = Field(365 * 86400.0, description="how long the audit log goes back")
    standstill: Positive = Field(
        30.0,
        description=(
            "after so long without a turn of its loop sentinel writes down where it stands, and"
            " lets a service manager start it anew"
        ),
    )
    housekeeping: list[Any] = Field(default_factory=list)
    checks: list[Any] = Field(default_factory=list)


class LevelSettings(Strict):
    """Enter at `raise`, leave at `clear`."""

    raise_at: Finite = Field(alias="raise")
    clear: Finite


class ThresholdSettings(Strict):
    """Levels of one measurement."""

    degraded: LevelSettings | None = None
    down: LevelSettings | None = None


class AcceptSettings(Strict):
    """A fault of a check that somebody knows and bears, until a day or an instant."""

    fault: str
    subject: dict[str, Text] = Field(default_factory=dict, description="label: pattern")
    reason: Text
    until: str


class CheckSettings(Strict):
    """The keys that every check has; the others belong to its kind."""

    name: Name
    kind: str
    component: str
    every: Positive | None = None
    timeout: Positive | None = None
    failures: int = Field(3, ge=1)
    of: int = Field(5, ge=1)
    recoveries: int = Field(2, ge=1)
    recovery_time: Duration = 30.0
    thresholds: dict[str, ThresholdSettings] = Field(default_factory=dict)
    runbook: str = ""
    diagnose: bool | None = None
    accept: list[Any] = Field(default_factory=list)
    keep_losses: Positive | None = None


class Overrides(BaseSettings):
    """What the environment may override: SENTINEL_LISTEN, SENTINEL_STATE, SENTINEL_ACTIONS_ENABLED,
    SENTINEL_LOG_…
    """

    model_config = SettingsConfigDict(env_prefix="SENTINEL_", extra="ignore")

    listen: str | None = None
    state: str | None = None
    actions_enabled: bool | None = None
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "console", "json"] = "auto"
