"""Faults of a check that somebody accepts: which, of whom, why, and until when."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sentinel.config.day import FORM, parse_end
from sentinel.config.model import AcceptSettings
from sentinel.core.fault import Acceptance
from sentinel.probes import Kind
from sentinel.strict.explain import unknown_message, validate
from sentinel.strict.place import Place


def read_acceptances(
    place: Place, items: object, kind: Kind | None, now: datetime
) -> tuple[Acceptance, ...]:
    """Every acceptance that holds; what is wrong with the others is noted.

    One that is over has lapsed: it alone stops no daemon from starting, and accepts nothing.
    `items` is what is written there: anything but a list was refused already.
    """
    if not isinstance(items, list) or kind is None:
        return ()
    read = [_read(place / i, item, kind, now) for i, item in enumerate(items)]
    _refuse_doubles(place, read)
    return tuple(each for each in read if each is not None)


def _read(place: Place, raw: object, kind: Kind, now: datetime) -> Acceptance | None:
    item = validate(place, AcceptSettings, raw)
    written = raw if isinstance(raw, dict) else {}
    known = _check_fault(place / "fault", written.get("fault"), kind)
    until = _read_end(place / "until", written.get("until"), now)
    if item is None or until is None or not known:
        return None
    return Acceptance(item.fault, item.subject, item.reason, until)


def _refuse_doubles(place: Place, read: Sequence[Acceptance | None]) -> None:
    """Of two for the same subjects only the first would ever be looked at."""
    first: dict[object, int] = {}
    for i, each in enumerate(read):
        if each is None:
            continue
        whom = each.fault, tuple(sorted(each.subject.items()))
        other = first.setdefault(whom, i)
        if other != i:
            message = f"accepts the same as the entry in line {(place / other).line}"
            (place / i).note(message, "keep one of them")


def _check_fault(place: Place, key: object, kind: Kind) -> bool:
    """Whether the kind has such a fault; what is no text was refused already."""
    known = kind.fault_kinds
    if isinstance(key, str) and key not in known:
        place.note(*unknown_message("fault", key, known, f"`sentinel kinds {kind.name}`"))
    return isinstance(key, str) and key in known


def _read_end(place: Place, text: object, now: datetime) -> datetime | None:
    """The instant at which it ends: that of a date is the end of the day; what is no text was
    refused already.
    """
    if not isinstance(text, str):
        return None
    until = parse_end(text)
    if until is None:
        place.note(f"{text[:60]!r} is no date, and no instant with a time zone", FORM)
    elif until <= now:
        place.lapse(
            f"{text} is over: nothing is accepted any more", "remove the entry, or decide anew"
        )
    else:
        return until
    return None
