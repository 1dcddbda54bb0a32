"""What a daemon says of itself now and then: that it lives, when its checks ran, and what has changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from sentinel.core.moment import Moment, write_moment
from sentinel.store import BEAT
from sentinel.store.looks import LOOKS, write_looks

SIGN_EVERY = 4.0
"""Seconds between two signs of life; without one for FRESH (10 s) a daemon counts as silent."""
LOOKS_EVERY, MANY_EVERY = 10.0, 30.0
"""Seconds between two words on when the checks ran, and with many of them."""
MANY = 500


@dataclass(slots=True)
class SignsOfLife:
    """Chooses what is to be written of it: a word that is as it was is not."""

    moment: Callable[[], Moment]
    _said: dict[str, str] = field(default_factory=dict)
    _signed: Moment | None = None
    _told: Moment | None = None
    """When the last sign was given, and when the checks were told of."""
    _looks_every: float = LOOKS_EVERY

    def choose(
        self, words: Mapping[str, str], ran: Callable[[], Mapping[str, tuple[datetime, int]]]
    ) -> dict[str, str]:
        """Of these words those that have changed; with them, or when it is time, that it lives and
        when each check `ran`, of which there may be so many that they are only asked for then.
        """
        now = self.moment()
        chosen = {key: word for key, word in words.items() if self._said.get(key) != word}
        self._said.update(chosen)
        if chosen or _is_due(self._signed, now, SIGN_EVERY):
            self._signed = now
            chosen[BEAT] = write_moment(now)
            if _is_due(self._told, now, self._looks_every):
                chosen |= self._tell_looks(now, ran())
        return chosen

    def _tell_looks(self, now: Moment, ran: Mapping[str, tuple[datetime, int]]) -> dict[str, str]:
        self._told, self._looks_every = now, MANY_EVERY if len(ran) > MANY else LOOKS_EVERY
        return {LOOKS: write_looks(now.at, ran)}


def _is_due(last: Moment | None, now: Moment, every: float) -> bool:
    """A second early rather than one turn too late."""
    return last is None or now.seconds_since(last) > every - 1.0
