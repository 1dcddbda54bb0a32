"""What a runbook is made of, as frozen values. Times in seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

SECTIONS = ("Meaning", "Impact", "Diagnosis", "Mitigation", "Verify", "Escalation")
PARAMETER_TYPES = ("str", "int", "component", "incident", "check", "resource", "table", "column")
ACTIONS = ("reset", "restart", "halt", "resume")
VIEWS = ("components", "checks", "incidents", "timeline", "attempts", "gaps", "audit", "log")
"""What sentinel itself remembers, by name; `log` is the end of a supervised component's log file.
"""
CONDITIONS = (
    "unknown", "observe", "halted", "blocked", "braked", "breaker_open", "flapping", "limited",
    "exhausted", "budget_spent", "journal_lost", "journal_unwritable", "state_doubted", "fenced",
    "blind", "coverage_low", "stalled", "overdue", "not_running",
)  # fmt: skip
"""States of a component, of its restarts, and of sentinel itself that a runbook can be for."""


@dataclass(frozen=True, slots=True)
class Argv:
    """A program with its arguments; never a shell. As a condition it holds when it exits with 0."""

    argv: tuple[str, ...]

    def __str__(self) -> str:
        return " ".join(_quote(word) for word in self.argv)


@dataclass(frozen=True, slots=True)
class RunCheck:
    """Run a configured check once. As a condition it holds when its status is one of `statuses`."""

    check: str
    statuses: tuple[str, ...] = ("up",)

    def __str__(self) -> str:
        return f"check {self.check}"


@dataclass(frozen=True, slots=True)
class Sql:
    """One read-only statement. As a condition it holds when the first value of its first row is
    true.
    """

    resource: str
    text: str

    def __str__(self) -> str:
        return f"sql on {self.resource}: {' '.join(self.text.split())}"


@dataclass(frozen=True, slots=True)
class RedisCommand:
    """One read-only command. As a condition it holds when its reply is neither empty, nil nor 0."""

    resource: str
    argv: tuple[str, ...]

    def __str__(self) -> str:
        return f"redis on {self.resource}: {' '.join(_quote(word) for word in self.argv)}"


@dataclass(frozen=True, slots=True)
class LookAt:
    """What sentinel itself remembers: one of VIEWS, of one component where `subject` is given."""

    view: str
    subject: str = ""

    def __str__(self) -> str:
        return f"look at {self.view}{f' of {self.subject}' if self.subject else ''}"


@dataclass(frozen=True, slots=True)
class Action:
    """One of sentinel's own actions, journaled and guarded like the automatic ones."""

    name: str
    args: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return " ".join(
            [f"action {self.name}", *(f"{key}={_quote(value)}" for key, value in self.args.items())]
        )


Act = Argv | RunCheck | Sql | RedisCommand | LookAt | Action


@dataclass(frozen=True, slots=True)
class BookStep:
    """One step: `precondition` must hold before it, `verify` must come to hold after it.

    `skip` says why this step is not run here, as its plan knows; "" when it is. `command_lines`: it
    may show arguments of processes; then its output is shown to who asked, and kept nowhere.
    """

    name: str
    run: Act
    timeout: float
    changes: bool
    precondition: Act | None = None
    verify: Act | None = None
    line: int = 0
    skip: str = ""
    command_lines: bool = False


@dataclass(frozen=True, slots=True)
class Parameter:
    """A value that a person gives. `pattern` must match all of it.

    `sources` tell where it comes from when nobody gives it, first come first: `fault.NAME` (what
    the fault that leads here tells), `incident.component`, `component.KIND` (that component's own
    check), `kind.KIND` (a check of that kind), `resource.TYPE`, `option.KIND.OPTION`; then the
    default. Steps that need a value with the default "" are skipped without it.
    """

    name: str
    type: str
    pattern: str
    required: bool
    default: str | None = None
    description: str = ""
    sources: tuple[str, ...] = ()
    line: int = 0


@dataclass(frozen=True, slots=True)
class AppliesTo:
    """What a runbook is for: faults of kinds (`kind/key`, `kind/*`), components, conditions such as
    `exhausted`, alerts by name.

    Shipped runbooks name no faults: each kind declares the runbook of each of its faults. A
    platform's own runbook that names some comes before the declared one.
    """

    faults: tuple[str, ...] = ()
    components: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()
    alerts: tuple[str, ...] = ()
    line: int = 0

    def covers(self, kind: str, key: str) -> bool:
        """Whether it is for this fault of this kind."""
        return f"{kind}/{key}" in self.faults or f"{kind}/*" in self.faults


@dataclass(frozen=True, slots=True)
class Runbook:
    """One file. `sections` maps headings to their Markdown text.

    `diagnose` says whether its reading steps may run by themselves; None leaves it to the platform.
    """

    name: str
    title: str
    applies_to: AppliesTo
    parameters: tuple[Parameter, ...]
    steps: tuple[BookStep, ...]
    sections: Mapping[str, str]
    source: str
    diagnose: bool | None = None


def _quote(word: str) -> str:
    """For people only: shows where a word with spaces begins and ends."""
    return word if word and not any(c.isspace() or c in "\"'" for c in word) else repr(word)
