"""What is wrong with a canary path: what it says of the last canaries, and what kept it from being
asked. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sentinel.core.canary.letter import FAILED, Outcome
from sentinel.core.fault import Fault, FaultKind, Severity, Status, sort_faults
from sentinel.core.quantity import Bounds, format_duration

REFUSED, READER_FAILED, WIPED = "publish_refused", "reader_failed", "wiped"
NEVER_ARRIVED = "never_arrived"
PATH_IN_USE, NO_VERDICT = "path_in_use", "no_verdict"
_FAILING, _BLIND, _PARAMETERS = "bus-canary-failing", "sentinel-blind", ("stream",)
CANARY_KINDS = (
    FaultKind("lost", Severity.PAGE, _FAILING, "canaries never arrived", _PARAMETERS),
    FaultKind("late", Severity.TICKET, _FAILING, "canaries arrived too late", _PARAMETERS),
    FaultKind("corrupt", Severity.PAGE, _FAILING, "canaries came back changed", _PARAMETERS),
    FaultKind(
        REFUSED, Severity.PAGE, "bus-refuses-writes", "the server refuses canaries", _PARAMETERS
    ),
    FaultKind(
        WIPED,
        Severity.PAGE,
        _FAILING,
        "open canaries were wiped from the server",
        _PARAMETERS,
        sudden=True,
    ),
    FaultKind(
        NEVER_ARRIVED,
        Severity.TICKET,
        _FAILING,
        "canaries that were given up, though the path may work again",
        _PARAMETERS,
        lasting="of its canaries never arrived and were given up",
    ),
    FaultKind(READER_FAILED, Severity.PAGE, _FAILING, "canaries can't be read", _PARAMETERS),
    FaultKind(PATH_IN_USE, Severity.INFO, _BLIND, "another sentinel uses the path", _PARAMETERS),
    FaultKind(NO_VERDICT, Severity.INFO, _BLIND, "no canary was judged yet", _PARAMETERS),
)
_KEYS = {
    Outcome.LOST: "lost",
    Outcome.LATE: "late",
    Outcome.CORRUPT: "corrupt",
    Outcome.PUBLISH_ERROR: REFUSED,
}
_GUIDANCE = {
    "lost": (
        "is the stream trimmed or deleted, does another consumer read its group, does the handler"
        " answer?"
    ),
    "late": "is the server slow (SLOWLOG GET), or the handler, or this machine?",
    "corrupt": "who changes entries on the way: a proxy, a codec, the handler?",
    REFUSED: "look at the server's memory, disk and role: it refuses writes",
}
SHARED_GUIDANCE = "give each sentinel a `path` of its own, or stop the other one"


@dataclass(frozen=True, slots=True)
class CanaryLimits:
    """What is tolerated: `failures` of the last `of` canaries are degraded, `down_after` lost in a
    row are down; `deadline` in seconds.
    """

    deadline: float
    failures: int
    of: int
    down_after: int


@dataclass(frozen=True, slots=True)
class PathTrouble:
    """An error of the server while a path ran: the fault that it is, and the verdict it justifies."""

    key: str
    status: Status
    message: str
    guidance: str


@dataclass(frozen=True, slots=True)
class PathNews:
    """What one run learned of a path.

    `recent` are the last outcomes, oldest first; `given_up` how many were lost since the run
    before, `wiped` open canaries that vanished; `holder` who else uses it; `held` why nothing is
    sent; `hops` failures by handler; `asked`: whether the server could be asked at all.
    """

    path: str
    stream: str
    recent: Sequence[str]
    wiped: int = 0
    holder: str = ""
    held: str = ""
    hops: Mapping[str, int] = field(default_factory=dict)
    troubles: Sequence[PathTrouble] = ()
    asked: bool = True
    given_up: int = 0


def find_canary_faults(news: PathNews, limits: CanaryLimits) -> list[Fault]:
    """Everything that is wrong with one path, the worst first; each kind once."""
    found = [_make_trouble(news, trouble) for trouble in news.troubles]
    if news.holder:
        found.append(find_in_use(news.path, news.holder, news.stream))
    if news.wiped:
        found.append(_make_wiped(news))
    if news.given_up:
        found.append(_make_given_up(news))
    known = {fault.key for fault in found}
    found += [fault for fault in _judge_recent(news, limits) if fault.key not in known]
    return sort_faults(found)


def _judge_recent(news: PathNews, limits: CanaryLimits) -> list[Fault]:
    """What the last outcomes say. None at all is unknown, unless the server could not be asked:
    then that is the news.
    """
    if not news.recent:
        return [_make_unjudged(news)] if news.asked else []
    dead = _is_dead(news.recent, limits.down_after)
    found = [_make_silent(news, limits)] if dead else []
    window = list(news.recent[-limits.of :])
    failed = [outcome for outcome in window if outcome in FAILED]
    # why `<`: so many failures are the first that are degraded
    if len(failed) < limits.failures:
        return found
    kinds = [kind for kind in _KEYS if kind in failed and not (dead and kind is Outcome.LOST)]
    counts = {kind: failed.count(kind) for kind in kinds}
    return found + [_make_failed(news, limits, kind, n, len(window)) for kind, n in counts.items()]


def _is_dead(recent: Sequence[str], down_after: int) -> bool:
    """Whether so many in a row were sent and never arrived.

    A refused canary is no sign of a dead path: the server answers, and a restart would not make
    room or undo a failover.
    """
    sent = [outcome for outcome in recent if outcome != Outcome.PUBLISH_ERROR][-down_after:]
    return len(sent) == down_after and set(sent) == {Outcome.LOST}


# -- faults ---------------------------------------------------------------------------------------


def _make_silent(news: PathNews, limits: CanaryLimits) -> Fault:
    count = limits.down_after
    last = f"the last {count} canaries that were sent were" if count > 1 else "the last canary was"
    text = f"{last} {'all ' * (count > 1)}lost{_name_hops(news)}"
    return _make(news, "lost", Status.DOWN, text, _GUIDANCE["lost"], count)


def _make_failed(
    news: PathNews, limits: CanaryLimits, kind: Outcome, count: int, judged: int
) -> Fault:
    key = _KEYS[kind]
    words = {
        Outcome.LOST: "lost",
        Outcome.LATE: f"late, past {format_duration(limits.deadline)}",
        Outcome.CORRUPT: "changed on their way",
        Outcome.PUBLISH_ERROR: "refused by the server",
    }
    verb = "was" if count == 1 else "were"
    text = (
        f"{count} of the last {judged} canaries {verb} {words[kind]}; from {limits.failures}"
        f" failures of {limits.of} on it is degraded{_name_hops(news)}"
    )
    return _make(news, key, Status.DEGRADED, text, _GUIDANCE[key], count)


def _make_trouble(news: PathNews, trouble: PathTrouble) -> Fault:
    words = {REFUSED: "publish refused: ", READER_FAILED: "reader: "}
    text = f"{words.get(trouble.key, '')}{trouble.message}"
    return _make(news, trouble.key, trouble.status, text, trouble.guidance)


def _make_wiped(news: PathNews) -> Fault:
    text = (
        f"{news.wiped} open canaries were wiped from the server (flush, eviction or failover): lost"
    )
    guidance = "who ran FLUSHALL, or which maxmemory-policy evicts streams?"
    return _make(news, WIPED, Status.DEGRADED, text, guidance, news.wiped)


def _make_given_up(news: PathNews) -> Fault:
    """What is lost is lost, also when the next ones arrive."""
    verb = "was" if news.given_up == 1 else "were"
    text = f"{news.given_up:,} of its canaries {verb} given up since the last look"
    guidance = f"{_GUIDANCE['lost']} What else went this way meanwhile?"
    return _make(news, NEVER_ARRIVED, Status.DEGRADED, text, guidance, news.given_up)


def _make_unjudged(news: PathNews) -> Fault:
    guidance = "the first verdict comes with the next runs"
    return _make(news, NO_VERDICT, Status.UNKNOWN, "no canary was judged yet", guidance)


def find_in_use(path: str, holder: str, stream: str = "") -> Fault:
    """Another sentinel uses this path: neither sends through it, so that nothing counts twice."""
    text = f"in use by another sentinel ({holder}): nothing was sent, nothing is counted twice"
    news = PathNews(path, stream, ())
    return _make(news, PATH_IN_USE, Status.UNKNOWN, text, SHARED_GUIDANCE)


def _make(
    news: PathNews, key: str, status: Status, text: str, guidance: str, count: int | None = None
) -> Fault:
    held = f"; {news.held}" if news.held else ""
    return Fault(
        key,
        {"path": news.path},
        status,
        f"path {news.path}: {text}{held}",
        count=None if count is None else Bounds(count, count),
        guidance=guidance,
        parameters={"stream": news.stream} if news.stream else {},
    )


def _name_hops(news: PathNews) -> str:
    """The handlers that failed since the watch began, worst first."""
    failed = sorted(news.hops.items(), key=lambda item: -item[1])
    named = [f"{hop} ({count})" for hop, count in failed if count]
    return f"; failing hop: {', '.join(named)}" if named else ""
