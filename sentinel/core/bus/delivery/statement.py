"""Accounts as the JSON that people and tests read, and the one line of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sentinel.core.bus.delivery.balance import Account, list_account
from sentinel.core.bus.delivery.cohort import Deadlines
from sentinel.core.bus.delivery.fleet import Standing
from sentinel.core.bus.delivery.group import GroupAccount
from sentinel.core.fault import Fault, headline
from sentinel.core.quantity import Bounds, format_duration


def find_ratio(settled: Mapping[str, int], good: str = "acked") -> list[float]:
    """[low, high] of what was good by the deadline over everything settled; [0, 1] of nothing."""
    size = sum(settled.values())
    return (
        [settled[good] / size, (settled[good] + settled["uncertain"]) / size]
        if size
        else [0.0, 1.0]
    )


def sum_accounts(accounts: Sequence[Account]) -> Account:
    """The sum of accounts."""
    return Account(
        sum(each.published for each in accounts),
        sum((each.waiting for each in accounts), start=Bounds(0, 0)),
        sum((each.pending for each in accounts), start=Bounds(0, 0)),
        sum((each.lost for each in accounts), start=Bounds(0, 0)),
        sum(each.dropped for each in accounts),
        sum(each.unseen for each in accounts),
        sum(each.unaccounted for each in accounts),
    )


def describe_figures(account: Account) -> dict[str, Any]:
    """An account as JSON: [low, high] for what may be vague, a number or [low, high] for pending
    and waiting.
    """
    acknowledged = account.acknowledged
    return {
        "published": account.published,
        "acknowledged": [acknowledged.lo, acknowledged.hi],
        "pending": _number(account.pending),
        "waiting": _number(account.waiting),
        "lost": [account.lost.lo, account.lost.hi + account.unseen],
        "dropped": [0, account.dropped],
        "unaccounted": [0, account.unaccounted],
    }


def _number(bounds: Bounds) -> int | list[int]:
    return bounds.lo if bounds.exact else [bounds.lo, bounds.hi]


def describe_worst(
    groups: Sequence[tuple[str, str, Account, GroupAccount]],
    standings: Sequence[Standing],
    limit: int,
) -> dict[str, Any]:
    """The streams and groups with the most trouble, by name."""
    now = {(each.stream, each.group): each for each in standings}
    worst_first = sorted(
        groups, key=lambda g: (-g[2].lost.lo, -g[2].waiting.hi - g[2].pending.hi, g[0])
    )
    shown = {}
    for name, group, account, known in worst_first[:limit]:
        standing = now.get((name, group))
        shown[f"{name} {group}"] = {
            **describe_figures(account),
            "settled": dict(known.settled),
            "settled_delivery": dict(known.reached),
            "oldest_waiting_age_seconds": standing.oldest_waiting if standing else None,
            "oldest_pending_age_seconds": standing.oldest_pending if standing else None,
            "pending_overdue": standing.overdue if standing else None,
        }
    return shown


def dump_figures(account: Account) -> list[int]:
    """JSON-able document."""
    return list(list_account(account))


def load_figures(document: Sequence[int]) -> Account:
    """What `dump_figures` gave."""
    published, dropped, *ends = document
    waiting, pending, lost = (Bounds(*ends[n : n + 2]) for n in (0, 2, 4))
    return Account(published, waiting, pending, lost, dropped, *ends[6:])


# -- words ----------------------------------------------------------------------------------------


def describe_total(
    deadlines: Deadlines, account: Mapping[str, Any], faults: Sequence[Fault], *, measured: bool
) -> str:
    """One line: the worst fault first, then the figures of all streams since the watch began."""
    news = [headline(faults)] if faults else []
    if not measured:
        return "; ".join(news)
    figures = f"{account['published']:,} published, {_describe_ratios(deadlines, account)}"
    lost = _describe_bounds(account["lost"])
    return "; ".join([*news, f"all streams since the watch began: {figures}; {lost} lost"])


def _describe_ratios(deadlines: Deadlines, account: Mapping[str, Any]) -> str:
    """Both reliabilities; the one of deliveries only where it says something of its own."""
    acked, reached = describe_ratio(account["ratio"]), describe_ratio(account["ratio_delivered"])
    words = f"{acked} acknowledged in {format_duration(deadlines.ack)}"
    if reached == acked and deadlines.deliver == deadlines.ack:
        return words
    return f"{words}, {reached} delivered in {format_duration(deadlines.deliver)}"


def describe_ratio(ratio: Sequence[float] | None) -> str:
    """`99.95 %` or `[94.2, 99.0] %`; a dash while nothing is settled."""
    if ratio is None or ratio == [0.0, 1.0]:
        return "–"
    lo, hi = (100 * each for each in ratio)
    return f"{_floor(lo):.4g} %" if lo == hi else f"[{_floor(lo):.4g}, {hi:.4g}] %"


def _floor(percent: float) -> float:
    """Never round a miss up to 100."""
    return min(percent, 99.99) if percent < 100 else percent


def _describe_bounds(bounds: Sequence[int]) -> str:
    return f"{bounds[0]:,}" if bounds[0] == bounds[1] else f"{bounds[0]:,} to {bounds[1]:,}"
