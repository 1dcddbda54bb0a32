"""Random life on a server, and the ledger of it. What happens depends on the seed alone: the clock
is ours, and so are the ids.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import redis

from tests.integration.soundness.bench import Bench
from tests.integration.soundness.ledger import Book, Cause, Id, Life, Sighting
from tests.integration.soundness.wire import Command

GROUPS = ("g1", "g2")
CONSUMERS = ("c1", "c2")
WATCHED = (b"s:a", b"s:b")
ELSEWHERE = (b"x:a", b"x:b")
DAWN = 1_790_000_000.0
NOTHING = Cause()


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of world: how often which operation happens, and how it is looked at.

    `between`: how often something happens between two round trips, or two commands, of a look.
    `pause`: how often minutes pass between two looks. `ids`: how ids are given.
    """

    name: str
    weights: dict[str, float]
    streams: int = 1
    groups_first: bool = True
    durable: bool = False
    between: float = 0.0
    pause: float = 0.0
    forgets: float = 0.05
    kills: float = 0.0
    """How often sentinel is killed, and goes on with what it had written some looks before."""
    ids: str = "clock"
    required: tuple[str, ...] = ()
    """Groups that every stream must have."""
    may_write: bool = True
    """Whether sentinel may find out by experiment what the server's numbers mean."""


def parse_id(raw: bytes) -> Id:
    """An id as the server writes it."""
    milliseconds, _, sequence = raw.partition(b"-")
    return int(milliseconds), int(sequence)


def _to_text(word: Any) -> str:
    return word.decode() if isinstance(word, bytes) else str(word)


def show_id(entry: Id) -> str:
    """As the server takes it."""
    return f"{entry[0]}-{entry[1]}"


class World:
    """Streams, their ledger, and the dice. Operations are methods of a child (operations.py)."""

    def __init__(self, bench: Bench, seed: int, kind: Kind) -> None:
        bench.begin(durable=kind.durable)
        self.bench, self.kind, self.seed = bench, kind, seed
        self.random = random.Random(seed)
        self.now = DAWN
        self.moment = 0
        self.books = {key: Book() for key in (*WATCHED[: kind.streams], *ELSEWHERE)}
        self.watched = list(WATCHED[: kind.streams])
        self.log: list[str] = []
        self.saved: dict[bytes, Life] | None = None
        self.looks = 0
        """Looks that were completed."""
        self.given: set[Id] = set()
        self.recounted = 0
        """When the server's counts of commands began anew last."""
        self.rests = False
        """Nothing happens any more."""
        self.shaken: dict[bytes, int] = {}
        """When something last befell a key as a whole."""
        if kind.groups_first:
            for key in self.watched:
                for group in GROUPS:
                    self.run(key, NOTHING, "XGROUP", "CREATE", key, group, "0", "MKSTREAM")

    # -- dice -------------------------------------------------------------------------------------

    def act(self) -> None:
        """One operation at random."""
        weights = self.kind.weights
        getattr(self, self.random.choices(list(weights), list(weights.values()))[0])()

    def pick_key(self) -> bytes:
        """A watched stream, there or not."""
        return self.random.choice(self.watched)

    def find_life(self) -> tuple[bytes, Life] | None:
        """A watched stream that is there."""
        there = [(key, life) for key in self.watched if (life := self.books[key].life) is not None]
        return self.random.choice(there) if there else None

    def find_group(self) -> tuple[bytes, Life, str] | None:
        """A group that is there."""
        found = self.find_life()
        if found is None:
            return None
        key, life = found
        names = [name for name, group in life.groups.items() if group.there]
        return (key, life, self.random.choice(sorted(names))) if names else None

    def sample(self, ids: Sequence[Id], most: int) -> list[Id]:
        """Up to `most` of them."""
        ordered = sorted(ids)
        count = min(len(ordered), self.random.randint(1, most))
        return sorted(self.random.sample(ordered, count))

    def pick_id(self, life: Life) -> Id:
        """An id of this life, or the beginning."""
        return self.random.choice([(0, 0), *sorted(life.entries)])

    # -- doing, and writing down ------------------------------------------------------------------

    def run(self, key: bytes, cause: Cause, *command: Any) -> Any:
        """Send one command; note what it did to this stream."""
        reply = self.send(*command)
        self.look_after(key, cause)
        return reply

    def send(self, *command: Any) -> Any:
        """Send one command, as it stands in the log."""
        return self.send_all([command])[0]

    def send_all(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands of one sort in one write."""
        self.moment += 1
        ends = commands if len(commands) < 3 else [commands[0], commands[-1]]
        words = [" ".join(map(_to_text, command)) for command in ends]
        times = f" ({len(commands)} ×)" if len(commands) > 2 else ""
        self.log.append(f"{self.moment}: {' … '.join(words)}{times}")
        replies = self.bench.wire.ask(*commands)
        for reply in replies:
            if isinstance(reply, Exception):
                raise redis.ResponseError(f"{words}: {reply}")
        return replies

    def look_after(self, key: bytes, cause: Cause = NOTHING) -> None:
        """Bring the ledger of a stream up to what is there."""
        seen, book = self.observe(key), self.books[key]
        if seen is None:
            if book.life is not None:
                book.detach(self.moment)
                self.shaken[key] = self.moment
            return
        if book.life is None:
            book.attach(Life(required=self.kind.required), self.moment, brought=False)
            self.shaken[key] = self.moment
        assert book.life is not None
        book.life.take(seen, cause, self.moment, self.now)

    def note_snapshot(self, key: bytes, *, again: bool) -> None:
        """The key was looked at; `again`: the look before was thrown away."""
        if again:
            self.books[key].snaps.pop()
        self.books[key].snap(self.moment, self.looks)

    def observe(self, key: bytes) -> Sighting | None:
        """The stream as the server shows it; None: it is not there."""
        known = list(GROUPS)
        live, groups, *lists = self.bench.wire.ask(
            ("XRANGE", key, "-", "+"),
            ("XINFO", "GROUPS", key),
            *(("XPENDING", key, group, "-", "+", 10_000) for group in known),
        )
        if isinstance(groups, Exception):
            return None
        listed = dict(zip(known, lists, strict=True))
        found = {}
        for fields in groups:
            told = dict(zip(fields[::2], fields[1::2], strict=True))
            name = told[b"name"].decode()
            pending = {parse_id(row[0]): row[1].decode() for row in listed[name]}
            found[name] = parse_id(told[b"last-delivered-id"]), pending
        return Sighting(tuple(parse_id(row[0]) for row in live), found)

    def check_ledger(self) -> None:
        """The ledger says what the server shows: else the harness is wrong."""
        for key, book in self.books.items():
            seen, life = self.observe(key), book.life
            assert (seen is None) == (life is None), (key, "is there or not")
            if seen is None or life is None:
                continue
            assert list(seen.live) == sorted(life.live), key
            alive = {n: g for n, g in life.groups.items() if g.there}
            assert alive.keys() == seen.groups.keys(), key
            for name, (position, pending) in seen.groups.items():
                owners = {i: u.owner for i, u in alive[name].units.items() if u.owner is not None}
                assert position == alive[name].position, (key, name)
                assert owners == dict(pending), (key, name)

    def next_id(self, last: Id) -> Id:
        """An id behind the last one, in the manner of this world."""
        style = self.kind.ids
        if style == "mixed":
            style = self.random.choice(["clock", "clock", "sequence", "past", "future"])
        ahead = {"clock": 0.0, "past": -86_400.0 * 30, "future": 3600.0}
        # two streams hardly ever publish in the same millisecond
        apart = self.moment % 900
        milliseconds = int((self.now + ahead.get(style, 0)) * 1000) + apart
        if style == "sequence":
            # a stream made anew with the ids of the old one, at their ranks, looks like the old one
            milliseconds = last[0] + 1 if last != (0, 0) else self.moment
        found = (milliseconds, 0)
        found = found if found > last else (last[0], last[1] + 1)
        # why once: an entry with the id of one that was taken back, at its rank, looks like it
        while found in self.given:
            found = found[0], found[1] + 1
        self.given.add(found)
        return found
