"""The two steps of a cleaning by hand: through the daemon when one runs, else here under the same
guards.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from sentinel.app.housekeeping import clean_orders, find_amnesia
from sentinel.app.ordering import actor, give_order
from sentinel.app.presence import is_halted, is_running
from sentinel.app.wiring import Clients
from sentinel.clock import read_moment_now
from sentinel.config import Configuration
from sentinel.core.order import Answer, Order
from sentinel.engine.housekeeper import Housekeeper
from sentinel.errors import ActionRefused
from sentinel.metrics import Metrics
from sentinel.store import Store

T = TypeVar("T")


async def order_cleaning(
    configuration: Configuration | None,
    folder: Path,
    store: Store,
    kind: str,
    subject: str,
    payload: dict[str, Any],
) -> dict[str, Any]:
    """Plan or apply: through the daemon when one runs, else here under the same guards. Raises
    ActionRefused.
    """
    payload = {**payload, "by": actor()}
    if is_running(store):
        answer = await give_order(store, kind, subject, payload)
    elif configuration is None:
        raise ActionRefused(
            "no daemon runs here, and the configuration can't be read", "name it with --config"
        )
    else:
        async with _own_housekeeper(configuration, folder, store) as housekeeper:
            answer = await clean_orders(housekeeper)[kind](Order(kind, "", subject, payload))
    return _read_answer(answer)


def _read_answer(answer: Answer) -> dict[str, Any]:
    if answer.is_done:
        return dict(answer.document)
    error = ActionRefused(answer.text, str(answer.document.get("remedy", "")))
    error.exit_code = int(answer.document.get("exit_code", error.exit_code))
    raise error


@asynccontextmanager
async def _own_housekeeper(
    configuration: Configuration, folder: Path, store: Store
) -> AsyncIterator[Housekeeper]:
    async def call(function: Callable[[], T]) -> T:
        return function()

    def may_act() -> str:
        if is_halted(folder):
            return "halted: `sentinel resume` allows actions again"
        if not configuration.actions_enabled:
            return "actions are not enabled (`actions: {enabled: true}`)"
        return find_amnesia(store, read_moment_now())

    wanted = {chore.resource for chore in configuration.chores}
    clients = Clients({name: configuration.resources[name] for name in wanted})
    housekeeper = Housekeeper(store, call, clients, Metrics(), read_moment_now, may_act)
    housekeeper.configure(configuration.chores)
    try:
        yield housekeeper
    finally:
        await clients.close()
