"""No secret in any log line."""

from __future__ import annotations

import io
import json

import pytest
import structlog

from sentinel.log import configure_logging
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
    with structlog.contextvars.bound_contextvars(trace_id="abc"):
        log.info(f"event with {SECRET}")
    log.debug("not shown")
    structlog.reset_defaults()
    text = stream.getvalue()
    assert SECRET not in text
    assert "hunter2" not in text
    first, second = map(json.loads, text.splitlines())
    assert (first["event"], first["level"], first["check"]) == ("probe_raised", "error", "bus")
    assert "ValueError" in first["exception"]
    assert second["trace_id"] == "abc"
    assert first["timestamp"].endswith("Z")
