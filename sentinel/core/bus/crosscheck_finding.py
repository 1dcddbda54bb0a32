"""Where database and bus disagree: which task, on which stream, in which direction. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sentinel.core.bus.crosscheck import PROCESSED, PUBLISHED, SampleCount, SampleLedger
from sentinel.core.bus.finding import UNJUDGED, describe_place, merge_faults, read_instant
from sentinel.core.fault import Fault, FaultKind, Severity, Status, judge, sort_faults
from sentinel.core.quantity import Bounds, format_duration

_RUNBOOK, _PLACE = "bus-crosscheck", ("task", "stream", "group", "agent")
SKEWED = "skewed"
MOSTLY = {PUBLISHED: "mostly_unpublished", PROCESSED: "mostly_without_effect"}
SINGLE = {PUBLISHED: "producer_missing", PROCESSED: "acked_without_effect"}
CROSSCHECK_KINDS = (
    FaultKind(
        SINGLE[PUBLISHED],
        Severity.PAGE,
        _RUNBOOK,
        "an assigned task whose message is not on the bus",
        _PLACE,
        lasting="messages were never published",
    ),
    FaultKind(
        SINGLE[PROCESSED],
        Severity.PAGE,
        _RUNBOOK,
        "a message was acknowledged, and its task was not worked on",
        _PLACE,
        lasting="messages were acknowledged without effect",
    ),
    FaultKind(
        MOSTLY[PUBLISHED], Severity.PAGE, _RUNBOOK, "most sampled tasks were never published"
    ),
    FaultKind(
        MOSTLY[PROCESSED], Severity.PAGE, _RUNBOOK, "most sampled acknowledgements had no effect"
    ),
    FaultKind(UNJUDGED, Severity.INFO, "sentinel-blind", "no sample could be measured"),
    FaultKind(
        SKEWED, Severity.TICKET, "sentinel-blind", "times of tasks are of another zone or clock"
    ),
)
REMEDIES = {
    PUBLISHED: (
        "the producer assigned tasks whose message never reached the stream: look for DataError or"
        " refused XADD in its log, and publish through an outbox in the transaction that assigns;"
        " assign the named tasks again"
    ),
    PROCESSED: (
        "messages were acknowledged but their tasks are still assigned: acknowledge after"
        " processing, never in the error handler or for messages without a handler; assign the"
        " named tasks again"
    ),
}
WORDS = {PUBLISHED: "assigned but never published", PROCESSED: "acknowledged without effect"}
_SKEWED = "write times with their zone, or declare `zone:` of the task table"
_BLIND = (
    "keep entries longer (MAXLEN), or look more often; the evidence names what could not be"
    " measured"
)


@dataclass(frozen=True, slots=True)
class CrosscheckRules:
    """`flow` names what is compared; from `down_share` bad of `min_samples` samples on it is down.
    Times in seconds.
    """

    flow: str
    window: float
    published_within: float
    effect_within: float
    down_share: float
    min_samples: int


@dataclass(frozen=True, slots=True)
class CrosscheckDoubt:
    """What is wrong with the table's times, in words, and the remedy; both "" when nothing is.
    `is_blind`: then nothing at all was compared.
    """

    why: str = ""
    cure: str = ""
    is_blind: bool = False


def find_crosscheck_faults(
    rules: CrosscheckRules,
    ledgers: Mapping[str, SampleLedger],
    reasons: Iterable[str],
    doubt: CrosscheckDoubt | None = None,
) -> list[Fault]:
    """Each task that disagrees, newest first; a direction in which most do; a blind look, times of
    another zone.
    """
    found = _find_skewed(rules, ledgers, doubt or CrosscheckDoubt())
    for direction, ledger in ledgers.items():
        mostly = _find_mostly(rules, direction, ledger.window())
        bad = judge(mostly, Status.DEGRADED)  # a task that is lost among most was lost in an outage
        found += mostly
        found += [_make_single(rules, direction, each, bad) for each in reversed(ledger.found)]
    return sort_faults(merge_faults(found, _find_blind(rules, ledgers, reasons)))


def _find_skewed(
    rules: CrosscheckRules, ledgers: Mapping[str, SampleLedger], doubt: CrosscheckDoubt
) -> list[Fault]:
    """One skewed task may be one that was not published: as long as there are any, nobody knows."""
    skewed = ledgers[PUBLISHED].window().skewed
    if not skewed and not doubt.is_blind:
        return []
    why = doubt.why or "times of some tasks are of another zone or clock"
    what = "nothing is compared" if doubt.is_blind else "these are not compared"
    span = format_duration(rules.window)
    tasks = "1 task" if skewed == 1 else f"{skewed} tasks"
    return [
        Fault(
            SKEWED,
            {"flow": _name(rules, PUBLISHED)},
            Status.UNKNOWN,
            f"flow {rules.flow}: {why} ({tasks} in the last {span}); {what}",
            count=Bounds(skewed, skewed),
            guidance=doubt.cure or _SKEWED,
        )
    ]


def _find_mostly(rules: CrosscheckRules, direction: str, count: SampleCount) -> list[Fault]:
    # why `<`: so many samples are enough, and so large a share is the first that is down
    if not count.bad or count.samples < rules.min_samples:
        return []
    if count.bad < rules.down_share * count.samples:
        return []
    span = format_duration(rules.window)
    text = (
        f"flow {rules.flow}: {count.bad} of {count.samples} samples of the last {span} were"
        f" {WORDS[direction]}, from {100 * rules.down_share:.4g} % on it is down"
    )
    return [
        Fault(
            MOSTLY[direction],
            {"flow": _name(rules, direction)},
            Status.DOWN,
            text,
            count=Bounds(count.bad, count.bad),
            guidance=REMEDIES[direction],
        )
    ]


def _make_single(
    rules: CrosscheckRules, direction: str, sample: Mapping[str, Any], status: Status
) -> Fault:
    place = {label: str(sample[label]) for label in _PLACE if sample.get(label)}
    agent = f" (agent {place['agent']})" if "agent" in place else ""
    if direction == PUBLISHED:
        within = format_duration(rules.published_within)
        told = f"assigned at {sample['assigned_at']} and not published within {within}"
    else:
        within = format_duration(rules.effect_within)
        told = f"its entry {sample['entry']} was acknowledged, and it is still assigned {within}"
        told += " later"
    where = describe_place(place.get("stream"), place.get("group"))
    return Fault(
        SINGLE[direction],
        {"flow": _name(rules, direction), "task": place["task"], "stream": place["stream"]},
        status,
        f"task {place['task']}{agent}, {where}: {told}",
        since=read_instant(sample.get("judged")),
        cure=(str(sample["look"]),),
        guidance=REMEDIES[direction],
        parameters=place,
    )


def _find_blind(
    rules: CrosscheckRules, ledgers: Mapping[str, SampleLedger], reasons: Iterable[str]
) -> list[Fault]:
    """Nothing at all was measured although there was something: nobody knows."""
    counts = {direction: ledger.window() for direction, ledger in ledgers.items()}
    if any(count.samples for count in counts.values()):
        return []
    why = min(reasons, default="")
    return [
        Fault(
            UNJUDGED,
            {"flow": _name(rules, direction)},
            Status.UNKNOWN,
            f"flow {rules.flow}: {count.unmeasurable} samples of the last"
            f" {format_duration(rules.window)} not measurable{why and f' ({why})'}",
            guidance=_BLIND,
        )
        for direction, count in counts.items()
        if count.unmeasurable
    ]


def _name(rules: CrosscheckRules, direction: str) -> str:
    return f"{rules.flow}:{direction}"
