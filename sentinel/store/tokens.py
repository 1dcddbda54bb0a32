"""The tokens of the page, in a file of the state folder: hashes only, for its owner only."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from sentinel.core.access import AccessScope, AccessToken
from sentinel.errors import StateError, StateUnwritable
from sentinel.store.document import read_instant, write_instant
from sentinel.strict.file import UnreadableFile, find_file, read_regular_file

TOKENS_FILE = "tokens.json"
MAX_FILE = 256 << 10
MANY = 500
"""Tokens: each is compared at every request."""
USED_KEY = "tokens_used"
"""The word in the store that says when each was used last."""
_AGAIN = "revoke what you do not need, or restore the file from a copy"


def read_tokens(folder: Path) -> tuple[AccessToken, ...]:
    """Every token of a state folder; none when there is no file. Raises StateError for a file that
    others may read or change, and for one that says something else.
    """
    path = folder / TOKENS_FILE
    try:
        if find_file(path) is None:
            return ()
        content = read_regular_file(path, MAX_FILE)
    except UnreadableFile as error:
        raise StateError(f"{path} {error.message}", error.guidance) from error
    if content.status.st_mode & 0o077 or content.status.st_uid not in {os.geteuid(), 0}:
        raise StateError(
            f"{path} is not its owner's alone", f"chown {os.geteuid()} {path}; chmod 600 {path}"
        )
    try:
        document = json.loads(content.data)
        return tuple(_read(each) for each in document["tokens"][:MANY])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise StateError(f"{path} holds no list of tokens", _AGAIN) from error


@contextmanager
def change_tokens(folder: Path) -> Iterator[list[AccessToken]]:
    """The tokens as a list that is written back at the end of the block; one process at a time."""
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        tokens = list(read_tokens(folder))
        yield tokens
        _write(folder, tokens)
        os.fsync(held)
    finally:
        os.close(held)


def _write(folder: Path, tokens: Sequence[AccessToken]) -> None:
    """Whole or not at all: a page that reads meanwhile has the old one."""
    path, fresh = folder / TOKENS_FILE, folder / f".{TOKENS_FILE}.{os.getpid()}"
    text = json.dumps({"version": 1, "tokens": [_show(each) for each in tokens]}, indent=1)
    try:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(f"{text}\n")
            file.flush()
            os.fsync(descriptor)
        fresh.replace(path)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        message = f"{path} can't be written: {error.strerror}"
        raise StateUnwritable(message, "is its disk full, or mounted read-only?") from error


def _show(token: AccessToken) -> dict[str, Any]:
    return {
        "name": token.name,
        "scope": token.scope,
        "sha256": token.digest,
        "created": write_instant(token.created),
        "expires": None if token.expires is None else write_instant(token.expires),
    }


def _read(item: Any) -> AccessToken:
    name, digest = item["name"], bytes.fromhex(item["sha256"])
    if len(digest) != 32 or not name.isprintable():
        raise ValueError("no token")
    expires = item["expires"]
    return AccessToken(
        name,
        AccessScope(item["scope"]),
        digest.hex(),
        _read_aware(item["created"]),
        None if expires is None else _read_aware(expires),
    )


def _read_aware(text: str) -> datetime:
    """An instant; one without a zone, which somebody wrote by hand, compares with none."""
    at = read_instant(text)
    if at.tzinfo is None:
        raise ValueError("no instant")
    return at
