"""A daemon says that it lives, and what has changed; not the same word again and again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from sentinel.app.signs import LOOKS_EVERY, MANY, MANY_EVERY, SIGN_EVERY, SignsOfLife
from sentinel.core.moment import Moment, read_moment
from sentinel.store import BEAT, FRESH
from sentinel.store.looks import LOOKS

NOW = datetime(2026, 3, 1, tzinfo=UTC)


class Life:
    """A daemon that is asked every two seconds."""

    def __init__(self, checks: int = 2) -> None:
        self.second = 0.0
        self.signs = SignsOfLife(
            lambda: Moment(NOW + timedelta(seconds=self.second), "b", self.second)
        )
        self.ran = {f"check-{n}": (NOW, 1) for n in range(checks)}

    def ask(self, **words: str) -> dict[str, str]:
        """Two seconds later."""
        self.second += 2.0
        return self.signs.choose(words, lambda: self.ran)


def test_a_word_that_is_as_it_was_is_not_written() -> None:
    """With one that has changed comes a sign of life."""
    life = Life()
    assert {"held", "own", BEAT, LOOKS} == set(life.ask(held="[]", own="[]"))
    assert life.ask(held="[]", own="[]") == {}
    changed = life.ask(held="x", own="[]")
    assert set(changed) == {"held", BEAT}
    assert read_moment(changed[BEAT]).uptime == life.second
    assert life.ask(held="x", own="[]") == {}
    assert set(life.ask(held="x", own="[]")) == {BEAT}


def test_a_living_daemon_is_never_silent() -> None:
    """Twice the time between two signs is still fresh."""
    life = Life()
    beats = [life.second for _ in range(100) if BEAT in life.ask()]
    assert max(b - a for a, b in pairwise(beats)) == SIGN_EVERY
    assert 2 * SIGN_EVERY < FRESH


def test_when_checks_ran_is_told_now_and_then() -> None:
    """Less often where they are many."""
    for checks, every in ((MANY, LOOKS_EVERY), (MANY + 1, MANY_EVERY)):
        life = Life(checks)
        told = [life.second for _ in range(100) if LOOKS in life.ask()]
        gaps = [b - a for a, b in pairwise(told)]
        assert every <= max(gaps) <= every + SIGN_EVERY
