"""A family of series, each with its line as it was written last. A change marks a series; `patch`
writes the marked ones.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, TypeVar

from sentinel.clock import utcnow
from sentinel.core.model import Histogram
from sentinel.metrics.text import write_head, write_label, write_number

PATCHED = 250
"""Lines that are written between two rests: a quarter of a millisecond."""
JOINED = 1000
"""Lines in one piece of text: about 100 kB."""
GONE = -1
"""The place of a series that was taken out."""
WHOLE = 0
"""The cut of a series that is written as a whole: it has more than one line."""


class Series:
    """One figure with its labels. `at` is its place in the family, `cut` the length of its line
    before the figure.
    """

    __slots__ = ("at", "cut", "family", "marked", "value")
    samples = 1

    def __init__(self, family: FigureFamily[Any], at: int, value: float = 0.0) -> None:
        self.family, self.at, self.value = family, at, value
        self.cut, self.marked = 0, False

    def put(self, value: float) -> None:
        """Take a figure; what is as before costs nothing more."""
        if value != self.value:
            self.value = value
            self.mark()

    def write(self) -> str:
        """All its lines; only asked of a series whose cut is WHOLE."""
        raise NotImplementedError

    def mark(self) -> None:
        """Have the line written at the next scrape."""
        if not self.marked:
            self.marked = True
            self.family.marked.append(self)

    def begin(self, labels: Sequence[str]) -> str:
        """The first line, at the present figure."""
        inner = ",".join(labels)
        head = f"{self.family.sample}{{{inner}}} " if inner else f"{self.family.sample} "
        self.cut = len(head)
        return f"{head}{write_number(self.value)}\n"


class Gauge(Series):
    """A figure that goes up and down."""

    __slots__ = ()

    def set(self, value: float) -> None:
        """It is `value` now; True and False are 1 and 0."""
        self.put(float(value))

    def set_to_current_time(self) -> None:
        """Seconds since the epoch."""
        self.put(round(utcnow().timestamp(), 3))


class Counter(Series):
    """A figure that only grows."""

    __slots__ = ()

    def inc(self, amount: float = 1.0) -> None:
        """So much more."""
        self.value += amount
        self.mark()


class Distribution(Series):
    """A histogram of somebody else, taken as a whole. Its line is one for each edge, and two."""

    __slots__ = ("edges", "labels", "shape")

    def __init__(self, family: FigureFamily[Any], at: int, shape: Histogram) -> None:
        super().__init__(family, at)
        self.shape = shape
        self.labels: tuple[str, str, str] = ("", "", "")

    @property
    def samples(self) -> int:  # type: ignore[override]
        """Series as Prometheus counts them."""
        return len(self.shape.bounds) + 3

    def take(self, shape: Histogram) -> None:
        """Take it as it is now."""
        if shape != self.shape:
            self.family.samples += len(shape.bounds) - len(self.shape.bounds)
            self.shape = shape
            self.mark()

    def begin(self, labels: Sequence[str]) -> str:
        """Labels around `le`, which stands where its name belongs in their order."""
        place = bisect.bisect([label.partition("=")[0] for label in labels], "le")
        before = "".join(f"{label}," for label in labels[:place])
        after = "".join(f",{label}" for label in labels[place:])
        inner = ",".join(labels)
        self.labels = (before, after, f"{{{inner}}}" if inner else "")
        return self.write()

    def write(self) -> str:
        """All its lines. With an edge below zero neither sum nor count may be told."""
        shape, name = self.freeze(), self.family.sample
        before, after, whole = self.labels
        edges = [*zip(map(float, shape.bounds), shape.counts, strict=True)]
        lines = [
            f'{name}_bucket{{{before}le="{write_number(edge)}"{after}}} {float(count)!r}\n'
            for edge, count in [*edges, (float("inf"), shape.total)]
        ]
        if not edges or edges[0][0] >= 0:
            lines.append(f"{name}_count{whole} {float(shape.total)!r}\n")
            lines.append(f"{name}_sum{whole} {write_number(float(shape.sum))}\n")
        return "".join(lines)

    def freeze(self) -> Histogram:
        """What is written."""
        return self.shape


class OwnHistogram(Distribution):
    """A histogram of our own, observation by observation."""

    __slots__ = ("counts", "sum")

    def __init__(self, family: FigureFamily[Any], at: int, shape: Histogram) -> None:
        super().__init__(family, at, shape)
        self.counts, self.sum = [0] * (len(shape.bounds) + 1), 0.0

    def observe(self, value: float) -> None:
        """One more."""
        self.counts[bisect.bisect_left(self.shape.bounds, value)] += 1
        self.sum += value
        self.mark()

    def freeze(self) -> Histogram:
        """Cumulative, as it is exported."""
        sums, total = [], 0
        for count in self.counts:
            total += count
            sums.append(total)
        return Histogram(self.shape.bounds, tuple(sums[:-1]), total, self.sum)


S = TypeVar("S", bound=Series)


class FigureFamily(Generic[S]):
    """All series of one metric, in the order in which they came, but for those that took the place
    of one that went.

    `name` is without the `_total` of counters, `sample` what lines begin with.
    """

    def __init__(
        self,
        name: str,
        kind: str,
        about: str,
        labels: Sequence[str],
        make: Callable[[FigureFamily[Any], int], S],
    ) -> None:
        self.name = name.removesuffix("_total") if kind == "counter" else name
        self.sample = f"{self.name}_total" if kind == "counter" else name
        self.kind, self.about, self.label_names = kind, about, tuple(labels)
        self.marked: list[Series] = []
        self._make = make
        self._order = sorted(range(len(labels)), key=labels.__getitem__)
        self._members: list[S] = []
        self.lines: list[str] = []
        self._known: dict[tuple[str, ...], S] = {}
        self.samples = 0
        """How many series Prometheus sees."""

    def __len__(self) -> int:
        return len(self._members)

    def add(self, values: Sequence[str]) -> S:
        """A new series with these label values, at zero."""
        return self.admit(self._make(self, len(self._members)), values)

    def admit(self, series: S, values: Sequence[str]) -> S:
        """Take in a series that was made for the place behind the last one."""
        labels = [write_label(self.label_names[i], values[i]) for i in self._order]
        self.lines.append(series.begin(labels))
        self._members.append(series)
        self.samples += series.samples
        return series

    def drop(self, series: S) -> None:
        """Take a series out; the last one moves to its place. Twice is once."""
        at = series.at
        if at == GONE:
            return
        series.at = GONE
        self.samples -= series.samples
        last, line = self._members.pop(), self.lines.pop()
        if last is not series:
            self._members[at], self.lines[at], last.at = last, line, at

    def labels(self, *values: str) -> S:
        """The series with these label values; made when it is not there."""
        series = self._known.get(values)
        if series is None:
            series = self._known[values] = self.add(values)
        return series

    def remove(self, *values: str) -> None:
        """Take out the series with these label values, when it is there."""
        series = self._known.pop(values, None)
        if series is not None:
            self.drop(series)

    def figures(self) -> dict[tuple[str, ...], float]:
        """The figures of all series that were asked for by their labels."""
        return {labels: series.value for labels, series in self._known.items()}

    def patch(self) -> Iterator[None]:
        """Write what is marked, with a rest each PATCHED series."""
        while self.marked:
            self._write(min(len(self.marked), PATCHED))
            yield

    def _write(self, count: int) -> None:
        """So many of the marked ones. A thread may mark one meanwhile: none is lost, for the mark
        goes before the figure is read.
        """
        lines, take = self.lines, self.marked.pop
        for _ in range(count):
            series = take()
            series.marked, at = False, series.at
            if at == GONE:
                continue
            if series.cut == WHOLE:
                lines[at] = series.write()
                continue
            text = repr(series.value)
            if text[-1] in "nf":
                text = write_number(series.value)
            lines[at] = f"{lines[at][: series.cut]}{text}\n"

    def pieces(self, openmetrics: bool) -> Iterator[bytes]:
        """The text of the family as it is when the first piece is asked for."""
        lines = self.lines[:]
        head = write_head(self.name, self.kind, self.about, openmetrics=openmetrics)
        yield head + "".join(lines[:JOINED]).encode()
        for at in range(JOINED, len(lines), JOINED):
            yield "".join(lines[at : at + JOINED]).encode()
