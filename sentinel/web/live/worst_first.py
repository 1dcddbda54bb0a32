"""Names in the order of the page: the worst first, then by name; so many of them are shown."""

from __future__ import annotations

import codecs
from bisect import bisect_left, insort
from dataclasses import dataclass, field

from sentinel.web.live.line import rank

_Place = tuple[int, bytes, str]
_encode = codecs.getencoder("utf-16-be")
"""Looked up here: when the first page is shown there may be no descriptor to read a codec with."""


@dataclass(slots=True)
class WorstFirst:
    """Every name with its status; the first `most` are shown. Names are ordered as a browser
    compares strings: by units of UTF-16.
    """

    most: int
    _places: dict[str, _Place] = field(default_factory=dict)
    _ordered: list[_Place] = field(default_factory=list)

    def put(self, name: str, status: str, shown_name: str) -> None:
        """A name has this status now."""
        place = rank(status), _encode(shown_name, "surrogatepass")[0], name
        before = self._places.get(name)
        if before == place:
            return
        if before is not None:
            del self._ordered[bisect_left(self._ordered, before)]
        self._places[name] = place
        insort(self._ordered, place)

    def shown(self) -> list[str]:
        """The names that are shown, in order."""
        return [name for _, _, name in self._ordered[: self.most]]

    @property
    def cut(self) -> int:
        """How many are not."""
        return max(len(self._ordered) - self.most, 0)
