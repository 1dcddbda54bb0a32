"""Passive delivery accounting on Redis Streams: anchors, cohorts, settlement, losses, lineage.

The specification is measurement.md §1; every figure is a point where the server's numbers prove it
and an interval that holds the truth elsewhere. Pure: `now` is the server's TIME inside each
snapshot.
"""

from sentinel.core.bus.delivery.account import (
    EMPTY,
    MAX_ANCHORS,
    MAX_COHORTS,
    StreamAccount,
    begin_account,
)
from sentinel.core.bus.delivery.balance import Account
from sentinel.core.bus.delivery.cohort import (
    ACK,
    DELIVER,
    Answer,
    Cohort,
    Deadlines,
    Due,
    Question,
    Settlement,
)
from sentinel.core.bus.delivery.group import OUTCOMES, GroupAccount
from sentinel.core.bus.delivery.lineage import GONE, REASONS, RECREATED, ROLLBACK, XSETID, Break
from sentinel.core.bus.delivery.persistence import dump_account, load_account, write_account
from sentinel.core.bus.delivery.stream import (
    MAX_SEQUENCE,
    NO_CALLS,
    ZERO,
    Anchor,
    Calls,
    Capability,
    GroupView,
    Id,
    StreamView,
    format_id,
    parse_id,
    precede,
)
from sentinel.core.quantity import Bounds

__all__ = [
    "ACK",
    "DELIVER",
    "EMPTY",
    "GONE",
    "MAX_ANCHORS",
    "MAX_COHORTS",
    "MAX_SEQUENCE",
    "NO_CALLS",
    "OUTCOMES",
    "REASONS",
    "RECREATED",
    "ROLLBACK",
    "XSETID",
    "ZERO",
    "Account",
    "Anchor",
    "Answer",
    "Bounds",
    "Break",
    "Calls",
    "Capability",
    "Cohort",
    "Deadlines",
    "Due",
    "GroupAccount",
    "GroupView",
    "Id",
    "Question",
    "Settlement",
    "StreamAccount",
    "StreamView",
    "begin_account",
    "dump_account",
    "format_id",
    "load_account",
    "parse_id",
    "precede",
    "write_account",
]
