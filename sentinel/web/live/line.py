"""Lines of the page as values: two are equal when nobody would see a difference, except for how long
ago something was.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sentinel.core.fault import StandingFault, Status, describe_subject
from sentinel.core.foreign.visible import make_visible
from sentinel.store import CheckView, ComponentView

STALE = "stale"
WORST_FIRST = ("down", "degraded", STALE, "unknown", "up")
_RANKS = {word: rank for rank, word in enumerate(WORST_FIRST)}
_WORDS = frozenset(Status.__members__.values())
MAX_DETAIL = 300
"""Characters of a line; the page of the check has all of them."""


@dataclass(frozen=True, slots=True)
class CheckLine:
    """One check. `hard` is what is believed, `status` the same or `stale`, `soft` the latest verdict
    where it is another one.
    """

    name: str
    kind: str
    component: str
    status: str
    hard: str
    soft: str
    detail: str
    runbook: str
    last: datetime | None
    overdue: datetime | None
    """When it is stale if it has not run again."""

    def is_late(self, now: datetime) -> bool:
        """Whether runs are overdue."""
        return self.overdue is not None and now > self.overdue


def describe_check_line(view: CheckView, now: datetime) -> CheckLine:
    """A check as it is shown, with nothing invisible in it."""
    last, hard = view.latest, _word(view.status)
    wait = timedelta(seconds=2 * (view.every + view.duration) + 1)
    overdue = last + wait if last is not None else None
    soft = _word(view.soft)
    return CheckLine(
        name=make_visible(view.name),
        kind=make_visible(view.kind),
        component=make_visible(view.component),
        status=STALE if overdue is not None and now > overdue else hard,
        hard=hard,
        soft="" if soft == hard else soft,
        detail=_shorten(make_visible(view.detail or "not run yet")),
        runbook=view.runbook,
        last=last,
        overdue=overdue,
    )


@dataclass(frozen=True, slots=True)
class ComponentLine:
    """One component: stale when all of its checks are."""

    name: str
    status: str
    hard: str
    since: datetime | None
    needs: tuple[str, ...]
    restarts: int | None
    """None where nobody would restart it."""
    action: str
    detail: str

    @property
    def text(self) -> str:
        """What is being done or why nothing is, else what was seen."""
        return self.action or self.detail


def describe_component_line(view: ComponentView) -> ComponentLine:
    """A component as it is shown, with nothing invisible in it."""
    status = _word(view.status)
    return ComponentLine(
        name=make_visible(view.name),
        status=status,
        hard=status,
        since=view.since,
        needs=tuple(map(make_visible, view.depends_on)),
        restarts=view.restarts if view.driver else None,
        action=_shorten(make_visible(view.action)),
        detail=_shorten(make_visible(view.detail)),
    )


@dataclass(frozen=True, slots=True)
class FaultLine:
    """One fault with its subject."""

    subject: str
    status: str
    text: str
    began: datetime
    is_named: bool
    """Whether the text says already whom it is about."""


def describe_fault_line(standing: StandingFault) -> FaultLine:
    """A fault as it is shown in the card of its incident."""
    fault = standing.fault
    subject = describe_subject(fault.subject) or standing.component
    return FaultLine(
        subject=make_visible(subject),
        status=fault.status.value,
        text=make_visible(fault.text),
        began=standing.began,
        is_named=all(value in fault.text for value in fault.subject.values()),
    )


def rank(status: str) -> int:
    """Less is worse."""
    return _RANKS.get(status, len(_RANKS))


def worst_word(words: list[str]) -> str:
    """The worst status that is known for certain; unknown of nothing."""
    return min(words, key=rank, default="unknown")


def show_age(seconds: float) -> str:
    """How long, in one or two whole units: `4 s`, `3 min`, `2 h 10 min`, `4 d 3 h`. The script of
    the page goes on in the same words.
    """
    whole = max(int(seconds), 0)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min"
    big, small, size = ("h", "min", 3600) if whole < 86400 else ("d", "h", 86400)
    rest = whole % size // (60 if size == 3600 else 3600)
    return f"{whole // size} {big} {rest} {small}" if rest else f"{whole // size} {big}"


def _shorten(text: str) -> str:
    return text if len(text) <= MAX_DETAIL else f"{text[:MAX_DETAIL]}…"


def _word(status: str) -> str:
    return str(status) if status in _WORDS else "unknown"
