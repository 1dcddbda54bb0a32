"""Commands of the state on disk: what is wrong with it, and a person's word that it counts."""

from __future__ import annotations

from sentinel.app.ordering import actor
from sentinel.cli import tables
from sentinel.cli.columns import show
from sentinel.cli.place import Arguments, confirm, open_store, print_json, say
from sentinel.clock import utcnow
from sentinel.store.document import to_json


def state_show(arguments: Arguments) -> int:
    """`sentinel state show`: exits 2 while something waits for a person."""
    _, store = open_store(arguments)
    trouble, rows = store.trouble(), store.damaged()
    code = 2 if trouble.lines else 0
    if arguments.json:
        print_json({**to_json(trouble), "rows": to_json(rows)})
        return code
    lines = [tables.clean(line) for line in trouble.lines or ["the state is whole"]]
    shown = [
        {
            "time (UTC)": f"{row.at:%Y-%m-%d %H:%M:%S}",
            "from": row.source,
            "why": row.why,
            "spent": {"*": "every budget", "": "–"}.get(row.lost, row.lost),
            "seen": "yes" if row.seen else "no",
            "held": row.content[:200],
        }
        for row in rows
    ]
    columns = ("time (UTC)", "from", "why", "spent", "seen", "held")
    show(*lines, *([tables.mapping_table(shown, *columns)] if shown else []))
    return code


def state_accept(arguments: Arguments) -> int:
    """`sentinel state accept`"""
    _, store = open_store(arguments, writable=True)
    trouble = store.trouble()
    if not trouble.lines:
        return say(arguments, {"outcome": "nothing to accept: the state is whole"})
    if trouble.doubt:
        confirm(arguments, f"{trouble.doubt}: act by the budgets that stand in it all the same?")
    store.accept(utcnow(), actor(), arguments.reason)
    return say(arguments, {"outcome": "accepted", "was": trouble.lines})
