"""How often commands were called on a server, from INFO commandstats, and whether two such counts
can be compared at all (measurement.md §11.7).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sentinel.core.bus.delivery import Calls

_PREFIX = "cmdstat_"
_SWAPS = ("restore", "restore-asking", "rename", "renamenx", "copy", "move", "swapdb")
"""What puts another stream, with its groups, in the place of one."""
_KEYS = ("expired_keys", "evicted_keys")
"""What INFO stats tells, which no command did."""
_STORES = (
    "sort", "sunionstore", "sinterstore", "sdiffstore", "zunionstore", "zinterstore", "zdiffstore",
    "zrangestore", "georadius", "georadiusbymember", "geosearchstore", "bitop",
)  # fmt: skip
"""What empties the key that it stores nothing in, of whatever type."""
_ENDS = (
    "del", "unlink", "getdel", "flushdb", "flushall", "migrate", "replicaof", "slaveof", "failover",
    "debug", *_STORES, *_KEYS,
)  # fmt: skip
"""What may end a stream, so that another one may take its name."""
_GROUP = "xgroup"
"""All that Redis 6.2 tells of its subcommands."""
_DELETIONS = ("xgroup|delconsumer", "xgroup|destroy", _GROUP)
_CLAIMS = ("xautoclaim", "xclaim", "xdelex", "xackdel")
_MOVES = ("xgroup|destroy", "xgroup|setid", _GROUP, *_SWAPS)
_CREATIONS = ("xgroup|create", _GROUP)
_READS = ("xreadgroup", "xack", "xackdel", "xnack")
_MEMBERS = (
    _DELETIONS,
    _CLAIMS,
    _MOVES,
    _CREATIONS,
    ("xclaim",),
    ("xsetid",),
    _READS,
    _SWAPS,
    (),  # epochs: no command makes one
    _ENDS,
)
_RESET = "config|resetstat"


@dataclass(frozen=True, slots=True)
class CommandCounts:
    """Calls by command, of one process. `refused` are those that failed, which changed nothing."""

    process: str
    calls: Mapping[str, int]
    refused: Mapping[str, int] = field(default_factory=dict)

    def continues(self, earlier: CommandCounts) -> bool:
        """Whether both were counted by one process without a RESETSTAT in between.

        A reset counts itself as called, and makes fewer of everything else.
        """
        calls = self.calls
        if self.process != earlier.process or calls.get(_RESET) != earlier.calls.get(_RESET):
            return False
        return all(calls.get(command, 0) >= count for command, count in earlier.calls.items())

    def done(self, commands: Iterable[str]) -> int:
        """How often these succeeded."""
        calls, refused = self.calls, self.refused
        return sum(calls.get(each, 0) - refused.get(each, 0) for each in commands)

    def plus(self, calls: Mapping[str, int]) -> CommandCounts:
        """With so many more calls, which are known to have changed nothing of what is watched."""
        more = {command: self.calls.get(command, 0) + count for command, count in calls.items()}
        return replace(self, calls={**self.calls, **more})

    @property
    def watched(self) -> tuple[int, ...]:
        """Successful calls of what may change groups and numbers, as `Calls` names them."""
        return tuple(self.done(commands) for commands in _MEMBERS)

    @property
    def rare(self) -> Calls:
        """1 for each of the commands of which most platforms never run one, if somebody did."""
        renumbers, swaps = self.done(("xsetid",)), self.done(_SWAPS)
        return Calls(renumbers=min(renumbers, 1), swaps=min(swaps, 1))

    @property
    def removals(self) -> int:
        """XDEL: Redis 6.2 does not tell per stream what it deleted."""
        return self.done(("xdel",))

    @property
    def swaps(self) -> int:
        """What puts another stream in the place of one, or gives it another last id."""
        return self.done((*_SWAPS, "xsetid"))

    @property
    def publishes(self) -> int:
        """XADD."""
        return self.done(("xadd",))

    def dump(self) -> list[Any]:
        """JSON-able document."""
        return [self.process, dict(self.calls), dict(self.refused)]

    @classmethod
    def load(cls, document: Any) -> CommandCounts | None:
        """What `dump` gave. Earlier versions kept two sums: nothing can be compared with these."""
        if not document or len(document) != 3 or not isinstance(document[1], Mapping):
            return None
        return cls(*document)


def count_commands(info: Mapping[str, str] | None) -> CommandCounts | None:
    """The counts that INFO server, stats, commandstats tells; None when it was refused."""
    if not info:
        return None
    calls: dict[str, int] = {}
    refused: dict[str, int] = {}
    for name, value in info.items():
        if name.startswith(_PREFIX):
            _read_line(name[len(_PREFIX) :], value, calls, refused)
    calls |= {key: int(info[key]) for key in _KEYS if key in info}
    return CommandCounts(info.get("run_id", ""), calls, refused)


def _read_line(command: str, value: str, calls: dict[str, int], refused: dict[str, int]) -> None:
    """`calls=3,usec=…,rejected_calls=0,failed_calls=1`."""
    calls[command] = int(value[6 : value.index(",")])
    _, _, failed = value.partition("failed_calls=")
    if failed and failed != "0":
        refused[command] = int(failed.partition(",")[0])
