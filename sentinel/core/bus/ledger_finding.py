"""Which limits of a dead-letter or retry place are passed, and how to look at it. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from sentinel.core.bus.dead_letter import KeyReading, PlaceLimits, PlaceStanding
from sentinel.core.bus.finding import UNJUDGED, count_noun, read_instant
from sentinel.core.bus.naming import quote
from sentinel.core.fault import Fault, FaultKind, Severity, Status
from sentinel.core.quantity import MANY, Bounds, format_duration

TOO_MANY, TOO_OLD, DUE, GROWING = "too_many", "too_old", "overdue", "growing"
ARRIVALS = "arrivals"
_RUNBOOK, _KEY = "poison-messages", ("stream", "queue")
_ORIGIN = ("stream", "dead_letters")
LEDGER_KINDS = (
    FaultKind(TOO_MANY, Severity.TICKET, _RUNBOOK, "more entries than tolerated", _KEY),
    FaultKind(DUE, Severity.TICKET, _RUNBOOK, "retries that are due are not taken", _KEY),
    FaultKind(TOO_OLD, Severity.TICKET, _RUNBOOK, "the oldest entry waits for too long", _KEY),
    FaultKind(GROWING, Severity.TICKET, _RUNBOOK, "a place grows faster than tolerated", _KEY),
    FaultKind(ARRIVALS, Severity.TICKET, _RUNBOOK, "messages of a stream end there", _ORIGIN),
    FaultKind(UNJUDGED, Severity.INFO, "sentinel-blind", "a place or key can't be read", _KEY),
)
_GUIDANCE = {
    "stream": "mend the cause, publish each again, then delete it (XDEL)",
    "zset": "is the worker that takes what is due running?",
    "list": "mend the cause, push each to its queue again, then remove it (LREM)",
}


def find_place_faults(
    standing: PlaceStanding, limits: PlaceLimits, blind: Sequence[tuple[str, str]] = ()
) -> list[Fault]:
    """Each limit that is passed, then what can't be known of the place: (problem, remedy) each."""
    found = [_make(standing, *excess) for excess in find_excesses(standing, limits)]
    came = find_arrivals(standing, limits.max_arrivals)
    return [*found, *came, *_find_blind(standing, blind)]


def find_arrivals(standing: PlaceStanding, most: int | None) -> list[Fault]:
    """One fault for each stream of which too many entries came to the place: lately, or before and
    nobody has cleared the place since.
    """
    if most is None:
        return []
    found, now = [], dict[str, int]()
    if (arrivals := standing.arrivals) is not None:
        now, when = dict(arrivals.list_above(most)), f"the last {format_duration(arrivals.within)}"
        found = [
            _make_arrival(standing, *each, when, most, cut=arrivals.cut) for each in now.items()
        ]
    for origin, held in standing.held.items():
        if origin not in now:
            instant = f"{read_instant(held.at):%Y-%m-%d %H:%M:%S} UTC"
            when = f"the {format_duration(held.within)} before {instant}"
            found.append(_make_arrival(standing, origin, held.count, when, most, cut=held.cut))
    return found


def _make_arrival(
    standing: PlaceStanding, origin: str, count: int, when: str, most: int, *, cut: bool
) -> Fault:
    """About the stream that the entries came from; about the place when they don't say."""
    newest = max(standing.readings, key=lambda reading: reading.newest)
    least = "at least " if cut else ""
    there = "" if when.startswith("the last ") else "; nobody has cleared the place since"
    limit = f"within {when}, more than {most:,}{there}"
    came = f"{least}{count_noun(count, 'entry')} came"
    named = {"stream": origin} if origin else {}
    text = f"stream {origin}: {came} to {standing.name}" if origin else _place(standing, came)
    return Fault(
        ARRIVALS,
        {"place": standing.name, **named},
        Status.DEGRADED,
        f"{text} {limit}",
        count=Bounds(count, MANY if cut else count),
        cure=(f"XREVRANGE {quote(newest.key)} + - COUNT 10",),
        guidance=f"why does the handler fail? {_GUIDANCE['stream']}",
        parameters={"dead_letters": newest.key, **named},
    )


def _place(standing: PlaceStanding, words: str) -> str:
    return f"place {standing.name}: {words}"


def find_excesses(
    standing: PlaceStanding, limits: PlaceLimits
) -> list[tuple[str, str, int | None]]:
    """(fault, words, how many entries) of each limit that is passed; at the limit none is."""
    found: list[tuple[str, str, int | None]] = []
    if limits.max_entries is not None and standing.entries > limits.max_entries:
        entries = count_noun(standing.entries, "entry")
        found.append((TOO_MANY, f"{entries}, more than {limits.max_entries:,}", standing.entries))
    overdue = standing.overdue or 0
    if limits.max_overdue is not None and overdue > limits.max_overdue:
        found.append((DUE, f"{overdue:,} overdue, more than {limits.max_overdue:,}", overdue))
    if limits.max_age is not None and (standing.age or 0.0) > limits.max_age:
        past = "past due for" if standing.type == "zset" else "oldest"
        age, most = format_duration(standing.age), format_duration(limits.max_age)
        age = age if standing.timed else f"at least {age} (ids of a stream are no times)"
        found.append((TOO_OLD, f"{past} {age}, more than {most}", None))
    if limits.max_growth is not None and (standing.growth or 0.0) > limits.max_growth:
        over = format_duration(limits.growth_window)
        grown = f"grows by {standing.growth:.3g} entries a minute over the last {over}"
        found.append((GROWING, f"{grown}, more than {limits.max_growth:g}", None))
    return found


def suggest_look(standing: PlaceStanding) -> tuple[str, ...]:
    """The command that looks at what is there, of the key that holds most."""
    fullest = _find_fullest(standing)
    if fullest is None:
        return ()
    key = quote(fullest.key)
    looks = {
        "stream": f"XRANGE {key} - + COUNT 10",
        "zset": f"ZRANGE {key} 0 9 WITHSCORES",
        "list": f"LRANGE {key} -10 -1",
    }
    return (looks[standing.type],)


def _find_fullest(standing: PlaceStanding) -> KeyReading | None:
    return max(
        standing.readings, key=lambda reading: (reading.overdue or 0, reading.entries), default=None
    )


def _make(standing: PlaceStanding, key: str, words: str, count: int | None) -> Fault:
    fullest = _find_fullest(standing)
    label = "stream" if standing.type == "stream" else "queue"
    return Fault(
        key,
        {"place": standing.name},
        Status.DEGRADED,
        _place(standing, words),
        count=None if count is None else Bounds(count, count),
        cure=suggest_look(standing),
        guidance=_GUIDANCE[standing.type],
        parameters={label: fullest.key} if fullest is not None else {},
    )


def _find_blind(standing: PlaceStanding, blind: Sequence[tuple[str, str]]) -> list[Fault]:
    """One fault a place: the first problem in full, and how many more there are."""
    if not blind:
        return []
    problem, remedy = blind[0]
    more = f"; and {len(blind) - 1} more" if len(blind) > 1 else ""
    return [
        Fault(
            UNJUDGED,
            {"place": standing.name},
            Status.UNKNOWN,
            _place(standing, f"{problem}{more}"),
            guidance=remedy,
        )
    ]
