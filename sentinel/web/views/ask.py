"""What somebody asks of a view: the words of the address, checked."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import urlencode

from aiohttp import web

from sentinel.core.foreign.visible import make_visible

T = TypeVar("T")
MAX_WORD = 500
"""Characters of one word of an address."""
MAX_PAGE = 10_000


@dataclass(slots=True)
class Ask:
    """One question. `name` is what the address names (a check, a component, an incident), `words`
    its query. What is wrong with them is collected in `problems`, to be told at once.
    """

    name: str = ""
    words: Mapping[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def refuse_unknown(self, known: Collection[str]) -> None:
        """A word that has no effect is a mistake of who wrote it."""
        told = f"known are {', '.join(known)}" if known else "this page takes none"
        self.problems += [
            f"there is no filter {word[:MAX_WORD]!r}: {told}"
            for word in self.words
            if word not in known
        ]

    def read(self, word: str) -> str:
        """A text; "" when nothing is asked."""
        text = self.words.get(word, "").strip()
        if len(text) > MAX_WORD:
            self.problems.append(f"{word} may have {MAX_WORD} characters")
        return text[:MAX_WORD]

    def choose(self, word: str, choices: Sequence[str], default: str = "") -> str:
        """One of several words."""
        text = self.read(word)
        if text and text not in choices:
            self.problems.append(f"{word}={text!r}: choose one of {', '.join(choices)}")
            return default
        return text or default

    def read_number(self, word: str, default: int, most: int) -> int:
        """A whole number from 1 on."""
        text = self.read(word)
        if not text:
            return default
        if not (text.isascii() and text.isdecimal() and len(text) <= 6 and 1 <= int(text) <= most):
            self.problems.append(f"{word}={text!r}: write a whole number from 1 to {most}")
            return default
        return int(text)

    def read_instant(self, word: str) -> datetime | None:
        """A day or an instant, in UTC where it names no zone."""
        text = self.read(word)
        if not text:
            return None
        try:
            at = datetime.fromisoformat(text)
            return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
        except (ValueError, OverflowError):
            example = "2026-03-01 or 2026-03-01T12:00"
            self.problems.append(f"{word}={text!r}: write a day or an instant such as {example}")
            return None

    def conclude(self) -> None:
        """Raises HTTPBadRequest with everything that is wrong."""
        if self.problems:
            raise web.HTTPBadRequest(text="; ".join(self.problems))


@dataclass(frozen=True, slots=True)
class Leaf:
    """One page of a list: `first` and `last` are counted from 1; `more` says whether there is a
    next one.
    """

    page: int
    per: int
    total: int

    @classmethod
    def read(cls, ask: Ask, per: int, total: int) -> Leaf:
        """Which one is asked for; one behind the last is the last."""
        page = ask.read_number("page", 1, MAX_PAGE)
        ask.conclude()
        return cls(min(page, max(1, -(-total // per))), per, total)

    def cut(self, items: Sequence[T]) -> Sequence[T]:
        """What stands on it."""
        return items[(self.page - 1) * self.per : self.page * self.per]

    def describe(self, ask: Ask) -> dict[str, Any]:
        """For templates and programs: where it is, and the addresses of its neighbours."""
        first = (self.page - 1) * self.per + 1 if self.total else 0
        last = min(self.page * self.per, self.total)
        return {
            "page": self.page,
            "first": first,
            "last": last,
            "total": self.total,
            "before": self._link(ask, -1) if self.page > 1 else "",
            "after": self._link(ask, 1) if last < self.total else "",
        }

    def _link(self, ask: Ask, step: int) -> str:
        return "?" + urlencode({**ask.words, "page": str(self.page + step)})


def is_asked(asked: str, name: str) -> bool:
    """Whether a filter means this name, as it is or as it is shown; "" means every name."""
    return asked in {"", name, make_visible(name)}


def find_text(text: str, parts: Iterable[object]) -> bool:
    """Whether a text stands in one of the parts, in any case of letters; "" stands everywhere."""
    wanted = text.casefold()
    return not wanted or any(wanted in make_visible(str(part)).casefold() for part in parts)
