"""Kind `bus_delivery`: of everything published, how much was acknowledged by the deadline, and what
was lost?

Passive: reads what the server knows of streams and groups, never a consumer's part (measurement.md
§1).
`published` in the account counts deliveries owed: an entry on a stream with two groups counts
twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from sentinel.core.bus.delivery import Deadlines, GroupView, StreamAccount
from sentinel.core.bus.delivery.board import Board
from sentinel.core.bus.delivery.finding import (
    DELIVERY_KINDS,
    DeliveryRules,
    find_delivery_faults,
    find_replica,
)
from sentinel.core.bus.delivery.fleet import Standing
from sentinel.core.bus.delivery.presence import find_group_faults
from sentinel.core.bus.delivery.statement import describe_ratio, describe_total
from sentinel.core.bus.delivery.window import LossBook, Pair, Window, tally
from sentinel.core.bus.finding import BLIND_KINDS, describe_faults, find_nothing
from sentinel.core.bus.naming import Naming
from sentinel.core.fault import Fault, Status, judge
from sentinel.core.model import Finding, Fold, Impact, Margin, Measurement, Row, Section, Sli, Term
from sentinel.probes import (
    Context,
    GroupPatterns,
    Kind,
    Options,
    StreamPatterns,
    faults_of_target,
)
from sentinel.strict.field import Duration, Percentage
from sentinel.watch.delivery import BusWatch
from sentinel.watch.delivery_evidence import (
    WORST,
    describe_account,
    describe_poll,
    describe_samples,
)
from sentinel.watch.scope import BusSight, Scope

LEGACY = (
    "this server does not say how many entries were added: they are listed and counted, and what"
    " came and went between two looks is uncertain; Redis 7.0 or later and every Valkey tell the"
    " number"
)
VERSION = 2
"""Of the state's document; another one is not read: the watch begins anew, as at the first start.
"""


class Groups(GroupPatterns):
    """Which groups are judged, and which must be there."""

    required: list[str] = Field(
        [], description="every stream must have a group for each of these patterns"
    )


class DeliveryOptions(Options):
    """Options of `bus_delivery`."""

    resource: str | None = Field(None, description="Redis resource that carries the streams")
    streams: StreamPatterns = Field(StreamPatterns(), description="which streams are watched")
    groups: Groups = Field(Groups(), description="which consumer groups are judged")
    deadline: Duration = Field(
        5.0, gt=0, description="an entry must be acknowledged this long after publishing"
    )
    delivered_deadline: Duration | None = Field(
        None,
        gt=0,
        description="an entry must be delivered this long after publishing; default: deadline",
    )
    max_streams: int = Field(1000, ge=1, description="watch at most so many streams")
    streams_per_run: int = Field(
        1000,
        ge=1,
        description=(
            "look at so many streams a run, at the others in the next; deadlines blur with it"
        ),
    )
    window: Duration = Field(
        60.0, gt=0, description="the verdict rests on what was settled this recently"
    )
    down_below: Percentage = Field(
        0.5, description="down when the acknowledged share of the window is lower"
    )
    min_events: int = Field(
        20, ge=1, description="judge the share only with so many settled entries"
    )

    @property
    def deadlines(self) -> Deadlines:
        """Both deadlines in seconds."""
        return Deadlines(
            min(self.delivered_deadline or self.deadline, self.deadline), self.deadline
        )

    @property
    def scope(self) -> Scope:
        """What is watched."""
        groups = [*self.groups.include, *self.groups.required]
        streams, limits = self.streams, (self.max_streams, self.streams_per_run)
        patterns = streams.include, streams.exclude, groups, self.groups.exclude
        return Scope(*patterns, *limits, required=self.groups.required)

    @property
    def naming(self) -> Naming:
        """Labels: patterns where there are any."""
        return Naming(self.streams.include, [*self.groups.required, *self.groups.include])

    @property
    def rules(self) -> DeliveryRules:
        """What is promised."""
        required = self.groups.required
        return DeliveryRules(self.deadlines, self.down_below, self.min_events, required)


class DeliveryState:
    """The accounts of all streams, and the window of the verdict; made at the first run."""

    def __init__(self, document: Any = None) -> None:
        known = bool(document) and document.get("version") == VERSION
        self._document = document if known else {}
        self.watch: BusWatch | None = None
        self.window = Window(60.0)
        self.losses = LossBook()
        self.board = Board()
        self.of_groups: dict[str, list[Fault]] = {}
        self._options: DeliveryOptions | None = None

    def tally(self, options: DeliveryOptions, sight: BusSight) -> None:
        """Bring board and window up to date: what moved, and what changes by time alone."""
        books = self.open(options).books
        names = books.take_moved() | self.board.list_stale(sight.now) | set(self.of_groups)
        names |= {name for name, _ in sight.overdue}
        if options != self._options:
            self.board, self.of_groups, self._options = Board(), {}, options
            names = set(books.accounts)
        lost: dict[Pair, int] = {}
        for name in names:
            self._put(options, sight, name)
            lost |= self.losses.take(name, books.accounts.get(name))
        self.window.add(tally(sight.now, sight.settlements, lost, sight.mishaps))

    def _put(self, options: DeliveryOptions, sight: BusSight, name: str) -> None:
        books, naming = self.open(options).books, options.naming
        account = books.accounts.get(name)
        self.of_groups.pop(name, None)
        if account is None:
            self.board.remove(name)
            return
        self.board.put(
            name,
            account,
            naming.stream(name),
            lambda group: books.label_group(naming, name, group),
            _count_overdue(sight, name, account),
        )
        whole = account.present and account.groups.keys() == _groups_of(account).keys()
        if options.groups.required or not whole:
            found = find_group_faults(options.rules, name, account)
            if found:
                self.of_groups[name] = found

    def list_group_faults(self) -> list[Fault]:
        """Of groups that are missing, by stream."""
        return [fault for name in sorted(self.of_groups) for fault in self.of_groups[name]]

    def open(self, options: DeliveryOptions) -> BusWatch:
        """The accounts, with the deadlines of the configuration in force."""
        if self.watch is None:
            self.watch = self._load(options)
            for name, account in self.watch.accounts.items():
                self.losses.take(name, account)
        return self.watch

    def _load(self, options: DeliveryOptions) -> BusWatch:
        found = self._document
        self.window = Window.load(found.get("window", []), options.window)
        if not found:
            return BusWatch.begin(options.deadlines)
        return BusWatch.load(found["watch"], options.deadlines)

    def dump(self) -> Any:
        """JSON-able document."""
        if self.watch is None:
            return self._document or None
        return {
            "version": VERSION,
            "watch": self.watch.dump(),
            "window": self.window.dump(),
        }

    async def close(self) -> None:
        """Nothing is held open."""


def _count_overdue(sight: BusSight, name: str, account: StreamAccount) -> dict[str, int]:
    """Late pending entries of each group on a stream."""
    if not sight.overdue:
        return {}
    return {group: len(sight.overdue.get((name, group), ())) for group in account.groups}


def _groups_of(account: StreamAccount) -> Mapping[str, GroupView]:
    return account.view.groups if account.view else {}


async def run(options: DeliveryOptions, context: Context) -> Finding:
    """Look at every stream once, settle what is due, judge."""
    state: DeliveryState = context.state
    watch = state.open(options)
    sight = await watch.look(context.redis(), options.scope, options.naming)
    state.tally(options, sight)
    board, standings = state.board, state.board.list_standings()
    faults = _find_faults(options, state, sight, standings)
    totals = watch.books.retired.totals.copy()
    totals.merge(board.totals)
    totals.touch(options.streams.include, options.groups.required)
    account = describe_account(watch, board, totals)
    return Finding(
        status=judge(faults),
        detail=describe_total(options.deadlines, account, faults, measured=board.measured > 0),
        rows=[
            *totals.rows(),
            *_gauge_rows(options, board),
            *_server_rows(sight, watch),
        ],
        evidence={"account": account, **_show(state, watch, sight, faults, standings)},
        guidance=faults[0].guidance if faults else "",
        key=("acked", describe_ratio(account["ratio"])),
        faults=faults,
    )


def _find_faults(
    options: DeliveryOptions,
    state: DeliveryState,
    sight: BusSight,
    standings: Sequence[Standing],
) -> list[Fault]:
    nothing = [] if state.board.measured else [find_nothing()]
    return find_delivery_faults(
        options.rules,
        state.window,
        standings,
        sight.settlements,
        state.list_group_faults(),
        [*sight.faults, *find_replica(sight.info.get("role", "")), *nothing],
    )


def _show(
    state: DeliveryState,
    watch: BusWatch,
    sight: BusSight,
    faults: Sequence[Fault],
    standings: Sequence[Standing],
) -> dict[str, Any]:
    """For the evidence, beside the account."""
    groupless = sorted(state.board.groupless)[:WORST]
    unknown = [fault for fault in faults if fault.status is Status.UNKNOWN]
    return {
        "not_judged": describe_faults(unknown, WORST),
        "events": [str(mishap) for mishap in state.window.mishaps[-WORST:]],
        "samples": describe_samples(watch, sight, standings),
        "not_measurable": [f"{name}: no group, not measurable" for name in groupless],
        "poll": describe_poll(watch, sight),
        "capability": watch.nature.capability.family,
        "note": watch.nature.note or (LEGACY if watch.legacy.needed else ""),
    }


# -- figures --------------------------------------------------------------------------------------


def _gauge_rows(options: DeliveryOptions, board: Board) -> list[Row]:
    rows = board.group_rows()
    for pattern in options.streams.include:
        for stage, seconds in (("deliver", options.deadlines.deliver), ("ack", options.deadline)):
            rows.append(Row({"stream": pattern, "stage": stage}, {"deadline_seconds": seconds}))
        rows.append(Row({"stream": pattern}, board.stream_values(pattern)))
    return rows


def _server_rows(sight: BusSight, watch: BusWatch) -> list[Row]:
    info = sight.info
    labels = {
        "family": watch.nature.capability.family,
        "version": info.get("valkey_version") or info.get("redis_version") or "unknown",
        "role": info.get("role", "unknown"),
    }
    return [Row(labels, {"server_info": 1.0})]


def _declare(
    name: str, help_text: str, type_: str, labels: tuple[str, ...], unit: str = "entries"
) -> Measurement:
    return Measurement(name, help_text, f"sentinel_bus_{name}", type_, unit, labels)


_STREAM, _GROUP = ("stream",), ("stream", "group")

KIND = Kind(
    name="bus_delivery",
    summary=(
        "Redis Streams: of everything published, what was delivered and acknowledged in time, what"
        " was lost"
    ),
    options=DeliveryOptions,
    run=run,
    board="bus",
    resources={"resource": "redis"},
    load_state=DeliveryState,
    patient=True,
    faults=(*DELIVERY_KINDS, *BLIND_KINDS, *faults_of_target("bus-unreachable")),
    default_every=2.0,
    measurements=(
        _declare("published_total", "Entries published since the watch began.", "counter", _STREAM),
        _declare(
            "settled_total",
            "Entries judged once at their deadline, by outcome; acked over the sum is the delivery"
            " reliability.",
            "counter",
            (*_GROUP, "outcome"),
        ),
        _declare(
            "delivery_settled_total",
            "Entries judged once at their deadline to deliver, by outcome; delivered over the sum"
            " is the other SLI.",
            "counter",
            (*_GROUP, "outcome"),
        ),
        _declare(
            "deadline_seconds",
            "Deadline after publishing.",
            "gauge",
            ("stream", "stage"),
            "seconds",
        ),
        _declare(
            "waiting_entries", "Published, live, not yet delivered to the group.", "gauge", _GROUP
        ),
        _declare(
            "waiting_exact",
            "1 when waiting_entries is exact, 0 when an upper bound.",
            "gauge",
            _GROUP,
            "",
        ),
        _declare(
            "oldest_waiting_age_seconds",
            "Age of the oldest undelivered entry.",
            "gauge",
            _GROUP,
            "seconds",
        ),
        _declare("pending_entries", "Delivered, not yet acknowledged.", "gauge", _GROUP),
        _declare(
            "oldest_pending_age_seconds",
            "Age of the oldest unacknowledged entry.",
            "gauge",
            _GROUP,
            "seconds",
        ),
        _declare(
            "pending_overdue_entries",
            "Pending past the deadline; at most 1000 per stream.",
            "gauge",
            _GROUP,
        ),
        _declare(
            "lost_before_read_total",
            "Entries certainly removed before delivery.",
            "counter",
            _GROUP,
        ),
        _declare(
            "lost_before_read_uncertain_total",
            "Entries possibly removed before delivery.",
            "counter",
            _GROUP,
        ),
        _declare(
            "dropped_uncertain_total",
            "Deliveries that may have been dropped unacknowledged.",
            "counter",
            _GROUP,
        ),
        _declare(
            "trim_headroom_entries",
            "Read entries still kept: publishes until loss.",
            "gauge",
            _GROUP,
        ),
        _declare(
            "trim_headroom_seconds",
            "Seconds to loss if the group stalls now.",
            "gauge",
            _GROUP,
            "seconds",
        ),
        _declare("removed_entries_total", "Entries trimmed or deleted.", "counter", _STREAM),
        _declare(
            "rolled_back_entries_total",
            "Entries that a rollback took back, at least.",
            "counter",
            _STREAM,
        ),
        _declare(
            "stream_resets_total", "Breaks of a stream's life.", "counter", ("stream", "reason"), ""
        ),
        _declare("stream_entries", "Live entries.", "gauge", _STREAM),
        _declare(
            "last_published_timestamp_seconds",
            "When the newest entry was published.",
            "gauge",
            _STREAM,
            "seconds",
        ),
        _declare(
            "server_info",
            "Family of the server's counters.",
            "gauge",
            ("family", "version", "role"),
            "",
        ),
    ),
    slis=(
        Sli(
            "acked_in_deadline",
            "published entries that each group acknowledged within the deadline",
            (Term("settled_total"),),
            (Term("settled_total", {"outcome": "acked"}),),
        ),
        Sli(
            "delivered_in_deadline",
            "published entries that each group was given within its deadline to deliver",
            (Term("delivery_settled_total"),),
            (Term("delivery_settled_total", {"outcome": "delivered"}),),
        ),
    ),
    impact=(
        Impact(
            "messages lost before they were read",
            Section.INCIDENT,
            (Term("lost_before_read_total"),),
            (Term("lost_before_read_uncertain_total"),),
            loss=True,
        ),
        Impact(
            "messages overdue at their deadline",
            Section.INCIDENT,
            (
                Term("settled_total", {"outcome": "pending"}),
                Term("settled_total", {"outcome": "waiting"}),
            ),
        ),
        Impact(
            "deliveries dropped without acknowledgement",
            Section.INCIDENT,
            (Term("settled_total", {"outcome": "dropped"}),),
            (Term("dropped_uncertain_total"),),
            loss=True,
        ),
        Impact("messages published", Section.DELIVERY, (Term("published_total"),)),
        Impact(
            "acknowledged in time",
            Section.DELIVERY,
            (Term("settled_total", {"outcome": "acked"}),),
            (Term("settled_total", {"outcome": "uncertain"}),),
            whole=(Term("settled_total"),),
            unit="ratio",
            basis="each group counts a message that it should get",
        ),
        Impact(
            "delivered in time",
            Section.DELIVERY,
            (Term("delivery_settled_total", {"outcome": "delivered"}),),
            (Term("delivery_settled_total", {"outcome": "uncertain"}),),
            whole=(Term("delivery_settled_total"),),
            unit="ratio",
            basis="each group counts a message that it should get",
        ),
        Impact(
            "messages lost",
            Section.DELIVERY,
            (Term("lost_before_read_total"),),
            (Term("lost_before_read_uncertain_total"),),
        ),
        Impact("messages waiting", Section.DELIVERY, (Term("waiting_entries"),), fold=Fold.SUM),
        Impact("messages pending", Section.DELIVERY, (Term("pending_entries"),), fold=Fold.SUM),
        Impact(
            "oldest waiting message",
            Section.DELIVERY,
            (Term("oldest_waiting_age_seconds"),),
            fold=Fold.LARGEST,
            unit="seconds",
            trend=True,
        ),
    ),
    margins=(
        Margin(
            "room before unread entries are trimmed",
            "trim_headroom_seconds",
            3600.0,
            unit="seconds",
        ),
    ),
)
