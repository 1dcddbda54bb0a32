"""Kind `process`: do the processes of a component live, and within their limits? Linux only: it
reads /proc.

The processes are those that sentinel supervises for the check's component, or of a pid file, or of
a command line.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from sentinel.adapters.process.proc import ProcReader
from sentinel.clock import read_moment_now, read_uptime_offset
from sentinel.core.fault import Fault, FaultKind, Severity, headline, judge, sort_faults
from sentinel.core.foreign.expression import compile_expression
from sentinel.core.model import Finding, Impact, Measurement, Row, Section, Term
from sentinel.core.moment import Moment, read_moment, write_moment
from sentinel.core.quantity import format_bytes, format_duration
from sentinel.core.servers.process import (
    Descriptors,
    PidFileLook,
    PidFileVerdict,
    ProcessFigures,
    ProcessLimits,
    ProcessLook,
    find_absent,
    judge_pid_file,
    judge_processes,
)
from sentinel.errors import NotMeasurable
from sentinel.probes import Context, Kind, Options
from sentinel.strict.field import Percentage, RegularExpression, Size
from sentinel.strict.file import UnreadableFile, read_regular_file, show_path


class ProcessProbeOptions(Options):
    """Options of `process`."""

    pid_file: str | None = Field(
        None,
        description="file with the process id; a number that somebody else has by now is no process",
    )
    pattern: RegularExpression | None = Field(
        None, description="regular expression (RE2) to find in the command line"
    )
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

    @property
    def limits(self) -> ProcessLimits:
        """For the judgement. Only a pattern can find more or fewer than one."""
        least, most = (self.min, self.max) if self.pattern else (0, None)
        return ProcessLimits(least, most, self.max_resident, self.max_cpu, self.max_descriptors)

    @model_validator(mode="after")
    def _one_way_to_find_it(self) -> ProcessProbeOptions:
        if self.pid_file and self.pattern:
            raise ValueError("give `pid_file` or `pattern`, not both")
        return self


Identity = tuple[int, int]


class ProcessState:
    """What was seen last: who lived, and how much CPU each had used when. CPU does not survive a
    restart.
    """

    __slots__ = ("_at", "_cpu", "file", "restarts", "seen")

    def __init__(self, document: Any = None) -> None:
        self.seen: set[Identity] = {(pid, start) for pid, start in (document or {}).get("seen", [])}
        self.restarts = int((document or {}).get("restarts", 0))
        self.file = _read_look((document or {}).get("file"))
        self._cpu: dict[Identity, float] = {}
        self._at: float | None = None

    def note(self, processes: list[ProcessFigures]) -> list[int]:
        """Process ids that took the place of others since the last look."""
        now = {(process.pid, process.start_ticks) for process in processes}
        gone, new = self.seen - now, now - self.seen
        fresh = sorted(pid for pid, _ in new) if gone and new else []
        self.restarts += len(fresh)
        self.seen = now or self.seen
        return fresh

    def cpu_cores(self, processes: list[ProcessFigures], now: float) -> float | None:
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
        found: dict[str, Any] = {"seen": sorted(self.seen), "restarts": self.restarts}
        if self.file is not None:
            found["file"] = [
                write_moment(self.file.at),
                self.file.sign,
                self.file.ticks,
                self.file.verdict.value,
            ]
        return found

    async def close(self) -> None:
        """Nothing is held."""


async def run(options: ProcessProbeOptions, context: Context) -> Finding:
    """Find the processes, read their figures, judge."""
    reader = ProcReader(Path(options.proc))
    found = [
        process
        for pid in _find(options, context, reader)
        if (process := reader.process(pid)) is not None
    ]
    stale = options.pid_file is not None and _is_stale(options.pid_file, context.state, found)
    processes = [] if stale else found
    if not processes and options.min > 0:
        context.state.note([])
        return _absent(options, context.component, stale=stale)
    descriptors, hidden = _count_descriptors(options, reader, processes)
    look = ProcessLook(
        context.component,
        processes,
        descriptors,
        context.state.cpu_cores(processes, context.monotonic()),
        context.state.note(processes),
    )
    faults = [*judge_processes(look, options.limits), *hidden]
    return _finding(look, sort_faults(faults), context.state.restarts)


def _finding(look: ProcessLook, faults: Sequence[Fault], restarts: int) -> Finding:
    pids = [process.pid for process in look.processes]
    return Finding(
        judge(faults),
        headline(faults) or _well(look),
        _rows(look, restarts),
        {"pids": pids[:20], "restarted": list(look.fresh[:20])},
        faults[0].guidance if faults else "",
        ("memory", format_bytes(look.resident)),
        faults,
    )


def _find(options: ProcessProbeOptions, context: Context, reader: ProcReader) -> list[int]:
    if options.pid_file:
        return _from_file(Path(options.pid_file))
    if options.pattern:
        own, pattern = os.getpid(), compile_expression(options.pattern)
        return [pid for pid, command in reader.commands() if pid != own and pattern.is_in(command)]
    pid = context.supervised(context.component)
    return [] if pid is None else [pid]


_MAX_PID_FILE = 64 << 10


def _from_file(path: Path) -> list[int]:
    try:
        return [int(read_regular_file(path, _MAX_PID_FILE, patience=2.0).data.split()[0])]
    except (ValueError, IndexError) as error:
        raise NotMeasurable(
            f"pid file {path} holds no process id", "is it the right file?"
        ) from error
    except UnreadableFile as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return []
        message = f"pid file {show_path(path)} {error.message}"
        raise NotMeasurable(message, "let sentinel's user read it, or correct pid_file") from error


def _read_look(document: Any) -> PidFileLook | None:
    """What was remembered of a pid file; an older sentinel remembered nothing."""
    if not document:
        return None
    at, sign, ticks, verdict = document
    return PidFileLook(read_moment(at), sign, ticks, PidFileVerdict(verdict))


def _is_stale(path: str, state: ProcessState, found: Sequence[ProcessFigures]) -> bool:
    """Whether the number in a pid file is another process's by now. Raises NotMeasurable while
    nobody can know.
    """
    before, process = state.file, found[0] if found else None
    now = PidFileLook(read_moment_now(), ticks=process.start_ticks if process else None)
    try:
        file = Path(path).stat()
    except OSError:
        state.file = now
        return False
    now = replace(now, sign=f"{file.st_dev}/{file.st_ino}/{file.st_mtime_ns}")
    if process is None:
        known = before is not None and before.sign == now.sign
        state.file = replace(now, verdict=before.verdict) if before and known else now
        return False
    started = _moment_of_start(process, now.at)
    written = datetime.fromtimestamp(file.st_mtime, UTC)
    state.file = replace(now, verdict=judge_pid_file(before, now, started, written))
    if state.file.verdict is PidFileVerdict.UNSURE:
        raise _not_told_apart(path, process, (started.at - written).total_seconds())
    return state.file.verdict is PidFileVerdict.REPLACED


def _moment_of_start(process: ProcessFigures, now: Moment) -> Moment:
    uptime = process.start_ticks / os.sysconf("SC_CLK_TCK") - read_uptime_offset()
    return Moment(datetime.fromtimestamp(process.started, UTC), now.boot, uptime)


def _not_told_apart(path: str, process: ProcessFigures, seconds: float) -> NotMeasurable:
    return NotMeasurable(
        f"by the wall clock pid {process.pid} of {path} began {format_duration(seconds)} after the"
        " file was written: another process has its number, or the clock was set since",
        f"when `ps -p {process.pid}` shows the right process: touch {shlex.quote(path)}",
    )


def _absent(options: ProcessProbeOptions, component: str, *, stale: bool) -> Finding:
    if options.pid_file:
        why = (
            "names a process that another one has replaced" if stale else "names no living process"
        )
        said = f"{options.pid_file} {why}", "start it; read its log for why"
    elif options.pattern:
        said = f"no command line has {options.pattern!a}", "start it"
    else:
        said = (
            f"sentinel supervises no living process of {component}",
            "see `sentinel status`; a component that sentinel does not start needs pid_file or"
            " pattern",
        )
    fault = find_absent(component, *said)
    return Finding(fault.status, fault.text, guidance=fault.guidance, faults=[fault])


def _count_descriptors(
    options: ProcessProbeOptions, reader: ProcReader, processes: list[ProcessFigures]
) -> tuple[dict[int, Descriptors], list[Fault]]:
    """Open files by pid, and what kept us from counting them."""
    if not options.descriptors:
        return {}, []
    living = [process.pid for process in processes if process.state not in "ZX"]
    try:
        counted = {pid: reader.descriptors(pid) for pid in living}
    except NotMeasurable as error:
        guidance = error.guidance + ", or set descriptors: false"
        return {}, [Fault("unjudged", {}, error.status, error.message, guidance=guidance)]
    return {pid: found for pid, found in counted.items() if found is not None}, []


def _well(look: ProcessLook) -> str:
    pids = ", ".join(str(process.pid) for process in look.processes[:5])
    fresh = f", restarted since the last look: {look.fresh}" if look.fresh else ""
    return f"running (pid {pids}){fresh}"


def _rows(look: ProcessLook, restarts: int) -> list[Row]:
    values: dict[str, Any] = {
        "processes": float(len(look.processes)),
        "resident_bytes": float(look.resident),
        "threads": float(sum(process.threads for process in look.processes)),
        "restarts_total": float(restarts),
    }
    if look.processes:
        values["start_time_seconds"] = max(process.started for process in look.processes)
    if look.cpu is not None:
        values["cpu_ratio"] = look.cpu
    if look.descriptors:
        opened = [each.open for each in look.descriptors.values()]
        values["open_descriptors"] = float(sum(opened))
        values["descriptor_limit_ratio"] = look.descriptor_share
    return [Row({"component": look.component}, values)]


def _measured(name: str, text: str, unit: str = "", type_: str = "gauge") -> Measurement:
    return Measurement(name, text, f"sentinel_process_{name}", type_, unit, ("component",))


def _fault(key: str, severity: Severity, meaning: str, *parameters: str) -> FaultKind:
    return FaultKind(key, severity, "process-down", meaning, ("component", *parameters))


_ONE = ("process", "pid")

FAULTS = (
    _fault("not_running", Severity.PAGE, "there is no process"),
    _fault("zombie", Severity.PAGE, "it ended, and its parent does not know", *_ONE),
    _fault("dead", Severity.PAGE, "the kernel is about to remove it", *_ONE),
    _fault("stopped", Severity.PAGE, "somebody stopped it: it lives and does nothing", *_ONE),
    _fault("traced", Severity.TICKET, "a debugger has stopped it", *_ONE),
    _fault("too_few", Severity.PAGE, "processes are missing"),
    _fault("too_many", Severity.TICKET, "there are more processes than there may be"),
    _fault("memory", Severity.TICKET, "the processes use more memory than they may"),
    _fault("cpu", Severity.TICKET, "the processes use more cores than they may"),
    _fault("files", Severity.TICKET, "its limit of open files is near", *_ONE),
    FaultKind("unjudged", Severity.INFO, "sentinel-blind", "open files that we may not count"),
)

KIND = Kind(
    name="process",
    summary="Processes of a component: alive, memory, CPU, open files",
    options=ProcessProbeOptions,
    run=run,
    faults=FAULTS,
    load_state=ProcessState,
    patient=True,
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
    impact=(
        Impact(
            "processes that took the place of others", Section.INCIDENT, (Term("restarts_total"),)
        ),
    ),
)
