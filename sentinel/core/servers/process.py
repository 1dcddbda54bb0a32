"""Judging the processes of a component: do they live, and within their limits? Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sentinel.core.fault import Fault, Labels, Status
from sentinel.core.moment import Moment
from sentinel.core.quantity import format_bytes


@dataclass(frozen=True, slots=True)
class ProcessFigures:
    """One process at one moment.

    `state` is the letter of proc(5): R, S, D, T (stopped), t (traced), Z (zombie) … `started` is
    Unix seconds, `start_ticks` clock ticks since boot: with the pid it is the identity, as pids are
    reused. `cpu_seconds` is user and system time so far.
    """

    pid: int
    name: str
    state: str
    cpu_seconds: float
    threads: int
    start_ticks: int
    started: float
    resident_bytes: int

    @property
    def subject(self) -> Labels:
        """Its name, printable, and its pid."""
        name = self.name if self.name.isprintable() else ascii(self.name)[1:-1]
        return {"process": name, "pid": str(self.pid)}


@dataclass(frozen=True, slots=True)
class Descriptors:
    """Open file descriptors of a process, and the soft limit; None is unlimited."""

    open: int
    limit: int | None

    @property
    def share(self) -> float:
        """Of the limit; 0 without one."""
        return self.open / self.limit if self.limit else 0.0


@dataclass(frozen=True, slots=True)
class ProcessLimits:
    """How many processes there may be, and what they may use: bytes and cores all together, the
    share of open files each. None is no limit.
    """

    least: int = 0
    most: int | None = None
    resident: float = 2e9
    cpu: float | None = None
    descriptors: float = 0.9


@dataclass(frozen=True, slots=True)
class ProcessLook:
    """The figures of one run: descriptors by pid, cores since the last look (None: not known), and
    the pids that took the place of others.
    """

    component: str
    processes: Sequence[ProcessFigures]
    descriptors: dict[int, Descriptors]
    cpu: float | None = None
    fresh: Sequence[int] = ()

    @property
    def resident(self) -> int:
        """Resident bytes of all processes."""
        return sum(process.resident_bytes for process in self.processes)

    @property
    def descriptor_share(self) -> float:
        """The highest share of its limit that a process uses."""
        return max((each.share for each in self.descriptors.values()), default=0.0)


class PidFileVerdict(StrEnum):
    """Whose number stands in a pid file."""

    SAME = "same"
    REPLACED = "replaced"
    """The process that wrote it is gone, and another one has its number."""
    UNSURE = "unsure"
    """Only the wall clock speaks against it, and that may have been set since."""


@dataclass(frozen=True, slots=True)
class PidFileLook:
    """A pid file as one look found it, and the process that has its number.

    `at` is the look; `sign` tells one writing of the file from another, "" when there is no file;
    `ticks` is the start of the process since boot, None when there is none.
    """

    at: Moment
    sign: str = ""
    ticks: int | None = None
    verdict: PidFileVerdict = PidFileVerdict.SAME


_GRAIN = 2.0
"""Seconds by which the clocks of files and of processes may differ."""


def judge_pid_file(
    before: PidFileLook | None, now: PidFileLook, started: Moment, written: datetime
) -> PidFileVerdict:
    """Whether a process is the one that a pid file is about: pids are reused, and a process that is
    younger than its file is another one.

    Boot, uptime and what was seen before decide. The wall clock is asked for the first sight, and
    only its yes is believed: `started` and `written` are an hour apart when it was set by one.
    """
    fits = (started.at - written).total_seconds() <= _GRAIN
    if before is None:
        return PidFileVerdict.SAME if fits else PidFileVerdict.UNSURE
    same_boot = now.at.is_of_one_boot(before.at)
    if before.sign == now.sign:
        return _judge_unchanged(before, now, same_boot=same_boot, fits=fits)
    if not same_boot:
        return PidFileVerdict.SAME if fits else PidFileVerdict.UNSURE
    if fits or not started.is_after(before.at):  # it was written after that look
        return PidFileVerdict.SAME
    passed = now.at.seconds_since(before.at)
    was_set = abs((now.at.at - before.at.at).total_seconds() - passed) > _GRAIN
    return PidFileVerdict.UNSURE if was_set else PidFileVerdict.REPLACED


def _judge_unchanged(
    before: PidFileLook, now: PidFileLook, *, same_boot: bool, fits: bool
) -> PidFileVerdict:
    """Nobody has written it since: a number that somebody else has now was reused."""
    known = bool(before.at.boot) and bool(now.at.boot)
    if (known and not same_boot) or before.verdict is PidFileVerdict.REPLACED:
        return PidFileVerdict.REPLACED
    if before.ticks != now.ticks:
        return PidFileVerdict.REPLACED
    return PidFileVerdict.SAME if fits else before.verdict


def find_absent(component: str, why: str, guidance: str) -> Fault:
    """No process at all."""
    return _fault("not_running", component, Status.DOWN, f"not running: {why}", guidance)


def judge_processes(look: ProcessLook, limits: ProcessLimits) -> list[Fault]:
    """All that is wrong, most urgent first: each process that does not run, then all together."""
    return [
        *(fault for each in look.processes for fault in _judge_state(look.component, each)),
        *_judge_count(look, limits),
        *_judge_use(look, limits),
        *(fault for each in look.processes for fault in _judge_files(look, each, limits)),
    ]


def _fault(
    key: str,
    component: str,
    status: Status,
    text: str,
    guidance: str,
    *,
    subject: Labels | None = None,
    cure: tuple[str, ...] = (),
) -> Fault:
    subject = subject or {}
    named = " ".join(f"{label} {value}" for label, value in subject.items())
    return Fault(
        key,
        subject,
        status,
        f"{component}: {named} {text}" if named else f"{component}: {text}",
        cure=cure,
        guidance=guidance,
        parameters={"component": component, **subject},
    )


_DEAD = {
    "Z": (
        "zombie",
        "is a zombie: it ended and nobody took note",
        "its parent must wait for it: restart the parent",
    ),
    "X": ("dead", "is dead", "start it"),
}


def _judge_state(component: str, process: ProcessFigures) -> Iterator[Fault]:
    subject = process.subject
    if process.state in _DEAD:
        key, text, guidance = _DEAD[process.state]
        yield _fault(key, component, Status.DOWN, text, guidance, subject=subject)
    elif process.state == "T":
        yield _fault(
            "stopped",
            component,
            Status.DEGRADED,
            "is stopped (SIGSTOP)",
            "find who stopped it, then let it go on",
            subject=subject,
            cure=(f"kill -CONT {process.pid}",),
        )
    elif process.state == "t":
        text, guidance = "is stopped by a debugger", "detach the debugger"
        yield _fault("traced", component, Status.DEGRADED, text, guidance, subject=subject)


def _judge_count(look: ProcessLook, limits: ProcessLimits) -> Iterator[Fault]:
    count = len(look.processes)
    if count < limits.least:
        text = f"{count} processes, at least {limits.least} expected"
        yield _fault("too_few", look.component, Status.DOWN, text, "start the missing ones")
    if limits.most is not None and count > limits.most:
        text = f"{count} processes, at most {limits.most} expected"
        yield _fault("too_many", look.component, Status.DEGRADED, text, "stop the surplus ones")


def _judge_use(look: ProcessLook, limits: ProcessLimits) -> Iterator[Fault]:
    if look.resident > limits.resident:
        text = f"{format_bytes(look.resident)} of memory, more than {format_bytes(limits.resident)}"
        guidance = "is it a leak? restart it before the kernel does"
        yield _fault("memory", look.component, Status.DEGRADED, text, guidance)
    if limits.cpu is not None and look.cpu is not None and look.cpu > limits.cpu:
        text = f"uses {look.cpu:.2f} cores, more than {limits.cpu:g}"
        yield _fault("cpu", look.component, Status.DEGRADED, text, "look at what it is busy with")


def _judge_files(
    look: ProcessLook, process: ProcessFigures, limits: ProcessLimits
) -> Iterator[Fault]:
    files = look.descriptors.get(process.pid)
    if files is not None and files.share > limits.descriptors:
        text = (
            f"has {files.open} of its {files.limit} files open,"
            f" more than {100 * limits.descriptors:g} %"
        )
        guidance = "is it a leak? raise its limit (LimitNOFILE, ulimit -n)"
        subject = process.subject
        yield _fault("files", look.component, Status.DEGRADED, text, guidance, subject=subject)
