r"""Regular expressions that people write, matched against what others wrote: in linear time.

`re` tries every way to match: `(\w+\s?)*$` on 40 letters and a sign takes it longer than anybody
lives, and nothing can stop it. RE2 goes over a text once. What that excludes (back-references,
lookaround) is refused where it is written, and what it costs is bounded before it is spent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

MAX_PATTERN = 2000
"""Characters of an expression."""
MAX_PROGRAM = 10_000
"""Instructions that an expression may become; `.{1,1000}` has 9,000."""
MAX_WORK = 16_000_000
"""Instructions × bytes of one judgement: at worst 0.4 s of one core (measured: up to 25 ns each)."""
_MEMORY = 1 << 20
_LINEAR = (
    "sentinel matches in linear time, with the syntax of RE2 (github.com/google/re2/wiki/Syntax)"
)
_REMEDIES = (
    (("(?=", "(?!", "(?<"), f"write it without lookaround: {_LINEAR}"),
    (("(?P",), f"groups are (?P<name>…), and nothing refers back to them: {_LINEAR}"),
    (("\\Z",), "write \\z for the end of the text"),
    (("repetition",), f"repeat at most 1000 times, greedily or with ?: {_LINEAR}"),
    (("escape", "perl operator"), f"write it without: {_LINEAR}"),
    (("too large",), "shorten it: fewer counted repetitions, fewer classes of Unicode"),
)


class InvalidExpression(ValueError):
    """A text is no expression that can be matched in linear time; `remedy` tells the way out."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled one. `size` in instructions: what a byte of a text costs at most."""

    text: str
    size: int
    groups: frozenset[str]
    _engine: Any

    def cost(self, text: str) -> int:
        """What matching a text takes at most, in the unit of `MAX_WORK`."""
        return self.size * len(text.encode("utf-8", "replace"))

    def starts(self, text: str) -> bool:
        """Whether it matches at the start of a text."""
        return self._engine.match(self._bytes(text)) is not None

    def is_in(self, text: str) -> bool:
        """Whether it matches anywhere in a text."""
        return self._engine.search(self._bytes(text)) is not None

    def covers(self, text: str) -> bool:
        """Whether it matches a text as a whole; one that is too long to look at it does not."""
        return self.fullmatch(text) is not None

    def fullmatch(self, text: str) -> Mapping[str, str] | None:
        """The named groups of a match with the whole text ("" where one took no part), or None."""
        looked_at = self._bytes(text)
        found = self._engine.fullmatch(looked_at)
        if found is None or len(looked_at) < len(text):
            return None
        return {
            name: (found[name.encode()] or b"").decode("utf-8", "replace") for name in self.groups
        }

    def _bytes(self, text: str) -> bytes:
        """What is looked at: so much of a text as `MAX_WORK` allows."""
        return text.encode("utf-8", "replace")[: MAX_WORK // self.size]


@lru_cache(maxsize=512)
def compile_expression(text: str) -> Expression:
    """The expression in a text. Raises InvalidExpression."""
    import re2  # noqa: PLC0415 - 7 ms that most commands don't need

    if len(text) > MAX_PATTERN:
        raise InvalidExpression(
            f"is no regular expression of at most {MAX_PATTERN} characters", "shorten it"
        )
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MEMORY
    try:
        engine = re2.compile(text.encode(), options)
    except (re2.error, UnicodeEncodeError) as error:
        raise _explain(text, error) from error
    if engine.programsize > MAX_PROGRAM:
        raise _explain(text, ValueError("pattern too large"))
    names = frozenset(name.decode() for name in engine.groupindex)
    return Expression(text, max(1, engine.programsize), names, engine)


def _explain(text: str, error: Exception) -> InvalidExpression:
    said = error.args[0] if error.args else ""
    said = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(error)
    remedy = next(
        (cure for signs, cure in _REMEDIES if any(sign in said for sign in signs)),
        f"mend it: {_LINEAR}",
    )
    return InvalidExpression(f"{text[:60]!r} is no regular expression: {said[:120]}", remedy)
