"""Random plans with checklists that fill over some looks, and what progress and readiness must say."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

LOOKS = (-10_800, -7200, -5000, 0)
"""Seconds after now at which somebody looks."""
HEAD = """
platform: oracle
components: {bus: {}}
checks:
  - {name: canary, kind: tcp, component: bus, every: 5s, address: "localhost:1"}
tracks: {all: {}}
progress: {trials: 50}
"""


@dataclass(slots=True)
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
        moves = [n for n in range(1, len(LOOKS)) if self.done[n] != self.done[0]]
        if self.claimed is None and moves and len(LOOKS) - moves[0] + 1 >= 3:
            first = moves[0] - 1
            pace = (self.done[-1] - self.done[first]) / (LOOKS[-1] - LOOKS[first])
            return (self.boxes - self.done[-1]) / pace
        return (1 - self.ratio) * sum(self.estimate) / 2 if self.estimate is not None else None


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
    (track,) = facts["tracks"]
    mean = sum(each.ratio for each in tasks) / len(tasks)
    if not _is_close(track["now"]["low"], mean):
        yield f"the track is at {track['now']['low']}, not {mean}"


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
