"""Watches all streams of a check: discovery, snapshots, settlement; everything it must remember
between runs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Any

from sentinel.adapters.bus.stream import (
    SCRATCH_PREFIX,
    find_survivors,
    overdue_command,
    parse_answer,
    parse_pending,
    probe_capability,
    question_command,
)
from sentinel.adapters.bus.stream_reader import (
    DropWatch,
    Haul,
    Reading,
    Request,
    Scan,
    StreamReader,
)
from sentinel.adapters.redis import RedisClient
from sentinel.adapters.redis_reply import display, is_missing, is_text
from sentinel.adapters.resp import pipeline
from sentinel.core.bus.delivery import (
    Account,
    Answer,
    Capability,
    Deadlines,
    Question,
    StreamAccount,
    StreamView,
    begin_account,
    format_id,
    load_account,
    write_account,
)
from sentinel.core.bus.delivery.fleet import Totals
from sentinel.core.bus.delivery.legacy import Marks, complete_view, count_new
from sentinel.core.bus.delivery.statement import (
    NO_FIGURES,
    dump_figures,
    load_figures,
    sum_accounts,
)
from sentinel.core.bus.naming import Naming
from sentinel.errors import NotMeasurable, SubjectError, TargetError, TargetRejected
from sentinel.watch.scope import (
    Scope,
    Sight,
    Trouble,
    answer_cap,
    groups_with_old_pending,
    leave_out,
    listing_cap,
    remedy_of,
)

_PENDING = attrgetter("pending")
SCAN_STEPS = 20
FORGET_AFTER = 3600.0
PROBE_AGAIN_AFTER = 300.0
OVERDUE_CAP = 1000
__all__ = ["FORGET_AFTER", "OVERDUE_CAP", "BusWatch", "Scope", "Sight", "Trouble"]


@dataclass(slots=True)
class BusWatch:
    """Accounts of all streams of one check, and the server's nature. Raises TargetError of the
    whole server.
    """

    deadlines: Deadlines
    accounts: dict[str, StreamAccount] = field(default_factory=dict)
    retired: Totals = field(default_factory=Totals)
    reader: StreamReader = field(default_factory=StreamReader)
    scan: Scan = field(default_factory=Scan)
    untracked: set[str] | None = None
    absent: set[str] = field(default_factory=set)
    patterns: list[list[str]] = field(default_factory=list)
    capability: Capability = field(default_factory=Capability)
    capability_note: str = "not probed yet"
    server: list[str] = field(default_factory=list)
    group_labels: dict[str, set[str]] = field(default_factory=dict)
    probed: float = 0.0
    departed: Account = NO_FIGURES
    _order: list[bytes] = field(default_factory=list)
    _turn: int = 0
    _moved: set[str] = field(default_factory=set)
    _open: set[str] = field(default_factory=set)
    _pending: set[str] = field(default_factory=set)
    _foreign: set[bytes] = field(default_factory=set)
    legacy: bool = False
    _marks: dict[bytes, Marks] = field(default_factory=dict)
    _judged: dict[str, bool] = field(default_factory=dict)
    _group_scope: tuple[Sequence[str], Sequence[str]] = ((), ())
    _texts: dict[str, tuple[str, tuple[int, int]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in self.accounts:
            self._note(name)

    async def look(self, client: RedisClient, scope: Scope, naming: Naming) -> Sight:
        """One run: find streams, read them, settle what is due."""
        sight = Sight()
        self._apply(scope, naming)
        newcomers = await self._discover(client, scope, sight)
        keys = self._take_turn(scope.streams_per_run) + [name.encode() for name in newcomers]
        sight.read = len(keys)
        changed = await self._feed(client, scope, sight, keys, {}, newcomers)
        retry = self.capability_note and sight.now - self.probed > PROBE_AGAIN_AFTER
        if changed or retry:
            await self._learn_server(client, sight)
        await self._settle(client, scope, sight, newcomers)
        await self._find_overdue(client, sight)
        if isinstance(self.reader.refused, NotMeasurable):
            problem = f"dropped deliveries and failovers go unseen: {self.reader.refused.message}"
            sight.troubles.append(Trouble("server", problem, self.reader.refused.guidance))
        self._retire(naming, sight.now)
        return sight

    def label_group(self, naming: Naming, stream: str, group: str) -> tuple[str, str]:
        """Metric labels of a group on a stream."""
        label = naming.stream(stream)
        return label, naming.group(group, self.group_labels.setdefault(label, set()))

    def take_moved(self) -> set[str]:
        """Streams whose account changed since this was asked last, those that were let go included."""
        moved, self._moved = self._moved, set()
        return moved

    def _take_turn(self, limit: int) -> list[bytes]:
        """The streams of this run: all, or the next so many in turn."""
        if not self._order:
            self._order = sorted(name.encode() for name in self.accounts)
        order, begin = self._order, self._turn
        if len(order) <= limit:
            return list(order)
        self._turn = (begin + limit) % len(order)
        return (order[begin:] + order[:begin])[:limit]

    def _note(self, name: str) -> None:
        """An account changed: what was derived from it is out of date."""
        account = self.accounts.get(name)
        self._moved.add(name)
        self._texts.pop(name, None)
        view = account.view if account is not None and account.present else None
        pending = view is not None and any(map(_PENDING, view.groups.values()))
        (self._open.add if account is not None and account.cohorts else self._open.discard)(name)
        (self._pending.add if pending else self._pending.discard)(name)

    def _sum(self, sums: Totals, naming: Naming, name: str, account: StreamAccount) -> None:
        labels = {group: self.label_group(naming, name, group)[1] for group in account.groups}
        sums.add(account, naming.stream(name), labels)

    def _let_go(self, naming: Naming, name: str) -> None:
        account = self.accounts.pop(name)
        self.reader.forget(name.encode())
        self._requests.pop(name.encode(), None)
        self._order = []
        self._note(name)
        self._sum(self.retired, naming, name, account)
        self.departed = sum_accounts(
            [self.departed, *(account.account_of(g) for g in account.groups)]
        )

    # -- discovery --------------------------------------------------------------------------------

    def _apply(self, scope: Scope, naming: Naming) -> None:
        """Other patterns than last time: what they add was not watched, what they leave out is let
        go.
        """
        patterns = [list(scope.include), list(scope.exclude)]
        if self._group_scope != (scope.groups, scope.not_groups):
            self._group_scope = (scope.groups, scope.not_groups)
            self._judged = {}
            for name in self.accounts:
                self.reader.forget(name.encode())
        if patterns == self.patterns:
            return
        self.patterns, self.untracked, self.absent, self.scan = patterns, None, set(), Scan()
        self._foreign = set()
        for name in [name for name in self.accounts if not scope.has_stream(name)]:
            self._let_go(naming, name)

    async def _discover(self, client: RedisClient, scope: Scope, sight: Sight) -> dict[str, bool]:
        """Streams seen for the first time: name → whether its whole life was watched."""
        literals = {
            name: name in self.absent for name in scope.literals if name not in self.accounts
        }
        if len(scope.literals) == len(scope.include):
            return literals
        found = await self.scan.advance(client, SCAN_STEPS)
        if found is None:
            return literals
        self._foreign &= found
        unknown = found.difference(self._requests, self._foreign)
        self._report_odd_names(unknown, scope, sight)
        texts = {key.decode() for key in unknown if is_text(key)}
        self._foreign |= {name.encode() for name in texts if not scope.has_stream(name)}
        fresh = sorted(
            n for n in texts if scope.has_stream(n) and n not in self.accounts and n not in literals
        )
        free = max(0, scope.max_streams - len(self.accounts) - len(literals))
        room = min(free, scope.streams_per_run)
        known = self.untracked
        newcomers = {name: known is not None and name not in known for name in fresh[:room]}
        self.untracked = set(fresh[room:])
        if len(fresh) > free:
            sight.troubles.append(
                Trouble(
                    f"{len(fresh) - free} streams",
                    f"more streams match than max_streams = {scope.max_streams}",
                    "narrow streams.include, or raise max_streams",
                )
            )
        return {**literals, **newcomers}

    @staticmethod
    def _report_odd_names(found: Iterable[bytes], scope: Scope, sight: Sight) -> None:
        odd = [display(key) for key in sorted(found) if not is_text(key)]
        for name in [name for name in odd if scope.has_stream(name)][:20]:
            remedy = (
                "rename it, or exclude it with streams.exclude:"
                f" {json.dumps([name], ensure_ascii=False)}"
            )
            sight.troubles.append(Trouble(name, "the stream's name is not UTF-8", remedy))

    # -- snapshots --------------------------------------------------------------------------------

    async def _feed(
        self,
        client: RedisClient,
        scope: Scope,
        sight: Sight,
        keys: Sequence[bytes],
        questions: Mapping[bytes, Sequence[Question]],
        newcomers: Mapping[str, bool],
    ) -> bool:
        """Read and take in; gives whether the server is another one than before."""
        requests = [
            (
                self._make_request(key, questions[key])
                if key in questions
                else self._requests.get(key) or Request(key)
            )
            for key in keys
        ]
        haul = await self.reader.read(client, requests)
        info = haul.info
        sight.info = info or sight.info
        server = [info.get("run_id", ""), info.get("master_replid", "")]
        changed, self.server = bool(info) and server != self.server, server if info else self.server
        readings = {**haul.readings, **self._touch(haul, changed)}
        if self.legacy or any(
            reading.view is not None and reading.view.legacy for reading in readings.values()
        ):
            self.legacy = True
            readings = self._count_up(haul, readings)
        for key, reading in readings.items():
            if reading.view is None:
                self._note_error(key.decode(), reading, sight)
            else:
                watched = leave_out(reading, scope, self._judged)
                await self._take_in(client, key, watched, sight, newcomers, changed)
                if not reading.odd_groups:
                    self.reader.accept(key)
                self._renew_request(key)
        self._answers = {key: reading.answers for key, reading in readings.items() if reading.view}
        sight.now = max([sight.now, *haul.same.values()])
        return changed

    def _touch(self, haul: Haul, changed: bool) -> dict[bytes, Reading]:
        """Move on what did not change; gives the readings of what must be fed all the same."""
        calls = (self.reader.drops.deletions, self.reader.drops.claims)
        accounts = self.accounts
        rest = {}
        for key, now in haul.same.items():
            account = accounts.get(key.decode())
            if changed or account is None or not account.touch(now, calls):
                rest[key] = self.reader.parse_same(self._requests[key], now)
        return rest

    _requests: dict[bytes, Request] = field(default_factory=dict)
    _answers: dict[bytes, dict[Any, Any]] = field(default_factory=dict)

    def _renew_request(self, key: bytes) -> None:
        known, pending = self._requests.get(key), self._pending_groups(key)
        if known is None or known.groups != pending or self.legacy:
            self._requests[key] = self._make_request(key, (), pending)

    def _make_request(
        self, key: bytes, questions: Sequence[Question], pending: Sequence[str] | None = None
    ) -> Request:
        groups = self._pending_groups(key) if pending is None else pending
        account = self.accounts.get(key.decode()) if self.legacy else None
        if account is None or account.view is None:
            return Request(key, groups, questions)
        return Request(key, groups, questions, account.view.last, listing_cap(account))

    def _count_up(self, haul: Haul, readings: Mapping[bytes, Reading]) -> dict[bytes, Reading]:
        """Give each snapshot of an old server the ranks that it does not tell
        (core/delivery/legacy.py).
        """
        traffic, known = self.reader.traffic, self._marks
        latest = Marks(traffic.removals, traffic.swaps, traffic.published[0])
        counts = {
            key: self._count_new(key, reading.view, reading.fresh)
            for key, reading in readings.items()
        }
        told: dict[int | None, int] = {}
        for key, (new, _) in counts.items():
            publishes = known[key].publishes if key in known else None
            told[publishes] = told.get(publishes, 0) + (new or 0)
        found = {}
        for key, reading in readings.items():
            (new, removed), view = counts[key], reading.view
            if view is not None and view.legacy:
                account, mark = self.accounts.get(key.decode()), known.get(key)
                publishes = mark.publishes if mark is not None else None
                calls = traffic.published[1]
                spare = (
                    None
                    if publishes is None or calls is None or calls < publishes
                    else calls - publishes
                )
                spare = None if spare is None else max(0, spare - told[publishes])
                before = account.view if account is not None else None
                swapped = mark is None or mark.swaps != latest.swaps
                view = complete_view(
                    view, before, new, removed=removed, swapped=swapped, spare=spare
                )
            found[key] = replace(reading, view=view)
        known.update(
            dict.fromkeys(
                [*haul.same, *(k for k, r in found.items() if r.view is not None)], latest
            )
        )
        return found

    def _count_new(
        self, key: bytes, view: StreamView | None, fresh: Answer | None
    ) -> tuple[int | None, bool]:
        """Entries that are new to us, and whether some may have been deleted meanwhile."""
        account, mark = self.accounts.get(key.decode()), self._marks.get(key)
        removed = mark is None or mark.removals != self.reader.traffic.removals
        if view is None or account is None or account.view is None or not view.legacy:
            return 0, removed
        return count_new(view, account.view, fresh, removed=removed), removed

    def _pending_groups(self, key: bytes) -> list[str]:
        account = self.accounts.get(key.decode())
        view = account.view if account is not None and account.present else None
        return (
            []
            if view is None
            else sorted(name for name, group in view.groups.items() if group.pending)
        )

    async def _take_in(
        self,
        client: RedisClient,
        key: bytes,
        reading: Reading,
        sight: Sight,
        newcomers: Mapping[str, bool],
        changed: bool,
    ) -> None:
        name, view = key.decode(), reading.view
        if view is None:
            return
        sight.now = max(sight.now, view.now)
        account = self.accounts.get(name)
        if account is None:
            account = self.accounts[name] = begin_account(self.deadlines, self.capability)
            self._order = []
        self.absent.discard(name)
        survivors = None
        if account.view is not None and (changed or account.needs_survivors(view)):
            survivors = await find_survivors(client, key, [anchor.id for anchor in account.anchors])
        before = {
            n: g.delivered for n, g in account.groups.items() if not g.gone and n not in view.groups
        }
        birth = newcomers.get(name, False) and not view.legacy
        broken, settled = account.feed(view, watched_from_birth=birth, survivors=survivors)
        sight.settlements += settled
        sight.fed.add(name)
        self._note(name)
        if broken is not None:
            sight.breaks.append(f"stream {name}: {broken.reason} ({broken.sign})")
        for group in sorted(before):
            position = format_id(before[group])
            sight.breaks.append(
                f"group {group} of stream {name} is gone, last known position {position}"
            )
        for odd in reading.odd_groups:
            subject = f"{name}: group {display(odd)}"
            remedy = "rename the group: XGROUP DESTROY and XGROUP CREATE with a plain name"
            sight.troubles.append(Trouble(subject, "the group's name is not UTF-8", remedy))

    def _note_error(self, name: str, reading: Reading, sight: Sight) -> None:
        error = reading.error or SubjectError("no reply")
        account = self.accounts.get(name)
        if is_missing(error):
            self.absent.add(name)
        if account is None:
            if is_missing(error) and name not in self._literal_names():
                return
            problem = "the stream does not exist" if is_missing(error) else error.message
            sight.troubles.append(Trouble(name, problem, remedy_of(error)))
        elif is_missing(error) or error.code == "WRONGTYPE":
            self._note_gone(name, account, error, sight)
        else:
            sight.troubles.append(Trouble(name, error.message, remedy_of(error)))

    def _note_gone(
        self, name: str, account: StreamAccount, error: TargetError, sight: Sight
    ) -> None:
        if account.present and account.view is not None:
            position = format_id(account.view.last)
            sight.breaks.append(f"stream {name} is gone, last known id {position}")
        sight.settlements += account.mark_gone()
        self._note(name)
        if error.code == "WRONGTYPE":
            sight.troubles.append(Trouble(name, error.message, remedy_of(error)))
        elif name in self._literal_names():
            sight.troubles.append(Trouble(name, "the stream does not exist", remedy_of(error)))

    def _literal_names(self) -> set[str]:
        include = self.patterns[0] if self.patterns else []
        return {name for name in include if not re.search(r"[*?\[]", name)}

    async def _learn_server(self, client: RedisClient, sight: Sight) -> None:
        """Another server, or the first look: find out by experiment what its numbers mean."""
        self.probed = sight.now
        if self.legacy:  # nothing to find out, and a group of ours would count among those that may drop deliveries
            self.capability, self.capability_note = Capability(family="no counters"), ""
            return
        run = sight.info.get("run_id", "server")[:16]
        try:
            self.capability, self.capability_note = (
                await probe_capability(client, f"{SCRATCH_PREFIX}bus:{run}"),
                "",
            )
        except (NotMeasurable, SubjectError, TargetRejected) as error:
            self.capability = Capability()
            self.capability_note = f"capability not probed, anchors only: {error.message}"
        for account in self.accounts.values():
            account.capability = self.capability

    # -- settlement -------------------------------------------------------------------------------

    async def _settle(
        self, client: RedisClient, scope: Scope, sight: Sight, newcomers: Mapping[str, bool]
    ) -> None:
        names = sorted(name for name in sight.fed | self._open if self.accounts[name].present)
        due = {name: found for name in names if (found := self.accounts[name].list_due())}
        questions: dict[bytes, list[Question]] = {}
        simple: dict[str, list[Question]] = {}
        for name in names:
            account = self.accounts[name]
            if name not in sight.fed and name not in due:
                continue
            asked = account.ask(due.get(name, ()), answer_cap(account))
            if any(question.counts for question in asked):
                questions[name.encode()] = asked
            elif asked:
                simple[name] = asked
        if questions:
            await self._feed(client, scope, sight, sorted(questions), questions, newcomers)
        told = await _ask_apart(client, simple)
        for name in sorted({*due, *simple, *map(bytes.decode, questions)}):
            key, account = name.encode(), self.accounts[name]
            if not account.present or (key in questions and key not in self._answers):
                continue
            answers = self._answers.get(key, {}) if key in questions else told.get(name, {})
            if answers or name in due:
                sight.settlements += account.settle(due.get(name, ()), answers)
                self._note(name)

    async def _find_overdue(self, client: RedisClient, sight: Sight) -> None:
        wanted = [
            (name, group, self.accounts[name].now - self.deadlines.ack)
            for name in sorted(self._pending)
            for group in groups_with_old_pending(self.accounts[name], self.deadlines.ack)
        ]
        commands = [overdue_command(n.encode(), g, before, OVERDUE_CAP) for n, g, before in wanted]
        replies = await client.pipeline(commands)
        for (name, group, _), reply in zip(wanted, replies, strict=True):
            if isinstance(reply, list):
                sight.overdue[name, group] = parse_pending(reply)

    def _retire(self, naming: Naming, now: float) -> None:
        """Streams that have been gone for long are let go; their totals stay."""
        old = [
            name
            for name, account in self.accounts.items()
            if not account.present
            and account.view is not None
            and now - account.view.now > FORGET_AFTER
        ]
        for name in old:
            self._let_go(naming, name)

    # -- persistence ------------------------------------------------------------------------------

    def dump(self) -> dict[str, Any]:
        """JSON-able document of everything that must survive a restart."""
        written = {
            name: self._texts.get(name) or self._write(name, a) for name, a in self.accounts.items()
        }
        return {
            "accounts": {name: text for name, (text, _) in written.items()},
            "calls": {
                n: list(a.calls) for n, a in self.accounts.items() if a.calls != written[n][1]
            },
            "retired": self.retired.dump(),
            "drops": [
                self.reader.drops.seen,
                self.reader.drops.deletions,
                self.reader.drops.claims,
            ],
            "untracked": None if self.untracked is None else sorted(self.untracked),
            "absent": sorted(self.absent),
            "patterns": self.patterns,
            "capability": [
                self.capability.lag_exact,
                self.capability.reads_counted,
                self.capability.family,
                self.capability_note,
            ],
            "server": self.server,
            "legacy": self._dump_marks() if self.legacy else None,
            "departed": dump_figures(self.departed),
            "group_labels": {label: sorted(seen) for label, seen in self.group_labels.items()},
        }

    def _write(self, name: str, account: StreamAccount) -> tuple[str, tuple[int, int]]:
        """An account as JSON text, written anew only when it moved, and the calls it says."""
        found = self._texts[name] = write_account(account), account.calls
        return found

    def _dump_marks(self) -> list[Any]:
        traffic = self.reader.traffic
        marks = {
            key.decode(): [mark.removals, mark.swaps, mark.publishes]
            for key, mark in self._marks.items()
        }
        return [traffic.seen, traffic.removals, traffic.swaps, marks]

    def _load_marks(self, document: Sequence[Any]) -> None:
        traffic, self.legacy = self.reader.traffic, True
        seen, traffic.removals, traffic.swaps, marks = document
        traffic.seen = tuple(seen) if seen else None
        self._marks = {name.encode(): Marks(*mark) for name, mark in marks.items()}
        for key in self._marks:
            self._requests[key] = self._make_request(key, ())

    @classmethod
    def load(cls, document: Mapping[str, Any], deadlines: Deadlines) -> BusWatch:
        """What `dump` gave."""
        lag_exact, reads_counted, family, note = document["capability"]
        capability = Capability(lag_exact, reads_counted, family)
        seen, deletions, claims = document["drops"]
        untracked = document["untracked"]
        accounts = {
            name: load_account(
                json.loads(text) if isinstance(text, str) else text, deadlines, capability
            )
            for name, text in document["accounts"].items()
        }
        for name, calls in document.get("calls", {}).items():
            accounts[name].calls = tuple(calls)
        watch = cls(
            deadlines,
            accounts,
            Totals.load(document["retired"]),
            StreamReader(DropWatch(tuple(seen) if seen else None, deletions, claims)),
            Scan(),
            None if untracked is None else set(untracked),
            set(document["absent"]),
            document["patterns"],
            capability,
            note,
            document["server"],
            {label: set(labels) for label, labels in document["group_labels"].items()},
            departed=load_figures(document["departed"]),
        )
        if document["legacy"]:
            watch._load_marks(document["legacy"])
        return watch


async def _ask_apart(
    client: RedisClient, questions: Mapping[str, Sequence[Question]]
) -> dict[str, dict[Question, Answer]]:
    """Answers that need no snapshot with them."""
    wanted = [(name, question) for name, asked in questions.items() for question in asked]
    replies = await pipeline(
        client, [question_command(name.encode(), question) for name, question in wanted]
    )
    found: dict[str, dict[Question, Answer]] = {}
    for (name, question), reply in zip(wanted, replies, strict=True):
        answer = parse_answer(question, reply)
        if answer is not None:
            found.setdefault(name, {})[question] = answer
    return found
