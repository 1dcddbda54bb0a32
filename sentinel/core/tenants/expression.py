"""What the text of a policy shows without running it, as `pg_get_expr` writes it. Pure.

It can show that a policy is wrong; that it is right only its evaluation shows (`synthetic.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_LITERAL = re.compile(r"E?'(?:[^']|'')*'")
_SETTING = re.compile(r"current_setting\(\s*'((?:[^']|'')*)'", re.IGNORECASE)
_CALL = re.compile(r"current_setting\('#'(?:::text)?(, (?:true|false))?\)", re.IGNORECASE)
_NOTHING = (
    r"(?:, ''(?:::text)?)?\)*(?:::\w+)?\)*\s*(?:IS NULL|= ''|IS NOT DISTINCT FROM (?:NULL|''))"
)
_EMPTY_PASSES = re.compile(_CALL.pattern + _NOTHING, re.IGNORECASE)
_CAST = re.compile(
    _CALL.pattern + r"\)*::(?:uuid|bigint|integer|int|smallint|numeric)", re.IGNORECASE
)
_OUTSIDE = re.compile(
    r"\w\s*\(|\bSELECT\b|\b(?:CURRENT|SESSION)_(?:USER|ROLE)\b|\bUSER\b", re.IGNORECASE
)
_INSIDE = re.compile(r"\b(?:COALESCE|NULLIF|ANY|ARRAY|ROW|IN|AND|OR|NOT|CASE)\s*\(", re.IGNORECASE)
_FROM = re.compile(
    r"\b(?:FROM|JOIN)\s+\(*((?:\"[^\"]+\"|\w+)(?:\.(?:\"[^\"]+\"|\w+))?)", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class PolicyText:
    """One expression. `column` is that of the tenant, `settings` those that tell the tenant."""

    text: str
    column: str
    settings: tuple[str, ...]

    @property
    def bare(self) -> str:
        """Without what stands in its literals: a name in there is no column."""
        return _LITERAL.sub(
            lambda match: "''" if match[0].endswith("''") and len(match[0]) == 2 else "'#'",
            self.text,
        )

    @property
    def always(self) -> bool:
        """Whether every row passes."""
        return _strip(self.text).lower() == "true"

    @property
    def never(self) -> bool:
        """Whether no row passes."""
        return _strip(self.text).lower() == "false"

    @property
    def mentions_column(self) -> bool:
        """Whether the tenant has a say at all."""
        return _mentions(self.bare, self.column)

    @property
    def looks_outside(self) -> bool:
        """Whether anything beside the row decides: a setting, a function, a subquery, the user."""
        return bool(_OUTSIDE.search(_INSIDE.sub("&(", self.bare)))

    @property
    def fails_open(self) -> bool:
        """Whether an empty setting lets rows pass."""
        return bool(_EMPTY_PASSES.search(self.bare)) and bool(re.search(r"\bOR\b", self.bare))

    @property
    def casts_empty(self) -> bool:
        """Whether '' is cast: what a pooled session has after its first SET LOCAL raises 22P02."""
        return bool(_CAST.search(self.bare)) and "nullif" not in self.bare.lower()

    @property
    def raises_absent(self) -> bool:
        """Whether it raises where the setting was never set."""
        return any(match[1] is None for match in _CALL.finditer(self.bare))

    @property
    def foreign_settings(self) -> list[str]:
        """Custom settings other than those that tell the tenant: any session may set them."""
        found = dict.fromkeys(name.replace("''", "'") for name in _SETTING.findall(self.text))
        return [name for name in found if "." in name and name not in self.settings]

    @property
    def reads(self) -> list[str]:
        """Relations in its subqueries, as they are written."""
        return list(dict.fromkeys(name.replace('"', "") for name in _FROM.findall(self.bare)))

    @property
    def open_branch(self) -> str:
        """A part behind OR in which the tenant has no say, nor a setting; ""."""
        for part in _split_or(_strip(self.bare)):
            mine = _mentions(part, self.column)
            if not mine and not _CALL.search(part) and not _OUTSIDE.search(_INSIDE.sub("&(", part)):
                return part
        return ""

    @property
    def holds(self) -> bool:
        """Whether it looks like one that keeps tenants apart, or all rows away: good enough for what
        only narrows.
        """
        if self.never:
            return True
        wrong = self.always or self.fails_open or bool(self.open_branch)
        return not wrong and self.mentions_column and self.looks_outside


def _mentions(text: str, column: str) -> bool:
    return bool(re.search(rf'(?<![\w"])"?{re.escape(column)}"?(?![\w"(])', text, re.IGNORECASE))


def _strip(text: str) -> str:
    """Without brackets around all of it."""
    text = text.strip()
    while text.startswith("(") and _end_of_bracket(text) == len(text) - 1:
        text = text[1:-1].strip()
    return text


def _end_of_bracket(text: str) -> int:
    depth = 0
    for place, sign in enumerate(text):
        depth += (sign == "(") - (sign == ")")
        if not depth:
            return place
    return -1


def _split_or(text: str) -> list[str]:
    """The parts of an OR that stands at the top; none where there is no OR."""
    parts = list(_split_top(text, "OR"))
    if len(parts) < 2:
        return []
    return [inner for part in parts for inner in (_split_or(_strip(part)) or [part])]


def _split_top(text: str, word: str) -> Iterator[str]:
    depth = begin = 0
    for match in re.finditer(rf"[()]|\b{word}\b", text):
        if match[0] in "()":
            depth += 1 if match[0] == "(" else -1
        elif not depth:
            yield text[begin : match.start()]
            begin = match.end()
    yield text[begin:]
