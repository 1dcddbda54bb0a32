"""Which families are exported when all together would be too many. Pure.

Whole families, the smallest first: half a family would be a false sum, and what grew out of bounds
is what goes.
"""

from __future__ import annotations

from collections.abc import Mapping, Set

MAX_SERIES = 100_000
"""Of the rows of all checks together, buckets of histograms included. Sentinel's own figures have a
bound of their own: so many a check.
"""
ROOM = 0.9
"""A family that was left out comes back when it fits into this share of the cap: one at the edge
must not come and go.
"""

NAMED = 3
"""Families that the line for people names."""


def decide_left_out(
    sizes: Mapping[str, int], before: Set[str], most: int = MAX_SERIES
) -> dict[str, int]:
    """Families that are not exported, with their numbers of series: the largest ones, so that the
    others fit into `most`. `before` are those that were left out last time.
    """
    room, left_out = most, {}
    for name, size in sorted(sizes.items(), key=lambda each: (each[1], each[0])):
        spare = (1 - ROOM) * most if name in before else 0
        if size > room - spare:
            left_out[name] = size
        else:
            room -= size
    return left_out


def describe_left_out(left_out: Mapping[str, int], most: int = MAX_SERIES) -> str:
    """One line for people, or ""."""
    if not left_out:
        return ""
    named = [f"{name} ({size:,} series)" for name, size in sorted(left_out.items())[:NAMED]]
    named += [f"{len(left_out) - NAMED} more"] * (len(left_out) > NAMED)
    return (
        f"left out of /metrics: {', '.join(named)}, for all rows together are more than {most:,} "
        "series: narrow what its checks count"
    )
