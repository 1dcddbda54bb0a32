"""Every task in exactly one counter: random writers in zones, rows visible late, pauses, restarts."""

from __future__ import annotations

import json
import random
from bisect import bisect_left, bisect_right
from collections import Counter
from dataclasses import dataclass, field

import pytest

from sentinel.core.tasks.ledger import (
    AHEAD,
    AHEAD_FROM,
    BACK,
    AxisLedger,
    AxisRow,
    Counted,
    find_more,
)

HOUR = 3600.0
START = 1_767_600_017.0
SETTLE = 60.0


@dataclass
class World:
    """Rows (time of creation on the axis, visible from, assigned at), and whoever looks at them."""

    rows: list[tuple[float, float, float]] = field(default_factory=list)
    by_axis: list[tuple[float, float, float]] = field(default_factory=list)
    ledger: AxisLedger = field(default_factory=AxisLedger)
    settled: float = START
    looked: float = 0.0
    counts: Counter = field(default_factory=Counter)
    offsets: set = field(default_factory=set)

    def visible(self, now, start, end):
        if len(self.by_axis) != len(self.rows):
            self.by_axis = sorted(self.rows)
        first, last = (bisect_left(self.by_axis, (edge,)) for edge in (start, end))
        return [row for row in self.by_axis[first:last] if row[1] <= now]

    def classes(self, now, start, end):
        found = Counter()
        for created, _, assigned in self.visible(now, start, end):
            late = "late" if assigned <= now else "unassigned"
            found[None, "in_deadline" if assigned - created <= 0.1 else late] += 1
        return dict(found)

    def poll(self, now):
        """Windows up to a second ago, the tail each time, the whole axis once a minute."""
        for start, end in list(self.ledger.free(self.settled, max(self.settled, now - 1))):
            found = self.classes(now, start, end)
            self.counts.update({kind: n for (_, kind), n in found.items()})
            self.ledger.settle(start, end, found, sum(found.values()))
        self.settled = max(self.settled, now - 1)
        is_whole = now - self.looked >= 60
        tail = [each.start for each in self.ledger.stretches if each.classes is not None]
        since = now - BACK if is_whole else min(tail, default=self.settled)
        until = now + AHEAD if is_whole else self.settled
        if until > since:
            self.look(now, since, until)
        if is_whole:
            self.ledger.close(now, now - BACK)
        self.looked = now if is_whole else self.looked

    def look(self, now, since, until):
        edges = self.ledger.edges(now, self.settled, since, until)
        groups = {}
        for created, _, _ in self.visible(now, since, until):
            piece = bisect_right(edges, created)
            groups.setdefault((piece, int(created // 60)), []).append(created)
        rows = [AxisRow(*key, len(found), max(found)) for key, found in groups.items()]
        sight = self.ledger.see(rows, edges, now, self.settled, now - SETTLE)
        for new in sight.newcomers:
            self.counts[new.kind] += new.n
            self.offsets |= {new.off} if new.kind == "offset" else set()
        for stretch in sight.again:
            more = self.ledger.recount(stretch, self.classes(now, stretch.start, stretch.end))
            self.counts.update({kind: n for (_, kind), n in more.items()})


def run(world, dice, seconds, offsets, lateness, rate=0.4, restart=0.0):
    """Let writers write and sentinel look; gives how many tasks were created."""
    before, now, end = len(world.rows), world.settled, world.settled + seconds
    at = now + 2
    while at < end:
        created = at + dice.choice(offsets)
        world.rows.append((created, at + lateness(dice), created + dice.choice((0.05, 0.3, 20.0))))
        at += dice.expovariate(rate)
    while now < end + 200:
        world.poll(now)
        if dice.random() < restart:
            world.ledger = AxisLedger.load(json.loads(json.dumps(world.ledger.dump())))
        now += dice.choice((1.0, 1.0, 1.7))
    return len(world.rows) - before


def history(dice, count):
    """Rows from before the watch, in all zones."""
    return [
        (START + dice.choice((dice.uniform(-9, 0), dice.uniform(0.5, 7))) * HOUR, START - 1, START)
        for _ in range(count)
    ]


def late_by(share, seconds):
    return lambda dice: seconds if dice.random() < share else 0.0


@pytest.mark.parametrize("seed", range(3))
def test_rows_visible_late_are_counted_in_their_window(seed):
    """Within `settle_after` each is found and classed as if it had been there; nothing is late."""
    world, dice = World(), random.Random(seed)
    n = run(world, dice, 900, [0.0], late_by(0.3, 1.5 + 40 * dice.random()), restart=0.05)
    in_time = sum(assigned - created <= 0.1 for created, _, assigned in world.rows)
    assert sum(world.counts.values()) == n
    assert (world.counts["late"] + world.counts["unassigned"], world.counts["offset"]) == (
        n - in_time,
        0,
    )
    assert world.counts["in_deadline"] == in_time


@pytest.mark.parametrize("seed", range(3))
def test_each_task_of_writers_in_several_zones_is_in_one_counter(seed):
    """Ahead, behind and right at once, some visible late, sentinel restarted: none is missing, none
    is counted twice, and who lies whole hours off is skewed.
    """
    world, dice = World(), random.Random(seed)
    zones = [0.0, 2 * HOUR, -8 * HOUR, 5.75 * HOUR]
    world.rows = history(dice, 500)
    n = run(world, dice, 900, zones, late_by(0.05, 1.5), restart=0.05)
    skewed = sum(abs(created - seen) > 100 for created, seen, _ in world.rows[500:])
    assert sum(world.counts.values()) == n
    assert world.counts["offset"] >= skewed > 200
    assert {2 * HOUR, -8 * HOUR, 5.75 * HOUR} <= world.offsets


def test_when_the_skewed_rows_times_come_they_are_not_counted_again():
    """A writer two hours ahead for ten minutes; three hours later each of its tasks was counted
    once, and those who wrote at their times in the same minutes are not told from them.
    """
    world, dice = World(), random.Random(3)
    n = run(world, dice, 600, [2 * HOUR], late_by(0, 0))
    assert world.counts == {"offset": n}
    while world.settled < START + 2 * HOUR - 300:
        world.poll(world.settled + 31)
    m = run(world, dice, 1500, [0.0], late_by(0, 0))
    assert sum(world.counts.values()) == n + m
    assert n < world.counts["offset"] < n + m


def test_what_comes_after_the_end_is_late():
    """Two minutes and more after its time: counted, not in a class."""
    world, dice = World(), random.Random(5)
    n = run(world, dice, 600, [0.0], late_by(0.2, 130.0))
    late = sum(seen - created > 100 for created, seen, _ in world.rows)
    assert sum(world.counts.values()) == n
    assert world.counts["late"] + world.counts["offset"] >= late > 10


def test_a_pause_of_hours_loses_nobody():
    """Nothing is looked at for three hours, while writers of two zones go on."""
    world, dice = World(), random.Random(8)
    run(world, dice, 300, [0.0, 2 * HOUR], late_by(0, 0))
    at = world.settled
    for _ in range(400):
        at += dice.uniform(0, 50)
        world.rows.append((at + dice.choice([0.0, 2 * HOUR]), at, at + 0.01))
    now = at + 10
    for _ in range(200):  # until the last who lie less than half an hour ahead are met
        world.poll(now)
        now += 12
    assert sum(world.counts.values()) == len(world.rows)


def test_history_and_deleted_rows_are_nobody_s():
    """What is there at the first look is from before the watch; deleting rows takes none back."""
    world, dice = World(), random.Random(9)
    world.rows = history(dice, 300)
    world.poll(START)
    n = run(world, dice, 300, [0.0], late_by(0, 0))
    was = sum(world.counts.values())
    assert was == n
    del world.rows[::3]
    for step in range(130):
        world.poll(START + 600 + step)
    assert sum(world.counts.values()) == was


def test_an_hour_that_occurs_twice_is_skewed_the_second_time():
    """Wall clocks are set back by an hour: rows of the second hour meet those of the first."""
    world, dice = World(), random.Random(10)
    n = run(world, dice, 3700, [0.0], late_by(0, 0), rate=0.1)
    first = Counter(world.counts)
    world.rows = [(created, 0.0, assigned) for created, _, assigned in world.rows]
    now = back = world.settled = world.settled - HOUR
    world.by_axis, world.looked = [], world.looked - HOUR
    for _ in range(30):
        back += dice.expovariate(0.1) + 1
        world.rows.append((back, back, back + 0.01))
    while now < back + 130:
        world.poll(now)
        now += 1
    assert sum(world.counts.values()) == n + 30
    assert world.counts - first == {"offset": 30}


def test_what_a_second_count_adds():
    """Per queue as many as there are more rows; what was open and is late now is no new task."""
    before = {("a", "unassigned"): 2, ("b", "in_deadline"): 1}
    after = {("a", "late"): 2, ("a", "in_deadline"): 1, ("b", "in_deadline"): 1}
    assert find_more(before, after) == {("a", "in_deadline"): 1}
    assert find_more(before, {("a", "late"): 3, ("b", "in_deadline"): 0}) == {("a", "late"): 1}
    assert find_more({}, {}) == {}


def test_parts_of_a_window():
    """Free is where nothing was counted, sound where nobody was counted out of his time."""
    ledger = AxisLedger([Counted(10.0, 20.0, 3), Counted(30.0, 40.0, 2, own=False)])
    assert list(ledger.free(0.0, 50.0)) == [(0.0, 10.0), (20.0, 30.0), (40.0, 50.0)]
    assert list(ledger.free(12.0, 35.0)) == [(20.0, 30.0)]
    assert list(ledger.free(12.0, 15.0)) == []
    assert list(ledger.sound(0.0, 50.0)) == [(0.0, 30.0), (40.0, 50.0)]
    assert [ledger.is_sound(at) for at in (5.0, 15.0, 29.9, 30.0, 39.9, 40.0)] == [
        True, True, True, False, False, True,
    ]  # fmt: skip


def test_stretches_of_a_minute_are_put_together_by_their_kind():
    """What was counted ahead of its time stays apart from the windows beside it."""
    rows = [(0.0, 1.0, True), (1.0, 2.0, True), (2.0, 3.0, False), (3.0, 60.0, True)]
    ledger = AxisLedger([Counted(start, end, 1, own) for start, end, own in rows])
    ledger.settle(60.0, 61.0, None, 1)
    ledger.close(100.0, 0.0)
    assert [(each.start, each.end, each.n, each.own) for each in ledger.stretches] == [
        (0.0, 2.0, 2, True), (2.0, 3.0, 1, False), (3.0, 60.0, 1, True), (60.0, 61.0, 1, True),
    ]  # fmt: skip
    assert ledger.looked == 100.0


@pytest.mark.parametrize(
    ("age", "pause", "kind"),
    [(7240, 60.0, "offset"), (7650, 60.0, "late"), (7650, 7200.0, "late")],
)
def test_after_a_long_pause_no_zone_is_suspected(age, pause, kind):
    """A row two hours old is another zone's when it came within a minute; after hours without a
    look any age would fit.
    """
    at = START - age
    ledger = AxisLedger([Counted(at - 20, at + 20, 0)], looked=START - pause)
    edges = ledger.edges(START, START, at - 20, START)
    row = AxisRow(1, int(at // 60), 1, at)
    (new,) = ledger.see([row], edges, START, START, START - 60).newcomers
    assert (new.kind, new.n) == (kind, 1)


def test_a_restart_moves_no_edge():
    """Windows end at microseconds; the same number comes back, or rows would be counted twice."""
    dice, ledger, at = random.Random(4), AxisLedger(looked=START), START
    for n in range(3000):
        end = round(at + dice.choice((0.000001, 0.5, 60.0)) + dice.random(), 6)
        classes = {(dice.choice((None, "a")), "late"): n} if n > 2900 else None
        ledger.settle(at, end, classes, n)
        ledger.stretches[-1].own = dice.random() < 0.5
        at = end if dice.random() < 0.5 else round(end + dice.random(), 6)
    assert AxisLedger.load(json.loads(json.dumps(ledger.dump()))) == ledger


def test_an_empty_document_knows_nothing():
    """As of an old version: the first look is the first one."""
    assert AxisLedger.load(None) == AxisLedger()
    assert AxisLedger.load({}).looked is None
    assert AHEAD_FROM < AHEAD
