"""What needs what: components form a graph by `depends_on`, and it is walked here alone."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from statistics import fmean

from sentinel.core.fault import Status

DependsOn = Mapping[str, tuple[str, ...]]
"""Each known name with what it needs directly."""


def find_needed(name: str, depends_on: DependsOn) -> list[str]:
    """Every known transitive dependency of a name, each once; in a circle the name itself too."""
    found: dict[str, None] = {}
    waiting = list(depends_on.get(name, ()))
    while waiting:
        dependency = waiting.pop()
        if dependency not in found and dependency in depends_on:
            found[dependency] = None
            waiting += depends_on[dependency]
    return list(found)


def put_in_order(names: Collection[str], depends_on: DependsOn) -> list[str]:
    """The names, what they need first: whoever needs another needs all that the other needs."""
    return sorted(names, key=lambda name: len(find_needed(name, depends_on)))


def lay_out(depends_on: DependsOn) -> dict[str, tuple[int, int]]:
    """(column, row) of each name in a picture. Column: the longest chain of what it needs; row:
    beside what it needs, else in the order given, so that few lines cross.
    """
    column, row = dict[str, int](), dict[str, int]()
    for name in put_in_order(depends_on, depends_on):
        column[name] = max((column[n] + 1 for n in depends_on[name] if n in column), default=0)
    for each in range(max(column.values(), default=-1) + 1):
        mine = [name for name in depends_on if column[name] == each]
        middle = {
            name: fmean([row[n] for n in depends_on[name] if n in row] or [0]) for name in mine
        }
        row |= {name: n for n, name in enumerate(sorted(mine, key=middle.__getitem__))}
    return {name: (column[name], row[name]) for name in depends_on}


def find_root_cause(name: str, depends_on: DependsOn, statuses: Mapping[str, Status]) -> str:
    """The transitive dependency that is down and needs nothing that is down, or "".

    The graph has no circle (`find_circle`).
    """
    for dependency in depends_on.get(name, ()):
        deeper = find_root_cause(dependency, depends_on, statuses)
        if deeper:
            return deeper
        if statuses.get(dependency, Status.UNKNOWN) is Status.DOWN:
            return dependency
    return ""


def find_circle(depends_on: DependsOn) -> tuple[str, ...]:
    """Names each of which needs the next, and the last the first; () when nothing goes round."""
    for name in depends_on:
        if name in find_needed(name, depends_on):
            return _walk_round(name, depends_on)
    return ()


def _walk_round(name: str, depends_on: DependsOn) -> tuple[str, ...]:
    """The way from a name, which needs itself, back to it."""
    way = [name]
    while True:
        nearer = (each for each in depends_on[way[-1]] if each == name or each not in way)
        step = next((each for each in nearer if _leads_to(each, name, depends_on)), name)
        if step == name:
            return tuple(way)
        way.append(step)


def _leads_to(start: str, goal: str, depends_on: DependsOn) -> bool:
    return start == goal or goal in find_needed(start, depends_on)


def turn_round(depends_on: DependsOn) -> DependsOn:
    """Each known name with those that need it directly: `find_needed` of it gives every dependent."""
    turned: dict[str, list[str]] = {name: [] for name in depends_on}
    for name, needs in depends_on.items():
        for dependency in needs:
            if dependency in turned:
                turned[dependency].append(name)
    return {name: tuple(dependents) for name, dependents in turned.items()}
