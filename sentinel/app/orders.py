"""What may be ordered on the command line, and who carries it out. What takes long runs aside."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from sentinel.app.housekeeping import clean_orders
from sentinel.core.fault import Acceptance
from sentinel.core.moment import Moment, read_moment
from sentinel.core.order import Answer, Order, OrderKind
from sentinel.engine.aside import Aside
from sentinel.engine.conductor import Conductor
from sentinel.engine.housekeeper import Housekeeper
from sentinel.engine.pipeline import Pipeline
from sentinel.engine.requests import OperatorRequests

MEANT = 60.0
"""Seconds within which an order to move something is begun, or not at all."""
Work = Callable[[Order], Awaitable[Answer]]
Action = Callable[[Order], Awaitable[Answer | None]]
"""As `Work`, None while it lasts."""


def make_orders(
    requests: OperatorRequests,
    conductor: Conductor,
    housekeeper: Housekeeper,
    aside: Aside,
    run_check: Work,
    pipeline: Pipeline,
    diagnose: Action,
    moment: Callable[[], Moment],
) -> Mapping[str, Action]:
    """Order kind → its action."""

    async def reset(order: Order) -> Answer:
        expects = str(order.payload.get("expects", ""))
        return await requests.reset(order.subject, _reason(order), expects)

    async def accept(order: Order) -> Answer:
        given = order.payload
        names = [str(given.get(word, "")) for word in ("fault", "reason", "by", "expects")]
        fault, reason, by, expects = names
        word = Acceptance(fault, dict(given.get("subject", {})), reason, moment().at, by)
        return await pipeline.accept(order.subject, word, expects)

    moving = _moving(requests, conductor)
    long: dict[str, Work] = {
        OrderKind.CHECK: run_check,
        **{kind: _while_meant(action, moment) for kind, action in moving.items()},
        **clean_orders(housekeeper),
    }
    return {
        OrderKind.DIAGNOSE: diagnose,
        OrderKind.RESET: _while_meant(reset, moment),
        OrderKind.ACCEPT: accept,
        OrderKind.BREAKER: lambda order: requests.close_breaker(_reason(order)),
        OrderKind.RESUME: lambda _order: requests.resume(),
        **{kind: aside.wrap(action) for kind, action in long.items()},
    }


def _moving(requests: OperatorRequests, conductor: Conductor) -> dict[str, Work]:
    """What starts, stops or disturbs components, and takes as long as they do."""

    async def restart(order: Order) -> Answer:
        by = str(order.payload.get("by", "operator"))
        return await requests.restart(order.subject, _reason(order), by=by)

    async def move(order: Order) -> Answer:
        action = str(order.payload.get("action"))
        return await conductor.move(order.key, action, order.subject, _reason(order))

    async def reload(order: Order) -> Answer:
        return await requests.reload(order.subject, _reason(order))

    return {OrderKind.RESTART: restart, OrderKind.MOVE: move, OrderKind.RELOAD: reload}


def _while_meant(action: Work, moment: Callable[[], Moment]) -> Work:
    """What moves a platform is meant now: an order that no daemon took in time is not carried out
    days later. Time goes by the machine's uptime, whoever sets the date.
    """

    async def act(order: Order) -> Answer:
        given = str(order.payload.get("given", ""))
        if not given or not moment().is_meant_until(read_moment(given), MEANT):
            at = f"it was given at {given[:19]} UTC" if given else "nobody knows when it was given"
            again = "give the order again if it still is to be"
            return Answer.refused(f"{at}, and is meant for {MEANT:g} s; {again}")
        return await action(order)

    return act


def _reason(order: Order) -> str:
    return str(order.payload.get("reason", ""))
