"""A real `sentinel run` with what goes wrong in real life: one clear message, the right exit code,
the rest runs on.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis

from sentinel.demo.servers import PostgresServer, ValkeyServer, free_port

Start = Callable[..., "Running"]


class Running:
    """A `sentinel run` on a configuration folder of this test."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port = folder, port
        self.process = subprocess.Popen(
            [sys.executable, "-m", "sentinel", "--config", str(folder), "run"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={
                name: value
                for name, value in os.environ.items()
                if not name.startswith("SENTINEL_")
            },
        )

    def wait(self) -> tuple[int, str]:
        """Exit code and stderr of a daemon that ends by itself."""
        _, err = self.process.communicate(timeout=30)
        return self.process.returncode, err

    def get(self, path: str) -> str:
        """A page of the daemon."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
            return str(answer.read().decode())

    def check(self, name: str) -> dict[str, Any]:
        """A check as the API shows it; {} before its first run."""
        try:
            document = json.loads(self.get("/api/v1/status"))
        except OSError:
            return {}
        return next((check for check in document["checks"] if check["name"] == name), {})

    def until(
        self, name: str, wanted: Callable[[dict[str, Any]], bool], seconds: float = 40
    ) -> dict[str, Any]:
        """Wait until a check looks as wanted."""
        deadline = time.monotonic() + seconds
        check: dict[str, Any] = {}
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.process.communicate()[1]
            check = self.check(name)
            if check and wanted(check):
                return check
            time.sleep(0.2)
        raise AssertionError(f"{name} never looked as wanted: {check}")

    def until_metric(self, line: str, seconds: float = 20) -> None:
        """Wait until a line stands on /metrics, which is rendered at most once a second."""
        deadline = time.monotonic() + seconds
        while line not in self.get("/metrics"):
            assert time.monotonic() < deadline, f"{line} never came"
            time.sleep(0.3)

    def stop(self) -> str:
        """End it; stderr."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.communicate(timeout=20)[1]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a daemon with resources, components and checks given as YAML."""
    running: list[Running] = []

    def begin(text: str, *, port: int | None = None, state: str | None = None) -> Running:
        folder = tmp_path / "checks"
        folder.mkdir(exist_ok=True)
        chosen = port or free_port()
        head = f"listen: 127.0.0.1:{chosen}\nstate: {state or tmp_path / 'state'}\n"
        (folder / "sentinel.yaml").write_text(head + text)
        running.append(Running(folder, chosen))
        return running[-1]

    yield begin
    for one in running:
        one.process.kill()
        one.process.communicate()


BUS = """
resources: {{bus: {{redis: "{url}", timeout: 1s}}}}
components: {{bus: {{resource: bus}}}}
checks:
- {{name: bus-server, kind: redis_server, component: bus, every: 1s, recovery_time: 1s}}
"""

DATABASE = """
resources: {{database: {{postgres: "{dsn}", timeout: 1s}}}}
components: {{database: {{resource: database}}}}
checks:
- {{name: health, kind: postgres, component: database, every: 1s, recovery_time: 1s}}
"""

TCP = """
components: {{web: {{}}}}
checks:
- {{name: web, kind: tcp, component: web, every: 1s, address: "127.0.0.1:{port}"}}
"""


def test_port_in_use(start: Start) -> None:
    """The message names file, line, address and remedy; exit code 69."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        code, err = start(TCP.format(port=1), port=taken.getsockname()[1]).wait()
    assert code == 69
    assert "sentinel.yaml:1: listen: can't listen on 127.0.0.1" in err
    assert "remedy" in err


def test_state_that_can_not_be_written(start: Start, tmp_path: Path) -> None:
    """A file stands where the state folder should be: exit code 78, with the path."""
    (tmp_path / "file").write_text("")
    code, err = start(TCP.format(port=1), state=str(tmp_path / "file" / "state")).wait()
    assert code == 78
    assert str(tmp_path / "file" / "state") in err
    assert "remedy" in err


def test_second_daemon_on_one_state_folder(start: Start) -> None:
    """The second is refused with exit code 75, the first goes on."""
    first = start(TCP.format(port=1))
    first.until("web", lambda check: check["runs"] >= 1)
    code, err = start(TCP.format(port=1)).wait()
    assert code == 75
    assert "another sentinel runs on the state folder" in err
    assert first.process.poll() is None


def test_not_yaml_and_every_other_problem_at_once(start: Start) -> None:
    """Several problems in several places come in one run, with exit code 78 and no traceback."""
    text = "components: {a: {depends_on: [b]}, b: {depends_on: [a]}}\nchecks:\n- {name: x, kind: nope, component: a}\n"
    text += "- {name: x, kind: tcp, component: c, address: 5, every: 5, colour: red}\n"
    code, err = start(text).wait()
    assert code == 78
    for part in (
        "cycle",
        "unknown kind `nope`",
        "unknown component `c`",
        "no duration",
        "unknown key `colour`",
    ):
        assert part in err
    assert "Traceback" not in err


def test_redis_away_at_the_start_then_there_then_gone(
    start: Start, own_valkey: ValkeyServer
) -> None:
    """Starts, says so, keeps the rest running, recovers by itself."""
    own_valkey.stop()
    text = (
        BUS.format(url=own_valkey.url)
        + "- {name: self, kind: tcp, component: bus, every: 1s, address: '127.0.0.1:%d'}\n"
    )
    port = free_port()
    sentinel = start(text % port, port=port)
    assert (
        "unreachable"
        in sentinel.until("bus-server", lambda check: check["status"] == "down")["detail"]
    )
    sentinel.until("self", lambda check: check["status"] == "up")
    own_valkey.start()
    sentinel.until("bus-server", lambda check: check["status"] == "up")
    own_valkey.stop()
    sentinel.until("bus-server", lambda check: check["status"] == "down")
    assert sentinel.check("self")["status"] == "up"


def test_postgres_away_at_the_start_then_there(start: Start, own_postgres: PostgresServer) -> None:
    """Starts, says so, recovers by itself."""
    own_postgres.stop()
    sentinel = start(DATABASE.format(dsn=own_postgres.dsn()))
    assert (
        "unreachable" in sentinel.until("health", lambda check: check["status"] == "down")["detail"]
    )
    own_postgres.start()
    sentinel.until("health", lambda check: check["status"] == "up")


def test_wrong_kind_of_server_behind_an_address(
    start: Start, valkey: ValkeyServer, postgres: PostgresServer
) -> None:
    """PostgreSQL behind a redis address: unknown, said in words, never "down", and never a restart."""
    sentinel = start(BUS.format(url=f"redis://127.0.0.1:{postgres.port}/0"))
    check = sentinel.until("bus-server", lambda check: check["runs"] >= 3)
    assert check["status"] == "unknown"
    assert "not a Redis server" in check["detail"]
    sentinel.stop()
    other = start(DATABASE.format(dsn=f"postgresql://x@127.0.0.1:{valkey.port}/x"))
    check = other.until(
        "health", lambda check: check["runs"] >= 1 and "not a PostgreSQL" in check["detail"]
    )
    assert check["status"] == "unknown"


def test_missing_column_concerns_that_check_only(
    start: Start, own_postgres: PostgresServer
) -> None:
    """A table without the configured column: unknown with the column's name; the other check runs."""
    with psycopg.connect(own_postgres.dsn(), autocommit=True) as connection:
        connection.execute("CREATE TABLE public.jobs (id int, status text, created_at timestamptz)")
    text = DATABASE.format(dsn=own_postgres.dsn())
    text += "- {name: jobs, kind: task_assignment, component: database, every: 1s, table: public.jobs}\n"
    sentinel = start(text)
    check = sentinel.until("jobs", lambda check: check["runs"] >= 1)
    assert check["status"] == "unknown"
    assert "assigned_at" in check["detail"]
    sentinel.until("health", lambda check: check["status"] == "up")


def test_hostile_stream_name_concerns_that_stream_only(
    start: Start, own_valkey: ValkeyServer
) -> None:
    """A stream name that is not UTF-8 does not kill /metrics, and its neighbours are measured."""
    with redis.Redis(port=own_valkey.port) as client:
        for name in (b"bus:good", b"bus:\xff\xfe"):
            client.xgroup_create(name, "g", id="0", mkstream=True)
    text = BUS.format(url=own_valkey.url)
    text += '- {name: delivery, kind: bus_delivery, component: bus, every: 1s, streams: {include: ["bus:*"]}}\n'
    sentinel = start(text)
    sentinel.until("delivery", lambda check: check["runs"] >= 2)
    with redis.Redis(port=own_valkey.port) as client:
        client.xadd("bus:good", {"a": "b"})
    sentinel.until("delivery", lambda check: check["runs"] >= 6)
    sentinel.until_metric('sentinel_bus_published_total{check="delivery",stream="bus:*"} 1.0')


def test_broken_reload_keeps_the_old_configuration(start: Start) -> None:
    """SIGHUP with a broken file: logged with its place, the old checks run on; a good one then
    takes over.
    """
    port = free_port()
    sentinel = start(TCP.format(port=port), port=port)
    before = sentinel.until("web", lambda check: check["runs"] >= 1)["runs"]
    file = sentinel.folder / "sentinel.yaml"
    good = file.read_text()
    file.write_text(good + "- {name: broken, kind: tcp\n")
    sentinel.process.send_signal(signal.SIGHUP)
    sentinel.until("web", lambda check: check["runs"] >= before + 3)
    sentinel.until_metric("sentinel_config_last_reload_successful 0.0")
    file.write_text(
        good
        + f"- {{name: second, kind: tcp, component: web, every: 1s, address: '127.0.0.1:{port}'}}\n"
    )
    sentinel.process.send_signal(signal.SIGHUP)
    sentinel.until("second", lambda check: check["status"] == "up")
    sentinel.until_metric("sentinel_config_last_reload_successful 1.0")
    assert "is not YAML" in sentinel.stop()


def test_no_secret_in_any_output(
    start: Start, own_valkey: ValkeyServer, own_postgres: PostgresServer
) -> None:
    """Passwords in addresses, keys and headers never reach page, API, metrics, state, logs or a
    child's environment.
    """
    secret = "c4nary-s3cret"
    with redis.Redis(port=own_valkey.port) as client:
        client.config_set("requirepass", "right")
    text = f"""
resources:
  bus: {{redis: "redis://user:{secret}@127.0.0.1:{own_valkey.port}/0"}}
  again: {{redis: "{own_valkey.url}", password: {secret}}}
  database: {{postgres: "postgresql://nobody:{secret}@127.0.0.1:{own_postgres.port}/postgres"}}
  api: {{http: "http://127.0.0.1:{own_valkey.port}", headers: {{Authorization: "Bearer {secret}"}}}}
components:
  bus: {{resource: bus}}
  worker: {{driver: process, command: [sleep, "600"]}}
checks:
- {{name: a, kind: redis_server, component: bus, every: 1s}}
- {{name: b, kind: redis_server, component: bus, every: 1s, resource: again}}
- {{name: c, kind: postgres, component: bus, every: 1s}}
- {{name: d, kind: http, component: bus, every: 1s}}
"""
    sentinel = start(text)
    for name in "abcd":
        sentinel.until(name, lambda check: check["runs"] >= 2)
    pages = [
        sentinel.get(path) for path in ("/", "/metrics", "/api/v1/status", "/api/v1/incidents")
    ]
    (pid,) = [
        p for p in Path("/proc").iterdir() if p.name.isdigit() and _is_worker(p, sentinel.folder)
    ]
    pages.append((pid / "environ").read_bytes().decode(errors="replace"))
    os.kill(int(pid.name), signal.SIGKILL)
    logs = sentinel.stop()
    state = b"".join(
        file.read_bytes()
        for file in (sentinel.folder.parent / "state").rglob("*")
        if file.is_file()
    )
    assert [secret in page for page in (*pages, logs)] == [False] * 6
    assert secret.encode() not in state


def _is_worker(process: Path, folder: Path) -> bool:
    try:
        words = (process / "cmdline").read_bytes()
        return (
            words.startswith(b"sleep\x00600")
            and str(folder.parent).encode() in (process / "environ").read_bytes()
        )
    except OSError:
        return False


def test_demo_folder_that_can_not_be_written() -> None:
    """One line with the folder and the remedy, exit code 78, before any server is started."""
    argv = [sys.executable, "-m", "sentinel", "demo", "--for", "30s", "--folder", "/proc/nowhere"]
    ended = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=30)
    assert ended.returncode == 78
    assert "the folder /proc/nowhere can't be written" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("rate", ["0", "-1", "nan", "inf"])
def test_demo_rate_that_is_none(rate: str) -> None:
    """One line and exit code 64, before any server is started."""
    argv = [sys.executable, "-m", "sentinel", "demo", "--for", "30s", "--rate", rate]
    ended = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=30)
    assert ended.returncode == 64
    assert "is not possible" in ended.stderr
    assert "starting" not in ended.stderr
