"""From `kill -9` of a component to its new process: sentinel, supervisord and monit, kill by kill
in turn.

And to *verified healthy* for an agent of the demo: seen running again by its checks, not only
started.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import yaml

from benchmarks.harness import Benchmark, Report, Samples
from sentinel.demo.servers import free_port

KILLS = 120
PEERS_EVERY = 3
"""The others take a second or two for each restart: they are asked every third time."""
COMPONENTS = 20
GIVE_UP = 10.0
AGENT_SECONDS = 100
BARE = "bare"
PAUSE = (0.05, 0.4)
"""Between kills, at random, so that they meet no period of the supervisors."""
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith("SENTINEL_")}


@dataclass(frozen=True, slots=True)
class Supervisor:
    """A running supervisor; `starts` has, by component, the file to which each start adds a line."""

    name: str
    starts: Sequence[Path]


def run(report: Report) -> None:
    """Both supervise the same C program."""
    with tempfile.TemporaryDirectory(prefix="sentinel-bench-") as folder, ExitStack() as stack:
        child = _compile(Path(folder))
        sentinel = _start_sentinel(Path(folder, "sentinel"), child, stack)
        peer = _start_supervisord(Path(folder, "supervisord"), child, stack, report)
        other = _start_monit(Path(folder, "monit"), child, stack, report)
        supervisors = [each for each in (sentinel, peer, other) if each]
        times = _kill_all(supervisors, child, Path(folder, "bare.starts"))
    _describe(report, sentinel, [each for each in (peer, other) if each], times)
    _describe_agent(report)


def _compile(folder: Path) -> Path:
    binary = folder / "starter"
    source = Path(__file__).with_name("starter.c")
    subprocess.run(["cc", "-O2", "-o", str(binary), str(source)], check=True)
    return binary


# -- the supervisors ------------------------------------------------------------------------------


def _start_sentinel(folder: Path, child: Path, stack: ExitStack) -> Supervisor:
    """`sentinel run` on twenty components with an ample budget and no first delay."""
    folder.mkdir()
    starts = [folder / f"c{i:02}.starts" for i in range(COMPONENTS)]
    listen = f"127.0.0.1:{free_port()}"
    restart = {
        "max_attempts": 10,
        "per_hour": 1000,
        "per_day": 1000,
        "backoff": {"first": "0s", "initial": "1s", "jitter": 0.0},
        "startup_grace": "5s",
        "success_after": "1s",
        "close_after": "1s",
        "kill_safe": True,
    }
    components: dict[str, object] = {
        file.stem: {"driver": "process", "command": [str(child), str(file)], "restart": restart}
        for file in starts
    }
    settings = {
        "platform": "benchmark",
        "listen": listen,
        "state": str(folder / "state"),
        "actions": {"enabled": True, "start_grace": "1s", "limits": {"per_window": 10_000}},
        "components": {**components, "page": {}},
        "checks": [
            {"name": "page", "kind": "tcp", "component": "page", "address": listen, "every": "10s"}
        ],
    }
    config = folder / "config"
    config.mkdir()
    (config / "sentinel.yaml").write_text(yaml.safe_dump(settings))
    argv = [sys.executable, "-m", "sentinel", "--config", str(config), "run"]
    process = _launch(argv, folder / "sentinel.log")
    stack.callback(_end_components, starts)
    stack.callback(_end, process)
    _wait_started(starts, folder / "sentinel.log")
    return Supervisor("sentinel", starts)


def _start_supervisord(
    folder: Path, child: Path, stack: ExitStack, report: Report
) -> Supervisor | None:
    """supervisord with its default settings, from PyPI, in an environment of its own."""
    folder.mkdir()
    binary = _install_supervisord(folder, report)
    if binary is None:
        return None
    starts = [folder / f"c{i:02}.starts" for i in range(COMPONENTS)]
    programs = [f"[program:{file.stem}]\ncommand={child} {file}\n" for file in starts]
    settings = f"[supervisord]\nlogfile={folder}/supervisord.log\npidfile={folder}/pid\nchildlogdir={folder}\n"
    config = folder / "supervisord.conf"
    config.write_text(settings + "".join(programs))
    process = _launch([str(binary), "--nodaemon", "-c", str(config)], folder / "output.log")
    stack.callback(_end_components, starts)
    stack.callback(_end, process)
    _wait_started(starts, folder / "output.log")
    return Supervisor("supervisord", starts)


def _install_supervisord(folder: Path, report: Report) -> Path | None:
    environment = folder / "venv"
    try:
        subprocess.run(
            [sys.executable, "-m", "venv", str(environment)], check=True, capture_output=True
        )
        pip = [
            str(environment / "bin" / "pip"),
            "--disable-pip-version-check",
            "--quiet",
            "install",
        ]
        subprocess.run(
            [*pip, "supervisor", "setuptools<81"], check=True, capture_output=True, timeout=120
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        output = (error.stderr or b"").decode(errors="replace").strip().splitlines()
        report.notes.append(
            f"supervisord was left out, it can't be installed here: {output[-1] if output else error}"
        )
        return None
    binary = environment / "bin" / "supervisord"
    report.versions["supervisord"] = subprocess.run(
        [str(binary), "--version"], check=True, capture_output=True, text=True
    ).stdout.strip()
    return binary


def _start_monit(folder: Path, child: Path, stack: ExitStack, report: Report) -> Supervisor | None:
    """monit, as Debian ships it, looking every second: its shortest cycle."""
    binary = shutil.which("monit")
    if binary is None:
        report.notes.append("monit was left out: it is not installed (Debian package monit)")
        return None
    folder.mkdir()
    starts = [folder / f"c{i:02}.starts" for i in range(COMPONENTS)]
    lines = [
        "set daemon 1",
        f"set log {folder}/monit.log",
        f"set idfile {folder}/id",
        f"set statefile {folder}/state",
    ]
    lines += [f"set pidfile {folder}/monit.pid"]
    for file in starts:
        script = file.with_suffix(".sh")
        script.write_text(
            f"#!/bin/sh\n{child} {file} </dev/null >/dev/null 2>&1 &\necho $! > {file}.pid\n"
        )
        script.chmod(0o755)
        lines.append(
            f'check process {file.stem} with pidfile {file}.pid start program = "{script}" stop program = "/bin/true"'
        )
    config = folder / "monitrc"
    config.write_text("\n".join(lines) + "\n")
    config.chmod(0o600)
    process = _launch([binary, "-I", "-c", str(config)], folder / "output.log")
    stack.callback(_end_components, starts)
    stack.callback(_end, process)
    _wait_started(starts, folder / "output.log")
    version = subprocess.run(
        [binary, "--version"], check=True, capture_output=True, text=True
    ).stdout.splitlines()[0]
    report.versions["monit"] = version.removeprefix("This is Monit version ")
    return Supervisor("monit", starts)


def _launch(argv: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        return subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=CLEAN
        )


def _wait_started(starts: Sequence[Path], log: Path) -> None:
    limit = time.monotonic() + 30
    while not all(file.exists() for file in starts):
        if time.monotonic() > limit:
            raise RuntimeError(
                f"the components did not start: {log.read_text(errors='replace')[-800:]}"
            )
        time.sleep(0.05)
    time.sleep(
        4
    )  # every component counts as started, the grace after the supervisor's own start is over


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    process.wait(30)


def _end_components(starts: Sequence[Path]) -> None:
    """Sentinel's components go on when it ends: end the last process of each ourselves."""
    for file in starts:
        if file.exists() and _is_ours(pid := _last_start(file)[0], file):
            os.kill(pid, signal.SIGKILL)


def _is_ours(pid: int, file: Path) -> bool:
    try:
        return str(file).encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False


# -- the kills ------------------------------------------------------------------------------------


def _kill_all(
    supervisors: Sequence[Supervisor], child: Path, file: Path
) -> Mapping[str, list[float]]:
    """Milliseconds of each kill by supervisor; infinite when nothing came within GIVE_UP. And of
    bare starts.
    """
    times: dict[str, list[float]] = {BARE: [], **{each.name: [] for each in supervisors}}
    draw = random.Random(1)
    for i in range(KILLS):
        times[BARE].append(_start_bare(child, file))
        for each in supervisors if i % PEERS_EVERY == 0 else supervisors[:1]:
            time.sleep(draw.uniform(*PAUSE))
            times[each.name].append(_kill_once(each.starts[i % COMPONENTS]))
    return times


def _start_bare(child: Path, file: Path) -> float:
    """What it takes to start the program without any supervisor: the floor on this machine, now."""
    file.unlink(missing_ok=True)
    begin = time.time_ns()
    process = subprocess.Popen([str(child), str(file)])
    while not file.exists() or not file.read_text().endswith("\n"):
        time.sleep(0.005)
    process.kill()
    process.wait()
    return (_last_start(file)[1] - begin) / 1e6


def _kill_once(file: Path) -> float:
    pid, _ = _last_start(file)
    killed = time.time_ns()
    os.kill(pid, signal.SIGKILL)
    limit = time.monotonic() + GIVE_UP
    while (start := _last_start(file))[0] == pid:
        if time.monotonic() > limit:
            return float("inf")
        time.sleep(0.01)
    return (start[1] - killed) / 1e6


def _last_start(file: Path) -> tuple[int, int]:
    pid, instant = file.read_text().splitlines()[-1].split()
    return int(pid), int(instant)


def _describe(
    report: Report, ours: Supervisor, peers: Sequence[Supervisor], times: Mapping[str, list[float]]
) -> None:
    mine = Samples.of(times[ours.name])
    p99 = mine.quantile(0.99)
    lost = sum(value == float("inf") for value in mine.values)
    report.add("sentinel: kill → new process, p50", f"{mine.median:.1f} ms", mine.spread("ms"))
    report.add(
        "sentinel: kill → new process, p99", f"{p99:.1f} ms", mine.tail("ms"), "< 20 ms", p99 < 20
    )
    report.add("sentinel: kills without a restart", str(lost), "", "0", lost == 0)
    bare = Samples.of(times[BARE])
    report.add("bare start of the program, p50", f"{bare.median:.1f} ms", bare.tail("ms"))
    for peer in peers:
        other = Samples.of(times[peer.name])
        report.add(
            f"{peer.name}: kill → new process, p50", f"{other.median:.0f} ms", other.spread("ms", 0)
        )
        report.add(
            f"{peer.name}: kill → new process, p99",
            f"{other.quantile(0.99):.0f} ms",
            other.tail("ms", 0),
        )
        report.add(f"{peer.name} ÷ sentinel, p50", f"{other.median / mine.median:.0f} ×")
        report.add(f"{peer.name} ÷ sentinel, p99", f"{other.quantile(0.99) / p99:.0f} ×")
    report.notes.append(
        f"`sentinel run` with {COMPONENTS} components (first backoff 0 s), supervisord with as many programs and its "
        "defaults, monit with as many and its shortest cycle (1 s). One kill at a time, in turn, beside a bare start "
        f"by the benchmark, {PAUSE[0]:g}–{PAUSE[1]:g} s apart at random. From just before kill(2) to the first "
        "statement of the new program, so fork, exec and loading are in it, and so are sentinel's incident and its "
        "journal row synced to disk."
    )


# -- verified healthy -----------------------------------------------------------------------------


def _describe_agent(report: Report) -> None:
    """Agents of the demo are killed in turn; the journal has when each was seen healthy again."""
    with tempfile.TemporaryDirectory(prefix="sentinel-bench-") as folder:
        argv = [
            sys.executable,
            "-m",
            "sentinel",
            "demo",
            "--for",
            f"{AGENT_SECONDS}s",
            "--nemesis",
            "11",
            "--json",
        ]
        argv += ["--folder", folder, "--listen", f"127.0.0.1:{free_port()}"]
        done = subprocess.run(argv, check=False, capture_output=True, text=True, env=CLEAN)
    restarts = json.loads(done.stdout)["restarts"]
    seconds = [
        each["recovered_in_seconds"]
        for each in restarts
        if each["recovered_in_seconds"] is not None
    ]
    healthy = Samples.of([1000 * value for value in seconds])
    report.add(
        "demo: kill → verified healthy, p50", f"{healthy.median:.0f} ms", healthy.spread("ms", 0)
    )
    report.add("demo: kill → verified healthy, max", f"{healthy.values[-1]:.0f} ms")
    report.notes.append(
        f"Verified healthy: `sentinel demo --for {AGENT_SECONDS}s --nemesis 11`, every restart of a real agent, "
        "orchestrator, API or load generator that recovered: from the failure being noticed to all of its checks "
        "having seen it up. A process counts as started after it has lived for 1 s, which is most of this figure."
    )


BENCHMARK = Benchmark("a killed component runs again", run)
