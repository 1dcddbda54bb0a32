"""The file of the tokens: its owner's only, whole or not at all, and nothing else."""

from __future__ import annotations

import json
import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sentinel.core.access import AccessScope, AccessToken, digest_secret
from sentinel.errors import StateError, StateUnwritable
from sentinel.store.tokens import TOKENS_FILE, change_tokens, read_tokens

T0 = datetime(2026, 3, 1, 12, tzinfo=UTC)


def make_token(name: str) -> AccessToken:
    return AccessToken(name, AccessScope.ACK, digest_secret(name), T0, T0 + timedelta(days=1))


def test_what_was_written_is_read(tmp_path: Path) -> None:
    """Every field, in a file that others can't read; none are none."""
    assert read_tokens(tmp_path) == ()
    wanted = [make_token("a"), AccessToken("b", AccessScope.READ, digest_secret("b"), T0)]
    before = os.umask(0)
    try:
        with change_tokens(tmp_path) as tokens:
            tokens.extend(wanted)
    finally:
        os.umask(before)
    assert read_tokens(tmp_path) == tuple(wanted)
    assert stat.S_IMODE((tmp_path / TOKENS_FILE).stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [TOKENS_FILE]


def test_what_raises_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither an error in the block nor a disk that takes nothing."""
    with change_tokens(tmp_path) as tokens:
        tokens.append(make_token("a"))

    def add() -> None:
        with change_tokens(tmp_path) as tokens:
            tokens.append(make_token("b"))
            raise KeyError

    with pytest.raises(KeyError):
        add()

    def full(_self: Path, _target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(StateUnwritable, match="No space left"), change_tokens(tmp_path) as tokens:
        tokens.append(make_token("b"))
    assert read_tokens(tmp_path) == (make_token("a"),)
    assert [path.name for path in tmp_path.iterdir()] == [TOKENS_FILE]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o660])
def test_a_file_that_is_open_to_others(tmp_path: Path, mode: int) -> None:
    """Is refused with its cure: who could change it could make a token."""
    with change_tokens(tmp_path) as tokens:
        tokens.append(make_token("a"))
    (tmp_path / TOKENS_FILE).chmod(mode)
    with pytest.raises(StateError, match="not its owner's alone") as caught:
        read_tokens(tmp_path)
    assert "chmod 600" in caught.value.guidance


def write_one(**changes: object) -> str:
    """A file with one token, as somebody wrote it by hand."""
    made = {"name": "a", "scope": "read", "sha256": "AB" * 32, "created": "2026-03-01T12:00:00Z"}
    return json.dumps({"tokens": [{**made, "expires": None, **changes}]})


def test_a_hash_in_capitals_is_the_same(tmp_path: Path) -> None:
    """As other tools write it."""
    (tmp_path / TOKENS_FILE).write_text(write_one())
    (tmp_path / TOKENS_FILE).chmod(0o600)
    [token] = read_tokens(tmp_path)
    assert token.digest == "ab" * 32


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"tokens": 7}',
        '{"tokens": [7]}',
        '{"tokens": [{"name": "a", "scope": "root", "sha256": "", "created": "", "expires": null}]}',
        '{"tokens": [{"name": "a", "scope": "read", "sha256": "abcd", "created": "", "expires": null}]}',
        write_one(expires="2026-03-01T12:00:00"),
        write_one(created="2026-03-01T12:00:00"),
        write_one(expires="soon"),
        write_one(name="a\nb"),
        write_one(name="\u202ea"),
        write_one(name=7),
        "\udcff".encode("utf-8", "surrogateescape"),
        "[" * 100_000,
    ],
)
def test_what_is_no_list_of_tokens(tmp_path: Path, text: str | bytes) -> None:
    """Is refused as a whole: half a list would shut out at random."""
    data = text if isinstance(text, bytes) else text.encode()
    (tmp_path / TOKENS_FILE).write_bytes(data)
    (tmp_path / TOKENS_FILE).chmod(0o600)
    with pytest.raises(StateError, match="holds no list of tokens"):
        read_tokens(tmp_path)


def test_no_file(tmp_path: Path) -> None:
    """A folder or a pipe of that name is no file, and nobody waits for it."""
    os.mkfifo(tmp_path / TOKENS_FILE)
    with pytest.raises(StateError, match="is no file but a pipe"):
        read_tokens(tmp_path)
