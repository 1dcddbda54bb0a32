"""What may stand in the configuration, as strict models."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from sentinel.config.notice_model import ChannelSettings, MaintenanceSettings, RouteSettings
from sentinel.config.progress_model import (
    MilestoneSettings,
    ProgressSettings,
    RequirementSettings,
    TrackSettings,
)
from sentinel.core.objective import MAX_WINDOW, MIN_EVENTS, MIN_WINDOW
from sentinel.strict.describe import Beside, Of
from sentinel.strict.field import Duration, Name, Percentage, Strict, Text, refusal

MIN_INTERVAL = 0.05
_OWN_KEYS = "the keys of its kind: `sentinel kinds NAME` lists them"
_DRIVERS_KEYS = "the keys of its driver: `sentinel kinds NAME` lists them"


def _not_zero(seconds: float) -> float:
    if seconds < MIN_INTERVAL:
        raise ValueError(f"must be at least {MIN_INTERVAL * 1000:g} ms")
    return seconds


def _finite(number: float) -> float:
    if not math.isfinite(number):
        raise ValueError("must be a finite number")
    return number


def _header_name(name: str) -> str:
    if _TOKEN.fullmatch(name) is None or name.lower() in _TAKEN:
        raise refusal("is no header that can name a user", "write the one that your proxy sets")
    return name


_TOKEN = re.compile(r"[A-Za-z0-9-]{1,60}", re.ASCII)
_TAKEN = {"authorization", "cookie", "host", "origin", "content-length", "transfer-encoding"}
FINEST = 1e-9
"""A budget, or a target, of less than one in a billion events is as good as none."""


def _below_all(share: float) -> float:
    if not FINEST <= (rounded := round(share, 12)) <= 1 - FINEST:
        raise refusal("leaves no error budget", "write more than 0% and less than 100%")
    return rounded


def _fitting_window(seconds: float) -> float:
    if not MIN_WINDOW <= seconds <= MAX_WINDOW:
        raise refusal("is no window for an objective", "write at least 1h and at most 90d")
    return seconds


Positive = Annotated[Duration, AfterValidator(_not_zero)]
Finite = Annotated[float, AfterValidator(_finite)]


class ResourceSettings(Strict):
    """One foreign system by address: exactly one of `redis`, `postgres` or `http`."""

    redis: str | None = Field(
        None,
        description="address of a Redis, Valkey, Sentinel or Cluster",
        examples=["redis://127.0.0.1:6379/0"],
    )
    postgres: str | None = Field(
        None,
        description="address of a PostgreSQL, as URL or key=value",
        examples=["postgresql://sentinel@127.0.0.1/platform"],
    )
    http: str | None = Field(
        None, description="address of an HTTP service", examples=["http://127.0.0.1:8000"]
    )
    password_file: str | None = Field(
        None,
        description="file that holds the password, and nothing else",
        examples=["/run/secrets/bus"],
    )
    password: SecretStr | None = Field(
        None,
        description="the password; better a reference to the environment, or a file",
        examples=['"${BUS_PASSWORD:-}"'],
    )
    timeout: Positive = Field(2.0, description="time for one answer of a Redis or PostgreSQL")
    budget: str | None = Field(
        None, description="requests per time, such as 60/15m: spread over it"
    )
    user_agent: str = Field("sentinel", description="how sentinel names itself to an HTTP service")
    headers: dict[str, SecretStr] = Field(
        default_factory=dict,
        description="headers of every HTTP request; their values are never shown",
    )
    ca_file: str | None = Field(None, description="issuers to trust beside the system's, as PEM")
    certificate_file: str | None = Field(None, description="certificate to show, as PEM")
    key_file: str | None = Field(None, description="its key, if not in the same file")


class BackoffSettings(Strict):
    """Delays before attempts."""

    first: Duration | None = Field(
        None, description="delay before the first attempt; without it `initial`"
    )
    initial: Duration = Field(
        5.0, description="delay from which each further one grows by `factor`"
    )
    factor: float = Field(
        4.0, ge=1, le=100, description="each further delay is so many times the one before"
    )
    max: Duration = Field(300.0, description="the longest delay")
    jitter: float = Field(0.2, ge=0, lt=1, description="each delay varies by this share")


class RestartSettings(Strict):
    """Caps and times of automatic restarts."""

    max_attempts: int = Field(
        3, ge=0, le=10, description="attempts in one incident; after them only a person helps"
    )
    per_hour: int = Field(3, ge=0, description="restarts in an hour")
    per_day: int = Field(6, ge=0, description="restarts in a day")
    backoff: BackoffSettings = Field(BackoffSettings(), description="delays before attempts")
    startup_grace: Duration = Field(
        60.0, description="a component that was started is not judged before"
    )
    success_after: Duration = Field(
        60.0, description="healthy for so long, an attempt has succeeded"
    )
    close_after: Duration = Field(600.0, description="healthy for so long, an incident is closed")
    stop_timeout: Duration = Field(30.0, description="time to end in order")
    kill_safe: bool = Field(
        False, description="whether it may be killed when it does not end in time"
    )


class ComponentSettings(Strict):
    """The keys that every component has; the others belong to its driver, whose options refuse
    unknown ones.
    """

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    resource: str = Field("", description="the resource that this component is", examples=["bus"])
    driver: str = Field(
        "",
        description="how it is started and stopped: `sentinel kinds` lists the drivers; without one it is only watched",
        examples=["process"],
    )
    depends_on: list[str] = Field(
        default_factory=list, description="components that it needs: they are healed first"
    )
    group: str = Field(
        "", description="components that fail together: limits and the brake count by it"
    )
    watch: list[str] = Field(
        default_factory=list, description="files and folders whose change has it reload or restart"
    )
    restart: RestartSettings = Field(
        RestartSettings(), description="caps and times of automatic restarts"
    )
    owner: Text | None = Field(
        None, description="who answers for it: reports name them", examples=["team platform"]
    )


class LimitsSettings(Strict):
    """Caps over all components together."""

    concurrent: int = Field(1, ge=1, le=20, description="so many actions at the same time")
    per_window: int = Field(3, ge=1, description="so many actions within window")
    window: Positive = Field(300.0, description="the time over which actions are counted")
    group_share: Percentage = Field(
        0.2, description="so large a share of a group is acted upon within group_window"
    )
    group_window: Duration = Field(600.0, description="the time for group_share")


class BrakeSettings(Strict):
    """When so many are down together that there is one cause."""

    group_share: Percentage = Field(
        0.5, description="a group with this share down has one cause: nothing is restarted"
    )
    total_share: Percentage = Field(0.3, description="as group_share, of all components")
    minimum: int = Field(3, ge=2, description="fewer than so many never brake")
    announce_after: Duration = Field(
        10.0, description="time after which the brake is told to people"
    )


class BreakerSettings(Strict):
    """When automation switches itself off until a person closes the breaker. 0 switches a cause
    off.
    """

    exhausted: int = Field(
        2, ge=0, description="so many components out of attempts switch automation off"
    )
    exhausted_window: Positive = Field(900.0, description="the time for exhausted")
    last_attempts: int = Field(6, ge=0, description="so many last attempts are looked at")
    success_share: Percentage = Field(
        0.5, description="fewer of them succeeded: automation switches itself off"
    )
    starts: int = Field(
        3, ge=0, description="so many starts of sentinel itself switch automation off"
    )
    starts_window: Positive = Field(600.0, description="the time for starts")
    stall: Duration = Field(
        5.0,
        description="sentinel stood still for so long within stall_window: automation switches itself off",
    )
    stall_window: Positive = Field(120.0, description="the time for stall")


class ActionsSettings(Strict):
    """Whether sentinel may act, how soon after its own start, and what holds it back."""

    enabled: bool = Field(
        False, description="whether sentinel may act; false: it only says what it would do"
    )
    start_grace: Duration = Field(60.0, description="so long after its own start it does not act")
    limits: LimitsSettings = Field(
        LimitsSettings(), description="caps over all components together"
    )
    brake: BrakeSettings = Field(
        BrakeSettings(), description="when so many are down together that there is one cause"
    )
    breaker: BreakerSettings = Field(
        BreakerSettings(),
        description="when automation switches itself off until a person closes the breaker; 0 switches a cause off",
    )


class ObjectiveSettings(Strict):
    """A target for the events that a check judges, one by one."""

    name: Name = Field(description="name of the objective", examples=["delivery"])
    check: str = Field(description="the check that measures", examples=["bus"])
    sli: str = Field(
        description="what counts as good: `sentinel kinds KIND` lists them; `up` and `working` have all",
        examples=["up"],
    )
    target: Annotated[Percentage, AfterValidator(_below_all)] = Field(
        description="so large a share of the events has to be good", examples=["99.9%"]
    )
    window: Annotated[Duration, AfterValidator(_fitting_window)] = Field(
        description="over which time, 1h to 90d", examples=["30d"]
    )
    min_events: int = Field(
        MIN_EVENTS, ge=1, description="with fewer events nothing is claimed, and nobody is called"
    )
    title: str = Field("", max_length=200, description="what people call it; default: its name")
    description: str = Field(
        "", max_length=1000, description="why it matters, for whoever is called"
    )
    runbook: str = Field("", description="the runbook of its alerts; default: objective-burning")


class LinkSettings(Strict):
    """Where the alerts that `sentinel rules` writes lead whoever is called."""

    runbooks: str = Field(
        "", description="address before the name of a runbook; default: sentinel's own page"
    )
    dashboards: str = Field("http://127.0.0.1:3000", description="address of Grafana")


class RunbookSettings(Strict):
    """Whether reading steps of runbooks run by themselves when an incident opens, and within what
    bounds.
    """

    diagnose: bool = Field(
        False, description="whether reading steps run by themselves when an incident opens"
    )
    deadline: Positive = Field(60.0, description="time for one diagnosis")
    concurrent: int = Field(2, ge=1, le=10, description="so many at the same time")
    per_hour: int = Field(30, ge=1, description="so many in an hour")


class ReportSettings(Strict):
    """A report on a calendar."""

    kind: str = Field(
        description="name of the report: `sentinel kinds` lists them", examples=["progress"]
    )
    cron: str = Field(description="when, as five fields of cron", examples=['"0 8 * * *"'])
    timezone: str = Field("UTC", description="zone of the cron line")
    to: list[str] = Field(
        default_factory=list,
        description="channels that are told of it; without any, the log",
        examples=["[lead]"],
    )
    pdf: bool = Field(False, description="whether it is made as PDF, too: needs the extra `pdf`")


class ChoreSettings(Strict):
    """The keys that every chore has; the others belong to its kind. Without `every` and `cron`: by
    hand only.
    """

    name: Name = Field(description="name of the chore", examples=["nightly"])
    kind: str = Field(
        description="kind of cleaning: `sentinel kinds` lists the chores", examples=["safe_trim"]
    )
    resource: str = Field(
        "", description="the Redis resource; default: the only one", examples=["bus"]
    )
    every: Positive | None = Field(None, description="how often; without it and cron: by hand only")
    cron: str | None = Field(
        None, description="when, as five fields of cron", examples=['"0 3 * * *"']
    )
    timezone: str = Field("UTC", description="zone of the cron line")
    dry_run: bool = Field(True, description="only say what would be done")
    max_per_hour: int = Field(1000, ge=1, description="at most so many things cleaned in an hour")
    settle: Duration = Field(600.0, description="so long after a failover nothing is cleaned")


class LevelSettings(Strict):
    """Enter at `raise`, leave at `clear`."""

    raise_at: Finite = Field(
        alias="raise", description="enter the status at this value", examples=["20"]
    )
    clear: Finite = Field(description="leave the status at this value", examples=["10"])


class ThresholdSettings(Strict):
    """Levels of one measurement."""

    degraded: LevelSettings | None = Field(None, description="when it is degraded")
    down: LevelSettings | None = Field(None, description="when it is down")


class AcceptSettings(Strict):
    """A fault of a check that somebody knows and bears, until a day or an instant."""

    fault: str = Field(
        description="key of the fault: `sentinel kinds KIND` lists them", examples=["ghost"]
    )
    subject: dict[str, Text] = Field(default_factory=dict, description="label: pattern")
    reason: Text = Field(description="why it is borne", examples=["known until the next release"])
    until: str = Field(
        description="a date, or an instant with its zone: then somebody decides anew",
        examples=["2099-01-31"],
    )


class CheckSettings(Strict):
    """The keys that every check has; the others belong to its kind."""

    name: Name = Field(description="name of the check", examples=["bus"])
    kind: str = Field(
        description="kind of the check: `sentinel kinds` lists them", examples=["redis_server"]
    )
    component: str = Field(description="the component that it tells about", examples=["NAME"])
    every: Positive | None = Field(None, description="time between two runs; default: as its kind")
    timeout: Positive | None = Field(
        None, description="time for one run; default: every, between 5s and 10s"
    )
    failures: int = Field(
        3, ge=1, description="so many bad results of the last `of` make the status hard"
    )
    of: int = Field(5, ge=1, description="so many last results are looked at")
    recoveries: int = Field(2, ge=1, description="so many good ones in a row end it")
    recovery_time: Duration = Field(30.0, description="and for at least so long")
    thresholds: dict[str, ThresholdSettings] = Field(
        default_factory=dict,
        description="levels of a measurement, by its name: `sentinel kinds KIND` lists them",
    )
    runbook: str = Field(
        "",
        description="the runbook for all of its faults; default: that of each fault",
        examples=["bus-unreachable"],
    )
    diagnose: bool | None = Field(
        None, description="whether reading steps run by themselves; default: runbooks.diagnose"
    )
    accept: Annotated[list[Any], Of(AcceptSettings)] = Field(
        default_factory=list, description="faults that somebody knows and bears"
    )
    keep_losses: Positive | None = Field(
        None, description="for how long a loss that nobody accepts stands open; default 7d"
    )


class AccessSettings(Strict):
    """Who may read the page, and who may act on it."""

    certificate_file: str | None = Field(
        None,
        description="certificate of the page and those of its issuers, as PEM; read anew when it changes",
        examples=["/etc/sentinel/page.pem"],
    )
    key_file: str | None = Field(
        None, description="its key, as PEM, if not in the same file; for its owner only"
    )
    loopback_scope: Literal["open", "read", "ack", "act", "admin"] = Field(
        "read",
        description="what somebody on this machine may do without a token, where `listen` is loopback; open: nothing",
    )
    user_header: Annotated[str, AfterValidator(_header_name)] = Field(
        "X-Forwarded-User",
        description="header in which a trusted proxy names the user: into the audit log",
    )
    user_scope: Literal["read", "ack", "act", "admin"] = Field(
        "read", description="what a user may do whom a trusted proxy names"
    )


class PlatformSettings(Strict):
    """Every key outside of checks."""

    platform: str = Field("platform", description="name of the platform: on the page, in reports")
    listen: str = Field(
        "127.0.0.1:9130",
        description="address of the page, the API and /metrics; beyond loopback only with TLS, or a proxy, and tokens",
        examples=["127.0.0.1:9130"],
    )
    trusted_hosts: list[str] = Field(
        default_factory=list,
        description="names under which a proxy that keeps Host serves the page: name or name:port",
    )
    trusted_proxies: list[str] = Field(
        default_factory=list,
        description="addresses or networks of proxies that say who the user is, and may do so without TLS",
        examples=["[10.1.0.7]"],
    )
    access: AccessSettings = Field(
        AccessSettings(), description="who may read the page, and who may act on it"
    )
    state: str = Field("./var", description="folder of the state", examples=["./var"])
    resources: dict[Name, ResourceSettings] = Field(
        default_factory=dict, description="foreign systems by name"
    )
    components: dict[Name, Annotated[ComponentSettings, Beside(_DRIVERS_KEYS)]] = Field(
        default_factory=dict, description="parts of the platform by name"
    )
    actions: ActionsSettings = Field(
        ActionsSettings(), description="whether sentinel may act, and what holds it back"
    )
    objectives: Annotated[list[Any], Of(ObjectiveSettings)] = Field(
        default_factory=list, description="targets for what checks measure"
    )
    links: LinkSettings = Field(
        LinkSettings(), description="addresses in alerts: of runbooks and of dashboards"
    )
    reports: list[ReportSettings] = Field(default_factory=list, description="reports on a calendar")
    progress: ProgressSettings = Field(
        ProgressSettings(), description="how evidence of milestones is looked at"
    )
    tracks: dict[Name, TrackSettings] = Field(
        default_factory=dict, description="teams and agents by name, for the progress report"
    )
    milestones: dict[Name, MilestoneSettings] = Field(
        default_factory=dict, description="what is to be reached by name, with its evidence"
    )
    readiness: list[RequirementSettings] = Field(
        default_factory=list, description="what must hold before it is a go"
    )
    channels: dict[Name, Annotated[ChannelSettings, Beside(_OWN_KEYS)]] = Field(
        default_factory=dict,
        description="ways to tell people, by name; `log` is always there",
    )
    routes: list[RouteSettings] = Field(
        default_factory=list,
        description="who is told of what; without any, every channel hears of everything",
    )
    maintenance: list[MaintenanceSettings] = Field(
        default_factory=list, description="times in which people work on components"
    )
    page_address: str = Field(
        "",
        description="where people open the page: links in notices begin with it",
        examples=["https://sentinel.example.org/"],
    )
    runbooks: RunbookSettings = Field(
        RunbookSettings(), description="diagnosis by runbooks when an incident opens"
    )
    report_templates: str = Field("", description="folder of *.j2 that override ours by name")
    tasks_per_hour_target: float | None = Field(
        None, gt=0, description="what the platform should do, for reports"
    )
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
    housekeeping: Annotated[list[Any], Of(ChoreSettings, _OWN_KEYS)] = Field(
        default_factory=list, description="chores: what is cleaned, and when"
    )
    checks: Annotated[list[Any], Of(CheckSettings, _OWN_KEYS)] = Field(
        default_factory=list, description="what is watched; also as a list that is a file by itself"
    )


class Overrides(BaseSettings):
    """What the environment may override: SENTINEL_LISTEN, SENTINEL_STATE, SENTINEL_ACTIONS_ENABLED,
    SENTINEL_LOG_… An empty one counts as not set.
    """

    model_config = SettingsConfigDict(env_prefix="SENTINEL_", extra="ignore", env_ignore_empty=True)

    listen: str | None = Field(None, description="as `listen`")
    state: str | None = Field(None, description="as `state`; --state comes before it")
    actions_enabled: bool | None = Field(None, description="as `actions.enabled`")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="from which level on log lines are written"
    )
    log_format: Literal["auto", "console", "json"] = Field(
        "auto", description="form of log lines; auto: console in a terminal, else json"
    )
