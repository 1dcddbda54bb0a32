"""What may be ordered on the command line, and who carries it out. What takes long runs aside."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime

from sentinel.app.housekeeping import clean_orders
from sentinel.core.order import Order
from sentinel.engine.aside import Aside
from sentinel.engine.conductor import Conductor
from sentinel.engine.housekeeper import Housekeeper
from sentinel.engine.requests import Requests

Action = Callable[[Order], Awaitable[str | None]]


def make_orders(
    requests: Requests,
    conductor: Conductor,
    housekeeper: Housekeeper,
    aside: Aside,
    run_check: Callable[[Order], Awaitable[str]],
    diagnose: Action,
    utcnow: Callable[[], datetime],
) -> Mapping[str, Action]:
    """Order kind → its action; each ends with one line, None while it lasts."""

    async def restart(order: Order) -> str:
        return await requests.restart(
            order.subject, _reason(order), by=str(order.payload.get("by", "operator"))
        )

    async def move(order: Order) -> str:
        return await conductor.move(
            order.key, str(order.payload.get("action")), order.subject, _reason(order)
        )

    async def reload(order: Order) -> str:
        return await requests.reload(order.subject, _reason(order))

    async def reset(order: Order) -> str:
        return await requests.reset(
            order.subject, _reason(order), str(order.payload.get("expects", ""))
        )

    moving = {"restart": restart, "move": move, "reload": reload}
    long = {
        "check": run_check,
        **{kind: _while_meant(action, utcnow) for kind, action in moving.items()},
    }
    long |= clean_orders(housekeeper)
    return {
        "diagnose": diagnose,
        "reset": _while_meant(reset, utcnow),
        "breaker": lambda order: requests.close_breaker(_reason(order)),
        "resume": lambda _order: requests.resume(),
        **{kind: aside.wrap(action) for kind, action in long.items()},
    }


def _while_meant(
    action: Callable[[Order], Awaitable[str]], utcnow: Callable[[], datetime]
) -> Callable[[Order], Awaitable[str]]:
    """What moves a platform is meant now: an order that no daemon took in time is not carried out
    days later.
    """

    async def act(order: Order) -> str:
        until = order.payload.get("until")
        if until and utcnow() > datetime.fromisoformat(str(until)):
            return (
                f"refused: it was to be done until {until}; give the order again if it still is"
                " to be"
            )
        return await action(order)

    return act


def _reason(order: Order) -> str:
    return str(order.payload.get("reason", ""))
