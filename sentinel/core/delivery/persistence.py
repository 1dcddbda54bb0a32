"""An account as a JSON document and back: a restart is then just one long poll (measurement.md §1.8)."""

from __future__ import annotations

from typing import Any

from sentinel.core.delivery.account import StreamAccount
from sentinel.core.delivery.cohort import Cohort, Deadlines
from sentinel.core.delivery.group import GroupAccount
from sentinel.core.delivery.stream import (
    Anchor,
    Bounds,
    Capability,
    GroupView,
    StreamView,
    format_id,
    parse_id,
)


def dump_account(account: StreamAccount) -> dict[str, Any]:
    """Everything that must survive a restart."""
    return {
        "anchors": [[format_id(anchor.id), anchor.rank, anchor.at] for anchor in account.anchors],
        "cohorts": [cohort.dump() for cohort in account.cohorts],
        "groups": {name: group.dump() for name, group in account.groups.items()},
        "view": _dump_view(account.view) if account.view else None,
        "gap": [account.gap.lo, account.gap.hi],
        "present": account.present,
        "totals": [account.published, account.removed, account.removed_seen, account.rolled_back],
        "resets": dict(account.resets),
        "now": account.now,
        "calls": list(account.calls),
    }


def load_account(document: dict[str, Any], deadlines: Deadlines, capability: Capability) -> StreamAccount:
    """What `dump_account` gave."""
    published, removed, removed_seen, rolled_back = document["totals"]
    view = _load_view(document["view"]) if document["view"] else None
    deletions, claims = document.get("calls") or ((view.deletions, view.claims) if view else (0, 0))
    return StreamAccount(
        deadlines,
        capability,
        [Anchor(parse_id(entry), rank, at) for entry, rank, at in document["anchors"]],
        [Cohort.load(cohort) for cohort in document["cohorts"]],
        {name: GroupAccount.load(group) for name, group in document["groups"].items()},
        view,
        Bounds(*document["gap"]),
        document["present"],
        published,
        removed,
        removed_seen,
        rolled_back,
        dict(document["resets"]),
        now=document.get("now") or (view.now if view else 0.0),
        calls=(deletions, claims),
    )


def _dump_view(view: StreamView) -> dict[str, Any]:
    return {
        "numbers": [view.now, view.added, view.length, view.deletions, view.claims],
        "ids": [format_id(entry) for entry in (view.last, view.first, view.max_deleted)],
        "groups": [_dump_group(group) for group in view.groups.values()],
    }


def _load_view(document: dict[str, Any]) -> StreamView:
    now, added, length, deletions, claims = document["numbers"]
    last, first, max_deleted = (parse_id(entry) for entry in document["ids"])
    groups = [_load_group(group) for group in document["groups"]]
    return StreamView(now, added, length, last, first, max_deleted, {g.name: g for g in groups}, deletions, claims)


def _dump_group(group: GroupView) -> list[Any]:
    oldest = format_id(group.oldest_pending) if group.oldest_pending else None
    delivered = format_id(group.last_delivered)
    return [group.name, delivered, group.pending, group.consumers, group.entries_read, group.lag, oldest]


def _load_group(document: list[Any]) -> GroupView:
    name, delivered, pending, consumers, read, lag, oldest = document
    oldest_pending = parse_id(oldest) if oldest else None
    return GroupView(name, parse_id(delivered), pending, consumers, read, lag, oldest_pending)
