"""Commands that act on automation: a new budget, the kill switch."""

from __future__ import annotations

import asyncio

from sentinel.app.ordering import apply_reset, plan_reset
from sentinel.app.ordering import halt as halt_actions
from sentinel.app.ordering import resume as resume_actions
from sentinel.cli.place import Arguments, confirm, find_state, open_store, say, state_folder
from sentinel.errors import ActionRefused


def reset(arguments: Arguments) -> int:
    """`sentinel reset`"""
    _, store = open_store(arguments, writable=True)
    planned = plan_reset(store, arguments.component)
    confirm(
        arguments,
        f"{arguments.component}: {planned}. End what is there, and give it a full restart budget?",
    )
    answer = asyncio.run(apply_reset(store, arguments.component, arguments.reason, planned))
    if not answer.is_done:
        raise ActionRefused(answer.text)
    document = {"component": arguments.component, "planned": planned, "outcome": answer.line}
    return say(arguments, document)


def halt(arguments: Arguments) -> int:
    """`sentinel halt`: works without a daemon, and with one that hangs."""
    return say(arguments, {"outcome": halt_actions(state_folder(arguments), arguments.reason)})


def resume(arguments: Arguments) -> int:
    """`sentinel resume`"""
    folder = find_state(arguments)
    return say(arguments, {"outcome": resume_actions(folder, arguments.reason)})
