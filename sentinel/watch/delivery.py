"""Watches all streams of a check: discovery, snapshots, settlement; everything it must remember
between runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sentinel.adapters.bus.command_counts import CommandCounts
from sentinel.adapters.bus.stream import (
    PROBE_CALLS,
    PendingEntry,
    find_kept,
    find_survivors,
    overdue_command,
    parse_pending,
)
from sentinel.adapters.bus.stream_reader import (
    DropWatch,
    Haul,
    Reading,
    StreamReader,
    StreamRequest,
    ask_apart,
)
from sentinel.adapters.redis import RedisClient
from sentinel.adapters.redis.reply import display, is_missing
from sentinel.core.bus.age import find_age, find_published_by
from sentinel.core.bus.delivery import (
    Answer,
    Calls,
    Deadlines,
    Due,
    Id,
    Question,
    StreamAccount,
    StreamView,
    doubt,
    parse_id,
)
from sentinel.core.bus.delivery.finding import (
    OVERDUE_CAP,
    find_drops_unseen,
    note_break,
    note_gone,
    note_group_gone,
    note_skip,
)
from sentinel.core.bus.delivery.legacy import Marks
from sentinel.core.bus.finding import find_unjudged
from sentinel.core.bus.naming import Naming
from sentinel.errors import NotMeasurable, SubjectError, TargetError
from sentinel.watch.delivery_books import DeliveryBooks, list_present
from sentinel.watch.delivery_census import NEVER, Absence, Newcomers, StreamCensus
from sentinel.watch.delivery_server import LegacyCount, ServerNature
from sentinel.watch.scope import (
    BusSight,
    Scope,
    answer_cap,
    describe_error,
    groups_with_old_pending,
    leave_out,
    listing_cap,
)

Questions = Mapping[bytes, Sequence[Question]]


@dataclass(slots=True)
class StreamInquiry:
    """How each stream is asked, what the latest answers were, and which groups are judged."""

    requests: dict[bytes, StreamRequest] = field(default_factory=dict)
    answers: dict[bytes, dict[Question, Answer]] = field(default_factory=dict)
    groups: tuple[Sequence[str], Sequence[str]] = ((), ())
    judged: dict[str, bool] = field(default_factory=dict)

    def apply(self, scope: Scope) -> bool:
        """Take other patterns of groups than last time; True when they are."""
        groups = scope.groups, scope.not_groups
        if groups == self.groups:
            return False
        self.groups, self.judged = groups, {}
        return True


@dataclass(frozen=True, slots=True)
class _Run:
    """One look: with whom, at what, and what it brings."""

    client: RedisClient
    scope: Scope
    sight: BusSight
    newcomers: Newcomers = field(default_factory=dict)


@dataclass(slots=True)
class BusWatch:
    """All streams of one check, and the server that has them. Raises TargetError of the whole
    server.
    """

    books: DeliveryBooks
    census: StreamCensus = field(default_factory=StreamCensus)
    nature: ServerNature = field(default_factory=ServerNature)
    legacy: LegacyCount = field(default_factory=LegacyCount)
    reader: StreamReader = field(default_factory=StreamReader)
    inquiry: StreamInquiry = field(default_factory=StreamInquiry)
    last_look: Absence = NEVER
    unsaid: BusSight = field(default_factory=BusSight)

    @classmethod
    def begin(cls, deadlines: Deadlines) -> BusWatch:
        """Nothing is known yet."""
        return cls(DeliveryBooks(deadlines))

    @property
    def accounts(self) -> dict[str, StreamAccount]:
        """Accounts by stream."""
        return self.books.accounts

    async def look(self, client: RedisClient, scope: Scope, naming: Naming) -> BusSight:
        """One run: find streams, read them, settle what is due."""
        # what a look settled that failed half-way is in the accounts, and not said yet
        sight = BusSight(settlements=self.unsaid.settlements, mishaps=self.unsaid.mishaps)
        self.unsaid = sight
        self._apply(scope, naming)
        newcomers = await self.census.discover(
            client,
            scope,
            self.accounts.keys(),
            self.inquiry.requests.keys(),
            sight.faults,
            self.last_look,
        )
        run = _Run(client, scope, sight, newcomers)
        keys = self.census.turns.take(self.accounts, scope.streams_per_run)
        keys += [name.encode() for name in newcomers]
        sight.read = len(keys)
        known = self.nature.server, dict(self.legacy.marks)
        try:
            changed = await self._feed(run, keys, {})
            if changed or self.nature.wants_probe(sight.now):
                await self._learn_server(run)
        except TargetError:
            self._take_back(*known, sight.fed)
            raise
        await self._settle(run)
        await self._find_overdue(run)
        refused = self.reader.refused
        if isinstance(refused, NotMeasurable):
            sight.faults.append(find_drops_unseen(refused.message, refused.guidance))
        for name in self.books.list_forgotten(sight.now):
            self._let_go(naming, name)
        self.last_look, self.unsaid = Absence(sight.now, self.reader.drops.calls), BusSight()
        return sight

    def _take_back(self, server: list[str], marks: dict[bytes, Marks], fed: set[str]) -> None:
        """A look failed between reading and feeding: another server is so at the next look as well,
        and what no account was told is still to be counted.
        """
        self.nature.server = server
        told = {key: mark for key, mark in self.legacy.marks.items() if key.decode() in fed}
        self.legacy.marks = marks | told

    def _apply(self, scope: Scope, naming: Naming) -> None:
        """Other patterns than last time: what they leave out is let go."""
        if self.inquiry.apply(scope):
            for name, account in self.accounts.items():
                self.reader.forget(name.encode())
                account.knows = False
        if self.census.apply(scope):
            for name in [name for name in self.accounts if not scope.has_stream(name)]:
                self._let_go(naming, name)

    def _let_go(self, naming: Naming, name: str) -> None:
        self.reader.forget(name.encode())
        self.inquiry.requests.pop(name.encode(), None)
        self.census.turns.reset()
        self.books.let_go(naming, name)

    # -- snapshots --------------------------------------------------------------------------------

    async def _feed(self, run: _Run, keys: Sequence[bytes], questions: Questions) -> bool:
        """Read and take in; gives whether the server is another one than before."""
        requests = [self._request(key, questions) for key in keys]
        haul = await self.reader.read(run.client, requests)
        run.sight.info = haul.info or run.sight.info
        changed = self.nature.take(haul.info)
        readings = self._complete(haul, {**haul.readings, **self._touch(haul, changed)})
        await self._find_kept(run.client, readings)
        survivors = await self._resolve(run.client, readings, questions, changed)
        for key, reading in readings.items():
            known = survivors.get(key)
            await self._take_reading(run, key, reading, known, changed)
        self.inquiry.answers = {k: r.answers for k, r in readings.items() if r.view}
        run.sight.now = max([run.sight.now, *haul.same.values()]) or self._tell_time(haul.info)
        return changed

    def _tell_time(self, info: Mapping[str, str]) -> float:
        """The server's time of a look at which no stream was there to tell it."""
        told = info.get("server_time_usec", "")
        latest = max((account.now for account in self.accounts.values()), default=0.0)
        return int(told) / 1e6 if told.isdigit() else latest

    def _request(self, key: bytes, questions: Questions) -> StreamRequest:
        if key in questions:
            return self._make_request(key, questions[key])
        return self.inquiry.requests.get(key) or StreamRequest(key)

    def _complete(self, haul: Haul, readings: dict[bytes, Reading]) -> dict[bytes, Reading]:
        """The readings, with ranks where the server tells none."""
        views = (reading.view for reading in readings.values())
        if any(view is not None and view.legacy for view in views):
            self.legacy.needed = True
        if not self.legacy.needed:
            return readings
        return self.legacy.complete(self.books, haul, readings, self.reader.traffic)

    async def _find_kept(self, client: RedisClient, readings: dict[bytes, Reading]) -> None:
        """Complete the readings of streams that grew: is what was the newest entry still there?"""
        wanted = {}
        for key, reading in readings.items():
            account, view = self.books.find(key), reading.view
            if view is None or view.legacy or account is None or account.view is None:
                continue
            if doubt.may_be_another(account, view):
                wanted[key] = account.anchors[-1].id
        if not wanted:
            return
        for key, kept in (await find_kept(client, wanted)).items():
            view = readings[key].view
            if view is not None:
                readings[key] = replace(readings[key], view=replace(view, kept=kept))

    async def _resolve(
        self, client: RedisClient, readings: dict[bytes, Reading], asked: Questions, changed: bool
    ) -> dict[bytes, frozenset[Id]]:
        """Read those that may be other streams once more, together with what is left of their
        anchors: what is asked behind a snapshot may be of yet another stream. Gives what is left.
        """
        requests = []
        for key, reading in readings.items():
            account, view = self.books.find(key), reading.view
            if view is None or view.legacy or account is None or account.view is None:
                continue
            if account.present and (changed or doubt.needs_survivors(account, view)):
                doubts = doubt.list_doubts(account, view, listing_cap(account))
                requests.append(self._make_request(key, [*asked.get(key, ()), *doubts]))
        if not requests:
            return {}
        haul, found = await self.reader.read_again(client, requests), {}
        for key, reading in haul.readings.items():
            account = self.accounts[key.decode()]
            readings[key] = reading
            if reading.view is not None:
                view, found[key] = doubt.resolve_doubts(account, reading.view, reading.answers)
                readings[key] = replace(reading, view=view)
        return found

    def _touch(self, haul: Haul, changed: bool) -> dict[bytes, Reading]:
        """Move on what did not change; gives the readings of what must be fed all the same."""
        calls = self.reader.drops.calls
        rest = {}
        for key, now in haul.same.items():
            account = self.books.find(key)
            if changed or account is None or not account.touch(now, calls):
                rest[key] = self.reader.parse_same(self.inquiry.requests[key], now)
        return rest

    def _renew_request(self, key: bytes) -> None:
        known, pending = self.inquiry.requests.get(key), self.books.list_pending_groups(key)
        if known is None or known.groups != pending or self.legacy.needed:
            self.inquiry.requests[key] = self._make_request(key, (), pending)

    def _make_request(
        self, key: bytes, questions: Sequence[Question], pending: Sequence[str] | None = None
    ) -> StreamRequest:
        groups = self.books.list_pending_groups(key) if pending is None else pending
        account = self.books.find(key) if self.legacy.needed else None
        if account is None or account.view is None:
            return StreamRequest(key, groups, questions)
        return StreamRequest(key, groups, questions, account.anchors[-1].id, listing_cap(account))

    async def _take_reading(
        self,
        run: _Run,
        key: bytes,
        reading: Reading,
        survivors: frozenset[Id] | None,
        changed: bool,
    ) -> None:
        if reading.view is None:
            self._note_error(run.sight, key.decode(), reading.error or SubjectError("no reply"))
            return
        watched = leave_out(reading, run.scope, self.inquiry.judged)
        if watched.view is not None:
            await self._take_in(run, key, watched.view, survivors, changed)
        _note_odd_groups(run.sight, key.decode(), watched)
        if not reading.odd_groups:
            self.reader.accept(key)
        self._renew_request(key)

    async def _take_in(
        self,
        run: _Run,
        key: bytes,
        view: StreamView,
        survivors: frozenset[Id] | None,
        changed: bool,
    ) -> None:
        """Feed a snapshot to the account of its stream, which may begin with it."""
        name, sight = key.decode(), run.sight
        sight.now = max(sight.now, view.now)
        account = self.accounts.get(name)
        if account is None:
            account = self.books.begin(name, self.nature.capability)
            self.census.turns.reset()
        self.census.absent.discard(name)
        known = account.view is not None and view.legacy
        if known and (changed or doubt.needs_survivors(account, view)):
            anchors = [anchor.id for anchor in account.anchors]
            survivors = await find_survivors(run.client, key, anchors)
        vanished = _find_vanished(account, view)
        taken_back = -account.rolled_back
        account.required = run.scope.required
        absence = None if view.legacy else run.newcomers.get(name)
        broken, settled = account.feed(
            view,
            watched_from_birth=absence is not None,
            absent_at=absence.at if absence else 0.0,
            absent_calls=absence.calls if absence else None,
            survivors=survivors,
        )
        sight.settle(name, settled)
        sight.fed.add(name)
        self.books.note(name)
        if broken is not None:
            taken_back += account.rolled_back
            sight.mishaps.append(note_break(name, broken, taken_back))
        for group, delivered in sorted(vanished.items()):
            sight.mishaps.append(note_group_gone(name, group, delivered))
        for group, skip in sorted(account.skips.items()):
            sight.mishaps.append(note_skip(name, group, skip))

    def _note_error(self, sight: BusSight, name: str, error: TargetError) -> None:
        """The error of one stream alone."""
        account, missing = self.accounts.get(name), is_missing(error)
        if missing:
            self.census.absent.add(name)
        gone = account is not None and (missing or error.code == "WRONGTYPE")
        if account is not None and gone:
            self._note_gone(sight, name, account)
        if not missing or name in self.census.literals:
            sight.faults.append(find_unjudged(name, *describe_error(error)))

    def _note_gone(self, sight: BusSight, name: str, account: StreamAccount) -> None:
        if account.present and account.view is not None:
            sight.mishaps.append(note_gone(name, account.view.last))
        sight.settle(name, account.mark_gone(self.reader.drops.calls))
        self.books.note(name)

    async def _learn_server(self, run: _Run) -> None:
        """Another server, or the first look."""
        if self.legacy.needed:
            self.nature.settle_for_nothing(run.sight.now)
            return
        run_id = run.sight.info.get("run_id", "server")
        await self.nature.probe(run.client, run_id, run.sight.now)
        if not self.nature.note:
            self.reader.drops.forgive(PROBE_CALLS)
        for account in self.accounts.values():
            account.capability = self.nature.capability

    # -- settlement -------------------------------------------------------------------------------

    async def _settle(self, run: _Run) -> None:
        names = list_present(self.accounts, run.sight.fed | self.books.open)
        due = {name: found for name in names if (found := self.accounts[name].list_due())}
        with_snapshot, apart = self._ask(run, names, due)
        if with_snapshot:
            await self._feed(run, sorted(with_snapshot), with_snapshot)
        told = await ask_apart(run.client, apart)
        for name in sorted({*due, *apart, *map(bytes.decode, with_snapshot)}):
            account, key = self.accounts[name], name.encode()
            if not account.present:
                continue
            by_key, by_name = self.inquiry.answers.get(key), told.get(name, {})
            answers = by_key if key in with_snapshot else by_name
            if answers is not None and (answers or name in due):
                run.sight.settle(name, account.settle(due.get(name, ()), answers))
                self.books.note(name)

    def _ask(
        self, run: _Run, names: Sequence[str], due: Mapping[str, Sequence[Due]]
    ) -> tuple[dict[bytes, list[Question]], dict[str, list[Question]]]:
        """Questions whose answers must come with a snapshot, by key, and the others, by name."""
        with_snapshot, apart = {}, {}
        for name in names:
            if name not in run.sight.fed and name not in due:
                continue
            account = self.accounts[name]
            asked = account.ask(due.get(name, ()), answer_cap(account))
            if any(question.counts for question in asked):
                with_snapshot[name.encode()] = asked
            elif asked:
                apart[name] = asked
        return with_snapshot, apart

    async def _find_overdue(self, run: _Run) -> None:
        deadline = self.books.deadlines.ack
        wanted = []
        for name in sorted(self.books.pending):
            account = self.accounts[name]
            upto = find_published_by(account.now - deadline, account.anchors)
            wanted += [(name, group, upto) for group in groups_with_old_pending(account, upto)]
        commands = [overdue_command(n.encode(), g, upto, OVERDUE_CAP) for n, g, upto in wanted]
        replies = await run.client.pipeline(commands)
        for (name, group, _), reply in zip(wanted, replies, strict=True):
            if isinstance(reply, list):
                rows = parse_pending(reply)
                run.sight.overdue[name, group] = _keep_late(self.accounts[name], rows, deadline)

    # -- persistence ------------------------------------------------------------------------------

    def dump(self) -> dict[str, Any]:
        """JSON-able document of everything that must survive a restart."""
        drops, untracked = self.reader.drops, self.census.untracked
        return {
            **self.books.dump(),
            "drops": [drops.seen.dump() if drops.seen is not None else None, *drops.calls],
            "untracked": None if untracked is None else sorted(untracked),
            "absent": sorted(self.census.absent),
            "patterns": self.census.patterns,
            "groups": self._dump_groups(),
            "absences": [each.dump() for each in (self.census.proven, self.last_look)],
            "capability": self.nature.dump(),
            "server": self.nature.server,
            "legacy": self.legacy.dump(self.reader.traffic),
        }

    def _dump_groups(self) -> list[list[str]] | None:
        """Which groups are watched, once every stream was looked at so."""
        if not all(account.knows for account in self.accounts.values()):
            return None
        return [list(patterns) for patterns in self.inquiry.groups]

    @classmethod
    def load(cls, document: Mapping[str, Any], deadlines: Deadlines) -> BusWatch:
        """What `dump` gave."""
        nature = ServerNature.load(document["capability"], document["server"])
        seen, *calls = document["drops"]
        drops = DropWatch(CommandCounts.load(seen), Calls(*calls))
        reader = StreamReader(drops)
        untracked = document["untracked"]
        census = StreamCensus(
            untracked=None if untracked is None else set(untracked),
            absent=set(document["absent"]),
            patterns=document["patterns"],
        )
        books = DeliveryBooks.load(document, deadlines, nature.capability)
        legacy = LegacyCount.load(document["legacy"], reader.traffic)
        watch = cls(books, census, nature, legacy, reader)
        proven, last = document.get("absences") or (NEVER.dump(), NEVER.dump())
        census.proven, watch.last_look = Absence.load(proven), Absence.load(last)
        groups, others = document.get("groups") or ((), ())
        watch.inquiry.groups = list(groups), list(others)
        for key in legacy.marks:
            watch.inquiry.requests[key] = watch._make_request(key, ())
        return watch


def _find_vanished(account: StreamAccount, view: StreamView) -> dict[str, Any]:
    """Position of each group that the snapshot does not have any more."""
    before = account.view.groups if account.view is not None else {}
    there = (name for name, now in before.items() if not (now.missing or name in view.groups))
    alive = ((name, account.groups[name]) for name in there)
    return {name: group.delivered for name, group in alive if not group.gone}


def _note_odd_groups(sight: BusSight, name: str, reading: Reading) -> None:
    remedy = "rename the group: XGROUP DESTROY and XGROUP CREATE with a plain name"
    for odd in reading.odd_groups:
        problem = "the group's name is not UTF-8"
        sight.faults.append(find_unjudged(name, problem, remedy, display(odd)))


def _keep_late(
    account: StreamAccount, rows: Sequence[PendingEntry], deadline: float
) -> list[PendingEntry]:
    """Without entries whose ids only look old: replayed between two looks."""
    ages = (find_age(parse_id(row.id), account.now, account.anchors) for row in rows)
    # why `>=`: at the deadline an entry is late
    return [row for row, age in zip(rows, ages, strict=True) if age and age.seconds >= deadline]
