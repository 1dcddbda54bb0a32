"""From accounts and the window of the verdict to faults: what is lost, late, gone or missing, on
which stream and for which group. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sentinel.core.bus.delivery.cohort import ACK, Deadlines, Settlement
from sentinel.core.bus.delivery.fleet import Standing
from sentinel.core.bus.delivery.jump import Skip
from sentinel.core.bus.delivery.lineage import GONE, RECREATED, ROLLBACK, XSETID, Break
from sentinel.core.bus.delivery.stream import Id, format_id
from sentinel.core.bus.delivery.window import Mishap, Pair, Share, Window
from sentinel.core.bus.finding import (
    PLACE,
    count_noun,
    describe_place,
    merge_faults,
    read_instant,
    subject_of,
)
from sentinel.core.bus.naming import is_literal, quote
from sentinel.core.fault import (
    Fault,
    FaultIdentity,
    FaultKind,
    Severity,
    Status,
    add_cures,
    sort_faults,
)
from sentinel.core.quantity import MANY, Bounds, format_duration

FORGET_AFTER = 3600.0
"""Seconds after which a group or stream that is gone is no news any more."""
OVERDUE_CAP = 1000
"""Late pending entries are listed up to so many of a group."""
ROLLED_BACK = "rolled_back"
BELOW_TARGET, LOST, WAITING, OVERDUE = "below_target", "lost", "waiting", "overdue"
GROUP_LOST, GROUP_MISSING, SKIPPED, REPLICA, DROPS_UNSEEN = (
    "group_lost",
    "group_missing",
    "skipped",
    "replica",
    "drops_unseen",
)
MISHAP_OF = {
    RECREATED: "recreated",
    ROLLBACK: ROLLED_BACK,
    XSETID: "counters_set",
    GONE: "stream_gone",
}
"""The fault that each break of a stream's life is."""
_LATE, _GONE = "bus-delivery-late", "bus-messages-lost"
DELIVERY_KINDS = (
    FaultKind(WAITING, Severity.PAGE, _LATE, "entries wait past the deadline to deliver", PLACE),
    FaultKind(OVERDUE, Severity.PAGE, _LATE, "delivered entries are not acknowledged", PLACE),
    FaultKind(BELOW_TARGET, Severity.PAGE, _LATE, "most of the window missed its deadline", PLACE),
    FaultKind(
        LOST,
        Severity.PAGE,
        _GONE,
        "entries were removed before they were read",
        PLACE,
        lasting="certainly lost before delivery: trimmed, deleted or moved over",
    ),
    FaultKind(GROUP_LOST, Severity.PAGE, _GONE, "a group that was there is gone", PLACE),
    FaultKind(GROUP_MISSING, Severity.PAGE, _GONE, "a required group is not there", PLACE),
    FaultKind(
        SKIPPED,
        Severity.PAGE,
        _GONE,
        "a group was moved over unread entries",
        PLACE,
        lasting="unread and moved over (those that are certain are among the lost ones, too)",
    ),
    FaultKind("stream_gone", Severity.PAGE, _GONE, "a stream that was there is gone", PLACE),
    FaultKind(
        "recreated", Severity.PAGE, _GONE, "a stream was deleted and made anew", PLACE, sudden=True
    ),
    FaultKind(
        ROLLED_BACK,
        Severity.PAGE,
        _GONE,
        "a stream went back to an old state",
        PLACE,
        lasting="taken back when the server went back to an old state",
    ),
    FaultKind(
        "counters_set",
        Severity.TICKET,
        _GONE,
        "XSETID moved a stream's counters",
        PLACE,
        sudden=True,
    ),
    FaultKind(REPLICA, Severity.INFO, "sentinel-blind", "the resource is a replica: it lags"),
    FaultKind(
        DROPS_UNSEEN,
        Severity.INFO,
        "sentinel-blind",
        "the server does not tell of dropped deliveries and failovers",
    ),
)


@dataclass(frozen=True, slots=True)
class DeliveryRules:
    """What is promised: deadlines in seconds, the share of the window below which it is down, with
    how many entries at least, and the patterns of groups that every stream must have.
    """

    deadlines: Deadlines
    down_below: float
    min_events: int
    required: Sequence[str] = ()


def find_delivery_faults(
    rules: DeliveryRules,
    window: Window,
    standings: Sequence[Standing],
    settled: Mapping[str, Sequence[Settlement]],
    of_groups: Sequence[Fault],
    others: Sequence[Fault],
) -> list[Fault]:
    """Everything that is wrong, the worst first, each subject once for each kind of fault.

    `settled` is what this run settled, by stream; `of_groups` are those of missing groups,
    `others` what can't be judged.
    """
    mishaps, late = find_mishaps(window), find_late(rules, standings)
    window.hold(rules.down_below, rules.min_events, _name_groups(late))
    found = merge_faults(
        find_below(rules, window),
        find_lost(rules, window),
        _tell_positions(of_groups, mishaps),
        mishaps,
        late,
        find_missed(rules, settled),
        others,
    )
    return sort_faults(found)


def _tell_positions(of_groups: Sequence[Fault], mishaps: Sequence[Fault]) -> list[Fault]:
    """Where a group stood is known best from the look that found it gone: a stream that was made
    anew since has taken the position with it.
    """
    told = {fault.identity: fault.text for fault in mishaps}
    return [replace(fault, text=told.get(fault.identity, fault.text)) for fault in of_groups]


def _name_groups(faults: Sequence[Fault]) -> set[Pair]:
    return {(each.subject.get("stream", ""), each.subject.get("group", "")) for each in faults}


# -- the window -----------------------------------------------------------------------------------


def find_below(rules: DeliveryRules, window: Window) -> list[Fault]:
    """Most of the window missed its deadline: the groups whose own share is too low, worst first.

    The whole decides, for a share of few entries says little; where it is too low, at least one
    group's is. Who was too low and is still late is named, too, though the window has slid on.
    Without shares by group (written before there were any) the target itself is named.
    """
    low = window.find_low(rules.down_below, rules.min_events)
    if not low and window.is_below(rules.down_below, rules.min_events):
        return [_make_below(rules, window, ("", ""), window.whole)]
    held = {pair: each for pair, each in window.held.items() if pair not in low}
    found = [_make_below(rules, window, *item) for item in low.items()]
    found += [_make_below(rules, window, pair, each.share, each.at) for pair, each in held.items()]
    return sorted(found, key=lambda fault: -fault.count.lo if fault.count else 0)


def _make_below(
    rules: DeliveryRules, window: Window, pair: Pair, share: Share, at: float | None = None
) -> Fault:
    """`at`: when the last of these was judged, where that is no longer in the window."""
    deadline, span = format_duration(rules.deadlines.ack), format_duration(window.seconds)
    judged, still = f"judged in the last {span}", ""
    if at is not None:
        judged = f"judged in the {span} before {read_instant(at):%Y-%m-%d %H:%M:%S} UTC"
        still = ", and it is still late"
    text = (
        f"{_name(pair)}: {share.good.hi:,} of {share.size:,} entries {judged} were acknowledged in"
        f" {deadline}, less than {100 * rules.down_below:.4g} %{still}"
    )
    return _of_group(BELOW_TARGET, pair, text, Bounds(share.missed, share.size), status=Status.DOWN)


def find_lost(rules: DeliveryRules, window: Window) -> list[Fault]:
    """Entries that were certainly removed before they were read, the most first. Each is counted by
    the look that found it; as bad as the share of the window becomes by it, so bad was the loss.
    """
    losses = window.losses
    low = window.find_low(rules.down_below, rules.min_events) if losses else {}
    worst_first = sorted(losses.items(), key=lambda item: -item[1])
    return [_make_lost(window, pair, count, is_down=pair in low) for pair, count in worst_first]


def _make_lost(window: Window, pair: Pair, count: int, *, is_down: bool) -> Fault:
    span, found = format_duration(window.seconds), window.latest.losses.get(pair, 0)
    lost = f"{count_noun(count, 'entry')} {'was' if count == 1 else 'were'} certainly lost"
    return Fault(
        LOST,
        subject_of(*pair),
        Status.DOWN if is_down else Status.DEGRADED,
        f"{_name(pair)}: {lost} before delivery in the last {span}: trimmed, deleted or moved over",
        since=read_instant(window.latest.at if found else window.find_first_loss(pair)),
        count=Bounds(found, found),
        cure=(f"XINFO STREAM {quote(pair[0])}", _show_groups(pair)),
        guidance="compare the producers' MAXLEN with how far the group is behind",
        parameters=subject_of(*pair),
    )


_OF_A_GROUP = frozenset({GROUP_LOST, SKIPPED})
"""Mishaps of a group; all others are of a whole stream."""


def find_mishaps(window: Window) -> list[Fault]:
    """What befell streams and groups within the window, the latest first; of several of one subject
    the cures of all stand behind the latest, so that who follows them ends with the first.
    """
    found: dict[FaultIdentity, Fault] = {}
    for each in reversed(window.mishaps):
        fault = _make_mishap(window, each)
        later = found.get(fault.identity)
        if later is None or not (later.mended or fault.mended):
            found[fault.identity] = fault if later is None else add_cures(later, fault.cure)
    return list(found.values())


def _make_mishap(window: Window, mishap: Mishap) -> Fault:
    """An event: what it took for good is counted by the look that found it."""
    group = mishap.group if mishap.key in _OF_A_GROUP else None
    subject, span = subject_of(mishap.stream, group), format_duration(window.seconds)
    count = None
    if mishap.high:
        is_new = mishap in window.latest.mishaps
        count = Bounds(mishap.low, mishap.high) if is_new else Bounds(0, 0)
    cure, guidance = _cure_mishap(mishap)
    return Fault(
        mishap.key,
        subject,
        Status.DEGRADED,
        f"{mishap.text}; seen in the last {span}",
        count=count,
        cure=cure,
        guidance=guidance,
        parameters=subject,
        mended=mishap.mended,
    )


def _cure_mishap(mishap: Mishap) -> tuple[tuple[str, ...], str]:
    """What to type, and what to look for: only a group that was moved can be put back."""
    stream, looks = quote(mishap.stream), "compare producers, trimming (MAXLEN) and consumers"
    if mishap.mended:
        return (_show_groups((mishap.stream, mishap.group)),), (
            "nothing more to do where all of them were still there: accept it"
        )
    if mishap.back:
        look = f"XRANGE {stream} ({mishap.back} + COUNT 10"
        put_back = f"XGROUP SETID {stream} {quote(mishap.group)} {mishap.back}"
        return (look, put_back), (
            "who moved the group? put it back while these entries are kept, unless its consumers had"
            " them: what follows comes to them once more"
        )
    command = "EXISTS" if mishap.key == "stream_gone" else "XINFO STREAM"
    return (f"{command} {stream}",), f"{looks} of the stream"


def note_break(stream: str, broken: Break, taken_back: int = 0) -> Mishap:
    """A break of a stream's life, in words, and how many entries a rollback took back, at least."""
    text = f"{describe_place(stream)}: {broken.reason} ({broken.sign})"
    most = max(taken_back, broken.most)
    return Mishap(MISHAP_OF[broken.reason], stream, "", text, taken_back, most)


def note_gone(stream: str, last: Id) -> Mishap:
    """A stream that is not there any more."""
    text = f"{describe_place(stream)} was found gone, last known id {format_id(last)}"
    return Mishap(MISHAP_OF[GONE], stream, "", text)


def note_group_gone(stream: str, group: str, delivered: Id) -> Mishap:
    """A group that is not there any more."""
    text = f"{describe_place(stream, group)} was found gone, {tell_position(delivered)}"
    return Mishap(GROUP_LOST, stream, group, text)


def note_skip(stream: str, group: str, skip: Skip) -> Mishap:
    """A group that was moved over entries that nobody had read."""
    count = skip.count
    if skip.returned:
        mended = f"put back to {format_id(skip.start)}"
        text = f"{describe_place(stream, group)} was {mended}"
        return Mishap(SKIPPED, stream, group, text, mended=mended)
    entries = "entry" if count == Bounds(1, 1) else "entries"
    span = f"from {format_id(skip.start)} to {format_id(skip.end)}"
    text = f"{describe_place(stream, group)} was moved over {count} unread {entries}, {span}"
    return Mishap(SKIPPED, stream, group, text, count.lo, count.hi, format_id(skip.start))


# -- now ------------------------------------------------------------------------------------------


def find_late(rules: DeliveryRules, standings: Sequence[Standing]) -> list[Fault]:
    """Groups with entries that wait, or pend, past their deadline now; the oldest first."""
    found: list[tuple[float, Fault]] = []
    for each in standings:
        if each.waiting.lo and (each.oldest_waiting or 0.0) > rules.deadlines.deliver:
            found.append((each.oldest_waiting or 0.0, _make_waiting(rules, each)))
        if each.overdue:
            found.append((each.oldest_pending or 0.0, _make_overdue(rules, each)))
    return [fault for _, fault in sorted(found, key=lambda item: -item[0])]


def _make_waiting(rules: DeliveryRules, standing: Standing) -> Fault:
    pair = standing.stream, standing.group
    verb = "waits" if standing.waiting == Bounds(1, 1) else "wait"
    text = (
        f"{_name(pair)}: {standing.waiting} {verb} to be delivered, the oldest for"
        f" {_say_age(standing.oldest_waiting, timed=standing.waiting_timed)}, longer than"
        f" {format_duration(rules.deadlines.deliver)}"
    )
    return _of_group(WAITING, pair, text, standing.waiting, missing=standing.missing)


def _make_overdue(rules: DeliveryRules, standing: Standing) -> Fault:
    pair = standing.stream, standing.group
    cut = standing.overdue >= OVERDUE_CAP or not standing.overdue_sharp
    count = Bounds(standing.overdue, MANY if cut else standing.overdue)
    text = (
        f"{_name(pair)}: {count} delivered and not acknowledged in"
        f" {format_duration(rules.deadlines.ack)}, the oldest pending for"
        f" {_say_age(standing.oldest_pending, timed=standing.pending_timed)}"
    )
    return _of_group(OVERDUE, pair, text, count)


def _say_age(seconds: float | None, *, timed: bool) -> str:
    """An age, and whether it is a lower bound."""
    if timed:
        return format_duration(seconds)
    return f"at least {format_duration(seconds)} (ids of this stream are no times)"


def find_missed(rules: DeliveryRules, settled: Mapping[str, Sequence[Settlement]]) -> list[Fault]:
    """Groups of which this run found, at the deadline, that entries still waited or pended."""
    missed: dict[tuple[str, Pair, str], Share] = {}
    for stream, settlements in settled.items():
        for each in settlements:
            for key, late in _list_missed(each):
                place = key, (stream, each.group), each.stage
                share = Share(each.size, Bounds(each.size - late, each.size - late))
                missed[place] = missed.get(place, Share()) + share
    return [_make_missed(rules, *place, share) for place, share in missed.items()]


def _list_missed(settlement: Settlement) -> list[tuple[str, int]]:
    """(fault, how many certainly) of one settlement."""
    found = [(WAITING, settlement.waiting.lo)]
    if settlement.stage == ACK:
        found.append((OVERDUE, settlement.pending.lo))
    return [(key, count) for key, count in found if count]


def _make_missed(rules: DeliveryRules, key: str, pair: Pair, stage: str, share: Share) -> Fault:
    done = "delivered" if key == WAITING else "acknowledged"
    deadline = format_duration(rules.deadlines.of(stage))
    text = f"{_name(pair)}: {share.missed:,} of {share.size:,} due now not {done} in {deadline}"
    return _of_group(key, pair, text, Bounds(share.missed, share.missed))


# -- the server -----------------------------------------------------------------------------------


def find_replica(role: str) -> list[Fault]:
    """A replica's figures lag behind: its word is no verdict."""
    if role in {"", "master"}:
        return []
    text = "this is a replica: its figures lag"
    remedy = "point the resource at the primary"
    return [Fault(REPLICA, {}, Status.UNKNOWN, text, guidance=remedy)]


def find_drops_unseen(reason: str, remedy: str) -> Fault:
    """The server refuses the command statistics: what a deletion dropped goes unseen."""
    text = f"dropped deliveries and failovers go unseen: {reason}"
    return Fault(DROPS_UNSEEN, {}, Status.UNKNOWN, text, guidance=remedy)


# -- words ----------------------------------------------------------------------------------------


def _name(pair: Pair) -> str:
    return describe_place(*pair) if any(pair) else "all streams"


def _of_group(
    key: str,
    pair: Pair,
    text: str,
    count: Bounds,
    *,
    status: Status = Status.DEGRADED,
    missing: bool = False,
) -> Fault:
    """A fault of one group that is late: who reads it, and what does it hold?"""
    place = " ".join(map(quote, pair))
    looks: tuple[str, ...] = ()
    if any(pair):  # either of them may be empty
        looks = (f"XINFO CONSUMERS {place}", f"XPENDING {place} - + 10")
    if looks and (missing or not is_literal(pair[1])):
        looks = (_show_groups(pair),)
    return Fault(
        key,
        subject_of(*pair) if any(pair) else {},
        status,
        text,
        count=count,
        cure=looks,
        guidance="does the group's consumer run, and what does it do with what it holds?",
        parameters=subject_of(*pair) if any(pair) else {},
    )


def tell_position(delivered: Id) -> str:
    """Where a group stood, in words."""
    return f"last known position {format_id(delivered)}"


def _show_groups(pair: Pair) -> str:
    return f"XINFO GROUPS {quote(pair[0])}"
