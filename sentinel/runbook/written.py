"""What may stand in the front matter of a runbook, as strict models."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, RootModel

from sentinel.core.fault import Status
from sentinel.runbook.book import ACTIONS, CONDITIONS, PARAMETER_TYPES, VIEWS
from sentinel.strict.field import Duration, RegularExpression, Strict, Text, choice, refusal, shaped

DEFAULT_TIMEOUT = 10.0
MAX_TIMEOUT = 3600.0
SOURCES = (
    "fault.NAME, incident.component, component.KIND, kind.KIND, resource.TYPE or option.KIND.OPTION"
)
_SOURCE = r"incident\.component|(fault|component|kind|resource)\.[a-z_]+|option(\.[a-z_]+){2,4}"


def _within_hour(seconds: float) -> float:
    if not 0 < seconds <= MAX_TIMEOUT:
        raise refusal("must be above 0 and at most 1h", "write a duration, such as 30s")
    return seconds


def _plain(value: Any) -> Any:
    """A whole number as its text; null is as good as left out."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


BookName = Annotated[str, shaped(r"[a-z0-9][a-z0-9-]*", "name", "use a-z, 0-9 and -")]
ParameterName = Annotated[str, shaped(r"[a-z][a-z0-9_]*", "name", "use a-z, 0-9 and _")]
FaultPattern = Annotated[
    str, shaped(r"[a-z][a-z0-9_]*/([a-z][a-z0-9_]*|\*)", "fault", "write KIND/FAULT or KIND/*")
]
ParameterSource = Annotated[str, shaped(_SOURCE, "source of a value", f"write {SOURCES}")]
StepTimeout = Annotated[Duration, AfterValidator(_within_hour)]
PlainText = Annotated[str | None, BeforeValidator(_plain)]


class WrittenPurpose(Strict):
    """What a runbook is for."""

    faults: list[FaultPattern] = Field(default_factory=list)
    components: list[Text] = Field(default_factory=list)
    conditions: list[Annotated[str, choice("condition", CONDITIONS)]] = Field(default_factory=list)
    alerts: list[Text] = Field(default_factory=list)


class WrittenParameter(Strict):
    """A value that a person, the incident's fault or the configuration gives."""

    name: ParameterName
    type: Annotated[str, choice("parameter type", PARAMETER_TYPES)]
    pattern: RegularExpression | None = None
    required: bool | None = None
    default: PlainText = None
    description: Text | None = None
    sources: list[ParameterSource] = Field(default_factory=list, alias="from")


class WrittenStep(Strict):
    """A step; its acts are told apart by their own keys, and are read by themselves."""

    name: Text
    run: Any
    timeout: StepTimeout = DEFAULT_TIMEOUT
    changes: bool | None = None
    command_lines: bool = False
    precondition: Any = None
    verify: Any = None


class WrittenBook(Strict):
    """The keys of a front matter; parameters and steps are read one by one."""

    name: BookName
    title: Text
    steps: list[Any]
    applies_to: WrittenPurpose = WrittenPurpose()
    parameters: list[Any] = Field(default_factory=list)
    diagnose: bool | None = None


class WrittenArgv(RootModel[list[Text]]):
    """A program with its arguments."""


class WrittenCheck(Strict):
    """Run a configured check."""

    check: Text
    statuses: list[Annotated[str, choice("status", list(Status))]] = Field(
        default_factory=list, alias="is"
    )


class WrittenSql(Strict):
    """Ask a database."""

    sql: Text
    resource: Text


class WrittenRedis(Strict):
    """Ask a Redis server."""

    redis: list[Text]
    resource: Text


class WrittenLook(Strict):
    """Look at what sentinel remembers."""

    look: Annotated[str, choice("view", VIEWS)]
    component: Text = ""


class WrittenAction(Strict):
    """One of sentinel's own actions."""

    action: Annotated[str, choice("action", ACTIONS)]
    args: dict[str, Text] = Field(default_factory=dict)
