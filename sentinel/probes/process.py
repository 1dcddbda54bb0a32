"""Kind `process`: do the processes of a component live, and within their limits? Linux only: it
reads /proc.

The processes are those that sentinel supervises for the check's component, or of a pid file, or of
a command line.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator, model_validator

from sentinel.adapters.proc import Descriptors, Process, ProcReader
from sentinel.core.fault import Status, worst
from sentinel.core.model import Finding, Measurement, Row
from sentinel.core.quantity import format_bytes
from sentinel.errors import NotMeasurable
from sentinel.probes import Context, Kind, Options
from sentinel.strict.field import Percentage, Size


class ProcessOptions(Options):
    """Options of `process`."""

    pid_file: str | None = Field(None, description="file with the process id")
    pattern: str | None = Field(None, description="regular expression to find in the command line")
    min: int = Field(1, ge=0, description="at least so many processes must fit the pattern")
    max: int | None = Field(None, ge=0, description="at most so many may")
    max_resident: Size = Field(
        2_000_000_000, description="more memory than this, all processes together, is degraded"
    )
    max_cpu: float | None = Field(
        None, gt=0, description="more cores than this, all together, is degraded"
    )
    max_descriptors: Percentage = Field(0.9, description="share of the limit of open files")
    descriptors: bool = Field(
        True, description="count open files: needs the same user or CAP_SYS_PTRACE"
    )
    proc: str = Field("/proc", description="where /proc is, such as /host/proc in a container")

    @field_validator("pattern")
    @classmethod
    def _is_expression(cls, text: str | None) -> str | None:
        try:
            re.compile(text or "")
        except re.error as error:
            raise ValueError(f"{text!r} is no regular expression: {error}") from error
        return text

    @model_validator(mode="after")
    def _one_way_to_find_it(self) -> ProcessOptions:
        if self.pid_file and self.pattern:
            raise ValueError("give `pid_file` or `pattern`, not both")
        return self


Identity = tuple[int, int]


class ProcessState:
    """What was seen last: who lived, and how much CPU each had used when. CPU does not survive a
    restart.
    """

    def __init__(self, document: Any = None) -> None:
        self.seen: set[Identity] = {(pid, start) for pid, start in (document or {}).get("seen", [])}
        self.restarts = int((document or {}).get("restarts", 0))
        self._cpu: dict[Identity, float] = {}
        self._at: float | None = None

    def note(self, processes: list[Process]) -> list[int]:
        """Process ids that took the place of others since the last look."""
        now = {(process.pid, process.start_ticks) for process in processes}
        gone, new = self.seen - now, now - self.seen
        fresh = sorted(pid for pid, _ in new) if gone and new else []
        self.restarts += len(fresh)
        self.seen = now or self.seen
        return fresh

    def cpu_cores(self, processes: list[Process], now: float) -> float | None:
        """Cores used since the last look, of processes seen in both; None at the first."""
        used = {(process.pid, process.start_ticks): process.cpu_seconds for process in processes}
        before, at = self._cpu, self._at
        self._cpu, self._at = used, now
        if at is None or now <= at:
            return None
        return sum(seconds - before.get(identity, 0.0) for identity, seconds in used.items()) / (
            now - at
        )

    def dump(self) -> Any:
        """Who lived last, so that a restart during ours is noticed."""
        return {"seen": sorted(self.seen), "restarts": self.restarts}

    async def close(self) -> None:
        """Nothing is held."""


@dataclass(frozen=True, slots=True)
class Look:
    """The figures of one run."""

    processes: list[Process]
    descriptors: list[Descriptors]
    cpu: float | None
    fresh: list[int]
    hidden: NotMeasurable | None

    @property
    def resident(self) -> int:
        """Resident bytes of all processes."""
        return sum(process.resident_bytes for process in self.processes)

    @property
    def descriptor_share(self) -> float:
        """The highest share of its limit that a process uses."""
        return max((item.open / item.limit for item in self.descriptors if item.limit), default=0.0)


Verdict = tuple[Status, str, str]


async def run(options: ProcessOptions, context: Context) -> Finding:
    """Find the processes, read their figures, judge."""
    reader = ProcReader(Path(options.proc))
    found = [
        process
        for pid in _find(options, context, reader)
        if (process := reader.process(pid)) is not None
    ]
    processes = [process for process in found if not _is_stale(options, process)]
    if not processes and options.min > 0:
        context.state.note([])
        return _absent(options, context.component, stale=bool(found))
    look = _measure(options, context, reader, processes)
    verdicts = sorted(_judge(options, look), key=lambda verdict: -verdict[0].rank)
    return Finding(
        worst([Status.UP, *(status for status, _, _ in verdicts)]),
        "; ".join(text for _, text, _ in verdicts[:3]) or _well(look),
        _rows(look, context),
        {"pids": [process.pid for process in processes[:20]], "restarted": look.fresh[:20]},
        verdicts[0][2] if verdicts else "",
        ("memory", format_bytes(look.resident)),
    )


def _find(options: ProcessOptions, context: Context, reader: ProcReader) -> list[int]:
    if options.pid_file:
        return _from_file(Path(options.pid_file))
    if options.pattern:
        own, pattern = os.getpid(), re.compile(options.pattern)
        return [pid for pid, command in reader.commands() if pid != own and pattern.search(command)]
    pid = context.supervised(context.component)
    return [] if pid is None else [pid]


def _from_file(path: Path) -> list[int]:
    try:
        return [int(path.read_text().split()[0])]
    except FileNotFoundError:
        return []
    except (ValueError, IndexError) as error:
        raise NotMeasurable(
            f"pid file {path} holds no process id", "is it the right file?"
        ) from error
    except OSError as error:
        raise NotMeasurable(
            f"pid file {path}: {error.strerror}", "let sentinel's user read it"
        ) from error


def _is_stale(options: ProcessOptions, process: Process) -> bool:
    """A process younger than its pid file is another one: pids are reused. 2 s are the grain of the
    clocks.
    """
    if not options.pid_file:
        return False
    try:
        return process.started > Path(options.pid_file).stat().st_mtime + 2
    except FileNotFoundError:
        return False


def _absent(options: ProcessOptions, component: str, *, stale: bool) -> Finding:
    if options.pid_file:
        why = (
            "names a process that another one has replaced" if stale else "names no living process"
        )
        return Finding(
            Status.DOWN,
            f"not running: {options.pid_file} {why}",
            guidance="start it; read its log for why",
        )
    if options.pattern:
        return Finding(
            Status.DOWN,
            f"not running: no command line has {options.pattern!a}",
            guidance="start it",
        )
    return Finding(
        Status.DOWN,
        f"not running: sentinel supervises no living process of {component}",
        guidance=(
            "see `sentinel status`; a component that sentinel does not start needs pid_file or"
            " pattern"
        ),
    )


def _measure(
    options: ProcessOptions, context: Context, reader: ProcReader, processes: list[Process]
) -> Look:
    hidden, descriptors = None, []
    living = [process for process in processes if process.state not in "ZX"]
    try:
        if options.descriptors:
            descriptors = [
                found
                for process in living
                if (found := reader.descriptors(process.pid)) is not None
            ]
    except NotMeasurable as error:
        hidden = error
    fresh = context.state.note(processes)
    cpu = context.state.cpu_cores(processes, context.monotonic())
    return Look(processes, descriptors, cpu, fresh, hidden)


def _judge(options: ProcessOptions, look: Look) -> Iterator[Verdict]:
    for process in look.processes:
        yield from _judge_state(process)
    yield from _judge_count(options, len(look.processes))
    if look.resident > options.max_resident:
        text = (
            f"{format_bytes(look.resident)} of memory, more than"
            f" {format_bytes(options.max_resident)}"
        )
        yield Status.DEGRADED, text, "is it a leak? restart it before the kernel does"
    if options.max_cpu is not None and look.cpu is not None and look.cpu > options.max_cpu:
        yield (
            Status.DEGRADED,
            f"uses {look.cpu:.2f} cores, more than {options.max_cpu:g}",
            "look at what it is busy with",
        )
    if look.descriptor_share > options.max_descriptors:
        text = f"{look.descriptor_share:.0%} of its open files"
        yield Status.DEGRADED, text, "is it a leak? raise its limit (LimitNOFILE, ulimit -n)"
    if look.hidden is not None:
        yield (
            Status.UNKNOWN,
            look.hidden.message,
            look.hidden.guidance + ", or set descriptors: false",
        )


_STATES = {
    "Z": (
        Status.DOWN,
        "is a zombie: it ended and nobody took note",
        "its parent must wait for it: restart the parent",
    ),
    "X": (Status.DOWN, "is dead", "start it"),
    "T": (Status.DEGRADED, "is stopped (SIGSTOP)", "kill -CONT it, or find who stopped it"),
    "t": (Status.DEGRADED, "is stopped by a debugger", "detach the debugger"),
}


def _judge_state(process: Process) -> Iterator[Verdict]:
    if process.state in _STATES:
        status, text, remedy = _STATES[process.state]
        yield status, f"pid {process.pid} {text}", remedy


def _judge_count(options: ProcessOptions, count: int) -> Iterator[Verdict]:
    if not options.pattern:
        return
    if count < options.min:
        yield (
            Status.DOWN,
            f"{count} processes, at least {options.min} expected",
            "start the missing ones",
        )
    if options.max is not None and count > options.max:
        yield (
            Status.DEGRADED,
            f"{count} processes, at most {options.max} expected",
            "stop the surplus ones",
        )


def _well(look: Look) -> str:
    pids = ", ".join(str(process.pid) for process in look.processes[:5])
    return f"running (pid {pids})" + (
        f", restarted since the last look: {look.fresh}" if look.fresh else ""
    )


def _rows(look: Look, context: Context) -> list[Row]:
    values: dict[str, Any] = {
        "processes": float(len(look.processes)),
        "resident_bytes": float(look.resident),
        "threads": float(sum(process.threads for process in look.processes)),
        "restarts_total": float(context.state.restarts),
    }
    if look.processes:
        values["start_time_seconds"] = max(process.started for process in look.processes)
    if look.cpu is not None:
        values["cpu_ratio"] = look.cpu
    if look.descriptors:
        values["open_descriptors"] = float(sum(item.open for item in look.descriptors))
        values["descriptor_limit_ratio"] = look.descriptor_share
    return [Row({"component": context.component}, values)]


def _measured(name: str, text: str, unit: str = "", type_: str = "gauge") -> Measurement:
    return Measurement(name, text, f"sentinel_process_{name}", type_, unit, ("component",))


KIND = Kind(
    name="process",
    summary="Processes of a component: alive, memory, CPU, open files",
    options=ProcessOptions,
    run=run,
    load_state=ProcessState,
    measurements=(
        Measurement("processes", "Processes found", "sentinel_processes", labels=("component",)),
        _measured("resident_bytes", "Resident memory of all processes", "bytes"),
        _measured("cpu_ratio", "Cores used since the last look (1 is one whole core)", "ratio"),
        _measured("open_descriptors", "Open file descriptors of all processes"),
        _measured(
            "descriptor_limit_ratio",
            "Highest share of its descriptor limit that a process uses",
            "ratio",
        ),
        _measured("threads", "Threads of all processes"),
        _measured("start_time_seconds", "Start of the youngest process, Unix time", "seconds"),
        _measured(
            "restarts_total",
            "Processes that took the place of others while sentinel watched",
            type_="counter",
        ),
    ),
)
