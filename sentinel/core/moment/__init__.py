"""Instants: ours, which no change of the wall clock can move, and those that platforms write, in
whichever zone.
"""

from sentinel.core.moment.instant import (
    Moment,
    from_unix,
    is_time,
    is_wall_time,
    read_instant,
    read_moment,
    write_moment,
)

__all__ = [
    "Moment",
    "from_unix",
    "is_time",
    "is_wall_time",
    "read_instant",
    "read_moment",
    "write_moment",
]
