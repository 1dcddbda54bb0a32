"""The demo's page on its usual port, or on another one that is said."""

from __future__ import annotations

import socket

import pytest

from sentinel.demo import session


def make_session(said: list[str]) -> session.Session:
    return session.Session(session.DemoOptions(), lambda _: None, said.append, lambda *_: None)  # type: ignore[arg-type,return-value]


def test_a_taken_port_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has the port keeps it, and the person who looks for the page there is told."""
    said: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
        monkeypatch.setattr(session, "PORT", port)
        assert make_session(said)._find_port() != port
    assert [f"127.0.0.1:{port} is taken" in line for line in said] == [True]


def test_a_free_port_is_taken_without_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    """The usual case."""
    said: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    monkeypatch.setattr(session, "PORT", port)
    assert make_session(said)._find_port() == port
    assert said == []
