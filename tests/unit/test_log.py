"""No secret in any log line."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import structlog

from sentinel import log as logs
from sentinel.adapters.own_process.run import RUN
from sentinel.log import catch_strays, configure_logging, count_dropped, finish_logging, say
from sentinel.redaction import Redaction

SECRET = "canary-3f9a"


@pytest.mark.parametrize(
    "text",
    [
        f"plain {SECRET} text",
        "redis://user:hunter2hunter2@host:6379/0 refused",
        "redis://:hunter2hunter2@host refused",
        "postgresql://user:hunter2@hunter2@host/db",
        "Authorization: Bearer hunter2hunter2.x-y_z~+/=",
        "authorization: bearer hunter2hunter2",
        "connect failed: host=a password=hunter2hunter2 port=5",
        '{"password": "hunter2hunter2"}',
        "{'api_key': 'hunter2hunter2'}",
        "token=hunter2hunter2&x=1",
    ],
)
def test_secrets_in_text(text):
    """Known values, credentials in URLs, bearer tokens, and `password=`."""
    clean = Redaction([SECRET]).scrub(text)
    assert SECRET not in clean
    assert "hunter2" not in clean
    assert "***" in clean


@pytest.mark.parametrize(
    "text",
    [
        "redis://host:6379/0 refused",
        "http://host:80/a@b",
        "12:30:45",
        "the bearer of news",
        "x" * 10,
        "a@b:c",
    ],
)
def test_plain_text_is_left_alone(text):
    """No address without credentials is damaged beyond recognition."""
    clean = Redaction([SECRET]).scrub(text)
    assert clean in {text, "the bearer *** news"}


@pytest.mark.parametrize(
    "value",
    [
        {"a": {"b": [SECRET, (SECRET, {SECRET})]}},
        [f"x{SECRET}"],
        ValueError(SECRET),
        SECRET.encode(),
        {"deep": {"password": "hunter2hunter2", "n": 5}},
        {"headers": {"Authorization": ["hunter2hunter2"]}},
        {"db": {"secret_key": b"hunter2hunter2"}},
    ],
)
def test_secrets_inside_of_containers(value):
    """Nested values, exceptions, bytes, and everything under a telling name."""
    text = repr(Redaction([SECRET]).scrub(value))
    assert SECRET not in text
    assert "hunter2" not in text


def test_figures_stay_figures():
    """Numbers, flags and nothing are not turned into text."""
    value = {"n": 5, "x": 1.5, "ok": True, "none": None, "token": None}
    assert Redaction([SECRET]).scrub(value) == value


def test_longer_secrets_go_first():
    """A secret that contains another one leaves no rest."""
    assert Redaction(["abcd", "abcdefgh"]).scrub("abcdefgh") == "***"


def test_words_of_three_letters_are_no_secrets():
    """A short "secret" would blacken half of every line."""
    assert Redaction(["on"]).scrub("connection") == "connection"


def test_a_log_line(capsys):
    """JSON with event, level, time and values; secrets gone from values and from tracebacks."""
    stream = io.StringIO()
    configure_logging(form="json", secrets=[SECRET], stream=stream)
    log = structlog.get_logger()
    try:
        raise ValueError(f"wrong password {SECRET}")
    except ValueError:
        log.exception(
            "probe_raised", check="bus", password="hunter2hunter2", url="redis://:hunter2hunter2@h"
        )
    named = RUN.set(("bus", "abc"))
    log.info(f"event with {SECRET}")
    RUN.reset(named)
    log.debug("not shown")
    structlog.reset_defaults()
    text = stream.getvalue()
    assert SECRET not in text
    assert "hunter2" not in text
    first, second = map(json.loads, text.splitlines())
    assert (first["event"], first["level"], first["check"]) == ("probe_raised", "error", "bus")
    assert "ValueError" in first["exception"]
    assert (second["check"], second["trace_id"]) == ("bus", "abc")
    assert first["timestamp"].endswith("Z")


@contextmanager
def hooked(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The log goes into a pipe, with all that is logged or raised elsewhere; the reading end."""
    reading, writing = os.pipe()
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    try:
        with os.fdopen(writing, "w") as stream:
            configure_logging(form="json", secrets=[SECRET], stream=stream)
            catch_strays()
            yield reading
    finally:
        structlog.reset_defaults()
        logs.LINES.direct(None)
        os.close(reading)


def read_lines(reading: int) -> list[dict[str, object]]:
    """What was logged until now."""
    finish_logging()
    return [json.loads(line) for line in os.read(reading, 65536).splitlines()]


async def test_strays(monkeypatch):
    """Libraries, threads, finalizers and forgotten tasks: hidden secrets, one line each."""

    async def forgotten() -> None:
        raise ValueError(f"in a task {SECRET}")

    class Finalized:
        def __del__(self) -> None:
            raise ValueError(f"in a finalizer {SECRET}")

    def thread() -> None:
        raise ValueError(f"in a thread {SECRET}")

    with hooked(monkeypatch) as reading:
        logging.getLogger("aiohttp.server").error("of a library %s", SECRET)
        work = threading.Thread(target=thread, name="lonely")
        work.start()
        work.join()
        Finalized()
        task = asyncio.create_task(forgotten())
        await asyncio.sleep(0)
        del task
        await asyncio.sleep(0)
        lines = read_lines(reading)
    assert SECRET not in repr(lines)
    assert [line["event"] for line in lines] == ["library", *["raised_unseen"] * 2, "library"]
    assert lines[0]["message"] == "of a library ***"
    assert lines[1]["where"] == "thread lonely"
    for line, where in zip(lines[1:], ("thread", "finalizer", "task"), strict=True):
        assert f"ValueError: in a {where} ***" in str(line["exception"])


def test_lines_that_nobody_takes(monkeypatch):
    """They are told of, in the log itself, when they flow again."""
    monkeypatch.setattr("sentinel.adapters.own_process.outlet.MAX_WAITING", 4096)
    monkeypatch.setattr(logs.Outlet.__init__, "__defaults__", (None, 4096))
    with hooked(monkeypatch) as reading:
        log = structlog.get_logger()
        for n in range(3000):
            log.warning("flood", n=n)
        dropped = count_dropped()
        assert dropped
        read = b""
        while b"log_lines_dropped" not in read:
            read += os.read(reading, 65536)
        finish_logging()
        say("for people")
        while not read.endswith(b"for people\n"):
            read += os.read(reading, 65536)
        lines = [json.loads(line) for line in read.splitlines()[:-1]]
        told = [line["lines"] for line in lines if line["event"] == "log_lines_dropped"]
    assert sum(told) == dropped == 3000 - (len(lines) - len(told))


def test_a_closed_stderr(monkeypatch):
    """A program may be started without one."""
    monkeypatch.setattr(sys, "stderr", None)
    configure_logging(form="auto")
    structlog.get_logger().error("nobody reads this")
    say("nor this")
    structlog.reset_defaults()
