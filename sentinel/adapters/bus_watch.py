"""Watches all streams of a check: discovery, snapshots, settlement; everything it must remember between runs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sentinel.adapters.redis import RedisClient
from sentinel.adapters.redis_stream import (
    SCRATCH_PREFIX,
    PendingEntry,
    display,
    find_survivors,
    is_missing,
    is_text,
    overdue_command,
    parse_pending,
    probe_capability,
)
from sentinel.adapters.stream_reader import DropWatch, Reading, Request, Scan, read_streams
from sentinel.core.delivery import (
    Account,
    Capability,
    Deadlines,
    Question,
    Settlement,
    StreamAccount,
    begin_account,
    dump_account,
    format_id,
    load_account,
)
from sentinel.core.delivery.fleet import Naming, Totals, matches
from sentinel.core.delivery.statement import NO_FIGURES, dump_figures, load_figures, sum_accounts
from sentinel.errors import NotMeasurable, SubjectError, TargetError, TargetRejected

SCAN_STEPS = 20
FORGET_AFTER = 3600.0
PROBE_AGAIN_AFTER = 300.0
OVERDUE_CAP = 1000
_ANSWER_BYTES = 4 * 2**20


@dataclass(frozen=True, slots=True)
class Scope:
    """Which streams and groups are watched: glob patterns; and at most how many streams."""

    include: Sequence[str]
    exclude: Sequence[str]
    groups: Sequence[str]
    not_groups: Sequence[str]
    max_streams: int

    def has_stream(self, name: str) -> bool:
        """Whether a stream is watched. Sentinel's own scratch keys never are."""
        own = name.startswith(SCRATCH_PREFIX)
        return not own and matches(name, self.include) and not matches(name, self.exclude)

    def has_group(self, name: str) -> bool:
        """Whether a group is watched."""
        return matches(name, self.groups) and not matches(name, self.not_groups)

    @property
    def literals(self) -> list[str]:
        """Includes without a wildcard: read directly, without SCAN."""
        return [name for name in self.include if not re.search(r"[*?\[]", name)]


@dataclass(frozen=True, slots=True)
class Trouble:
    """What can't be judged, or is wrong, about one subject alone. `fault`: the platform's, else just unknown."""

    subject: str
    problem: str
    remedy: str
    fault: bool = False


@dataclass(slots=True)
class Sight:
    """What one look brought, besides the accounts: for the verdict and the evidence of this run."""

    now: float = 0.0
    settlements: list[Settlement] = field(default_factory=list)
    breaks: list[str] = field(default_factory=list)
    troubles: list[Trouble] = field(default_factory=list)
    overdue: dict[tuple[str, str], list[PendingEntry]] = field(default_factory=dict)
    info: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class BusWatch:
    """Accounts of all streams of one check, and the server's nature. Raises TargetError of the whole server."""

    deadlines: Deadlines
    accounts: dict[str, StreamAccount] = field(default_factory=dict)
    retired: Totals = field(default_factory=Totals)
    drops: DropWatch = field(default_factory=DropWatch)
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

    async def look(self, client: RedisClient, scope: Scope, naming: Naming) -> Sight:
        """One run: find streams, read them, settle what is due."""
        sight = Sight()
        self._apply(scope, naming)
        newcomers = await self._discover(client, scope, sight)
        keys = sorted({name.encode() for name in self.accounts} | {n.encode() for n in newcomers})
        changed = await self._feed(client, scope, sight, keys, {}, newcomers)
        retry = self.capability_note and sight.now - self.probed > PROBE_AGAIN_AFTER
        if changed or retry:
            await self._learn_server(client, sight)
        await self._settle(client, scope, sight, newcomers)
        await self._find_overdue(client, sight)
        self._retire(naming, sight.now)
        return sight

    def label_group(self, naming: Naming, stream: str, group: str) -> tuple[str, str]:
        """Metric labels of a group on a stream."""
        label = naming.stream(stream)
        return label, naming.group(group, self.group_labels.setdefault(label, set()))

    def totals(self, naming: Naming) -> Totals:
        """Counters per label, of the watched and of the departed."""
        sums = self.retired.copy()
        for name, account in self.accounts.items():
            self._sum(sums, naming, name, account)
        return sums

    def _sum(self, sums: Totals, naming: Naming, name: str, account: StreamAccount) -> None:
        labels = {group: self.label_group(naming, name, group)[1] for group in account.groups}
        sums.add(account, naming.stream(name), labels)

    def _let_go(self, naming: Naming, name: str) -> None:
        account = self.accounts.pop(name)
        self._sum(self.retired, naming, name, account)
        self.departed = sum_accounts([self.departed, *(account.account_of(g) for g in account.groups)])

    # -- discovery --------------------------------------------------------------------------------

    def _apply(self, scope: Scope, naming: Naming) -> None:
        """Other patterns than last time: what they add was not watched, what they leave out is let go."""
        patterns = [list(scope.include), list(scope.exclude)]
        if patterns == self.patterns:
            return
        self.patterns, self.untracked, self.absent, self.scan = patterns, None, set(), Scan()
        for name in [name for name in self.accounts if not scope.has_stream(name)]:
            self._let_go(naming, name)

    async def _discover(self, client: RedisClient, scope: Scope, sight: Sight) -> dict[str, bool]:
        """Streams seen for the first time: name → whether its whole life was watched."""
        literals = {name: name in self.absent for name in scope.literals if name not in self.accounts}
        if len(scope.literals) == len(scope.include):
            return literals
        found = await self.scan.advance(client, SCAN_STEPS)
        if found is None:
            return literals
        texts = {key.decode() for key in found if is_text(key)}
        self._report_odd_names(found, scope, sight)
        fresh = sorted(n for n in texts if scope.has_stream(n) and n not in self.accounts and n not in literals)
        room = max(0, scope.max_streams - len(self.accounts) - len(literals))
        known = self.untracked
        newcomers = {name: known is not None and name not in known for name in fresh[:room]}
        self.untracked = set(fresh[room:])
        if self.untracked:
            sight.troubles.append(
                Trouble(
                    f"{len(self.untracked)} streams",
                    f"more streams match than max_streams = {scope.max_streams}",
                    "narrow streams.include, or raise max_streams",
                )
            )
        return {**literals, **newcomers}

    @staticmethod
    def _report_odd_names(found: Iterable[bytes], scope: Scope, sight: Sight) -> None:
        odd = [display(key) for key in sorted(found) if not is_text(key)]
        for name in [name for name in odd if scope.has_stream(name)][:20]:
            remedy = f"rename it, or exclude it with streams.exclude: [{name!r}]"
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
        requests = [Request(key, self._known_groups(key), questions.get(key, ())) for key in keys]
        readings, info = await read_streams(client, requests, self.drops)
        sight.info = info or sight.info
        server = [info.get("run_id", ""), info.get("master_replid", "")]
        changed, self.server = bool(info) and server != self.server, server if info else self.server
        for key, reading in readings.items():
            if reading.view is None:
                self._note_error(key.decode(), reading, sight)
            else:
                view = replace(
                    reading.view,
                    groups={name: g for name, g in reading.view.groups.items() if scope.has_group(name)},
                )
                await self._take_in(client, key, replace(reading, view=view), sight, newcomers, changed)
        self._answers = {key: reading.answers for key, reading in readings.items() if reading.view}
        return changed

    _answers: dict[bytes, dict[Any, Any]] = field(default_factory=dict)

    def _known_groups(self, key: bytes) -> list[str]:
        account = self.accounts.get(key.decode())
        return [] if account is None else sorted(n for n, group in account.groups.items() if not group.gone)

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
        self.absent.discard(name)
        survivors = None
        if account.view is not None and (changed or account.needs_survivors(view)):
            survivors = await find_survivors(client, key, [anchor.id for anchor in account.anchors])
        before = {n: group.delivered for n, group in account.groups.items() if not group.gone}
        broken, settled = account.feed(view, watched_from_birth=newcomers.get(name, False), survivors=survivors)
        sight.settlements += settled
        if broken is not None:
            sight.breaks.append(f"stream {name}: {broken.reason} ({broken.sign})")
        for group in sorted(set(before) - set(view.groups)):
            position = format_id(before[group])
            sight.breaks.append(f"group {group} of stream {name} is gone, last known position {position}")
        for odd in reading.odd_groups:
            subject = f"{name}: group {display(odd)}"
            remedy = "rename the group: XGROUP DESTROY and XGROUP CREATE with a plain name"
            sight.troubles.append(Trouble(subject, "the group's name is not UTF-8", remedy))

    def _note_error(self, name: str, reading: Reading, sight: Sight) -> None:
        error = reading.error or SubjectError("no reply")
        account = self.accounts.get(name)
        if isinstance(error, NotMeasurable) and error.code == "TOO_OLD":
            raise error
        if is_missing(error):
            self.absent.add(name)
        if account is None:
            if is_missing(error) and name not in self._literal_names():
                return
            problem = "the stream does not exist" if is_missing(error) else error.message
            sight.troubles.append(Trouble(name, problem, _remedy_of(error)))
        elif is_missing(error) or error.code == "WRONGTYPE":
            self._note_gone(name, account, error, sight)
        else:
            sight.troubles.append(Trouble(name, error.message, _remedy_of(error)))

    def _note_gone(self, name: str, account: StreamAccount, error: TargetError, sight: Sight) -> None:
        if account.present and account.view is not None:
            position = format_id(account.view.last)
            sight.breaks.append(f"stream {name} is gone, last known id {position}")
        sight.settlements += account.mark_gone()
        if error.code == "WRONGTYPE":
            sight.troubles.append(Trouble(name, error.message, _remedy_of(error)))
        elif name in self._literal_names():
            sight.troubles.append(Trouble(name, "the stream does not exist", _remedy_of(error)))

    def _literal_names(self) -> set[str]:
        include = self.patterns[0] if self.patterns else []
        return {name for name in include if not re.search(r"[*?\[]", name)}

    async def _learn_server(self, client: RedisClient, sight: Sight) -> None:
        """Another server, or the first look: find out by experiment what its numbers mean."""
        self.probed = sight.now
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

    async def _settle(self, client: RedisClient, scope: Scope, sight: Sight, newcomers: Mapping[str, bool]) -> None:
        present = {name: account for name, account in self.accounts.items() if account.present}
        due = {name: account.list_due() for name, account in present.items()}
        questions = {
            name.encode(): asked
            for name, account in present.items()
            if (asked := account.ask(due[name], _answer_cap(account)))
        }
        if questions:
            await self._feed(client, scope, sight, sorted(questions), questions, newcomers)
        for name, account in present.items():
            key = name.encode()
            if account.present and (key not in questions or key in self._answers):
                answers = self._answers.get(key, {}) if key in questions else {}
                sight.settlements += account.settle(due[name], answers)

    async def _find_overdue(self, client: RedisClient, sight: Sight) -> None:
        wanted = [
            (name, group, account.view.now - self.deadlines.ack)
            for name, account in self.accounts.items()
            if account.present and account.view is not None
            for group in _groups_with_old_pending(account, self.deadlines.ack)
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
            if not account.present and account.view is not None and now - account.view.now > FORGET_AFTER
        ]
        for name in old:
            self._let_go(naming, name)

    # -- persistence ------------------------------------------------------------------------------

    def dump(self) -> dict[str, Any]:
        """JSON-able document of everything that must survive a restart."""
        return {
            "accounts": {name: dump_account(account) for name, account in self.accounts.items()},
            "retired": self.retired.dump(),
            "drops": [self.drops.seen, self.drops.deletions, self.drops.claims],
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
            "departed": dump_figures(self.departed),
            "group_labels": {label: sorted(seen) for label, seen in self.group_labels.items()},
        }

    @classmethod
    def load(cls, document: Mapping[str, Any], deadlines: Deadlines) -> BusWatch:
        """What `dump` gave."""
        lag_exact, reads_counted, family, note = document["capability"]
        capability = Capability(lag_exact, reads_counted, family)
        seen, deletions, claims = document["drops"]
        untracked = document["untracked"]
        return cls(
            deadlines,
            {n: load_account(d, deadlines, capability) for n, d in document["accounts"].items()},
            Totals.load(document["retired"]),
            DropWatch(tuple(seen) if seen else None, deletions, claims),
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


def _answer_cap(account: StreamAccount) -> int:
    """List at most so many entries that a reply stays under a few megabytes."""
    size = account.view.entry_bytes if account.view else 0
    return max(10, min(1000, _ANSWER_BYTES // max(1, size)))


def _groups_with_old_pending(account: StreamAccount, deadline: float) -> list[str]:
    view = account.view
    if view is None:
        return []
    limit = (int((view.now - deadline) * 1000), 0)
    return [
        name
        for name, group in view.groups.items()
        if group.pending and (group.oldest_pending is None or group.oldest_pending <= limit)
    ]


def _remedy_of(error: TargetError) -> str:
    if error.code == "WRONGTYPE":
        return "the key holds another type: correct streams.include, or exclude this key"
    if is_missing(error):
        return "create it by publishing, or correct streams.include"
    return error.guidance or "look at the message"
