"""What every benchmark shares: samples → figures, who else used the machine, processor pinning,
RESULTS.md.
"""

from __future__ import annotations

import importlib.metadata
import math
import os
import platform
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

RESULTS = Path(__file__).with_name("RESULTS.md")
CALM = 0.15
"""Share of the machine that others may use while a figure is taken; above it the figure is marked.
"""
_TICK = os.sysconf("SC_CLK_TCK")
_PAGE_TITLE = "# Results of `make bench`"


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table. `met` is None where no goal was set, or where the figure is only a
    comparison.
    """

    what: str
    value: str
    spread: str = ""
    goal: str = ""
    met: bool | None = None


@dataclass(slots=True)
class Report:
    """What a benchmark found: figures, notes on how they were taken, versions of what took part."""

    figures: list[Figure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)

    def add(
        self, what: str, value: str, spread: str = "", goal: str = "", met: bool | None = None
    ) -> None:
        """Append a figure."""
        self.figures.append(Figure(what, value, spread, goal, met))


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A file of this folder declares one as `BENCHMARK`; its title says what is measured."""

    title: str
    run: Callable[[Report], None]


@dataclass(frozen=True, slots=True)
class Samples:
    """Repeated measurements of one figure, all in one unit."""

    values: tuple[float, ...]

    @classmethod
    def of(cls, values: Sequence[float]) -> Samples:
        """Sorted; at least one value."""
        return cls(tuple(sorted(values)))

    def quantile(self, q: float) -> float:
        """Nearest rank: a value that was really measured."""
        return self.values[max(math.ceil(q * len(self.values)) - 1, 0)]

    @property
    def median(self) -> float:
        """The middle value (the lower one of two)."""
        return self.quantile(0.5)

    def spread(self, unit: str, digits: int = 1) -> str:
        """`p10–p90, n` as text."""
        low, high = self.quantile(0.1), self.quantile(0.9)
        return f"p10–p90 {low:.{digits}f}–{high:.{digits}f} {unit}, n={len(self.values)}"

    def tail(self, unit: str, digits: int = 1) -> str:
        """`p99, max, n` as text."""
        return f"p99 {self.quantile(0.99):.{digits}f}, max {self.values[-1]:.{digits}f} {unit}, n={len(self.values)}"


# -- processes and processors ---------------------------------------------------------------------


def cpu_seconds(pid: int) -> float:
    """User and system time of a process with all its threads, its children excluded."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


def peak_rss(pid: int | str = "self") -> float:
    """High-water mark of a process's resident memory, MiB."""
    match = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(match[1]) / 1024 if match else math.nan


@contextmanager
def apart(*others: int) -> Iterator[None]:
    """Ourselves on the first processor, the processes `others` on the rest, where there is more
    than one.
    """
    before = os.sched_getaffinity(0)
    first, *rest = sorted(before)
    if rest:
        os.sched_setaffinity(0, {first})
        for pid in others:
            for thread in Path(f"/proc/{pid}/task").iterdir():
                os.sched_setaffinity(int(thread.name), set(rest))
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _machine_ticks() -> tuple[int, int]:
    fields = [int(each) for each in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return sum(fields) - fields[3] - fields[4], sum(fields)


def _our_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


@dataclass(slots=True)
class Others:
    """How much of the machine was in use by programs that are not ours, since this was made."""

    _busy: int = field(default_factory=lambda: _machine_ticks()[0])
    _total: int = field(default_factory=lambda: _machine_ticks()[1])
    _ours: float = field(default_factory=_our_seconds)

    def share(self) -> float:
        """0 to 1 of all processors, time that a hypervisor took included. Our children count once
        they ended.
        """
        busy, total = _machine_ticks()
        theirs = busy - self._busy - (_our_seconds() - self._ours) * _TICK
        return max(theirs, 0.0) / max(total - self._total, 1)


def wait_for_calm(seconds: float) -> None:
    """Wait at most so long until others leave the machine alone."""
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        others = Others()
        time.sleep(2.0)
        if others.share() <= CALM:
            return


# -- words ----------------------------------------------------------------------------------------


def version_of(distribution: str) -> str:
    """Version of an installed distribution."""
    return importlib.metadata.version(distribution)


def describe_machine() -> str:
    """Processors, kernel, Python."""
    text = Path("/proc/cpuinfo").read_text()
    model = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    cores = len(os.sched_getaffinity(0))
    name = " ".join(model[1].split()) if model else platform.machine()
    return f"{cores} × {name}, Linux {platform.release()}, {platform.python_implementation()} {platform.python_version()}"  # noqa: E501


def render(name: str, benchmark: Benchmark, report: Report, others: float) -> str:
    """A section of RESULTS.md."""
    lines = [
        f"## {name}: {benchmark.title}",
        "",
        "| Figure | Value | Spread | Goal | Met |",
        "|---|---|---|---|---|",
    ]
    words = {True: "yes", False: "**no**", None: "–"}
    lines += [
        f"| {f.what} | {f.value} | {f.spread} | {f.goal or '–'} | {words[f.met]} |"
        for f in report.figures
    ]
    lines += ["", *(f"- {note}" for note in report.notes)]
    versions = ", ".join(f"{what} {version}" for what, version in report.versions.items())
    calm = "" if others <= CALM else " – **not calm: take these figures again**"
    lines.append(
        f"- Taken {datetime.now(UTC):%Y-%m-%d %H:%M} UTC; meanwhile other programs used {100 * others:.0f} % of the "
        f"machine{calm}." + (f" {versions}." if versions else "")
    )
    return "\n".join(lines) + "\n"


def write_results(sections: dict[str, str], path: Path = RESULTS) -> None:
    """Replace the sections of what was run; those of other benchmarks stay as they were."""
    known = dict(_read_sections(path)) | sections
    head = f"{_PAGE_TITLE}\n\n{describe_machine()}\n"
    path.write_text("\n".join([head, *(known[name] for name in sorted(known))]))


def _read_sections(path: Path) -> Iterator[tuple[str, str]]:
    if path.exists():
        for part in path.read_text().split("\n## ")[1:]:
            yield part.partition(":")[0], f"## {part.rstrip()}\n"
