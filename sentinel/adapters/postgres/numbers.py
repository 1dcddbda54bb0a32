"""Numbers of somebody's own query, column by column: names of columns may be the same."""

from __future__ import annotations

import math

from sentinel.adapters.postgres.client import PostgresClient
from sentinel.errors import SubjectError

_WORDS = {"t": 1.0, "f": 0.0}


async def ask_numbers(client: PostgresClient, query: str, most: int) -> list[float]:
    """The numbers of the one row that a query gives, at most so many. Raises TargetError: it can't
    be asked, gives no row or several, or something else than numbers.
    """
    inner = query.strip().rstrip(";")
    # A row as text tells columns of the same name apart, as `select count(*), count(*)` has them.
    inner = inner.replace("%", "%%")
    text = f"select q::text as line from (\n{inner}\n) as q limit %s"  # noqa: S608 - their own words
    # Rolled back: what it sets goes with it, and the checks on this connection stay as they were.
    # With a parameter the server takes one statement and no more.
    async with client.snapshot() as ask:
        rows = await ask(text, (2,))
    if len(rows) != 1:
        many = "several rows" if rows else "no row"
        raise SubjectError(f"the query gives {many}", "write one that gives one row")
    words = str(rows[0]["line"])[1:-1].split(",")
    numbers = [_read(word) for word in words]
    if len(numbers) > most or None in numbers:
        shown = rows[0]["line"][:60]
        raise SubjectError(
            f"the query gives {shown}", f"write one that gives at most {most} numbers"
        )
    return [number for number in numbers if number is not None]


def _read(word: str) -> float | None:
    if word in _WORDS:
        return _WORDS[word]
    try:
        number = float(word)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
