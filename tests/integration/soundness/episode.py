"""One world from its beginning to its end: live, look, judge every claim; and how wide they were."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from fnmatch import fnmatch
from math import inf

from tests.integration.soundness.bench import Bench
from tests.integration.soundness.ledger import ACKED, LOST, Book
from tests.integration.soundness.look import Watcher
from tests.integration.soundness.operations import RandomWorld
from tests.integration.soundness.oracle import Claim, judge_claim, judge_span
from tests.integration.soundness.owed import MUST, Owed, list_owed
from tests.integration.soundness.world import DAWN, GROUPS, Kind

LOOKS, MANY_LOOKS = 40, 160
LONG = 10
"""Of so many worlds one lives longer: until old anchors are thinned and old losses folded."""
Counters = dict[tuple[str, ...], float]
SHOWN = 40
"""So many of the last operations are told with a violation."""


WRITES = 0.2
"""Chance of a commit after each look, in worlds with kills."""


@dataclass(frozen=True, slots=True)
class _Written:
    """What was committed last: the memory of the check, and what was judged of it by then."""

    memory: str
    books: dict[bytes, Book]
    judged: tuple[Counters, dict[str, int], dict[str, int], dict[str, int]]


@dataclass(slots=True)
class Score:
    """What was judged: settlements, how many of them and of the account figures were points, and
    how wide acknowledged was, as a share of what was published, over `looks` at accounts.
    """

    settlements: int = 0
    points: int = 0
    accounts: int = 0
    account_points: int = 0
    looks: int = 0
    same: int = 0
    """Streams that looked as before, so that they were not read anew."""
    width: float = 0.0
    episodes: int = 0
    violations: list[str] = field(default_factory=list)

    def add(self, other: Score) -> None:
        """Sum up."""
        for name in (each.name for each in fields(self)):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    @property
    def point_share(self) -> float:
        """Settlements of which the good ones are told to the entry."""
        return self.points / max(1, self.settlements)

    @property
    def account_share(self) -> float:
        """Figures of accounts that are points."""
        return self.account_points / max(1, self.accounts)

    @property
    def mean_width(self) -> float:
        """Of acknowledged, as a share of what was published."""
        return self.width / max(1, self.looks)

    def __str__(self) -> str:
        return (
            f"{self.settlements} settlements in {self.episodes} worlds,"
            f" {self.point_share:.1%} points; account figures {self.account_share:.1%} points,"
            f" mean width {self.mean_width:.3f}; {len(self.violations)} violations"
        )


class Episode:
    """A world and who watches it."""

    def __init__(self, bench: Bench, kind: Kind, seed: int) -> None:
        self.world = RandomWorld(bench, seed, kind)
        self.watcher = Watcher(self.world)
        self.score = Score(episodes=1)
        self.counters: Counters = {}
        self.breaks: dict[str, int] = {}
        self.doubted: dict[str, int] = {}
        self.broke: dict[str, int] = {}
        """When each stream was last said to have broken."""
        self.step = 0
        self._owed: dict[tuple[str, str], list[Owed]] = {}
        self._owed_before: dict[tuple[str, str], list[Owed]] = {}
        self._written: _Written | None = None

    async def live(self) -> Score:
        """Live until the end, or the first violation."""
        try:
            for step in range(LOOKS if self.world.seed % LONG else MANY_LOOKS):
                self.step = step
                self._pass_time()
                if complaints := await self._look():
                    break
            else:
                complaints = await self._come_to_rest()
            if complaints:
                self.score.violations.append(self._report(complaints))
            self.world.check_ledger()
        finally:
            await self.watcher.client.close()
        return self.score

    async def _look(self) -> list[str]:
        """One look, and what is wrong with what it says."""
        if not await self.watcher.look():
            for key, book in self.world.books.items():
                there = book.truth is not None and book.truth.present
                if not self.watcher.knows(key.decode(), there=there):
                    book.forget_look(self.world.looks)
            self._keep_owed()
            return []
        self.world.looks += 1
        complaints = self._judge()
        self.world.log.append(f"  look {self.step} at {self.world.now - DAWN:.0f} s")
        return complaints

    def _keep_owed(self) -> None:
        """What is settled in a look that fails later is told by the next one: it was true then."""
        self._owed.clear()
        books = self.world.books.items()
        places = [(key.decode(), group) for key, book in books if book.snaps for group in GROUPS]
        self._owed_before = {place: self._list_owed(*place) for place in places}

    async def _come_to_rest(self) -> list[str]:
        """Nothing happens any more until all deadlines have passed: everything is settled once."""
        self.world.rests = True
        for _ in range(2):
            self.world.now += 5
            if complaints := await self._look():
                return complaints
        return self._judge_sums(rests=True)

    def _pass_time(self) -> None:
        world, dice = self.world, self.world.random
        acts = dice.randint(0, 6)
        if dice.random() < world.kind.pause:
            acts = dice.randint(20, 60)
            world.now += dice.randint(30, 200)
        for _ in range(acts):
            world.act()
        world.now += 1
        if dice.random() < world.kind.forgets:
            world.log.append("  (sentinel restarts)")
            self.watcher.forget()
        if world.kind.kills and world.looks:
            self._write_or_kill()

    def _write_or_kill(self) -> None:
        """Commits come now and then, kills at any time between them."""
        world, dice = self.world, self.world.random
        if self._written is None or dice.random() < WRITES:
            self._written = _Written(
                self.watcher.write(),
                {key: book.write() for key, book in world.books.items()},
                (self.counters, self.breaks, self.doubted, dict(self.broke)),
            )
        elif dice.random() < world.kind.kills:
            world.log.append("  (sentinel is killed)")
            self.watcher.go_on_with(self._written.memory)
            for key, book in world.books.items():
                book.go_on_with(self._written.books[key])
            self.counters, self.breaks, self.doubted, broke = self._written.judged
            self.broke = dict(broke)
            self._owed.clear()
            self._owed_before = {}

    # -- judgement --------------------------------------------------------------------------------

    def _judge(self) -> list[str]:
        self._note_breaks()
        self._owed.clear()
        self.score.same += self.watcher.take_same()
        settled, self._owed_before = self._judge_settlements(), {}
        complaints = settled + self._judge_accounts() + self._judge_gauges()
        complaints += self._judge_counters() + self._judge_sums() + self._judge_streams()
        return complaints + ([] if self.world.kind.between else self._judge_ages())

    def _note_breaks(self) -> None:
        """A server without counters may have to begin anew, when more happened than it tells; so may
        one whose counts of commands began anew, by which XSETID is seen.
        """
        now, doubted = self.watcher.list_breaks(), self.watcher.list_breaks("xsetid")
        for stream, count in now.items():
            book = self.world.books[stream.encode()]
            broke = count > self.breaks.get(stream, 0) and book.truth is not None
            if broke:
                self.broke[stream] = book.snaps[-1]
            lost = doubted[stream] > self.doubted.get(stream, 0) and self._counts_began_anew(book)
            there = book.truth is not None and book.truth.present
            if broke and there and (self.world.bench.legacy or lost):
                book.give_up()
        self.breaks, self.doubted = now, doubted

    def _counts_began_anew(self, book: Book) -> bool:
        """Since the look before at this stream."""
        latest = book.looks[book.snaps[-1]]
        before = [snap for snap in book.snaps if book.looks[snap] < latest]
        return bool(before) and self.world.recounted > before[-1]

    def _list_owed(self, stream: str, group: str) -> list[Owed]:
        """At the latest look; made once."""
        place = stream, group
        if place not in self._owed:
            book = self.world.books[stream.encode()]
            self._owed[place] = list_owed(group, book, legacy=self.world.bench.legacy)
        return self._owed[place]

    def _judge_settlements(self) -> list[str]:
        found = []
        for stream, claim in self.watcher.list_settlements():
            owed = self._list_owed(stream, claim.what.split()[0])
            if self.broke.get(stream) == self.world.books[stream.encode()].snaps[-1]:
                owed = [replace(each, ended=True) for each in owed]
            wrong = judge_span(claim, owed)
            before = self._owed_before.get((stream, claim.what.split()[0]))
            if wrong and before is not None:
                wrong = judge_span(claim, before)
            found += [f"{stream} {_show(claim)}: {each}" for each in wrong]
            self.score.settlements += 1
            self.score.points += claim.good[0] == claim.good[1] and not claim.unseen
        return found

    def _judge_accounts(self) -> list[str]:
        found = []
        for stream, group, claim in self.watcher.list_accounts():
            owed = self._list_owed(stream, group)
            found += [f"account {stream} {_show(claim)}: {e}" for e in judge_claim(claim, owed)]
            ranges = [*claim.bounds.values(), claim.good]
            self.score.accounts += len(ranges)
            self.score.account_points += sum(low == high for low, high in ranges)
            self.score.looks += 1
            self.score.width += (claim.good[1] - claim.good[0]) / max(1, claim.size)
        return found

    def _judge_sums(self, *, rests: bool = False) -> list[str]:
        """Nothing is settled twice; at rest nothing is left."""
        found = []
        for stream, group, claim in self.watcher.list_accounts():
            for stage, settled in self.watcher.count_settled(stream, group).items():
                most = claim.size + claim.unseen
                if settled > most or (rests and settled < claim.size):
                    found.append(f"{stream} {group} {stage}: {settled} settled of {most}")
        return found

    def _judge_streams(self) -> list[str]:
        found = []
        for stream, claim in self.watcher.list_streams():
            owed = self._list_owed(stream, "")
            found += [f"{stream} published {each}" for each in judge_claim(claim, owed)]
        return found

    def _judge_ages(self) -> list[str]:
        """No age is higher than it is, and none stays away. What was there at the first look may be
        as old as its id says.
        """
        found = []
        for (pattern, group), ages in self.watcher.list_ages().items():
            for place, what in enumerate(("waiting", "pending")):
                ranges = list(self._bound_ages(pattern, group, place))
                least = max((low for low, _ in ranges), default=0)
                most = max((high for _, high in ranges), default=0)
                if not least <= ages[place] + 0.01 or not ages[place] <= most + 0.01:
                    told = f"{ages[place]:.2f} s, truth {least:.2f} to {most:.2f} s"
                    found.append(f"{pattern} {group} {what} for {told}")
        return found

    def _bound_ages(self, pattern: str, group: str, place: int) -> Iterator[tuple[float, float]]:
        for key in self.world.watched:
            book = self.world.books[key]
            standing = book.truth.standings.get(group) if book.truth is not None else None
            entry = standing.since[place] if standing is not None else None
            if standing is None or entry is None or not fnmatch(key.decode(), pattern):
                continue
            age, epoch = self.world.now - entry.at, book.epochs[-1]
            known = max(epoch.attached * epoch.brought, self.broke.get(key.decode(), 0))
            brought = entry.moment <= known  # who looks knows it since then
            clock = self.world.kind.ids == "clock"
            least = age - 1 if clock else min(age, 1) * (age > 5)
            believed = not clock and (brought or entry.moment <= book.snaps[0])
            yield 0 if brought or standing.missing else least, inf if believed else age

    def _judge_gauges(self) -> list[str]:
        found = []
        for (stream, group), ((low, high), pending) in self.watcher.list_gauges().items():
            truth = self.world.books[stream.encode()].truth
            standing = truth.standings.get(group) if truth is not None else None
            if standing is None:
                found.append(f"gauge {stream} {group}: it is not there")
                continue
            # of what was there before the first look nobody knows whether it is owed
            least = 0 if standing.missing else standing.waiting
            if not (low <= standing.waiting and least <= high):
                found.append(f"{stream} {group} waiting [{low}, {high}], truth {standing.waiting}")
            if pending != standing.pending:
                found.append(f"{stream} {group} pending {pending}, truth {standing.pending}")
        return found

    def _judge_counters(self) -> list[str]:
        now = self.watcher.list_counters()
        sunk = [key for key, value in self.counters.items() if now.get(key, -1.0) < value]
        found = [f"counter {key}: {self.counters[key]} fell to {now.get(key)}" for key in sunk]
        self.counters = now
        for key in now:
            if key[0] == "lost_before_read_total":
                found += self._judge_fates(key[1:], now)
        return found

    def _judge_fates(self, labels: tuple[str, ...], now: Counters) -> list[str]:
        """What a group lost and acknowledged for certain, and lost perhaps, over all its streams."""
        group, pattern = (label.partition("=")[2] for label in labels)
        names = [key.decode() for key in self.world.watched if fnmatch(key.decode(), pattern)]
        owed = [each for name in names for each in self._list_owed(name, group)]
        lost = now["lost_before_read_total", *labels]
        perhaps = lost + now["lost_before_read_uncertain_total", *labels]
        acked = now["settled_total", labels[0], "outcome=acked", *labels[1:]]
        found = []
        most = {fate: sum(1 for each in owed if fate in each.fates) for fate in (LOST, ACKED)}
        least = sum(1 for each in owed if each.fates == {LOST} and each.tag == MUST)
        if not (lost <= most[LOST] and least <= perhaps):
            told = f"[{lost:.0f}, {perhaps:.0f}], truth {least} to {most[LOST]}"
            found.append(f"counters of {pattern} {group}: lost {told}")
        if acked > most[ACKED]:
            told = f"{acked:.0f}, truth at most {most[ACKED]}"
            found.append(f"counters of {pattern} {group}: acked {told}")
        return found

    def _report(self, complaints: list[str]) -> str:
        world = self.world
        head = f"{world.bench.family} {world.kind.name} seed {world.seed} step {self.step}"
        replay = f"python -m tests.integration.soundness {head.partition(' seed')[0]}"
        lines = [head, *complaints, *world.log[-SHOWN:], f"{replay} --seed {world.seed}"]
        return "\n    ".join(lines)


def _show(claim: Claim) -> str:
    span = ""
    if claim.span is not None:
        (a, b), (c, d) = claim.span
        span = f" ({a}-{b}, {c}-{d}]"
    told = " ".join(f"{name} [{low}, {high}]" for name, (low, high) in claim.bounds.items())
    return f"{claim.what}{span} {claim.size} (+{claim.unseen}), good {list(claim.good)}, {told}"


async def explore(bench: Bench, kind: Kind, settlements: int, seed: int, most: int = 1) -> Score:
    """Worlds of consecutive seeds until so many settlements are judged, or `most` violations."""
    score = Score()
    while score.settlements < settlements and len(score.violations) < most:
        score.add(await Episode(bench, kind, seed).live())
        seed += 1
    return score
