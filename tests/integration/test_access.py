"""A real daemon that others can reach: tokens by command, orders by HTTP, TLS, a real Prometheus."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import shlex
import ssl
import stat
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from sentinel.app import Daemon, exposure
from sentinel.cli import main
from sentinel.config import load
from sentinel.demo.servers import free_port
from sentinel.errors import ConfigurationError
from tests.certificates import make_certificate
from tests.conftest import require_tool

CONFIGURATION = """
platform: trial
listen: 0.0.0.0:0
page_address: https://localhost
state: {folder}/state
access: {{certificate_file: {certificate}, key_file: {key}}}
components:
  web: {{driver: process, command: [sleep, "600"]}}
  port: {{}}
checks:
  - {{name: port, kind: tcp, component: port, every: 200ms, address: "127.0.0.1:1", failures: 1}}
"""


class Trial:
    """A daemon on every address of this machine."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.state = folder, folder / "state"
        self.config = folder / "config"
        self.config.mkdir()
        self.files = make_certificate(folder)
        names = dict(zip(("certificate", "key"), self.files, strict=True))
        self.text = CONFIGURATION.format(folder=folder, **names)
        (self.config / "a.yaml").write_text(self.text)
        self.reloads: list[str] = []
        self.daemon: Daemon

    async def run(self, *words: str) -> int:
        return await asyncio.to_thread(main, ["--config", str(self.config), *words])

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Daemon]:
        self.daemon = Daemon(load(self.config))
        self.daemon.ask_reload = lambda: self.reloads.append("asked")
        try:
            await self.daemon.start()
            yield self.daemon
        finally:
            await self.daemon.stop(stop_components=True)

    async def ask(self, path: str, token: str, body: Any = None) -> tuple[int, Any]:
        """Status and document, as a program gets them."""
        port = urllib.parse.urlsplit(self.daemon.url).port
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        url = f"https://127.0.0.1:{port}{path}"
        request = urllib.request.Request(url, data, headers)
        context = ssl.create_default_context(cafile=str(self.files[0]))

        def send() -> tuple[int, Any]:
            try:
                with urllib.request.urlopen(request, context=context, timeout=20) as answer:
                    text = answer.read().decode()
                    is_json = answer.headers.get_content_type() == "application/json"
                    return answer.status, json.loads(text) if is_json else text
            except urllib.error.HTTPError as error:
                return error.code, error.read().decode()

        return await asyncio.to_thread(send)

    async def until(self, true: Callable[[], object]) -> None:
        async with asyncio.timeout(30):
            while not true():
                await asyncio.sleep(0.02)

    def audit(self) -> list[tuple[str, str, str]]:
        return audit_of(self.daemon)


def audit_of(daemon: Daemon) -> list[tuple[str, str, str]]:
    """Who did what on what, newest first."""
    return [(row.actor, row.action, row.subject) for row in daemon.store.audit(50)]


@pytest.fixture
def trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trial:
    """A configuration that others can reach, with no token yet."""
    monkeypatch.setenv("SUDO_USER", "tester")
    return Trial(tmp_path)


async def make(trial: Trial, capsys: pytest.CaptureFixture[str], name: str, scope: str) -> str:
    capsys.readouterr()
    assert await trial.run("token", "add", name, "--scope", scope) == 0
    return capsys.readouterr().out.strip()


async def test_tokens_by_command(trial: Trial, capsys: pytest.CaptureFixture[str]) -> None:
    """G19: a page that others can reach and nobody may enter does not start, and `validate` says so
    with the remedy; a token is made, shown once, kept as a hash in a file for its owner only, listed
    with its last use, and taken away. Every step is in the audit log.
    """
    assert await trial.run("validate") == 78
    assert "remedy: make one: `sentinel token add NAME --scope read`" in capsys.readouterr().err
    with pytest.raises(ConfigurationError, match="there is no token in"):
        await Daemon(load(trial.config)).start()
    assert await trial.run("token", "add", "short", "--scope", "read", "--for", "1s") == 0
    assert await trial.run("token", "add", "a/b", "--scope", "read") == 64
    assert await trial.run("token", "add", "x", "--scope", "read", "--for", "soon") == 64
    secret = await make(trial, capsys, "prometheus", "read")
    assert await trial.run("token", "add", "prometheus", "--scope", "ack") == 64
    assert "`sentinel token revoke prometheus` ends it" in capsys.readouterr().err
    file = trial.state / "tokens.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert secret not in file.read_text()
    assert secret.encode() not in (trial.state / "sentinel.db").read_bytes()
    assert await trial.run("validate") == 0
    async with trial.running():
        assert (await trial.ask("/metrics", secret))[0] == 200
        await trial.until(lambda: "prometheus" in (trial.daemon.store.meta("tokens_used") or ""))
        capsys.readouterr()
        assert await trial.run("token", "list", "--json") == 0
        listed = {each["name"]: each for each in json.loads(capsys.readouterr().out)}
        assert listed["prometheus"]["last_used"] is not None
        assert listed["short"]["last_used"] is None
        assert "sha256" not in listed["short"]
        assert await trial.run("token", "list") == 0
        assert "prometheus" in capsys.readouterr().out
        assert await trial.run("token", "revoke", "prometheus") == 0
        assert await trial.run("token", "revoke", "promethes") == 64
        async with asyncio.timeout(20):
            while (await trial.ask("/metrics", secret))[0] == 200:
                await asyncio.sleep(0.1)
        assert (await trial.ask("/metrics", secret))[0] == 401
        rows = trial.audit()
        assert ("tester", "add token", "prometheus") in rows
        assert ("tester", "revoke token", "prometheus") in rows
        file.chmod(0o644)
        assert await trial.run("token", "list") == 78
        assert f"chmod 600 {file}" in capsys.readouterr().err


async def test_orders_by_http(trial: Trial, capsys: pytest.CaptureFixture[str]) -> None:
    """What is ordered by HTTP happens as by command, with the name of the token in the audit log
    before its effect.
    """
    ack = await make(trial, capsys, "ann", "ack")
    act = await make(trial, capsys, "ops", "act")
    admin = await make(trial, capsys, "root", "admin")
    async with trial.running() as daemon:
        await trial.until(lambda: "port" in daemon.engine.picture.incidents)
        incident = daemon.engine.picture.incidents["port"].id
        path = f"/api/v1/incidents/{incident}"
        read = await make(trial, capsys, "lead", "read")
        forms = [f'action="{path}/{order}"' for order in ("ack", "note")]
        for token, shown in ((read, [False, False]), (ack, [True, True])):
            _, page = await trial.ask(f"/incident/{incident}", token)
            assert [form in page for form in forms] == shown
        assert (await trial.ask(f"{path}/ack", ack, {"reason": "mine"}))[0] == 200
        assert (await trial.ask(f"{path}/note", ack, {"text": "cable was loose"}))[0] == 200
        _, page = await trial.ask(f"/incident/{incident}", ack)
        assert [form in page for form in forms] == [False, True]
        _, document = await trial.ask(path, ack)
        assert document["acknowledged_by"] == "ann (token)"
        assert "ann (token): cable was loose" in [each["text"] for each in document["timeline"]]
        assert (await trial.ask("/api/v1/incidents/none/note", ack, {"text": "x"}))[0] == 404

        given = {"matchers": {"component": ["web"]}, "for": "1h", "reason": "known"}
        status, said = await trial.ask("/api/v1/silences", ack, given)
        assert status == 200, said
        assert await trial.run("silence", "list", "--json") == 0
        (silence,) = json.loads(capsys.readouterr().out)
        assert (silence["by"], silence["reason"]) == ("ann (token)", "known")
        assert (await trial.ask(f"/api/v1/silences/{silence['id']}/end", ack, {}))[0] == 200
        assert (await trial.ask("/api/v1/silences/s-none/end", ack, {}))[0] == 404
        given = {"components": ["web"], "for": "1h", "reason": "move", "name": "m"}
        assert (await trial.ask("/api/v1/maintenance", ack, given))[0] == 200
        assert (await trial.ask("/api/v1/maintenance/m/end", ack, {}))[0] == 200
        given["components"] = ["wbe"]
        assert (await trial.ask("/api/v1/maintenance", ack, given))[0] == 404

        reason = {"reason": "smoke"}
        assert (await trial.ask("/api/v1/halt", ack, reason))[0] == 403
        assert (await trial.ask("/api/v1/halt", act, reason))[0] == 200
        assert "ops (token): smoke" in (trial.state / "HALT").read_text()
        status, said = await trial.ask("/api/v1/components/web/restart", act, reason)
        assert (status, "halted" in said) == (409, True)
        assert (await trial.ask("/api/v1/resume", act, reason))[0] == 200
        before = daemon.pid_of("web")
        status, said = await trial.ask("/api/v1/components/web/restart", act, reason)
        assert status in {200, 202}, said
        await trial.until(lambda: daemon.pid_of("web") not in {None, before})
        assert (await trial.ask("/api/v1/components/wbe/restart", act, reason))[0] == 404
        assert (await trial.ask("/api/v1/breaker/close", act, reason))[0] == 403
        assert (await trial.ask("/api/v1/breaker/close", admin, reason))[0] == 200
        assert (await trial.ask("/api/v1/reload", admin, {}))[0] == 202
        assert trial.reloads == ["asked"]
        rows = trial.audit()
        for row in (
            ("ann (token)", "acknowledge", incident),
            ("ann (token)", "note", incident),
            ("ann (token)", "silence", "component=web"),
            ("ann (token)", "end silence", silence["id"]),
            ("ann (token)", "maintenance", "web"),
            ("ann (token)", "end maintenance", "m"),
            ("ops (token)", "halt", ""),
            ("ops (token)", "resume", ""),
            ("ops (token)", "restart", "web"),
            ("root (token)", "close breaker", ""),
            ("root (token)", "reload configuration", ""),
        ):
            assert row in rows, row
        assert await trial.run("audit", "verify") == 0


async def test_a_token_is_nowhere(
    trial: Trial, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """G13: a secret that is sent in every way, right and wrong, stands in no log, page, metric,
    file of the state or reading of the configuration, raw or in base64.
    """
    secret = await make(trial, capsys, "ann", "ack")
    wrong = "sentinel_WRONGwrongWRONGwrongWRONGwrongWRONGwro"
    words = [secret, wrong]
    words += [base64.b64encode(each.encode()).decode()[:40] for each in (secret, wrong)]
    async with trial.running() as daemon:
        await trial.until(lambda: "port" in daemon.engine.picture.incidents)
        incident = daemon.engine.picture.incidents["port"].id
        note = f"/api/v1/incidents/{incident}/note"
        shown = []
        for token in (secret, wrong):
            for path in ("/", "/metrics", f"/nothing?token={token}", "/api/v1/incidents"):
                shown.append(str(await trial.ask(path, token)))
            shown.append(str(await trial.ask("/sign-in", token, {"token": token})))
        assert (await trial.ask(note, secret, {"text": f"used `Bearer {wrong}`"}))[0] == 200
        for path in ("/audit", f"/incident/{incident}", "/metrics", "/api/v1/status"):
            shown.append(str(await trial.ask(path, secret)))
    shown += [path.read_bytes().decode("latin-1") for path in trial.state.rglob("*.*")]
    assert await trial.run("config", "show") == 0
    assert await trial.run("audit", "list", "--json") == 0
    shown += capsys.readouterr()
    for word in words:
        assert not any(word in text for text in shown), next(t for t in shown if word in t)[:2000]


async def test_a_certificate_is_followed(
    trial: Trial, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A running daemon takes a renewed certificate over; one that can't be used is told once, and
    changes nothing.
    """
    monkeypatch.setattr(exposure, "LOOK_EVERY", 0.05)
    secret = await make(trial, capsys, "prometheus", "read")
    async with trial.running():
        fresh = make_certificate(trial.folder, "fresh")
        trial.files[0].write_text("nothing")
        async with asyncio.timeout(20):
            while "certificate_refused" not in capsys.readouterr().err:
                await asyncio.sleep(0.05)
        trial.files[1].write_bytes(fresh[1].read_bytes())
        trial.files[0].write_bytes(fresh[0].read_bytes())
        trial.files = fresh

        async def is_served() -> bool:
            try:
                return (await trial.ask("/metrics", secret))[0] == 200
            except urllib.error.URLError:
                return False

        async with asyncio.timeout(20):
            while not await is_served():
                await asyncio.sleep(0.05)


async def test_a_real_prometheus(trial: Trial, capsys: pytest.CaptureFixture[str]) -> None:
    """`authorization: {credentials_file: …}` and `ca_file` are all that a Prometheus needs; with
    the token of somebody else it is told so.
    """
    binary = require_tool("prometheus")
    secret = await make(trial, capsys, "prometheus", "read")
    (trial.folder / "token").write_text(secret + "\n")
    (trial.folder / "wrong").write_text("sentinel_other\n")
    async with trial.running() as daemon:
        port = urllib.parse.urlsplit(daemon.url).port
        jobs = [
            {
                "job_name": name,
                "scheme": "https",
                "authorization": {"credentials_file": str(trial.folder / name)},
                "tls_config": {"ca_file": str(trial.files[0])},
                "static_configs": [{"targets": [f"127.0.0.1:{port}"]}],
            }
            for name in ("token", "wrong")
        ]
        config = trial.folder / "prometheus.json"
        document = {"global": {"scrape_interval": "1s", "scrape_timeout": "1s"}}
        config.write_text(json.dumps(document | {"scrape_configs": jobs}))
        own = free_port()
        argv = [binary, f"--config.file={config}", f"--storage.tsdb.path={trial.folder / 'data'}"]
        argv += [f"--web.listen-address=127.0.0.1:{own}", "--log.level=error"]
        with subprocess.Popen(argv, stderr=subprocess.DEVNULL) as prometheus:
            try:
                health = await asyncio.wait_for(_find_health(own), 60)
            finally:
                prometheus.terminate()
    assert health["token"] == ("up", "")
    assert health["wrong"][0] == "down"
    assert "401" in health["wrong"][1]


async def _find_health(port: int) -> dict[str, tuple[str, str]]:
    """By job, once each was scraped: its health, and what went wrong."""

    def ask() -> dict[str, tuple[str, str]]:
        try:
            url = f"http://127.0.0.1:{port}/api/v1/targets"
            with urllib.request.urlopen(url, timeout=5) as answer:
                targets = json.load(answer)["data"]["activeTargets"]
        except OSError:
            return {}
        return {
            each["labels"]["job"]: (each["health"], each["lastError"])
            for each in targets
            if each["health"] != "unknown"
        }

    while len(found := await asyncio.to_thread(ask)) < 2:
        await asyncio.sleep(0.2)
    return found


# -- docs/access.md, as it stands there -----------------------------------------------------------

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "access.md"
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)


class Reader:
    """Somebody who does what the document says, in a folder and on a port of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.blocks = [
            (kind, self._place(text)) for kind, text in _BLOCK.findall(DOCUMENT.read_text())
        ]
        (folder / "checks").mkdir()
        for made, name in zip(
            make_certificate(folder, "made"), ("page.pem", "page.key"), strict=True
        ):
            made.rename(folder / name)

    def _place(self, text: str) -> str:
        text = text.replace("/etc/sentinel", str(self.folder)).replace(
            "0.0.0.0:9130", f"0.0.0.0:{self.port}"
        )
        return text.replace("status.example.org:9130", f"127.0.0.1:{self.port}")

    def write(self, kind: str, text: str) -> Path:
        """A block whose first line names its file."""
        assert kind == "yaml"
        name, _, _ = text.removeprefix("# ").partition("\n")
        path = self.folder / name
        path.write_text(text)
        return path

    def type(self, kind: str, text: str, capsys: pytest.CaptureFixture[str]) -> str:
        """A block of commands: each must succeed. Those of sentinel are run here, for speed."""
        assert kind == "sh"
        lines = text.splitlines()
        own = [line for line in lines if line.startswith("sentinel ")]
        for line in own:
            words, _, file = line.partition(" > ")
            capsys.readouterr()
            assert main(["--config", str(self.folder / "checks"), *shlex.split(words)[1:]]) == 0, (
                line
            )
            if file:
                Path(file).write_text(capsys.readouterr().out)
        script = "\n".join(line for line in lines if line not in own)
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=self.folder, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, (text, done.stdout, done.stderr)
        return done.stdout + capsys.readouterr().out


async def test_the_document(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every block of docs/access.md is written or typed as it stands there, in its order: the daemon
    starts, people and Prometheus enter, orders are carried out, a token goes, a proxy is trusted.
    """
    require_tool("curl")
    reader = Reader(tmp_path)
    opened, tokens, used, prometheus, gone, proxied = reader.blocks
    (tmp_path / "checks" / "a.yaml").write_text(
        f"state: {tmp_path}/state\ncomponents: {{bus: {{}}}}\n"
        'checks: [{name: bus, kind: tcp, component: bus, address: "127.0.0.1:1"}]\n'
    )
    reader.write(*opened)
    assert "valid: 1 check" in await asyncio.to_thread(reader.type, *tokens, capsys)
    daemon = Daemon(load(tmp_path / "checks"))
    await daemon.start()
    try:
        async with asyncio.timeout(30):
            while not daemon.store.components():
                await asyncio.sleep(0.02)
        said = await asyncio.to_thread(reader.type, *used, capsys)
        assert '{"name": "ann", "scope": "act", "known_by": "token"}' in said
        assert "resumed" in said
        assert ("ann (token)", "resume") in {row[:2] for row in audit_of(daemon)}
        config = reader.write(*prometheus)
        argv = [require_tool("promtool"), "check", "config", str(config)]
        await asyncio.to_thread(subprocess.run, argv, check=True, capture_output=True)
        assert "ann" in await asyncio.to_thread(reader.type, *gone, capsys)
    finally:
        await daemon.stop()
    reader.write(*proxied)
    access = load(tmp_path / "checks").access.rules
    assert (access.is_proxy("127.0.0.1"), access.user_scope) == (True, "ack")
