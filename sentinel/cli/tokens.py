"""`sentinel token`: who may read the page from elsewhere, and who may act on it."""

from __future__ import annotations

import sys
from datetime import datetime

from sentinel.app.tokens import add_token, list_tokens, revoke_token
from sentinel.cli import tables
from sentinel.cli.columns import show
from sentinel.cli.place import Arguments, find_state, print_json, say, state_folder
from sentinel.clock import utcnow
from sentinel.core.access import AccessToken
from sentinel.core.quantity import parse_duration
from sentinel.errors import UsageError
from sentinel.store.document import read_instant, to_json


def token_add(arguments: Arguments) -> int:
    """`sentinel token add`: the secret alone on stdout, so that it can go into a file."""
    seconds = None
    if arguments.length is not None:
        try:
            seconds = float(parse_duration(arguments.length))
        except ValueError as error:
            raise UsageError(f"--for {arguments.length!r}: {error}", "such as 90d") from error
    folder = state_folder(arguments)
    token, secret = add_token(folder, arguments.name, arguments.scope, seconds)
    if arguments.json:
        return print_json({**_describe(token, ""), "token": secret})
    print(secret)
    print("keep it now: it is not shown again", file=sys.stderr)
    return 0


def token_list(arguments: Arguments) -> int:
    """`sentinel token list`"""
    tokens, used = list_tokens(find_state(arguments))
    if arguments.json:
        return print_json([_describe(each, used.get(each.name, "")) for each in tokens])
    now = utcnow()
    rows = [
        {
            "name": each.name,
            "scope": each.scope,
            "created (UTC)": f"{each.created:%Y-%m-%d %H:%M}",
            "last used": tables.age(_instant(used.get(each.name)), now),
            "expires (UTC)": _tell_end(each, over=each.is_over(now)),
        }
        for each in tokens
    ]
    columns = ("name", "scope", "created (UTC)", "last used", "expires (UTC)")
    show(tables.mapping_table(rows, *columns) if rows else "there is no token")
    return 0


def token_revoke(arguments: Arguments) -> int:
    """`sentinel token revoke`"""
    revoke_token(find_state(arguments), arguments.name)
    return say(arguments, {"name": arguments.name, "outcome": f"revoked {arguments.name}"})


def _instant(text: str | None) -> datetime | None:
    return None if text is None else read_instant(text)


def _tell_end(token: AccessToken, *, over: bool) -> str:
    if token.expires is None:
        return "never"
    return f"{token.expires:%Y-%m-%d %H:%M}{' (over)' if over else ''}"


def _describe(token: AccessToken, used: str) -> dict[str, object]:
    return {
        "name": token.name,
        "scope": token.scope,
        "created": to_json(token.created),
        "expires": to_json(token.expires),
        "last_used": used or None,
    }
