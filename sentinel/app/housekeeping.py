"""Housekeeping in the daemon: chores on its calendar, plans and applies as orders."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from zoneinfo import ZoneInfo

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.base import BaseTrigger

from sentinel.app.cron import CronLine, EverySoOften
from sentinel.core.bus.housekeeping import CAP_WINDOW, Chore, CleanPlan
from sentinel.core.moment import Moment, read_moment
from sentinel.core.order import Answer, Order, OrderKind
from sentinel.core.schedule import phase
from sentinel.engine.housekeeper import Housekeeper
from sentinel.errors import SentinelError
from sentinel.store import Store
from sentinel.store.document import to_json
from sentinel.store.plans import ChoreRun
from sentinel.store.salvage import CLEANING_LOST, JOURNAL_LOST

_JOB = "chore-"
BUSY = "an action on a component is running: try again when it has ended"


def find_amnesia(store: Store, now: Moment) -> str:
    """Why the cap of this hour can't be known: what was cleaned was lost with the database."""
    for word in (JOURNAL_LOST, CLEANING_LOST):
        lost = store.meta(word)
        if lost and now.seconds_since(read_moment(lost)) < CAP_WINDOW:
            return "the journal was lost within the last hour: what was cleaned in it is not known"
    return ""


def schedule_chores(
    calendar: AsyncIOScheduler, housekeeper: Housekeeper, chores: Sequence[Chore]
) -> None:
    """Put the chores of a configuration on the calendar, in place of those that were."""
    before = {name: (c.every, c.cron, c.timezone) for name, c in housekeeper.chores.items()}
    housekeeper.configure(chores)
    after = {c.name: (c.every, c.cron, c.timezone) for c in chores}
    for job in calendar.get_jobs():
        name = job.id.removeprefix(_JOB)
        if name != job.id and after.get(name) != before.get(name):
            job.remove()
    for chore in chores:
        trigger = _trigger_of(chore)
        if trigger is not None and calendar.get_job(_JOB + chore.name) is None:
            calendar.add_job(housekeeper.run, trigger, args=[chore.name], id=_JOB + chore.name)


def _trigger_of(chore: Chore) -> BaseTrigger | None:
    """`every` begins at the chore's own place in its interval, so that not all of them come
    together.
    """
    if chore.cron is not None:
        return CronLine(chore.cron, ZoneInfo(chore.timezone))
    if chore.every is None:
        return None
    return EverySoOften(chore.every, phase(chore.name) * chore.every)


def clean_orders(
    housekeeper: Housekeeper,
) -> Mapping[str, Callable[[Order], Awaitable[Answer]]]:
    """What may be ordered of a daemon; the answer's document is the plan or the run."""

    async def plan(order: Order) -> Answer:
        parameters, by = order.payload.get("parameters", {}), str(order.payload.get("by", ""))
        return await _answer(housekeeper.plan(order.subject, parameters, by))

    async def apply(order: Order) -> Answer:
        return await _answer(housekeeper.apply(order.subject, str(order.payload.get("by", ""))))

    return {OrderKind.CLEAN_PLAN: plan, OrderKind.CLEAN_APPLY: apply}


async def _answer(work: Awaitable[CleanPlan | ChoreRun]) -> Answer:
    try:
        return Answer.done("", to_json(await work))
    except SentinelError as error:
        document = {"remedy": error.guidance, "exit_code": error.exit_code}
        return Answer.refused(error.message, document)
