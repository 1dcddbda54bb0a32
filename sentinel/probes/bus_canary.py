"""Kind `bus_canary`: does a message that is published arrive, in time, once, and unchanged?

Through a stream of sentinel's own; or, as a ping in the product's own envelope, through a stream of
the product and its handlers; or through every master of a cluster (measurement.md §2.1–2.2). A
ledger of promises beside the stream, and a reader that lives as long as the state. A run sends,
waits briefly, writes off and judges. No real group is ever joined.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import Field, model_validator

from sentinel.adapters.bus.canary_ledger import CanaryPlace
from sentinel.adapters.bus.canary_reader import Clock, Rules
from sentinel.core.canary.finding import (
    CANARY_KINDS,
    READER_FAILED,
    REFUSED,
    CanaryLimits,
    PathNews,
    PathTrouble,
    find_canary_faults,
    find_in_use,
)
from sentinel.core.canary.letter import EXTRAS, FAILED, Letter, Outcome, OwnLetter
from sentinel.core.canary.ping import ENVELOPE, PLACEHOLDERS, PingLetter, find_faults
from sentinel.core.canary.proof import Confidence, Windows, judge
from sentinel.core.canary.record import RECENT
from sentinel.core.fault import Fault, FaultKind, Severity, headline, sort_faults
from sentinel.core.fault import judge as judge_faults
from sentinel.core.model import Finding, Impact, Measurement, Row, Section, Sli, Term
from sentinel.core.quantity import format_duration
from sentinel.errors import TargetError
from sentinel.probes import Context, Kind, Options, faults_of_target
from sentinel.strict.field import Duration, Percentage
from sentinel.watch.canary_path import CanaryPath, Pause, Trip
from sentinel.watch.canary_paths import CanaryPaths, PathSight, Plan

NOT_ASKED = "not_asked"
WINDOWS = (("1h", 60), ("24h", Windows.SPAN))


class FailuresOf(Options):
    """k of the last m."""

    failures: int = Field(2, ge=1, description="this many failed canaries …")
    of: int = Field(20, ge=1, le=RECENT, description="… of the last so many are degraded")


class HandlerOptions(Options):
    """Through the product's own handler, which answers each ping (see README)."""

    stream: str = Field(
        min_length=1, description="the product's stream that gets the pings; must exist"
    )
    envelope: dict[str, str] = Field(
        default_factory=lambda: dict(ENVELOPE),
        description="fields of a ping; in the values "
        + ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
        + ' are filled in; one field must be "{id}"; fields with {id} or {body} must come back'
        " unchanged",
    )
    hops: list[str] = Field(
        [], max_length=20, description="names of the handlers in order, when each one reports"
    )
    hops_field: str = Field(
        "hops", min_length=1, description="field in which handlers leave their names and clocks"
    )
    maxlen: int | None = Field(
        None, ge=100, description="trim the product's stream to about so many; default: never"
    )
    while_running: str | None = Field(
        None, description="ping only while this supervised component runs"
    )
    pause_after: int = Field(10, ge=1, le=RECENT, description="after so many pings lost in a row …")
    pause: Duration = Field(
        60.0, gt=0, description="… one every so long: a dead consumer's stream must not fill"
    )

    @model_validator(mode="after")
    def _check_envelope(self) -> HandlerOptions:
        faults = find_faults(self.envelope)
        if len(set(self.hops)) < len(self.hops) or {"publish", "deliver", "total"} & set(self.hops):
            faults.append("hops need names of their own, and publish, deliver and total are taken")
        if faults:
            raise ValueError("; ".join(faults))
        return self


class CanaryOptions(Options):
    """Options of `bus_canary`."""

    resource: str | None = Field(None, description="Redis resource to send canaries through")
    path: str = Field(
        "0",
        pattern=r"^[A-Za-z0-9_.-]{1,64}$",
        description=(
            "name of the path: the stream is sentinel:canary:{path}; two sentinels need two paths"
        ),
    )
    deadline: Duration = Field(1.0, gt=0, description="a canary that takes longer is late")
    loss_after: Duration | None = Field(
        None, description="not seen after this time is lost; default 4 × deadline"
    )
    burst: int = Field(1, ge=1, le=100, description="canaries per run")
    failures_of: FailuresOf = Field(
        FailuresOf(), description="how many failures of the last canaries are degraded"
    )
    down_after: int = Field(
        3, ge=1, le=RECENT, description="so many canaries lost in a row are down"
    )
    target: Percentage = Field(
        0.995, gt=0, lt=1, description="delivery target that the confidence verdict is about"
    )
    handler: HandlerOptions | None = Field(
        None,
        description=(
            "send pings through the product's own handler:"
            f" {', '.join(HandlerOptions.model_fields)}"
        ),
    )
    per_shard: bool = Field(
        False, description="one canary per master of a Redis cluster, each a path of its own"
    )

    @model_validator(mode="after")
    def _check_ways(self) -> CanaryOptions:
        if self.handler is not None and self.per_shard:
            raise ValueError("handler and per_shard: choose one, a second check can have the other")
        return self

    @property
    def rules(self) -> Rules:
        """Seconds; unseen is lost after 3–5 deadlines (measurement.md §2.2)."""
        lost_after = self.loss_after if self.loss_after is not None else 4 * self.deadline
        return Rules(self.deadline, lost_after, self.burst)

    @property
    def letter(self) -> Letter:
        """How canaries are written and read."""
        if (handler := self.handler) is None:
            return OwnLetter()
        envelope = tuple(handler.envelope.items())
        return PingLetter(envelope, self.place("").inbox, tuple(handler.hops), handler.hops_field)

    @property
    def limits(self) -> CanaryLimits:
        """What is tolerated."""
        rule = self.failures_of
        return CanaryLimits(self.deadline, rule.failures, rule.of, self.down_after)

    def place(self, tag: str) -> CanaryPlace:
        """The keys; `tag` is that of a shard, else the path is the tag."""
        if (handler := self.handler) is None:
            return CanaryPlace.own(tag or self.path)
        return CanaryPlace.through(handler.stream, self.path, handler.maxlen)


async def run(options: CanaryOptions, context: Context) -> Finding:
    """Send on every path, wait at most one deadline, write off what is lost, and judge the last
    canaries.
    """
    paths: CanaryPaths = context.state
    if options.per_shard:
        return _judge(
            options,
            context,
            await paths.visit_shards(options.path, context.redis(), _plan(options, context)),
        )
    trip = _plan(options, context)(context.redis(), "")
    sight = await paths.visit(options.path, options.letter.hops, trip)
    if sight.outlook.holder:
        return _shared(options, sight.outlook.holder)
    return _judge(options, context, [sight])


def _plan(options: CanaryOptions, context: Context) -> Plan:
    """Runs of this check's paths, given client and tag."""
    handler = options.handler
    return lambda client, tag: Trip(
        client,
        options.place(tag),
        options.letter,
        options.rules,
        Clock(context.monotonic, context.stalled),
        context.utcnow(),
        context.interval,
        context.timeout / 4,
        context.trace_id,
        Pause(handler.pause_after, handler.pause) if handler else None,
        _find_hold(handler, context),
    )


def _find_hold(handler: HandlerOptions | None, context: Context) -> str:
    """Why there is nobody to ping; "" when there is."""
    name = handler.while_running if handler else None
    return (
        f"nothing sent: {name} is not running" if name and context.supervised(name) is None else ""
    )


# --- judgement ----------------------------------------------------------------------------------


def _judge(options: CanaryOptions, context: Context, sights: list[PathSight]) -> Finding:
    now = context.utcnow().timestamp()
    faults = sort_faults(
        fault
        for sight in sights
        for fault in find_canary_faults(_news(options, sight), options.limits)
    )
    share = _say_share(options, sights)
    hours = {sight.label: _say_hour(options, sight, now) for sight in sights}
    return Finding(
        judge_faults(faults),
        _describe(options, sights, faults, share, hours[_weakest(sights, now)]),
        rows=[row for sight in sights for row in _rows(sight, now)],
        evidence=_evidence(sights, hours),
        guidance=next((fault.guidance for fault in faults if fault.guidance), ""),
        key=("canary", share),
        faults=faults,
    )


def _news(options: CanaryOptions, sight: PathSight) -> PathNews:
    """What the judgement needs to know of a path."""
    outlook = sight.outlook
    troubles = [
        _name_trouble(key, error)
        for key, error in (
            ("", outlook.error),
            (REFUSED, outlook.refused),
            (READER_FAILED, outlook.reader_error),
        )
        if error is not None
    ]
    return PathNews(
        sight.label,
        options.place(sight.path.tag).stream,
        list(sight.path.record.recent),
        outlook.wiped,
        outlook.holder,
        outlook.held,
        sight.path.traffic.hop_failures(),
        troubles,
        asked=outlook.error is None,
        given_up=sight.path.take_lost(),
    )


def _name_trouble(key: str, error: TargetError) -> PathTrouble:
    """An error as a trouble; without a key, the one that its class means."""
    return PathTrouble(key or error.fault or NOT_ASKED, error.status, error.message, error.guidance)


def _describe(
    options: CanaryOptions,
    sights: list[PathSight],
    faults: list[Fault],
    share: str,
    hour: str,
) -> str:
    """One line: the worst fault, then what arrived on all paths, and the hour of the weakest."""
    news = [headline(faults)] if faults else []
    arrived = f"{share} arrived within {format_duration(options.deadline)}; last hour: {hour}"
    held = sorted({sight.outlook.held for sight in sights if sight.outlook.held})
    return "; ".join([*news, arrived, *(held if not faults else [])])


def _say_share(options: CanaryOptions, sights: list[PathSight]) -> str:
    """How many of the last canaries arrived in time, all paths together."""
    recent = [out for sight in sights for out in sight.path.record.last(options.failures_of.of)]
    good = sum(outcome not in FAILED for outcome in recent)
    return f"{100 * good / len(recent):.4g} % of {len(recent)}" if recent else "no data"


def _say_hour(options: CanaryOptions, sight: PathSight, now: float) -> str:
    return _say(_judge_window(sight.path, now, 60, options.target), options.target)


def _judge_window(path: CanaryPath, now: float, minutes: int, target: float) -> Confidence:
    windows = path.record.windows
    return judge(windows.blocks(int(now // 60), minutes), target, windows.coverage(now, minutes))


def _say(hour: Confidence, target: float) -> str:
    """The verdict of an hour, with what it rests on."""
    figures = (
        f"n = {hour.n}, at least {100 * hour.lower:.2f} %, {100 * hour.coverage:.0f} % of the time"
        " seen"
    )
    return f"{hour.verdict} for {100 * target:.4g} % ({figures})"


def _weakest(sights: list[PathSight], now: float) -> str:
    """The path of which least is proven."""
    return min(sights, key=lambda sight: _judge_window(sight.path, now, 60, 0.5).lower).label


def _shared(options: CanaryOptions, holder: str) -> Finding:
    fault = find_in_use(options.path, holder, options.place("").stream)
    return Finding(fault.status, fault.text, guidance=fault.guidance, faults=[fault])


# --- figures ------------------------------------------------------------------------------------


def _evidence(sights: list[PathSight], hours: dict[str, str]) -> dict[str, Any]:
    """Counts of all paths together, and of each when there are several; hops, where the product has
    any.
    """
    counts = {sight.label: _counts(sight) for sight in sights}
    names = next(iter(counts.values()))
    evidence: dict[str, Any] = {
        "canary": {name: sum(each[name] for each in counts.values()) for name in names},
        "last_hour": hours if len(sights) > 1 else next(iter(hours.values())),
    }
    if len(sights) > 1:
        evidence["paths"] = counts
    traffic = sights[0].path.traffic
    if traffic.hops:
        offsets = {hop: round(seconds, 3) for hop, seconds in traffic.offsets.items()}
        evidence["hops"] = {"failures": traffic.hop_failures(), "clock_ahead_seconds": offsets}
    return evidence


def _counts(sight: PathSight) -> dict[str, int]:
    total = sight.path.record.tally.total
    return {
        "sent": total("sent"),
        "ok": total(Outcome.OK),
        "late": total(Outcome.LATE),
        "lost": total(Outcome.LOST),
        "corrupt": total(Outcome.CORRUPT),
        "orphan": total(Outcome.ORPHAN),
        "publish_error": total(Outcome.PUBLISH_ERROR),
        "open": sight.outlook.open,
        "duplicate": total("duplicates"),
        "resurfaced": total("resurfaced"),
        "reordered": total("reordered"),
        "foreign": total("foreign"),
        "blind": total("blind"),
    }


def _rows(sight: PathSight, now: float) -> Iterable[Row]:
    path, record = {"path": sight.label}, sight.path.record
    counters = {name: float(record.tally.total(name)) for name in ("sent", *EXTRAS)}
    gauges = {} if sight.outlook.error is not None else {"outstanding": float(sight.outlook.open)}
    yield Row(path, {**counters, **gauges})
    for outcome in Outcome:
        yield Row(
            {**path, "result": outcome.value}, {"results": float(record.tally.total(outcome))}
        )
    for leg, latency in record.latency.items():
        yield Row({**path, "leg": leg}, {"latency_seconds": latency.histogram()})
    for hop, count in sight.path.traffic.hop_failures().items():
        yield Row({**path, "hop": hop}, {"hop_failures": float(count)})
    for window, minutes in WINDOWS:
        proof = _judge_window(sight.path, now, minutes, 0.5)
        figures = {
            "reliability_lower_bound": proof.lower,
            "coverage": proof.coverage,
            "effective": proof.effective,
        }
        yield Row({**path, "window": window}, figures)


def _counter(name: str, text: str, metric: str, *labels: str) -> Measurement:
    return Measurement(
        name, text, f"sentinel_canary_{metric}_total", "counter", "", ("path", *labels)
    )


def _gauge(name: str, text: str, metric: str, unit: str, *labels: str) -> Measurement:
    return Measurement(name, text, f"sentinel_canary_{metric}", "gauge", unit, ("path", *labels))


KIND = Kind(
    name="bus_canary",
    summary="sends messages of its own through Redis Streams: lost, late, duplicate or corrupt?",
    options=CanaryOptions,
    run=run,
    board="canaries",
    resources={"resource": "redis"},
    load_state=CanaryPaths,
    patient=True,
    faults=(
        *CANARY_KINDS,
        FaultKind(NOT_ASKED, Severity.INFO, "sentinel-blind", "a path could not be asked"),
        *faults_of_target("bus-unreachable", rejected="bus-refuses-writes"),
    ),
    default_every=5.0,
    measurements=(
        _counter("sent", "Canaries published", "sent"),
        _counter("results", "Canaries by outcome: each ends in exactly one", "results", "result"),
        _counter("duplicates", "Canaries delivered again after they were settled", "duplicates"),
        _counter(
            "resurfaced", "Canaries that arrived after they were given up as lost", "resurfaced"
        ),
        _counter("reordered", "Canaries delivered after a later one", "reordered"),
        _counter("foreign", "Entries in sentinel's stream that are no canaries", "foreign"),
        _counter(
            "hop_failures",
            "Failed canaries by hop: the first silent one of a lost, the slowest of a late canary",
            "hop_failures",
            "hop",
        ),
        Measurement(
            "latency_seconds",
            "Canary latency by leg: publish (send to reply), each hop and deliver (server clock),"
            " total",
            "sentinel_canary_latency_seconds",
            "histogram",
            "seconds",
            ("path", "leg"),
        ),
        _gauge("outstanding", "Canaries on their way", "outstanding", "entries"),
        _gauge(
            "reliability_lower_bound",
            "Lower 95 % confidence bound of delivery in time (Wilson on blocks of ten minutes)",
            "reliability_lower_bound_ratio",
            "ratio",
            "window",
        ),
        _gauge(
            "coverage",
            "Share of the time in which canaries were sent and seen",
            "coverage_ratio",
            "ratio",
            "window",
        ),
        _gauge(
            "effective",
            "Independent canaries that would tell as much",
            "effective_samples",
            "",
            "window",
        ),
    ),
    slis=(
        Sli(
            "in_time",
            "canaries that came through whole and within the deadline",
            tuple(Term("results", {"result": each}) for each in ("ok", "late", "lost", "corrupt")),
            (Term("results", {"result": "ok"}),),
        ),
    ),
    impact=(
        Impact(
            "canaries lost", Section.INCIDENT, (Term("results", {"result": "lost"}),), loss=True
        ),
        Impact("canaries duplicated", Section.INCIDENT, (Term("duplicates"),)),
        Impact("canaries late", Section.INCIDENT, (Term("results", {"result": "late"}),)),
        Impact("canaries corrupt", Section.INCIDENT, (Term("results", {"result": "corrupt"}),)),
        Impact(
            "canaries in time",
            Section.DELIVERY,
            (Term("results", {"result": "ok"}),),
            whole=(
                Term("results", {"result": "ok"}),
                Term("results", {"result": "late"}),
                Term("results", {"result": "lost"}),
                Term("results", {"result": "corrupt"}),
            ),
            unit="ratio",
        ),
    ),
)
