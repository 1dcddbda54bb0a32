"""Random plans with checklists that fill over some looks, and what progress and readiness must say.

The forecast is compared with another simulation of the same words (docs/reports.md §3), by where its
ranks lie among the ends of that one: other dice, and a milestone asks for what it needs, instead of an order.
"""

from __future__ import annotations

import random
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cache, cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.integration.oracle_history import NOW

TRIALS, OTHER_TRIALS = 300, 1000
RANKS = {"early": 0.1, "likely": 0.5, "late": 0.9}
BY_CHANCE = 0.16
"""So far a rank of TRIALS ends may lie beside that of OTHER_TRIALS: five times what it does mostly."""
MANY_DRAWS = 40
"""Of a longer way one draw stands for several stretches: its range is another one by intent."""
LOOKS = (-10_800, -7200, -5000, 0)
"""Seconds after now at which somebody looks."""
HEAD = """
platform: oracle
components: {bus: {}}
checks:
  - {name: canary, kind: tcp, component: bus, every: 5s, address: "localhost:1"}
tracks: {all: {}}
progress: {trials: 300}
"""


@dataclass
class Task:
    """A milestone: boxes that were done at each look, or a claim; what it needs; its estimate."""

    name: str
    needs: list[str]
    boxes: int
    done: list[int]
    claimed: int | None
    estimate: tuple[int, int] | None
    required: bool
    waived: str

    @property
    def ratio(self) -> float:
        """How much is done now."""
        return self.done[-1] / self.boxes if self.claimed is None else self.claimed / 100

    @property
    def seconds(self) -> float | None:
        """How long the rest takes: at the mean pace since it began to move, else as estimated."""
        if self.ratio >= 1:
            return 0.0
        if self.observed:
            done, seconds = map(sum, zip(*self.observed, strict=True))
            return (self.boxes - self.done[-1]) * seconds / done
        return (1 - self.ratio) * sum(self.estimate) / 2 if self.estimate is not None else None

    @cached_property
    def observed(self) -> list[tuple[float, float]]:
        """Boxes and seconds of equal stretches of the time since it began to move; as many as there
        are looks that are kept: those before and after a move, and the last. None of too few.
        """
        last = len(LOOKS) - 1
        moves = [n for n in range(1, last + 1) if self.done[n] != self.done[n - 1]]
        kept = sorted({last, *moves, *(n - 1 for n in moves)})
        if self.claimed is not None or not moves or len(kept) < 3:
            return []
        began, count = LOOKS[moves[0] - 1], len(kept) - 1
        length = (LOOKS[-1] - began) / count
        edges = [self._done_at(began + n * length) for n in range(count + 1)]
        return [(then - now, length) for now, then in pairwise(edges)]

    def _done_at(self, second: float) -> float:
        """Between two looks it went evenly."""
        n = max(i for i in range(len(LOOKS) - 1) if LOOKS[i] <= second)
        share = (second - LOOKS[n]) / (LOOKS[n + 1] - LOOKS[n])
        return self.done[n] + share * (self.done[n + 1] - self.done[n])

    @property
    def is_long(self) -> bool:
        """Whether its way is of more stretches than are drawn one by one."""
        done = sum(boxes for boxes, _ in self.observed) / max(len(self.observed), 1)
        return done > 0 and (self.boxes - self.done[-1]) / done > MANY_DRAWS

    def draw(self, dice: random.Random) -> float:
        """Seconds that the rest takes this time."""
        if not self.seconds:
            return 0.0
        if not self.observed:
            return (1 - self.ratio) * dice.uniform(*self.estimate or (0, 0))
        rest, seconds = float(self.boxes - self.done[-1]), 0.0
        while True:
            done, length = dice.choice(self.observed)
            if done >= rest:
                return seconds + length * rest / done
            rest, seconds = rest - done, seconds + length


def write_plan(seed: int) -> list[Task]:
    """Milestones of which none needs a later one."""
    dice, tasks = random.Random(seed), list[Task]()
    for n in range(dice.randint(1, 8)):
        boxes = dice.choice([1, 4, 10, 30])
        done = sorted(dice.randint(0, boxes) for _ in LOOKS)
        done = dice.choice([done, [boxes] * len(LOOKS), [done[0]] * len(LOOKS)])
        low = dice.choice([60, 3600, 100_000])
        tasks.append(
            Task(
                f"m{n}",
                [each.name for each in tasks if dice.random() < 0.4],
                boxes,
                done,
                dice.choice([None, None, None, dice.choice([0, 33, 100])]),
                dice.choice([None, (low, low * dice.randint(1, 4))]),
                dice.random() < 0.6,
                dice.choice(["", "", "2020-01-31", "2099-01-31"]),
            )
        )
    return tasks


def write_files(tasks: list[Task], folder: Path, look: int) -> None:
    """The configuration, and the checklists as they are at a look."""
    text = HEAD + "milestones:\n"
    for each in tasks:
        evidence = f"evidence: {{checklist: {{file: {each.name}.md}}}}"
        if each.claimed is not None:
            evidence = f"claimed: {{percent: {each.claimed}%, at: 2026-03-01, by: bob}}"
        estimate = (
            each.estimate and f", estimate: {{low: {each.estimate[0]}s, high: {each.estimate[1]}s}}"
        )
        needs = ", ".join(each.needs)
        text += f"  {each.name}: {{track: all, needs: [{needs}], {evidence}{estimate or ''}}}\n"
        boxes = ["- [x] b\n"] * each.done[look] + ["- [ ] b\n"] * (each.boxes - each.done[look])
        (folder / f"{each.name}.md").write_text("".join(boxes))
    required = [each for each in tasks if each.required]
    text += "readiness:\n" if required else ""
    for each in required:
        waive = each.waived and f", waive: {{reason: late, by: ada, until: {each.waived}}}"
        text += f"  - {{name: {each.name} is done, milestone: {each.name}{waive}}}\n"
    (folder / "sentinel.yaml").write_text(text)


def find_longest(tasks: list[Task]) -> float:
    """The longest chain of what is left, by trying all."""
    known = {each.name: each for each in tasks}

    @cache
    def end(name: str) -> float:
        before = max((end(need) for need in known[name].needs), default=0.0)
        return before + (known[name].seconds or 0.0)

    return max(end(name) for name in known)


def list_behind(known: dict[str, Task], name: str) -> set[str]:
    """What it needs, and what is behind that where that takes no time that anybody knows: it is on
    no path itself.
    """
    found = set(known[name].needs)
    for need in known[name].needs:
        if not known[need].seconds:
            found |= list_behind(known, need)
    return found


def complain_of_plan(tasks: list[Task], facts: dict[str, Any]) -> Iterator[str]:
    """Every figure of a progress report that is another one."""
    known, path = {each.name: each for each in tasks}, facts["path"]
    for each in facts["milestones"]:
        if each["ratio"] != known[each["name"]].ratio:
            yield f"{each['name']} is at {each['ratio']}, not {known[each['name']].ratio}"
        if not _is_close(each["remaining"], known[each["name"]].seconds):
            yield f"{each['name']} takes {each['remaining']}, not {known[each['name']].seconds}"
    if not _is_close(path["seconds"], find_longest(tasks)):
        yield f"the critical path takes {path['seconds']}, not {find_longest(tasks)}"
    if not _is_close(sum(known[name].seconds or 0.0 for name in path["names"]), path["seconds"]):
        yield f"{path['names']} take no {path['seconds']}"
    for first, then in zip(path["names"], path["names"][1:], strict=False):
        if first not in list_behind(known, then):
            yield f"{then} does not need {first}"
    unknown = [each.name for each in tasks if each.seconds is None]
    if sorted(path["unknown"]) != unknown:
        yield f"unknown are {path['unknown']}, not {unknown}"
    yield from complain_of_forecast(tasks, facts)
    (track,) = facts["tracks"]
    mean = sum(each.ratio for each in tasks) / len(tasks)
    if not _is_close(track["now"]["low"], mean):
        yield f"the track is at {track['now']['low']}, not {mean}"


def simulate(tasks: list[Task], dice: random.Random) -> dict[str, float]:
    """The end of each milestone, once, in seconds from now; "" of all."""
    known = {each.name: each for each in tasks}

    @cache
    def end(name: str) -> float:
        begin = max((end(need) for need in known[name].needs), default=0.0)
        return begin + known[name].draw(dice)

    ends = {name: end(name) for name in known}
    return {**ends, "": max(ends.values())}


def complain_of_forecast(tasks: list[Task], facts: dict[str, Any]) -> Iterator[str]:
    """Every rank that lies where it can't by chance. A milestone that waits for what nobody knows is
    told no end.
    """
    known, dice = {each.name: each for each in tasks}, random.Random(len(facts["milestones"]))
    trials = [simulate(tasks, dice) for _ in range(OTHER_TRIALS)]
    told = {each["name"]: each for each in facts["milestones"]} | {"": facts["path"]}
    for name, document in told.items():
        behind = {name} | list_all_behind(known, name) if name else set(known)
        is_told = not name or not (known[name].ratio >= 1 or any_unknown(known, behind))
        if [document[word] is not None for word in RANKS] != [is_told] * 3:
            yield f"{name} has an end: {document['likely']}, not: {is_told}"
        elif is_told and not any(known[each].is_long for each in behind):
            yield from complain_of_ranks(name, document, sorted(each[name] for each in trials))


def list_all_behind(known: dict[str, Task], name: str) -> set[str]:
    """Everything without which it can't be done."""
    direct = known[name].needs
    return set(direct).union(*(list_all_behind(known, need) for need in direct))


def any_unknown(known: dict[str, Task], names: set[str]) -> bool:
    """Whether nobody knows of one of them how long it takes."""
    return any(known[name].seconds is None for name in names)


def complain_of_ranks(name: str, document: dict[str, Any], ends: list[float]) -> Iterator[str]:
    """Where a told end lies among those of the other simulation."""
    for word, rank in RANKS.items():
        told = (datetime.fromisoformat(document[word]) - NOW).total_seconds()
        below, upto = (
            cut(ends, told + slip) / len(ends)
            for cut, slip in ((bisect_left, -0.01), (bisect_right, 0.01))
        )
        if not below - BY_CHANCE <= rank <= upto + BY_CHANCE:
            yield f"{name or 'all'}, {word}: {told} s is later than {below:.0%} to {upto:.0%}"


def complain_of_gate(tasks: list[Task], facts: dict[str, Any]) -> Iterator[str]:
    """Whether the gate counts what is proved, and lets pass what is proved or waived."""
    required = [each for each in tasks if each.required]
    proved = [each for each in required if each.claimed is None and each.ratio >= 1]
    borne = [each for each in required if each not in proved and each.waived.startswith("2099")]
    is_go = bool(required) and len(proved) + len(borne) == len(required)
    if (facts["go"], facts["passed"]) != (is_go, len(proved)):
        yield f"go {facts['go']}, {facts['passed']} passed; not {is_go}, {len(proved)}"


def _is_close(found: float | None, wanted: float | None) -> bool:
    if found is None or wanted is None:
        return found is wanted
    return abs(found - wanted) <= 1e-6 * max(1.0, abs(wanted))
