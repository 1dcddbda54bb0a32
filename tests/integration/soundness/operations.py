"""Everything that may befall streams: operations of a world, each as a method."""

from __future__ import annotations

from typing import Any

from tests.integration.soundness.ledger import Cause, Id, Life
from tests.integration.soundness.world import (
    CONSUMERS,
    ELSEWHERE,
    GROUPS,
    NOTHING,
    World,
    parse_id,
    show_id,
)


class RandomWorld(World):
    """A world in which all of this happens."""

    # -- ordinary life ----------------------------------------------------------------------------

    def publish(self) -> None:
        """XADD."""
        self._publish(self.random.randint(1, 12))

    def trim_publish(self) -> None:
        """XADD … MAXLEN: no XTRIM is ever called."""
        self._publish(self.random.randint(1, 4), "MAXLEN", "=", self.random.randint(3, 30))

    def _publish(self, count: int, *options: Any) -> None:
        key = self.pick_key()
        life = self.books[key].life
        first = self.next_id(life.last if life is not None else (0, 0))
        entries = [first]
        while len(entries) < count:
            entries.append(self.next_id(entries[-1]))
        commands = [("XADD", key, *options, show_id(entry), "f", "v") for entry in entries]
        self.send_all(commands)
        self.look_after(key, Cause(published=tuple(entries)))

    def read(self) -> None:
        """XREADGROUP of what is new."""
        self._read(self.random.randint(1, 15))

    def read_without_ack(self) -> None:
        """XREADGROUP NOACK: what is read is in no pending list."""
        self._read(self.random.randint(1, 5), "NOACK")

    def read_history(self) -> None:
        """XREADGROUP from 0: the own pending entries once more."""
        found = self.find_group()
        if found is not None:
            key, _, group = found
            self._read_from(key, group, self.random.choice(CONSUMERS), 10, (), "0")

    def _read(self, count: int, *options: str) -> None:
        found = self.find_group()
        if found is not None:
            key, _, group = found
            self._read_from(key, group, self.random.choice(CONSUMERS), count, options, ">")

    def _read_from(
        self, key: bytes, group: str, consumer: str, count: int, options: Any, start: str
    ) -> None:
        command = ("XREADGROUP", "GROUP", group, consumer, "COUNT", count, *options)
        reply = self.send(*command, "STREAMS", key, start)
        rows = reply[0][1] if reply else []
        read = frozenset(parse_id(row[0]) for row in rows)
        self.look_after(key, Cause(group=group, read=read if start == ">" else frozenset()))

    def ack(self) -> None:
        """XACK some."""
        found = self.find_group()
        if found is None:
            return
        key, life, group = found
        mine = [i for i, unit in life.groups[group].units.items() if unit.owner is not None]
        if mine:
            self._ack(key, group, self.sample(mine, 15))

    def _ack(self, key: bytes, group: str, ids: list[Id]) -> None:
        cause = Cause(group=group, acked=frozenset(ids))
        self.run(key, cause, "XACK", key, group, *map(show_id, ids))

    def finish(self) -> None:
        """Every group reads and acknowledges everything."""
        for key in self.watched:
            life = self.books[key].life
            for group in GROUPS if life is not None else ():
                assert life is not None
                if group not in life.groups or not life.groups[group].there:
                    continue
                self._read_from(key, group, CONSUMERS[0], 10_000, (), ">")
                mine = [i for i, u in life.groups[group].units.items() if u.owner is not None]
                if mine:
                    self._ack(key, group, mine)

    # -- entries go -------------------------------------------------------------------------------

    def trim(self) -> None:
        """XTRIM MAXLEN or MINID, read or not."""
        found = self.find_life()
        if found is None:
            return
        key, life = found
        if life.live and self.random.random() < 0.3:
            limit = show_id(self.random.choice(life.live))
            self.run(key, NOTHING, "XTRIM", key, "MINID", "=", limit)
        else:
            self.run(key, NOTHING, "XTRIM", key, "MAXLEN", "=", self.random.randint(0, 40))

    def trim_read(self) -> None:
        """XTRIM of what every group had read at the last look, and never all of it."""
        found = self.find_life()
        if found is None:
            return
        key, life = found
        safe = [i for i in life.live if self._was_read(key, life, i)][:-1]
        if safe:
            keep = len(life.live) - len(safe)
            self.run(key, NOTHING, "XTRIM", key, "MAXLEN", "=", keep)

    def _was_read(self, key: bytes, life: Life, entry: Id) -> bool:
        truth = self.books[key].truth
        if truth is None or not truth.present:
            return False
        oldest = [s.oldest_waiting for s in truth.standings.values()]
        seen = life.entries[entry].moment <= self.books[key].snaps[-1]
        return seen and all(o is None or entry < o for o in oldest)

    def delete(self) -> None:
        """XDEL."""
        found = self.find_life()
        if found is not None and found[1].live:
            key, life = found
            self.run(key, NOTHING, "XDEL", key, *map(show_id, self.sample(life.live, 3)))

    def delete_acked(self) -> None:
        """XDEL of what a group acknowledged, out of order."""
        found = self.find_life()
        if found is None:
            return
        key, life = found
        done = [
            i
            for i in life.live
            if all(not u.waits and u.owner is None for g in life.groups.values()
                   if (u := g.units.get(i)) is not None)
        ]  # fmt: skip
        if done:
            self.run(key, NOTHING, "XDEL", key, *map(show_id, self.sample(done, 3)))

    # -- groups -----------------------------------------------------------------------------------

    def drop_consumer(self) -> None:
        """XGROUP DELCONSUMER."""
        found = self.find_group()
        if found is not None:
            key, _, group = found
            consumer = self.random.choice(CONSUMERS)
            self.run(key, NOTHING, "XGROUP", "DELCONSUMER", key, group, consumer)

    def set_back(self) -> None:
        """XGROUP SETID to an earlier entry."""
        self._set_id(ahead=False)

    def set_forward(self) -> None:
        """XGROUP SETID over entries that nobody read."""
        self._set_id(ahead=True)

    def _set_id(self, *, ahead: bool) -> None:
        found = self.find_group()
        if found is None:
            return
        key, life, group = found
        position = life.groups[group].position
        ids = [i for i in life.entries if (i > position if ahead else i < position)]
        if ids or not ahead:
            target = self.random.choice(sorted(ids)) if ids else (0, 0)
            if not ahead and self.random.random() < 0.3:
                target = (0, 0)
            self.run(key, NOTHING, "XGROUP", "SETID", key, group, show_id(target))

    def create_group(self) -> None:
        """XGROUP CREATE at `$`, at `0` or in the middle, where it is not there."""
        key = self.pick_key()
        life = self.books[key].life
        groups = life.groups if life is not None else {}
        absent = [g for g in GROUPS if g not in groups or not groups[g].there]
        if not absent:
            return
        start = self.random.choice(["$", "0", "0", "mid"])
        if start == "mid":
            start = show_id(self.pick_id(life)) if life is not None else "0"
        group = self.random.choice(absent)
        self.run(key, NOTHING, "XGROUP", "CREATE", key, group, start, "MKSTREAM")

    def destroy_group(self) -> None:
        """XGROUP DESTROY."""
        found = self.find_group()
        if found is not None:
            key, _, group = found
            self.run(key, NOTHING, "XGROUP", "DESTROY", key, group)

    def remake_group(self) -> None:
        """XGROUP DESTROY and CREATE."""
        found = self.find_group()
        if found is None:
            return
        key, life, group = found
        start = self.random.choice(["$", "0", show_id(self.pick_id(life))])
        self.run(key, NOTHING, "XGROUP", "DESTROY", key, group)
        self.run(key, NOTHING, "XGROUP", "CREATE", key, group, start)

    def claim(self) -> None:
        """XAUTOCLAIM: drops pending entries whose payload is gone; Redis 6.2 keeps them."""
        found = self.find_group()
        if found is not None:
            key, _, group = found
            consumer = self.random.choice(CONSUMERS)
            self.run(key, NOTHING, "XAUTOCLAIM", key, group, consumer, 0, "0-0", "COUNT", 100)

    def claim_by_force(self) -> None:
        """XCLAIM FORCE of anything, delivered or not."""
        self._claim("FORCE")

    def claim_and_move(self) -> None:
        """XCLAIM LASTID: moves the group ahead, as replication does."""
        found = self.find_group()
        if found is not None:
            self._claim("LASTID", show_id(self.pick_id(found[1])), place=found)

    def _claim(self, *options: str, place: tuple[bytes, Life, str] | None = None) -> None:
        found = place or self.find_group()
        if found is None or not found[1].live:
            return
        key, life, group = found
        ids = map(show_id, self.sample(life.live if "FORCE" in options else [*life.entries], 3))
        consumer = self.random.choice(CONSUMERS)
        self.run(key, NOTHING, "XCLAIM", key, group, consumer, 0, *ids, *options)

    # -- whole streams ----------------------------------------------------------------------------

    def delete_stream(self) -> None:
        """DEL."""
        found = self.find_life()
        if found is not None:
            self.run(found[0], NOTHING, "DEL", found[0])

    def rename_away(self) -> None:
        """RENAME to a key that nobody watches."""
        found = self.find_life()
        if found is not None:
            self._rename(found[0], self.random.choice(ELSEWHERE))

    def rename_onto(self) -> None:
        """RENAME onto a watched key, whatever is there."""
        others = [k for k, book in self.books.items() if book.life is not None]
        if others:
            source, target = self.random.choice(others), self.pick_key()
            if source != target:
                self._rename(source, target)

    def _went_apart(self, source: bytes, target: bytes) -> bool:
        """Whether the two were one stream, and each went its own way: the entries that they share
        are where they were, so that no number of the server tells one from the other.
        """
        lives = [epoch.life for epoch in self.books[target].epochs]
        mine = self.books[source].life
        assert mine is not None
        others = [life.entries.keys() for life in lives if life is not mine]
        return any(mine.entries.keys() & each and each - mine.entries.keys() for each in others)

    def _rename(self, source: bytes, target: bytes) -> None:
        if self._went_apart(source, target):
            return
        self.send("RENAME", source, target)
        if self.books[target].life is not None:
            self.books[target].detach(self.moment)
        self.books[target].attach(self.books[source].detach(self.moment), self.moment, brought=True)
        self._shake(source, target)

    def copy_stream(self) -> None:
        """COPY … REPLACE: away, or onto."""
        there = [k for k, book in self.books.items() if book.life is not None]
        if there:
            source, target = self.random.choice(there), self.random.choice(list(self.books))
            if source != target and not self._went_apart(source, target):
                self.send("COPY", source, target, "REPLACE")
                self._put(source, target)

    def restore_stream(self) -> None:
        """DUMP and RESTORE … REPLACE, in place or onto another key."""
        there = [k for k, book in self.books.items() if book.life is not None]
        if there:
            source, target = self.random.choice(there), self.random.choice(list(self.books))
            if self._went_apart(source, target):
                return
            dumped = self.bench.wire.call("DUMP", source)
            self.moment += 1
            self.log.append(f"{self.moment}: DUMP {source!r}, RESTORE {target!r} REPLACE")
            self.bench.wire.call("RESTORE", target, 0, dumped, "REPLACE")
            self._put(source, target)

    def _put(self, source: bytes, target: bytes) -> None:
        life = self.books[source].life
        assert life is not None
        copy = life.copy()
        if self.books[target].life is not None:
            self.books[target].detach(self.moment)
        self.books[target].attach(copy, self.moment, brought=True)
        self._shake(target)

    def _shake(self, *keys: bytes) -> None:
        for key in keys:
            self.shaken[key] = self.moment

    def set_counters(self) -> None:
        """XSETID: what migration tools do."""
        found = self.find_life()
        if found is None:
            return
        key, life = found
        last = life.last if self.random.random() < 0.5 else (life.last[0] + 5, 0)
        options: tuple[Any, ...] = ()
        if not self.bench.legacy and self.random.random() < 0.6:
            added = len(life.entries) + self.random.choice([0, 100, -1])
            options = ("ENTRIESADDED", max(added, len(life.live)), "MAXDELETEDID", "0-0")
        self.send("XSETID", key, show_id(last), *options)
        life.last = last
        self.books[key].break_off(self.moment)
        self._shake(key)
        self.look_after(key)

    # -- the server -------------------------------------------------------------------------------

    def reset_statistics(self) -> None:
        """CONFIG RESETSTAT."""
        self.send("CONFIG", "RESETSTAT")
        self.recounted = self.moment

    def evict(self) -> None:
        """Memory runs out: the server throws keys away."""
        policy = self.random.choice(["allkeys-lru", "allkeys-random"])
        self.send("CONFIG", "SET", "maxmemory-policy", policy)
        info = self.bench.wire.call("INFO", "memory").decode()
        used = next(int(n[12:]) for n in info.splitlines() if n.startswith("used_memory:"))
        self.send("CONFIG", "SET", "maxmemory", used - 100)
        self.bench.wire.ask(("SET", "x:filler", "x"))  # where memory is short, keys go first
        self.send("CONFIG", "SET", "maxmemory", 0)
        self.look_after_all()

    def look_after_all(self) -> None:
        """Note what became of every stream."""
        for key in self.books:
            self.look_after(key)

    def restart_server(self) -> None:
        """SIGKILL; the AOF brings everything back."""
        self.moment += 1
        self.log.append(f"{self.moment}: SIGKILL, start from the AOF")
        self.bench.restart()
        self.recounted = self.moment
        self.look_after_all()

    def save(self) -> None:
        """SAVE: a snapshot on the disk."""
        self.send("SAVE")
        lives = {key: book.life for key, book in self.books.items()}
        self.saved = {key: life.copy() for key, life in lives.items() if life is not None}

    def save_and_restart(self) -> None:
        """SAVE, SIGKILL; the RDB brings everything back."""
        self.save()
        self.roll_back()

    def roll_back(self) -> None:
        """SIGKILL; the RDB brings back what was, when SAVE ran last."""
        self.moment += 1
        self.log.append(f"{self.moment}: SIGKILL, start from the RDB")
        self.bench.restart()
        self.recounted = self.moment
        saved = self.saved or {}
        for key, book in self.books.items():
            old, now = saved.get(key), book.life
            if old is not None and now is not None and old.version == now.version:
                continue
            if now is not None:
                book.detach(self.moment, free=old is not None)
                self._shake(key)
            if old is not None:
                book.attach(old.copy(), self.moment, brought=True)
                self._shake(key)
        self.check_ledger()
