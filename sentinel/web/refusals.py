"""Who was refused at the door: counted one by one, said together."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from enum import Enum

import structlog

log = structlog.get_logger()
GATHER = 1.0
"""Seconds in which a crowd gathers before the first line."""
SAY_EVERY = 60.0


class DoorRefusal(Enum):
    """Why the page refused somebody. Values are the label of the metric and the word in the log."""

    MALFORMED = "malformed"
    """No request that can be understood, or one over a limit of size."""
    LATE = "late"
    """Its request was not complete in time."""
    STUCK = "stuck"
    """It did not take its answer in time."""
    DISPLACED = "displaced"
    """It made room for a newcomer: it had nothing to say, or took its time."""
    CROWDED = "crowded"
    """There was no room, or its address had its share already."""
    STRANGER = "stranger"
    """It came without TLS from where no trusted proxy is."""
    NO_TLS = "no_tls"
    """It did not get as far as TLS: another protocol, or one that does not trust the certificate."""
    WRONG_TOKEN = "wrong_token"  # noqa: S105 - a reason
    """A token that there is not, or one that is over."""
    THROTTLED = "throttled"
    """Its address had tried too many wrong tokens just before."""
    FORGED_USER = "forged_user"
    """It named a user, and is no trusted proxy."""
    CROSS_SITE = "cross_site"
    """A page of somebody else had a browser send it."""
    EXHAUSTED = "exhausted"
    """The system had no descriptor or memory left for one more connection."""


class RefusalBook:
    """Says at most one line a minute, however many come. `count` is told of each."""

    def __init__(self, count: Callable[[str], None]) -> None:
        self._count = count
        self._unsaid: Counter[str] = Counter()
        self._timer: asyncio.TimerHandle | None = None

    def note(self, why: DoorRefusal) -> None:
        """One more."""
        self._count(why.value)
        self._unsaid[why.value] += 1
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(GATHER, self._say)

    def close(self) -> None:
        """Say what has not been said."""
        if self._timer is not None:
            self._timer.cancel()
        self._say_all()

    def _say(self) -> None:
        self._timer = None
        if self._say_all():
            self._timer = asyncio.get_running_loop().call_later(SAY_EVERY, self._say)

    def _say_all(self) -> bool:
        """Whether there was anything."""
        if not self._unsaid:
            return False
        # As one text: a figure whose key has the word token in it is taken for a secret.
        refused = ", ".join(f"{count} {why}" for why, count in self._unsaid.most_common())
        log.warning("page_refused", refused=refused, guidance="look who connects to the page")
        self._unsaid.clear()
        return True
