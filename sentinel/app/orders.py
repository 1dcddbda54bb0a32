"""What may be ordered on the command line, and who carries it out. What takes long runs aside."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime

from sentinel.app.housekeeping import clean_orders
from sentinel.core.order import Answer, Order, OrderKind
from sentinel.engine.aside import Aside
from sentinel.engine.conductor import Conductor
from sentinel.engine.housekeeper import Housekeeper
from sentinel.engine.requests import OperatorRequests

Action = Callable[[Order], Awaitable[Answer | None]]


def make_orders(
    requests: OperatorRequests,
    conductor: Conductor,
    housekeeper: Housekeeper,
    aside: Aside,
    run_check: Callable[[Order], Awaitable[Answer]],
    diagnose: Action,
    utcnow: Callable[[], datetime],
) -> Mapping[str, Action]:
    """Order kind → its action; each ends with an answer, None while it lasts."""

    async def restart(order: Order) -> Answer:
        return await requests.restart(
            order.subject, _reason(order), by=str(order.payload.get("by", "operator"))
        )

    async def move(order: Order) -> Answer:
        return await conductor.move(
            order.key, str(order.payload.get("action")), order.subject, _reason(order)
        )

    async def reload(order: Order) -> Answer:
        return await requests.reload(order.subject, _reason(order))

    async def reset(order: Order) -> Answer:
        return await requests.reset(
            order.subject, _reason(order), str(order.payload.get("expects", ""))
        )

    moving = {OrderKind.RESTART: restart, OrderKind.MOVE: move, OrderKind.RELOAD: reload}
    long: dict[str, Callable[[Order], Awaitable[Answer]]] = {
        OrderKind.CHECK: run_check,
        **{kind: _while_meant(action, utcnow) for kind, action in moving.items()},
    }
    long |= clean_orders(housekeeper)
    return {
        OrderKind.DIAGNOSE: diagnose,
        OrderKind.RESET: _while_meant(reset, utcnow),
        OrderKind.BREAKER: lambda order: requests.close_breaker(_reason(order)),
        OrderKind.RESUME: lambda _order: requests.resume(),
        **{kind: aside.wrap(action) for kind, action in long.items()},
    }


def _while_meant(
    action: Callable[[Order], Awaitable[Answer]], utcnow: Callable[[], datetime]
) -> Callable[[Order], Awaitable[Answer]]:
    """What moves a platform is meant now: an order that no daemon took in time is not carried out
    days later.
    """

    async def act(order: Order) -> Answer:
        until = order.payload.get("until")
        if until and utcnow() > datetime.fromisoformat(str(until)):
            again = "give the order again if it still is to be"
            return Answer.refused(f"it was to be done until {until}; {again}")
        return await action(order)

    return act


def _reason(order: Order) -> str:
    return str(order.payload.get("reason", ""))
