"""What every kind of the bus says about streams and groups: subjects, names in a sentence, and
what can't be judged and why. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from sentinel.core.bus.naming import quote
from sentinel.core.fault import Fault, FaultKind, Labels, Severity, Status

UNJUDGED, UNWATCHED, NOTHING_FOUND = "unjudged", "unwatched", "nothing_found"
MAX_NAMED = 3
PLACE = ("stream", "group")
BLIND_KINDS = (
    FaultKind(
        UNJUDGED, Severity.INFO, "sentinel-blind", "a stream or group can't be judged", PLACE
    ),
    FaultKind(UNWATCHED, Severity.INFO, "sentinel-blind", "more streams match than may be watched"),
    FaultKind(
        NOTHING_FOUND, Severity.INFO, "sentinel-blind", "no stream with a group matches: no figure"
    ),
)
"""What keeps a kind of the bus from judging: nobody else is to blame for it."""


def subject_of(stream: str, group: str | None = None, **others: str | None) -> Labels:
    """Labels of a stream, of a group on it, or of something in that group; None is left out. A name
    may be empty, and is one all the same: without its label a command would be about others, too.
    """
    labels = {"stream": stream, "group": group, **others}
    return {label: value for label, value in labels.items() if value is not None}


def describe_place(stream: str | None, group: str | None = None) -> str:
    """`stream orders, group workers`, each name as one word."""
    names = (("stream", stream), ("group", group))
    return ", ".join(f"{label} {quote(name)}" for label, name in names if name is not None)


def name_some(names: Sequence[str]) -> str:
    """`a, b, c and 4 more`: the first few names, each as one word."""
    shown = ", ".join(map(quote, names[:MAX_NAMED]))
    rest = len(names) - MAX_NAMED
    return f"{shown} and {rest:,} more" if rest > 0 else shown


def count_noun(count: int, noun: str) -> str:
    """`1 entry`, `2 entries`, `1 consumer`, `2,000 consumers`."""
    if count == 1:
        return f"1 {noun}"
    return f"{count:,} {noun[:-1]}ies" if noun.endswith("y") else f"{count:,} {noun}s"


def read_instant(seconds: float | None) -> datetime | None:
    """An instant of the server's clock, for people; None when there is none."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def find_unjudged(stream: str, problem: str, remedy: str, group: str | None = None) -> Fault:
    """One stream, or a group on it, that can't be judged: why, and what would mend it."""
    subject = subject_of(stream, group)
    return Fault(
        UNJUDGED,
        subject,
        Status.UNKNOWN,
        f"{describe_place(stream, group)}: {problem}",
        guidance=remedy,
        parameters=subject,
    )


def find_unwatched(beyond: int, max_streams: int) -> Fault:
    """More streams match than are watched: `beyond` of them are not looked at."""
    text = f"more streams match than max_streams = {max_streams}: {beyond:,} are not looked at"
    remedy = "narrow streams.include, or raise max_streams"
    return Fault(UNWATCHED, {}, Status.UNKNOWN, text, guidance=remedy)


def find_nothing() -> Fault:
    """No stream with a group matches the patterns."""
    text = "no stream with a group matches: nothing to measure"
    remedy = "correct streams.include, or create the group"
    return Fault(NOTHING_FOUND, {}, Status.UNKNOWN, text, guidance=remedy)


def merge_faults(*parts: Sequence[Fault]) -> list[Fault]:
    """All of them, each identity once: what was said first stays."""
    found: dict[tuple[str, tuple[tuple[str, str], ...]], Fault] = {}
    for part in parts:
        for fault in part:
            found.setdefault(fault.identity, fault)
    return list(found.values())


def describe_faults(faults: Sequence[Fault], limit: int) -> list[Mapping[str, str]]:
    """The first few as documents for the evidence."""
    return [{"fault": each.key, **each.subject, "text": each.text} for each in faults[:limit]]
