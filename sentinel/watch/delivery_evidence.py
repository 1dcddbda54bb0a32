"""What a look at deliveries shows as evidence: the account, how wide the look was, late entries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sentinel.adapters.bus.stream import PendingEntry
from sentinel.core.bus.delivery import OUTCOMES, Account, GroupAccount, Id, format_id
from sentinel.core.bus.delivery.board import Board
from sentinel.core.bus.delivery.fleet import DELIVERY_COUNTERS, Standing, Totals
from sentinel.core.bus.delivery.statement import (
    describe_figures,
    describe_worst,
    find_ratio,
    sum_accounts,
)
from sentinel.core.bus.naming import quote
from sentinel.watch.delivery import BusWatch
from sentinel.watch.scope import BusSight

WORST = 20
"""At most so many groups, streams or events are shown."""


def describe_account(watch: BusWatch, board: Board, totals: Totals) -> dict[str, Any]:
    """Where everything stands that was published to a judged group since the watch began."""
    settled = _sum_counters(totals, {outcome: outcome for outcome in OUTCOMES})
    reached = _sum_counters(totals, DELIVERY_COUNTERS)
    figures = sum_accounts([watch.books.retired.figures, board.sum_figures()])
    unseen = sum(each.unseen for each in watch.accounts.values())
    if watch.legacy.needed:
        shared = watch.legacy.share(figures.unseen, watch.legacy.widest)
        figures = replace(figures, unseen=shared)
        unseen = watch.legacy.share(unseen)
    deadlines = watch.books.deadlines
    return {
        **describe_figures(figures),
        "unseen": unseen,
        "settled": settled,
        "ratio": find_ratio(settled),
        "deadline_seconds": deadlines.ack,
        "settled_delivery": reached,
        "ratio_delivered": find_ratio(reached, "delivered"),
        "delivered_deadline_seconds": deadlines.deliver,
        "entries": sum(sums["published_total"] for sums in board.totals.streams.values()),
        "streams": _describe_streams(watch, board),
    }


def _sum_counters(totals: Totals, counters: Mapping[str, str]) -> dict[str, int]:
    """Sums over all groups, by outcome; `counters` names the counter of each."""
    groups = totals.groups.values()
    return {outcome: sum(sums[name] for sums in groups) for outcome, name in counters.items()}


def _describe_streams(watch: BusWatch, board: Board) -> dict[str, Any]:
    """The groups with the most trouble."""
    found: list[tuple[str, str, Account, GroupAccount]] = []
    standings: list[Standing] = []
    for name in board.pick(WORST):
        account = watch.accounts[name]
        found += [(name, each, account.account_of(each), g) for each, g in account.groups.items()]
        standings += board.cards[name].standings
    return describe_worst(found, standings, WORST)


def describe_poll(watch: BusWatch, sight: BusSight) -> dict[str, float]:
    """How wide a poll really is: an entry is judged at most so much later than its deadline."""
    oldest = min(
        (account.now for account in watch.accounts.values() if account.present), default=sight.now
    )
    return {
        "streams": len(watch.accounts),
        "read": sight.read,
        "width_seconds": round(sight.now - oldest, 3),
    }


def describe_samples(
    watch: BusWatch, sight: BusSight, standings: Sequence[Standing]
) -> list[dict[str, Any]]:
    """Late entries by id, with a command that looks at them: three of each of the worst groups."""
    samples: list[dict[str, Any]] = []
    worst_first = sorted(sight.overdue.items(), key=lambda item: -len(item[1]))[:WORST]
    for place, entries in worst_first:
        samples += [_describe_pending(*place, entry) for entry in entries[:3]]
    for each in standings:
        oldest = watch.accounts[each.stream].groups[each.group].oldest_waiting
        if each.waiting.lo and oldest is not None and len(samples) < 3 * WORST:
            samples.append(_describe_waiting(each, oldest))
    return samples


def _describe_pending(stream: str, group: str, entry: PendingEntry) -> dict[str, Any]:
    return {
        "stream": stream,
        "group": group,
        "state": "pending",
        "id": entry.id,
        "consumer": entry.consumer,
        "idle_seconds": entry.idle,
        "deliveries": entry.deliveries,
        "look": f"XPENDING {quote(stream)} {quote(group)} {entry.id} {entry.id} 1",
    }


def _describe_waiting(standing: Standing, oldest: Id) -> dict[str, Any]:
    return {
        "stream": standing.stream,
        "group": standing.group,
        "state": "waiting",
        "id": format_id(oldest),
        "look": f"XINFO GROUPS {quote(standing.stream)}"
        if standing.missing
        else f"XINFO CONSUMERS {quote(standing.stream)} {quote(standing.group)}",
    }
