"""One canary in each place where a secret can stand: a real daemon shows none of them to anybody, in
no encoding.
"""

from __future__ import annotations

import base64
import html
import json
import re
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote, quote_plus

import pytest

from tests.acceptance.process_watch import ProcessWatch, Seen
from tests.acceptance.test_bad_input import Running, Start, start

__all__ = ["start"]

PLACES = (
    "dsn", "url", "file", "header", "env", "query", "argv", "check", "body", "option",
    "redirect", "user", "libpq", "apprise",
)  # fmt: skip
PLAIN = ("query", "redirect", "user", "env", "libpq", "apprise")
CANARIES = {place: f"k9 {place}/&'\"x+Qz" for place in PLACES}
CANARIES |= {place: f"kQ9{place}-xQz" for place in PLAIN}


def _forms(secret: str) -> set[str]:
    """What a reader would recognize it by."""
    raw = secret.encode()
    words = {base64.b64encode(raw), base64.b64encode(b"agent:" + raw)}
    words |= {base64.urlsafe_b64encode(raw), base64.urlsafe_b64encode(b"agent:" + raw)}
    return {
        secret,
        secret[:6],
        quote(secret),
        quote(secret)[:8],
        quote(secret, safe=""),
        quote_plus(secret),
        json.dumps(secret)[1:-1],
        html.escape(secret),
        repr(secret)[1:-1],
        *(word.decode().rstrip("=")[:-1] for word in words),
    }


class _Echo(BaseHTTPRequestHandler):
    """Answers with everything that it was sent, in every encoding."""

    heard: ClassVar[set[str]] = set()

    def do_POST(self) -> None:
        """Everything of the request stands in the answer."""
        size = int(self.headers.get("Content-Length") or 0)
        sent = {"path": self.path, "body": self.rfile.read(size).decode(), **self.headers}
        text = json.dumps(sent)
        for value in sent.values():
            self.heard.update(place for place, word in CANARIES.items() if word in value)
        echo = {"echo": [text, *sent.values(), quote(text), html.escape(text)]}
        self._answer(200, json.dumps(echo).encode())

    def do_GET(self) -> None:
        """Redirects to another host, with a credential of its own."""
        self.send_response(302)
        token = CANARIES["redirect"]
        self.send_header("Location", f"http://agent:{token}@localhost:1/x?token={token}")
        self.end_headers()

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: Any) -> None:
        """Silence."""


@pytest.fixture
def echo() -> Iterator[int]:
    """Its port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Echo)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


def _write(port: int, folder: Path) -> str:
    secret = folder / "password"
    secret.write_text(CANARIES["file"])
    secret.chmod(0o600)
    word = {place: quote(text, safe="") for place, text in CANARIES.items()}
    talk = "import os, sys, time; print(os.environ, sys.argv, flush=True); time.sleep(99)"
    settings = {
        "platform": "canaries",
        "runbooks": {"diagnose": True},
        "channels": {"all": {"kind": "apprise", "addresses": "${APPRISE_ADDRESSES}"}},
        "resources": {
            "database": {"postgres": f"postgresql://agent:{word['dsn']}@127.0.0.1:{port}/x"},
            "bus": {"redis": f"redis://127.0.0.1:{port}/0", "password_file": str(secret)},
            "url": {
                "http": f"http://agent:{word['url']}@127.0.0.1:{port}",
                "headers": {"X-Key": CANARIES["header"]},
            },
            "user": {"http": f"http://{word['user']}@127.0.0.1:{port}"},
        },
        "components": {
            "database": {"resource": "database"},
            "bus": {"resource": "bus"},
            "api": {"resource": "url"},
            "far": {"resource": "user"},
            "agent": {
                "driver": "process",
                "command": [sys.executable, "-c", talk, f"--token={CANARIES['argv']}"],
                "env": {"AGENT_TOKEN": CANARIES["option"]},
            },
        },
        "checks": [
            {"name": "db", "kind": "postgres", "component": "database", "every": "1s"},
            {"name": "bus", "kind": "redis_server", "component": "bus", "every": "1s"},
            {
                "name": "api",
                "kind": "http",
                "component": "api",
                "every": "1s",
                "method": "POST",
                "path": f"/x?limit=5&token={word['query']}",
                "headers": {"X-Check": CANARIES["check"]},
                "body": json.dumps({"password": CANARIES["body"], "env": "${SHOP_TOKEN}"}),
                "assertions": [
                    {"path": "$.echo[*]", "equals": "nothing"},
                    {"path": "$.echo", "max": 1},
                ],
            },
            {
                "name": "far",
                "kind": "http",
                "component": "far",
                "every": "1s",
                "redirects": 2,
                "path": "/",
            },
        ],
    }
    return "".join(f"{name}: {json.dumps(value)}\n" for name, value in settings.items())


def _state(folder: Path) -> str:
    """Every row of every table, and every other file."""
    found = [str(path) for path in folder.rglob("*")]
    for path in folder.rglob("*.db"):
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as base:
            found += base.iterdump()
    files = (
        path
        for path in folder.rglob("*")
        if path.is_file() and path.suffix in {".json", ".md", ".html"}
    )
    return "\n".join([*found, *(path.read_text(errors="replace") for path in files)])


_AGENT = "time.sleep(99)"
"""By this the component is known: its argv and its `env:` are the operator's word."""


def _programs(seen: Seen) -> str:
    """All command lines and the environments of children, as far as they are not the operator's."""
    assert any(_AGENT in line for line in seen.command_lines)
    assert any(_AGENT in line for line, _ in seen.environments)
    lines = [line for line in seen.command_lines if _AGENT not in line]
    for line, environment in seen.environments:
        lines.append(environment.replace(CANARIES["option"], "") if _AGENT in line else environment)
    return "\n".join(lines)


_PAGES = (
    "/", "/faults", "/checks", "/components", "/incidents", "/objectives", "/maintenance", "/housekeeping", "/audit",
)  # fmt: skip
_API = ("/api/v1/status", "/api/v1/faults", *(f"/api/v1{path}" for path in _PAGES[2:]))


def _incidents(running: Running) -> list[str]:
    """The page and the document of each incident, with its timeline: there must be some."""
    document = json.loads(running.get("/api/v1/incidents"))
    found = re.findall(r'"id": "([^"]+)"', json.dumps(document))
    assert found
    return [f"{folder}/{name}" for name in found for folder in ("/incident", "/api/v1/incidents")]


def _views(running: Running) -> list[str]:
    """The page and the document of each check and component: there must be some."""
    status = json.loads(running.get("/api/v1/status"))
    return [
        f"{folder}/{each['name']}"
        for part in ("checks", "components")
        for each in status[part]
        for folder in (f"/{part[:-1]}", f"/api/v1/{part}")
    ]


_COMMANDS = (
    "validate",
    "check run far --json",
    "report recovery",
    "runbook run process-down component=agent --execute",
)


def _say(running: Running, watch: ProcessWatch) -> str:
    """What commands say to a person, all at once."""
    begin = [sys.executable, "-m", "sentinel", "--config", str(running.folder)]
    talking = [
        subprocess.Popen(
            [*begin, *words.split()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for words in _COMMANDS
    ]
    watch.roots.update(each.pid for each in talking)
    return "".join(each.communicate(timeout=90)[0] for each in talking)


def test_no_canary_is_shown_anywhere(
    start: Start, echo: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Page, API, metrics, log, reports, state, `ps`, environments of children, commands: 0 hits of 14
    canaries, in raw and encoded forms; and each of them was really sent.
    """
    monkeypatch.setenv("SHOP_TOKEN", CANARIES["env"])
    monkeypatch.setenv("PGPASSWORD", CANARIES["libpq"])
    token = CANARIES["apprise"]
    addresses = f"json://127.0.0.1:{echo}/{token} json://agent:{token}@127.0.0.1:1/{token}"
    monkeypatch.setenv("APPRISE_ADDRESSES", addresses)
    watch = ProcessWatch()
    watch.start()
    running = start(_write(echo, tmp_path), state=str(tmp_path / "state"))
    watch.roots.add(running.process.pid)
    try:
        for name in ("api", "far", "db", "bus"):
            running.until(name, lambda check: check["runs"] > 2)
        running.until("bus", lambda _check: "apprise" in _Echo.heard)
        shown = {
            "page": "".join(map(running.get, (*_PAGES, *_incidents(running), *_views(running)))),
            "api": "".join(map(running.get, _API)),
            "metrics": running.get("/metrics"),
            "commands": _say(running, watch),
        }
    finally:
        shown_log, seen = running.stop(), watch.stop()
    shown |= {"ps": _programs(seen)}
    shown |= {"log": shown_log, "state": _state(tmp_path / "state")}
    for where, said in shown.items():
        assert len(said) > 40, where
    assert {"query", "header", "check", "env", "apprise"} <= _Echo.heard
    hits = [
        (where, place, form)
        for where, said in shown.items()
        for place, secret in CANARIES.items()
        for form in _forms(secret)
        if form in said
    ]
    assert hits == []
