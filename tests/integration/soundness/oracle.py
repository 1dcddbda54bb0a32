"""Holds what is claimed against the ledger: every interval must contain the truth, under one
reading for all figures of a claim.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from tests.integration.soundness.ledger import ACKED, DROPPED, LOST, PENDING, WAITING, Id
from tests.integration.soundness.owed import MAY, MUST, Owed

DELIVERED = frozenset({ACKED, PENDING, DROPPED})
Range = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Claim:
    """What is said of some entries of a group: how many they are, and bounds of each outcome.

    `good` are the entries with a fate in `goods`. `dropped` is an upper bound only, None where it
    is not told. At most `unseen` more were published.
    """

    what: str
    size: int
    unseen: int
    bounds: dict[str, Range]
    good: Range
    goods: frozenset[str] = frozenset({ACKED})
    span: tuple[Id, Id] | None = None


def judge_claim(claim: Claim, owed: Sequence[Owed]) -> list[str]:
    """Complaints under the reading that comes nearest; none when the claim is true."""
    best: list[str] | None = None
    for musts, mays in _list_readings(owed):
        found = _complain(claim, musts, mays)
        if not found:
            return []
        if best is None or len(found) < len(best):
            best = found
    return best or []


def _list_readings(owed: Sequence[Owed]) -> Iterable[tuple[list[Owed], list[Owed]]]:
    """Each choice of what counts: entries that must, and others that may."""
    tags = sorted({each.tag for each in owed} - {MUST, MAY})
    if len(tags) > 5:
        tags = []
        owed = [each if each.tag == MUST else replace(each, tag=MAY) for each in owed]
    mays = [each for each in owed if each.tag == MAY]
    for count in range(len(tags) + 1):
        for chosen in combinations(tags, count):
            musts = [each for each in owed if each.tag == MUST or each.tag in chosen]
            yield musts, mays


def _complain(claim: Claim, musts: Sequence[Owed], mays: Sequence[Owed]) -> list[str]:
    found = []
    slack = claim.unseen
    least, most = len(musts), len(musts) + len(mays)
    if not (claim.size <= most and least <= claim.size + slack):
        found.append(f"{claim.size} (+{slack}) entries, truth {least} to {most}")
    for outcome, (low, high) in claim.bounds.items():
        sure = [each.id for each in musts if each.fates == {outcome}]
        possible = sum(1 for each in (*musts, *mays) if outcome in each.fates)
        if not (len(sure) <= high + slack and low <= possible):
            which = f" {_show(sure)}" if len(sure) > high + slack else ""
            found.append(f"{outcome} [{low}, {high}], truth {len(sure)} to {possible}{which}")
    sure = [each.id for each in musts if each.fates <= claim.goods]
    possible = sum(1 for each in (*musts, *mays) if each.fates & claim.goods)
    low, high = claim.good
    if not (len(sure) <= high and low <= possible):
        found.append(f"good [{low}, {high}], truth {len(sure)} to {possible}")
    return found


def judge_span(claim: Claim, owed: Sequence[Owed]) -> list[str]:
    """As `judge_claim`, for the entries of a span of ids in one life of the group. What was judged
    when that life ended may leave open how it ended, but not count as acknowledged what was not.
    """
    assert claim.span is not None
    after, upto = claim.span
    inside = [each for each in owed if after < each.id <= upto]
    places = sorted({each.place for each in inside}, reverse=True)
    best: list[str] | None = None
    for place in places:
        mine = [each for each in inside if each.place == place]
        for chosen in (mine, [_leave_open(each) for each in mine if each.ended]):
            if not chosen:
                continue
            found = judge_claim(claim, chosen)
            if not found:
                return []
            if best is None or len(found) < len(best):
                best = found
    return best if best is not None else judge_claim(claim, [])


def _leave_open(each: Owed) -> Owed:
    if each.fates == {ACKED}:
        return each
    return replace(each, fates=each.fates | {WAITING, PENDING, LOST, DROPPED})


def _show(ids: Sequence[Id]) -> str:
    return ", ".join(f"{a}-{b}" for a, b in sorted(ids)[:12])
