"""Kind `process` against real processes that live, die, stop, grow and leak."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest
from pydantic import ValidationError

from sentinel.adapters.process.proc import ProcReader
from sentinel.clock import read_moment_now
from sentinel.core.fault import Status
from sentinel.core.servers.process import PidFileLook
from sentinel.errors import NotMeasurable
from sentinel.probes.process import KIND, ProcessProbeOptions, ProcessState

READY = "import sys, time; print('ready', flush=True); "


@pytest.fixture
def start():
    """Starts Python processes and waits until each says that it is ready."""
    running = []

    def begin(program: str = "time.sleep(60)", *arguments: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-c", READY + program, *arguments], stdout=subprocess.PIPE
        )
        process.stdout.readline()
        running.append(process)
        return process

    yield begin
    for process in running:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture
def look(make_context):
    """Runs the kind once; `pid` is what sentinel supervises."""

    async def once(state=None, pid: int | None = None, **options):
        context = make_context({}, state=state or ProcessState())
        context = dataclasses.replace(context, supervised=lambda _component: pid)
        finding = await KIND.run(ProcessProbeOptions.model_validate(options), context)
        assert {fault.key for fault in finding.faults} <= KIND.fault_kinds.keys()
        return finding

    return once


async def test_supervised_process_is_up(look, start):
    """All declared measurements come at the second look; memory, threads and start are the
    kernel's.
    """
    process, state = start(), ProcessState()
    await look(state, process.pid)
    finding = await look(state, process.pid)
    (row,) = finding.rows
    assert finding.status is Status.UP
    assert set(row.values) == {m.name for m in KIND.measurements}
    assert row.labels == {"component": "component"}
    assert row.values["threads"] == 1
    assert abs(row.values["start_time_seconds"] - time.time()) < 60
    assert 1e6 < row.values["resident_bytes"] < 1e8


async def test_nothing_supervised_is_down(look):
    """No living process of the component."""
    finding = await look()
    assert finding.status is Status.DOWN
    assert "component: not running" in finding.detail
    assert finding.faults[0].parameters == {"component": "component"}


async def test_zombie_is_down(look, start):
    """A process that ended and was not waited for has a number, but does not live."""
    process = start("sys.exit()")
    while ProcReader().process(process.pid).state != "Z":
        time.sleep(0.005)
    finding = await look(pid=process.pid)
    assert finding.status is Status.DOWN
    assert "zombie" in finding.detail


async def test_dead_process_is_down(look, start):
    """A number that nobody has."""
    process = start()
    process.kill()
    process.wait()
    assert (await look(pid=process.pid)).status is Status.DOWN


async def test_stopped_process_is_degraded(look, start):
    """SIGSTOP is told as such, and SIGCONT ends it."""
    process = start()
    process.send_signal(signal.SIGSTOP)
    while ProcReader().process(process.pid).state != "T":
        time.sleep(0.005)
    finding = await look(pid=process.pid)
    assert finding.status is Status.DEGRADED
    assert "stopped (SIGSTOP)" in finding.detail
    (fault,) = finding.faults
    assert fault.subject["pid"] == str(process.pid)
    subprocess.run(fault.cure[0].split(), check=True)
    while ProcReader().process(process.pid).state == "T":
        time.sleep(0.005)
    assert (await look(pid=process.pid)).status is Status.UP


async def test_memory_over_the_limit_is_degraded(look, start):
    """A process of 40 MB is over a limit of 20 MB."""
    process = start("x = bytearray(b'x') * 40_000_000; print('grown', flush=True); time.sleep(60)")
    process.stdout.readline()
    finding = await look(pid=process.pid, max_resident="20MB")
    assert finding.status is Status.DEGRADED
    assert "of memory, more than 19.1 MiB" in finding.detail


async def test_open_files_are_counted_exactly(look, start):
    """Ten more files are ten more descriptors, and a low limit makes them a complaint."""
    program = (
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20));"
        "files = [open('/dev/null') for _ in range(10)]; print('open', flush=True); time.sleep(60)"
    )
    plain, leaky = start(), start(program)
    leaky.stdout.readline()
    before = (await look(pid=plain.pid)).rows[0].values["open_descriptors"]
    finding = await look(pid=leaky.pid, max_descriptors="50%")
    assert finding.rows[0].values["open_descriptors"] == before + 10
    assert finding.rows[0].values["descriptor_limit_ratio"] == (before + 10) / 20
    assert finding.status is Status.DEGRADED
    (fault,) = finding.faults
    assert (fault.key, fault.subject["pid"]) == ("files", str(leaky.pid))
    assert f"has {before + 10:.0f} of its 20 files open, more than 50 %" in fault.text


async def test_busy_process_uses_a_core(look, start, make_context):
    """CPU since the last look over the time since: exactly what /proc counted."""
    process = start("\nwhile True: pass")
    state, reader = ProcessState(), ProcReader()
    first = reader.process(process.pid).cpu_seconds
    assert state.cpu_cores([reader.process(process.pid)], 100.0) is None
    while reader.process(process.pid).cpu_seconds < first + 0.1:
        time.sleep(0.01)
    last = reader.process(process.pid)
    cores = state.cpu_cores([last], 102.0)
    assert cores == pytest.approx((last.cpu_seconds - first) / 2, abs=0.02)


async def test_restart_is_noticed_also_over_a_restart_of_sentinel(look, start):
    """Another process in the place of the first is a restart; the state survives as a document."""
    state = ProcessState()
    first, second = start(), start()
    await look(state, first.pid)
    state = ProcessState(state.dump())
    finding = await look(state, second.pid)
    assert finding.evidence["restarted"] == [second.pid]
    assert finding.rows[0].values["restarts_total"] == 1
    assert (await look(state, second.pid)).evidence["restarted"] == []


async def test_pattern_counts_processes(look, start):
    """Exactly those whose command line has the pattern; too few is down, too many degraded."""
    mark = f"marker-{os.getpid()}"
    for _ in range(3):
        start("time.sleep(60)", mark)
    assert (await look(pattern=mark)).rows[0].values["processes"] == 3
    assert (await look(pattern=mark, min=4)).status is Status.DOWN
    assert (await look(pattern=mark, max=2)).status is Status.DEGRADED
    assert (await look(pattern="no-such-" + mark)).status is Status.DOWN


async def test_sentinel_does_not_find_itself(look):
    """Our own process is never the one that a pattern means, although others with our command line
    are.
    """
    own = ProcReader()._command(ProcReader()._root / str(os.getpid()))
    twins = [
        pid for pid, command in ProcReader().commands() if command == own and pid != os.getpid()
    ]
    finding = await look(pattern=f"^{re.escape(own)}$")
    assert finding.evidence.get("pid") != os.getpid()
    assert (finding.status is Status.DOWN) == (not twins)


async def test_pid_file(look, start, tmp_path):
    """The process of the file; no file and a dead process are down."""
    process, file = start(), tmp_path / "agent.pid"
    assert (await look(pid_file=str(file))).status is Status.DOWN
    file.write_text(f"{process.pid}\n")
    assert (await look(pid_file=str(file))).status is Status.UP
    process.kill()
    process.wait()
    assert (await look(pid_file=str(file))).status is Status.DOWN


async def test_reused_pid_is_not_the_process(look, start, tmp_path):
    """A number that nobody had when the file was seen, and somebody has now, was reused (F7)."""
    process, file = start(), tmp_path / "agent.pid"
    file.write_text(str(process.pid))
    state = ProcessState()
    assert (await look(state, pid_file=str(file))).status is Status.UP
    for change in ({"ticks": None}, {"ticks": 1}):
        kept = ProcessState(json.loads(json.dumps(state.dump())))
        kept.file = dataclasses.replace(kept.file, **change)
        for _ in range(2):  # and it stays so while nobody writes the file
            finding = await look(kept, pid_file=str(file))
            assert finding.status is Status.DOWN
            assert "another one has replaced" in finding.detail
        file.touch()
        assert (await look(kept, pid_file=str(file))).status is Status.UP
        await look(state, pid_file=str(file))


async def test_a_clock_that_was_set_replaces_nobody(look, start, tmp_path):
    """The file is an hour older than its process, as after the date was set forward: known, it is
    the same one; at the first sight nobody can tell, and it is not down.
    """
    process, file = start(), tmp_path / "agent.pid"
    file.write_text(str(process.pid))
    hour_ago = time.time() - 3600
    os.utime(file, (hour_ago, hour_ago))
    with pytest.raises(NotMeasurable, match="after the file was written") as caught:
        await look(pid_file=str(file))
    assert caught.value.guidance.endswith(f"touch {file}")
    assert caught.value.status is Status.UNKNOWN
    known = ProcessState()
    known.file = PidFileLook(
        read_moment_now(), _sign(file), ProcReader().process(process.pid).start_ticks
    )
    assert (await look(known, pid_file=str(file))).status is Status.UP
    file.touch()
    assert (await look(pid_file=str(file))).status is Status.UP


def _sign(file):
    stat = file.stat()
    return f"{stat.st_dev}/{stat.st_ino}/{stat.st_mtime_ns}"


async def test_pid_file_without_a_number_is_unknown(look, tmp_path):
    """A wrong file blames nobody."""
    file = tmp_path / "agent.pid"
    file.write_text("running")
    with pytest.raises(NotMeasurable, match="no process id"):
        await look(pid_file=str(file))


@pytest.mark.parametrize("name", ["pipe", "zero", "loop"])
async def test_pid_file_that_is_no_file_is_unknown(look, tmp_path, name):
    """Neither a hang nor a memory that fills: a pipe without a writer, a device, a link to itself."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(NotMeasurable, match="pid file"):
        await look(pid_file=str(tmp_path / name))


async def test_missing_privilege_is_unknown_and_the_rest_is_still_measured(look, start):
    """Open files of another user's process need a privilege; memory does not."""
    process, me = start(), os.geteuid()
    pid = process.pid if me == 0 else 1
    if me == 0:
        os.seteuid(65534)
    try:
        finding = await look(pid=pid)
        quiet = await look(pid=pid, descriptors=False)
    finally:
        os.seteuid(me)
    assert finding.status is Status.UNKNOWN
    assert "CAP_SYS_PTRACE" in finding.guidance
    assert finding.rows[0].values["resident_bytes"] > 0
    assert quiet.status is Status.UP
    assert [fault.key for fault in finding.faults] == ["unjudged"]


@pytest.mark.parametrize(
    "options", [{"pid_file": "a", "pattern": "b"}, {"pattern": "("}, {"max_resident": 5}]
)
def test_bad_options_are_refused(options):
    """Two ways to find it, a broken expression, a size without a unit."""
    with pytest.raises(ValidationError):
        ProcessProbeOptions.model_validate(options)
