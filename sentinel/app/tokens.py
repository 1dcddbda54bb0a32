"""Tokens of the page: made, listed and taken away by whoever may write the state folder."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from sentinel.app.opening import find_store, open_store
from sentinel.app.ordering import actor
from sentinel.clock import utcnow
from sentinel.core.access import PREFIX, AccessScope, AccessToken, digest_secret
from sentinel.errors import UsageError
from sentinel.store.folder import prepare_folder
from sentinel.store.tokens import MANY, USED_KEY, change_tokens, read_tokens
from sentinel.strict.explain import unknown_message

SECRET_BYTES = 32
LONGEST = 3650 * 86400.0
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}", re.ASCII)


def add_token(
    folder: Path, name: str, scope: str, seconds: float | None
) -> tuple[AccessToken, str]:
    """A new token and its secret, which nobody can read again. Raises UsageError."""
    if _NAME.fullmatch(name) is None:
        remedy = "write letters, digits and . _ @ + - only, such as prometheus"
        raise UsageError(f"{name!r} is no name of a token", remedy)
    if seconds is not None and not 0 < seconds <= LONGEST:
        raise UsageError("that is no time for a token to live", "write --for between 1s and 3650d")
    secret, now = PREFIX + secrets.token_urlsafe(SECRET_BYTES), utcnow()
    expires = None if seconds is None else now + timedelta(seconds=seconds)
    token = AccessToken(name, AccessScope(scope), digest_secret(secret), now, expires)
    prepare_folder(folder)
    with change_tokens(folder) as tokens:
        tokens[:] = [each for each in tokens if each.name != name or not each.is_over(now)]
        if any(each.name == name for each in tokens):
            remedy = f"`sentinel token revoke {name}` ends it, or choose another name"
            raise UsageError(f"there is a token {name!r} already", remedy)
        if len(tokens) >= MANY:
            raise UsageError(f"there are {MANY} tokens already", "revoke those that nobody uses")
        until = f", until {expires:%Y-%m-%d %H:%M} UTC" if expires else ""
        open_store(folder).add_audit(now, actor(), "add token", name, f"scope {scope}{until}")
        tokens.append(token)
    return token, secret


def revoke_token(folder: Path, name: str) -> None:
    """Within a second nobody enters with it any more. Raises UsageError for one that is not there."""
    with change_tokens(folder) as tokens:
        if name not in {each.name for each in tokens}:
            raise UsageError(*unknown_message("token", name, [each.name for each in tokens]))
        open_store(folder).add_audit(utcnow(), actor(), "revoke token", name, "")
        tokens[:] = [each for each in tokens if each.name != name]


def list_tokens(folder: Path) -> tuple[tuple[AccessToken, ...], Mapping[str, str]]:
    """Every token, and by name when each was used last, as far as a daemon has written it down."""
    store = find_store(folder)
    used = json.loads(store.meta(USED_KEY) or "{}") if store is not None else {}
    return read_tokens(folder), used
