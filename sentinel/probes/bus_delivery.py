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

from sentinel.core.bus.delivery import ACK, OUTCOMES, Deadlines, GroupView, StreamAccount, format_id
from sentinel.core.bus.delivery.board import Board
from sentinel.core.bus.delivery.fleet import DELIVERY_COUNTERS, Standing, Totals
from sentinel.core.bus.delivery.statement import (
    describe_figures,
    describe_worst,
    find_ratio,
    sum_accounts,
)
from sentinel.core.bus.delivery.window import Window, tally
from sentinel.core.bus.naming import Naming, matches
from sentinel.core.fault import Status, worst
from sentinel.core.model import Finding, Measurement, Row
from sentinel.core.quantity import format_duration
from sentinel.probes import Context, GroupPatterns, Kind, Options, StreamPatterns
from sentinel.strict.field import Duration, Percentage
from sentinel.watch.delivery import FORGET_AFTER, BusWatch, Scope, Sight, Trouble

WORST = 20
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
        return Scope(streams.include, streams.exclude, groups, self.groups.exclude, *limits)

    @property
    def naming(self) -> Naming:
        """Labels: patterns where there are any."""
        return Naming(self.streams.include, [*self.groups.required, *self.groups.include])


class DeliveryState:
    """The accounts of all streams, and the window of the verdict; made at the first run."""

    def __init__(self, document: Any = None) -> None:
        known = bool(document) and document.get("version") == VERSION
        self._document = document if known else {}
        self.watch: BusWatch | None = None
        self.window = Window(60.0)
        self.lost_before = 0
        self.board = Board()
        self.troubles: dict[str, list[Trouble]] = {}
        self._options: DeliveryOptions | None = None

    def tally(self, options: DeliveryOptions, sight: Sight) -> None:
        """Bring the board up to date: what moved, and what changes by time alone."""
        watch, naming = self.open(options), options.naming
        names = watch.take_moved() | self.board.list_stale(sight.now) | set(self.troubles)
        names |= {name for name, _ in sight.overdue}
        if options != self._options:
            self.board, self.troubles, self._options = Board(), {}, options
            names = set(watch.accounts)
        for name in names:
            self._put(options, naming, sight, name)

    def _put(self, options: DeliveryOptions, naming: Naming, sight: Sight, name: str) -> None:
        watch = self.open(options)
        account = watch.accounts.get(name)
        self.troubles.pop(name, None)
        if account is None:
            self.board.remove(name)
            return
        overdue = (
            {g: len(sight.overdue.get((name, g), ())) for g in account.groups}
            if sight.overdue
            else {}
        )
        self.board.put(
            name,
            account,
            naming.stream(name),
            lambda group: watch.label_group(naming, name, group),
            overdue,
        )
        whole = not options.groups.required and account.groups.keys() == _groups_of(account).keys()
        if (
            account.present
            and not whole
            and (found := find_group_troubles(options, {name: account}))
        ):
            self.troubles[name] = found

    def open(self, options: DeliveryOptions) -> BusWatch:
        """The accounts, with the deadlines of the configuration in force."""
        if self.watch is None:
            found = self._document
            self.watch = (
                BusWatch.load(found["watch"], options.deadlines)
                if found
                else BusWatch(options.deadlines)
            )
            self.window = Window.load(found.get("window", []), options.window)
            self.lost_before = found.get("lost_before", 0)
        return self.watch

    def dump(self) -> Any:
        """JSON-able document."""
        if self.watch is None:
            return self._document or None
        return {
            "version": VERSION,
            "watch": self.watch.dump(),
            "window": self.window.dump(),
            "lost_before": self.lost_before,
        }

    async def close(self) -> None:
        """Nothing is held open."""


async def run(options: DeliveryOptions, context: Context) -> Finding:
    """Look at every stream once, settle what is due, judge."""
    state: DeliveryState = context.state
    watch = state.open(options)
    sight = await watch.look(context.redis(), options.scope, options.naming)
    state.tally(options, sight)
    board = state.board
    known = [trouble for name in sorted(state.troubles) for trouble in state.troubles[name]]
    troubles = [*sight.troubles, *known, *_find_replica(sight)]
    standings = board.list_standings()
    totals = watch.retired.copy()
    totals.merge(board.totals)
    totals.touch(options.streams.include, options.groups.required)
    lost = sum(sums["lost_before_read_total"] for sums in totals.groups.values())
    state.window.add(tally(sight.now, sight.settlements, lost - state.lost_before, sight.breaks))
    state.lost_before = lost
    account = describe_account(options, watch, board, totals)
    status = judge(options, state.window, sight, standings, troubles, measured=board.measured > 0)
    return Finding(
        status=status,
        detail=describe(
            options, account, state.window, standings, troubles, measured=board.measured > 0
        ),
        rows=[
            *totals.rows(),
            *_gauge_rows(options, board),
            *_server_rows(sight, watch),
        ],
        evidence={
            "account": account,
            "troubles": [_describe_trouble(trouble) for trouble in troubles[:WORST]],
            "events": state.window.breaks[-WORST:],
            "samples": describe_samples(watch, sight, standings),
            "not_measurable": [
                f"{name}: no group, not measurable" for name in sorted(board.groupless)[:WORST]
            ],
            "poll": describe_poll(watch, sight),
            "capability": watch.capability.family,
            "note": watch.capability_note or (LEGACY if watch.legacy else ""),
        },
        guidance=_guide(status, troubles, standings),
        key=("acked", describe_ratio(account["ratio"])),
    )


# -- judgement ------------------------------------------------------------------------------------


def judge(
    options: DeliveryOptions,
    window: Window,
    sight: Sight,
    standings: Sequence[Standing],
    troubles: Sequence[Trouble],
    *,
    measured: bool,
) -> Status:
    """down: most of the window missed; degraded: something missed, lost or broken; unknown: nothing
    to judge.
    """
    if window.is_below(options.down_below, options.min_events):
        return Status.DOWN
    if window.lost or window.breaks or _has_missed(options, sight, standings):
        return Status.DEGRADED
    verdicts = [Status.DEGRADED if trouble.fault else Status.UNKNOWN for trouble in troubles]
    return worst([*verdicts, Status.UP if measured else Status.UNKNOWN])


def _has_missed(options: DeliveryOptions, sight: Sight, standings: Sequence[Standing]) -> bool:
    """Whether a cohort missed its deadline in this run, or entries are overdue now."""
    late = any(
        each.waiting.lo or (each.stage == ACK and each.pending.lo) for each in sight.settlements
    )
    limit = options.deadlines.deliver
    waits = any(each.waiting.lo and (each.oldest_waiting or 0) > limit for each in standings)
    return late or waits or any(each.overdue for each in standings)


def find_group_troubles(
    options: DeliveryOptions, present: dict[str, StreamAccount]
) -> list[Trouble]:
    """Required groups that are missing, and known groups that vanished."""
    troubles = []
    for name, account in sorted(present.items()):
        groups = _groups_of(account)
        for group, known in sorted(account.groups.items()):
            if (
                group not in groups
                and account.view
                and account.view.now - known.ended < FORGET_AFTER
            ):
                create = f"XGROUP CREATE {name} {group} {format_id(known.delivered)}"
                problem = f"group {group} lost, last known position {format_id(known.delivered)}"
                troubles.append(
                    Trouble(name, problem, f"{create}, then start its consumers", fault=True)
                )
        for pattern in options.groups.required:
            if not any(matches(group, [pattern]) for group in [*groups, *account.groups]):
                remedy = f"start its consumer, or XGROUP CREATE {name} {pattern} 0"
                troubles.append(Trouble(name, f"no group {pattern}", remedy, fault=True))
    return troubles


def _find_replica(sight: Sight) -> list[Trouble]:
    if sight.info.get("role", "master") == "master":
        return []
    return [
        Trouble("server", "this is a replica: its figures lag", "point the resource at the primary")
    ]


def _groups_of(account: StreamAccount) -> Mapping[str, GroupView]:
    return account.view.groups if account.view else {}


# -- words ----------------------------------------------------------------------------------------


def describe(
    options: DeliveryOptions,
    account: dict[str, Any],
    window: Window,
    standings: Sequence[Standing],
    troubles: Sequence[Trouble],
    *,
    measured: bool,
) -> str:
    """One line: the worst news first, then the figures."""
    news = []
    if window.lost:
        where = max(
            account["streams"].items(), key=lambda item: item[1]["lost"][0], default=("", {})
        )[0]
        news.append(f"lost before read: {window.lost:,} (certain), stream {where}")
    news += window.breaks[-1:]
    news += [_describe_overdue(each) for each in _worst_overdue(options, standings)[:1]]
    news += [f"{trouble.subject}: {trouble.problem}" for trouble in troubles[:1]]
    if len(troubles) > 1:
        news.append(f"{len(troubles) - 1} more")
    if not measured:
        return "; ".join([*news, "no stream with a group matches: nothing to measure"])
    figures = f"{account['published']:,} published, {_describe_ratios(options, account)}"
    return "; ".join([*news, f"{figures}; {_describe_bounds(account['lost'])} lost"])


def _describe_ratios(options: DeliveryOptions, account: dict[str, Any]) -> str:
    """Both reliabilities; the one of deliveries only where it says something of its own."""
    acked, reached = describe_ratio(account["ratio"]), describe_ratio(account["ratio_delivered"])
    words = f"{acked} acknowledged in {format_duration(options.deadline)}"
    if reached == acked and options.deadlines.deliver == options.deadline:
        return words
    return f"{words}, {reached} delivered in {format_duration(options.deadlines.deliver)}"


def describe_ratio(ratio: Sequence[float] | None) -> str:
    """`99.95 %` or `[94.2, 99.0] %`; a dash while nothing is settled."""
    if ratio is None or ratio == [0.0, 1.0]:
        return "–"
    lo, hi = (100 * each for each in ratio)
    return f"{_floor(lo):.4g} %" if lo == hi else f"[{_floor(lo):.4g}, {hi:.4g}] %"


def _floor(percent: float) -> float:
    """Never round a miss up to 100."""
    return min(percent, 99.99) if percent < 100 else percent


def _describe_bounds(bounds: Sequence[int]) -> str:
    return f"{bounds[0]:,}" if bounds[0] == bounds[1] else f"{bounds[0]:,} to {bounds[1]:,}"


def _worst_overdue(options: DeliveryOptions, standings: Sequence[Standing]) -> list[Standing]:
    limit = options.deadlines.deliver
    late = [s for s in standings if s.overdue or (s.waiting.lo and (s.oldest_waiting or 0) > limit)]
    return sorted(late, key=lambda s: -max(s.oldest_waiting or 0, s.oldest_pending or 0))


def _describe_overdue(standing: Standing) -> str:
    age = max(standing.oldest_waiting or 0, standing.oldest_pending or 0)
    parts = [f"{standing.waiting.lo:,} waiting"] if standing.waiting.lo else []
    parts += [f"{standing.overdue:,} pending overdue"] if standing.overdue else []
    return f"{' and '.join(parts)}, oldest {format_duration(age)}, stream {standing.stream}"


def _describe_trouble(trouble: Trouble) -> dict[str, str]:
    return {"subject": trouble.subject, "problem": trouble.problem, "remedy": trouble.remedy}


def _guide(status: Status, troubles: Sequence[Trouble], standings: Sequence[Standing]) -> str:
    if status is Status.UP:
        return ""
    if troubles:
        return troubles[0].remedy
    if status is Status.UNKNOWN and not standings:
        return "correct streams.include, or create the group"
    late = [each for each in standings if each.overdue or each.waiting.lo]
    if late:
        oldest = max(late, key=lambda s: max(s.oldest_waiting or 0, s.oldest_pending or 0))
        return f"look at the consumers: XINFO CONSUMERS {oldest.stream} {oldest.group}"
    return "compare producers, trimming (MAXLEN) and consumers of the streams named"


# -- figures --------------------------------------------------------------------------------------


def describe_account(
    options: DeliveryOptions, watch: BusWatch, board: Board, totals: Totals
) -> dict[str, Any]:
    """Where everything stands that was published to a judged group since the watch began."""
    worst = [
        (name, group, watch.accounts[name].account_of(group), watch.accounts[name].groups[group])
        for name in board.pick(WORST)
        for group in watch.accounts[name].groups
    ]
    settled = {
        outcome: sum(sums[outcome] for sums in totals.groups.values()) for outcome in OUTCOMES
    }
    reached = {
        outcome: sum(sums[counter] for sums in totals.groups.values())
        for outcome, counter in DELIVERY_COUNTERS.items()
    }
    standings = [
        each for name in {name for name, *_ in worst} for each in board.cards[name].standings
    ]
    return {
        **describe_figures(sum_accounts([watch.departed, board.sum_figures()])),
        "unseen": sum(each.unseen for each in watch.accounts.values()) if watch.legacy else 0,
        "settled": settled,
        "ratio": find_ratio(settled),
        "deadline_seconds": options.deadline,
        "settled_delivery": reached,
        "ratio_delivered": find_ratio(reached, "delivered"),
        "delivered_deadline_seconds": options.deadlines.deliver,
        "entries": sum(sums["published_total"] for sums in board.totals.streams.values()),
        "streams": describe_worst(worst, standings, WORST),
    }


def describe_poll(watch: BusWatch, sight: Sight) -> dict[str, float]:
    """How wide a poll really is: an entry is judged so much later than its deadline says, at most."""
    oldest = min(
        (account.now for account in watch.accounts.values() if account.present), default=sight.now
    )
    return {
        "streams": len(watch.accounts),
        "read": sight.read,
        "width_seconds": round(sight.now - oldest, 3),
    }


def describe_samples(
    watch: BusWatch, sight: Sight, standings: Sequence[Standing]
) -> list[dict[str, Any]]:
    """Late entries by id, with the command that looks at or cures them."""
    samples: list[dict[str, Any]] = []
    for (name, group), entries in sorted(sight.overdue.items(), key=lambda item: -len(item[1]))[
        :WORST
    ]:
        samples += [
            {
                "stream": name,
                "group": group,
                "state": "pending",
                "id": entry.id,
                "consumer": entry.consumer,
                "idle_seconds": entry.idle,
                "deliveries": entry.deliveries,
                "cure": (
                    f"XAUTOCLAIM {name} {group} <consumer> {int(entry.idle * 1000)} {entry.id}"
                    " COUNT 100"
                ),
            }
            for entry in entries[:3]
        ]
    for each in standings:
        oldest = watch.accounts[each.stream].groups[each.group].oldest_waiting
        if each.waiting.lo and oldest is not None and len(samples) < 3 * WORST:
            samples.append(
                {
                    "stream": each.stream,
                    "group": each.group,
                    "state": "waiting",
                    "id": format_id(oldest),
                    "cure": (
                        f"start a consumer of {each.group}; look: XINFO CONSUMERS {each.stream}"
                        f" {each.group}"
                    ),
                }
            )
    return samples


def _gauge_rows(options: DeliveryOptions, board: Board) -> list[Row]:
    rows = board.group_rows()
    for pattern in options.streams.include:
        for stage, seconds in (("deliver", options.deadlines.deliver), ("ack", options.deadline)):
            rows.append(Row({"stream": pattern, "stage": stage}, {"deadline_seconds": seconds}))
        rows.append(Row({"stream": pattern}, board.stream_values(pattern)))
    return rows


def _server_rows(sight: Sight, watch: BusWatch) -> list[Row]:
    info = sight.info
    labels = {
        "family": watch.capability.family,
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
    resources={"resource": "redis"},
    load_state=DeliveryState,
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
            "rolled_back_entries_total", "Entries that a rollback took back.", "counter", _STREAM
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
)
