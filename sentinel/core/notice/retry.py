"""What becomes of a notice that was not delivered: again, when, or never. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sentinel.core.model import ErrorClass

LONGEST = 300.0
"""Seconds between two tries, at most, unless the receiver asks for more."""
LONGEST_REST = 900.0
"""Seconds for which a receiver may ask to be left alone."""
KEPT = timedelta(days=1)
"""For so long a notice is tried: then it is of no use any more."""
MOST_UNANSWERED = 2
"""A request that may have arrived and was not answered is repeated once."""


class NoticeFate(StrEnum):
    """What is to be done with a notice that was not delivered."""

    AGAIN = "again"
    REFUSED = "refused"
    """The receiver does not take it, and would not take it later."""
    EXPIRED = "expired"
    UNANSWERED = "unanswered"
    """Sent twice, and may have arrived twice: nobody can tell."""


@dataclass(frozen=True, slots=True)
class Tries:
    """What was tried so far: failures, requests that may have arrived and got no answer, and the
    instant before which it is not tried again.
    """

    failures: int = 0
    unanswered: int = 0
    not_before: datetime | None = None
    error: str = ""

    @property
    def needs_proof(self) -> bool:
        """Whether the receiver has to answer something harmless first: a request that it still
        holds must not be joined by a third.
        """
        return self.unanswered > 0

    def is_due(self, now: datetime) -> bool:
        """Whether it may be tried now."""
        return not is_resting(self.not_before, now)


def is_resting(until: datetime | None, now: datetime) -> bool:
    """Whether to wait until an instant. One that is further away than any rest was written by a
    clock that has been set back since: it holds nothing up.
    """
    return until is not None and now < until <= now + timedelta(seconds=LONGEST_REST)


@dataclass(frozen=True, slots=True)
class Miss:
    """Why a notice was not delivered. `arrived`: the receiver may have it all the same."""

    error: str
    error_class: ErrorClass = ErrorClass.TEMPORARY
    retry_after: float | None = None
    arrived: bool = False


def decide_retry(
    tries: Tries, miss: Miss, ordered: datetime, now: datetime, *, repeatable: bool
) -> tuple[NoticeFate, Tries]:
    """What comes next. `repeatable`: the receiver knows a repetition by its key, so one more does
    no harm.
    """
    failures = tries.failures + 1
    unanswered = tries.unanswered + (miss.arrived and not repeatable)
    grown = min(2.0 ** min(failures - 1, 30), LONGEST)
    delay = max(grown, min(miss.retry_after or 0.0, LONGEST_REST))
    after = Tries(failures, unanswered, now + timedelta(seconds=delay), miss.error)
    if miss.error_class is ErrorClass.PERMANENT:
        return NoticeFate.REFUSED, after
    if unanswered >= MOST_UNANSWERED:
        return NoticeFate.UNANSWERED, after
    if now - ordered >= KEPT:
        return NoticeFate.EXPIRED, after
    return NoticeFate.AGAIN, after


def write_tries(tries: Tries) -> Mapping[str, Any]:
    """As the row of the order keeps it."""
    at = tries.not_before
    return {
        "failures": tries.failures,
        "unanswered": tries.unanswered,
        "not_before": at.isoformat() if at else "",
        "error": tries.error,
    }


def read_tries(document: Mapping[str, Any]) -> Tries:
    """The tries of `write_tries`; none of an empty document."""
    at = document.get("not_before")
    found = Tries(
        int(document.get("failures", 0)),
        int(document.get("unanswered", 0)),
        error=str(document.get("error", "")),
    )
    return replace(found, not_before=datetime.fromisoformat(at)) if at else found
