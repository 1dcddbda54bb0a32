"""An account as a JSON document and back: a restart is then just one long poll (measurement.md
§1.8).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from sentinel.core.bus.delivery.account import StreamAccount
from sentinel.core.bus.delivery.balance import Account
from sentinel.core.bus.delivery.cohort import Cohort, Deadlines, Open
from sentinel.core.bus.delivery.group import DELIVERY_OUTCOMES, OUTCOMES, GroupAccount
from sentinel.core.bus.delivery.lag import LagDoubt
from sentinel.core.bus.delivery.lineage import REASONS
from sentinel.core.bus.delivery.loss import Losses
from sentinel.core.bus.delivery.reads import ReadCount
from sentinel.core.bus.delivery.stream import (
    NO_CALLS,
    NOTHING,
    Anchor,
    Calls,
    Capability,
    GroupView,
    Id,
    StreamView,
    format_id,
    parse_id,
)
from sentinel.core.quantity import Bounds


def dump_account(account: StreamAccount) -> dict[str, Any]:
    """Everything that must survive a restart."""
    return {
        "anchors": [anchor.dump() for anchor in account.anchors],
        "cohorts": [cohort.dump() for cohort in account.cohorts],
        "groups": {name: dump_group(group) for name, group in account.groups.items()},
        "view": _dump_view(account.view) if account.view else None,
        "gap": [account.gap.lo, account.gap.hi],
        "present": account.present,
        "totals": [account.published, account.removed, account.removed_seen, account.rolled_back],
        "resets": dict(account.resets),
        "now": account.now,
        "calls": list(account.calls),
        "unseen": account.unseen,
        "lags": account.lags.dump(),
    }


def write_account(account: StreamAccount) -> str:
    """The JSON text of `dump_account`, in a tenth of its time: ids and plain names need no encoder."""
    view = account.view
    anchors = ",".join([anchor.text for anchor in account.anchors])
    cohorts = ",".join([_write_cohort(cohort) for cohort in account.cohorts])
    groups = ",".join(
        [f"{_quote(name)}:{_write_group(group)}" for name, group in account.groups.items()]
    )
    return (
        f'{{"anchors":[{anchors}],"cohorts":[{cohorts}],"groups":{{{groups}}},'
        f'"view":{"null" if view is None else _write_view(view)},"gap":[{account.gap.lo},{account.gap.hi}],'
        f'"present":{"true" if account.present else "false"},'
        f'"totals":[{account.published},{account.removed},{account.removed_seen},{account.rolled_back}],'
        f'"resets":{_RESETS % tuple(map(account.resets.__getitem__, REASONS))},"now":{account.now!r},'
        f'"calls":[{_CALLS % account.calls}],"unseen":{account.unseen},'
        f'"lags":{_write_lags(account.lags)}}}'
    )


def _write_cohort(cohort: Cohort) -> str:
    unseen = f",{cohort.unseen}" if cohort.unseen else ""
    return f"[{cohort.start.text},{cohort.end.text},{_write_open(cohort.open)}{unseen}]"


@lru_cache(maxsize=1024)
def _write_open(names: Open) -> str:
    """Thousands of streams share few groups."""
    return json.dumps(sorted(list(pair) for pair in names), separators=(",", ":"))


@lru_cache(maxsize=1024)
def _quote(name: str) -> str:
    return json.dumps(name)


def _write_group(group: GroupAccount) -> str:
    """As `dump_group`; its rare parts by that very way."""
    losses = group.losses
    ledger = _NO_LOSSES if losses.spotless else json.dumps(losses.dump(), separators=(",", ":"))
    position, high, waiting, pending, lost = (
        group.position,
        group.high_rank,
        group.waiting,
        group.pending,
        group.closed.lost,
    )
    return _GROUP % (
        group.base.text,
        *group.delivered,
        *group.high,
        *(
            position.lo,
            position.hi,
            high.lo,
            high.hi,
            waiting.lo,
            waiting.hi,
            pending.lo,
            pending.hi,
            lost.lo,
            lost.hi,
        ),
        "null" if group.reads.surplus is None else group.reads.surplus,
        group.reads.certain,
        ledger,
        group.closed.published,
        group.closed.dropped,
        *map(group.settled.__getitem__, OUTCOMES),
        *map(group.reached.__getitem__, DELIVERY_OUTCOMES),
        *group.counted,
        _TRUTH[group.fresh],
        _TRUTH[group.gone],
        _TRUTH[group.replayed],
        group.doubt,
        group.unseen,
        _TRUTH[group.returned],
        group.closed.unaccounted,
        *group.stood,
        group.ended,
    )


_NO_FLAGS = (False, 0, 0, False, 0, "0-0")
"""Replayed, doubt, unseen, returned, unaccounted, stood: what earlier versions did not write."""


def _counts(names: Sequence[str]) -> str:
    return "{" + ",".join(f'"{name}":%d' for name in names) + "}"


_TRUTH = ("false", "true")
_NO_LOSSES = json.dumps(Losses().dump(), separators=(",", ":"))
_GROUP = (
    '{"base":%s,"delivered":"%d-%d","high":"%d-%d","bounds":[[%d,%d],[%d,%d],[%d,%d],[%d,%d],[%d,%d]],'
    '"reads":[%s,%d],"losses":%s,"closed":[%d,%d],"settled":'
    + _counts(OUTCOMES)
    + ',"reached":'
    + _counts(DELIVERY_OUTCOMES)
    + ',"counted":[%d,%d,%d],"flags":[%s,%s,%s,%d,%d,%s,%d,"%d-%d"],"ended":%r}'
)
_RESETS = _counts(REASONS)
_CALLS = ",".join(["%d"] * len(Calls._fields))


def _write_view(view: StreamView) -> str:
    groups = ",".join([_write_group_view(group) for group in view.groups.values()])
    ids = ",".join([f'"{entry[0]}-{entry[1]}"' for entry in _list_ids(view)])
    numbers = f"{view.now!r},{view.added},{view.length},{_CALLS % view.calls}"
    return f'{{"numbers":[{numbers}],"ids":[{ids}],"groups":[{groups}]}}'


def _write_group_view(group: GroupView) -> str:
    oldest = "null" if group.oldest_pending is None else f'"{format_id(group.oldest_pending)}"'
    read = "null" if group.entries_read is None else group.entries_read
    lag = "null" if group.lag is None else group.lag
    delivered = f"{group.last_delivered[0]}-{group.last_delivered[1]}"
    missing = ",true" if group.missing else ""
    numbers = f"{group.pending},{group.consumers},{read},{lag},{oldest}{missing}"
    return f'[{_quote(group.name)},"{delivered}",{numbers}]'


def dump_group(group: GroupAccount) -> dict[str, Any]:
    """JSON-able document."""
    closed = group.closed
    return {
        "base": group.base.dump(),
        "delivered": format_id(group.delivered),
        "high": format_id(group.high),
        "bounds": [
            [b.lo, b.hi]
            for b in (group.position, group.high_rank, group.waiting, group.pending, closed.lost)
        ],
        "reads": group.reads.dump(),
        "losses": group.losses.dump(),
        "closed": [closed.published, closed.dropped],
        "settled": dict(group.settled),
        "reached": dict(group.reached),
        "counted": list(group.counted),
        "flags": [
            group.fresh,
            group.gone,
            group.replayed,
            group.doubt,
            group.unseen,
            group.returned,
            closed.unaccounted,
            format_id(group.stood),
        ],
        "ended": group.ended,
    }


def load_group(document: dict[str, Any]) -> GroupAccount:
    """What `dump_group` gave."""
    position, high_rank, waiting, pending, lost = (Bounds(*pair) for pair in document["bounds"])
    published, dropped = document["closed"]
    fresh, gone, *later = document["flags"]
    later += _NO_FLAGS[len(later) :]
    replayed, doubt, unseen, returned, unaccounted, stood = later
    return GroupAccount(
        Anchor.load(document["base"]),
        position,
        parse_id(document["delivered"]),
        parse_id(document["high"]),
        high_rank,
        waiting,
        pending,
        ReadCount(*document.get("reads", ())),
        Losses.load(document["losses"]),
        Account(published, NOTHING, NOTHING, lost, dropped, unseen, unaccounted),
        dict(document["settled"]),
        dict(document["reached"]),
        tuple(document["counted"]),
        fresh,
        gone,
        ended=document["ended"],
        replayed=bool(replayed),
        unseen=unseen,
        doubt=doubt,
        returned=bool(returned),
        stood=parse_id(stood),
    )


def load_account(
    document: dict[str, Any], deadlines: Deadlines, capability: Capability
) -> StreamAccount:
    """What `dump_account` gave."""
    published, removed, removed_seen, rolled_back = document["totals"]
    view = _load_view(document["view"]) if document["view"] else None
    known = document.get("calls")
    calls = load_calls(known) if known else view.calls if view else NO_CALLS
    return StreamAccount(
        deadlines,
        capability,
        [Anchor.load(anchor) for anchor in document["anchors"]],
        [Cohort.load(cohort) for cohort in document["cohorts"]],
        {name: load_group(group) for name, group in document["groups"].items()},
        view,
        Bounds(*document["gap"]),
        document["present"],
        published,
        removed,
        removed_seen,
        rolled_back,
        dict(document["resets"]),
        now=document.get("now") or (view.now if view else 0.0),
        unseen=document["unseen"],
        calls=calls,
        lags=LagDoubt.load(document.get("lags"), view.groups if view else {}),
    )


def _write_lags(lags: LagDoubt) -> str:
    stale = json.dumps(sorted(lags.stale), separators=(",", ":")) if lags.stale else "[]"
    return f"[{lags.renumbers},{stale}]"


def _list_ids(view: StreamView) -> list[Id]:
    known = [view.last, view.first, view.max_deleted]
    return known if view.newest is None else [*known, view.newest]


def load_calls(numbers: Sequence[int]) -> Calls:
    """Calls as they were written; what an earlier version did not write is -1: it may have changed
    in any way.
    """
    return Calls(*numbers, *[-1] * (len(Calls._fields) - len(numbers)))


def _dump_view(view: StreamView) -> dict[str, Any]:
    return {
        "numbers": [view.now, view.added, view.length, *view.calls],
        "ids": [format_id(entry) for entry in _list_ids(view)],
        "groups": [_dump_group_view(group) for group in view.groups.values()],
    }


def _load_view(document: dict[str, Any]) -> StreamView:
    now, added, length, *calls = document["numbers"]
    ids = [parse_id(entry) for entry in document["ids"]]
    (last, first, max_deleted), newest_of = ids[:3], iter(ids[3:])
    groups = [_load_group_view(group) for group in document["groups"]]
    by_name = {group.name: group for group in groups}
    return StreamView(
        now,
        added,
        length,
        last,
        first,
        max_deleted,
        by_name,
        newest=next(newest_of, None),
        **load_calls(calls)._asdict(),
    )


def _dump_group_view(group: GroupView) -> list[Any]:
    oldest = format_id(group.oldest_pending) if group.oldest_pending else None
    delivered = format_id(group.last_delivered)
    return [
        group.name,
        delivered,
        group.pending,
        group.consumers,
        group.entries_read,
        group.lag,
        oldest,
        *([True] if group.missing else []),
    ]


def _load_group_view(document: list[Any]) -> GroupView:
    name, delivered, pending, consumers, read, lag, oldest, *missing = document
    first = parse_id(oldest) if oldest else None
    position, gone = parse_id(delivered), bool(missing)
    return GroupView(name, position, pending, consumers, read, lag, first, gone)
