"""The canaries of one path that are on their way, what hops reported of them, and what became of
the last ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sentinel.core.canary.letter import Arrival, Outcome
from sentinel.core.canary.ping import find_failing_hop, measure_legs
from sentinel.core.canary.record import CanaryRecord

MAX_PAST = 1000
HOP_PREFIX = "hop:"
"""Totals of failures by hop are kept under this prefix."""


@dataclass(slots=True)
class Flight:
    """One canary of this process: published at monotonic `sent`, at `entry` ms of the server's
    clock (0: unknown).
    """

    sent: float
    entry: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    """A hop's report of a canary that is not at its end: entry and time (ms, server) in sentinel's
    stream.
    """

    entry: bytes
    at: int
    intact: bool


@dataclass(slots=True)
class Past:
    """A canary that has ended: given up as lost or not, and the hops whose reports arrived."""

    lost: bool
    reporters: set[str] = field(default_factory=set)


class CanaryTraffic:
    """What a path has under way. `minute`: Unix time in minutes of the current run."""

    def __init__(
        self, record: CanaryRecord, hops: Sequence[str], past: Mapping[str, Any] | None = None
    ) -> None:
        self.record, self.hops = record, tuple(hops)
        self.flights: dict[str, Flight] = {}
        self.doubtful: set[str] = set()
        self.reports: dict[str, dict[str, Report]] = {}
        self.past = {seq: Past(bool(lost), set(who)) for seq, (lost, who) in (past or {}).items()}
        self.offsets: dict[str, float] = {}
        self.minute = 0
        self.lost_in_a_row = record.lost_in_a_row()

    # --- departures -------------------------------------------------------------------------------

    def depart(self, seq: str, now: float) -> float:
        """Note a canary as on its way, in doubt until the server has confirmed it. Gives `now`
        back.
        """
        self.flights[seq] = Flight(now)
        self.doubtful.add(seq)
        return now

    def confirm(self, seq: str, entry: int) -> None:
        """The server has it, at `entry` ms of its clock."""
        self.doubtful.discard(seq)
        if seq in self.flights:  # or it is back already
            self.flights[seq].entry = entry

    def give_up(self, seq: str) -> None:
        """Nobody promised it any more: it was wiped from the server, or never got there."""
        self._remember(seq, Past(lost=True))
        self.forget(seq)

    def forget(self, seq: str) -> None:
        """The canary is not on its way any more."""
        self.flights.pop(seq, None)
        self.doubtful.discard(seq)
        self.reports.pop(seq, None)

    # --- arrivals ---------------------------------------------------------------------------------

    def note_report(self, arrival: Arrival, entry: bytes, at: int) -> bool:
        """Keep a hop's report of an open canary; False when that hop has reported already: a
        duplicate.
        """
        known = self.reports.setdefault(arrival.seq, {})
        return known.setdefault(arrival.reporter, Report(entry, at, arrival.intact)).entry == entry

    def note_clock(self, arrival: Arrival, at: int) -> None:
        """Keep how far a hop's wall clock is ahead of the server's, in seconds; the way between
        them included.
        """
        if arrival.passed:
            self.offsets[arrival.reporter] = arrival.passed[-1][1] / 1e9 - at / 1000

    def entries_of(self, seq: str) -> list[bytes]:
        """Entries of reports that wait for the end of their canary."""
        return [report.entry for report in self.reports.get(seq, {}).values()]

    def explain_closed(self, arrival: Arrival) -> str:
        """What an arrival of a canary that has ended is: "duplicates", "resurfaced" after it was
        given up, or "" for the first report of a hop that was overtaken by the last one."""
        past, reporter = self.past.get(arrival.seq), self._reporter(arrival)
        if past is None or reporter in past.reporters:
            return "duplicates"
        past.reporters.add(reporter)
        if past.lost:
            self.lost_in_a_row = 0  # somebody answers again
        return "resurfaced" if past.lost and arrival.final else ""

    def _reporter(self, arrival: Arrival) -> str:
        return self.hops[-1] if arrival.final and self.hops else arrival.reporter

    def measure(self, arrival: Arrival, at: int) -> dict[str, float]:
        """Seconds by hop of a canary that arrived at `at` ms; nothing of one whose beginning is not
        known.
        """
        flight = self.flights.get(arrival.seq)
        if not self.hops or flight is None or not flight.entry:
            return {}
        times = {hop: report.at for hop, report in self.reports.get(arrival.seq, {}).items()}
        return measure_legs(self.hops, flight.entry, {**times, self.hops[-1]: at})

    def blame(self, outcome: Outcome, seq: str, legs: Mapping[str, float]) -> tuple[str, ...]:
        """The total of the hop that failed, if the path has hops: the first silent one of a lost
        canary, the slowest of a late one, the first that reported a changed one."""
        if not self.hops:
            return ()
        reports = self.reports.get(seq, {})
        if outcome is Outcome.LOST:
            return (HOP_PREFIX + find_failing_hop(self.hops, self._passed(seq)),)
        if outcome is Outcome.LATE and legs:
            return (HOP_PREFIX + max(legs, key=lambda hop: legs[hop]),)
        if outcome is Outcome.CORRUPT:
            spoiled = (hop for hop in self.hops if hop in reports and not reports[hop].intact)
            return (HOP_PREFIX + next(spoiled, self.hops[-1]),)
        return ()

    def _passed(self, seq: str) -> list[str]:
        """Hops of which a report arrived, and those before them."""
        reported = [
            index for index, hop in enumerate(self.hops) if hop in self.reports.get(seq, {})
        ]
        return list(self.hops[: max(reported, default=-1) + 1])

    # --- ends -------------------------------------------------------------------------------------

    def ended(self, outcome: Outcome, seq: str, arrival: Arrival | None = None) -> None:
        """Note an end in the record; one of ours without a latency verdict was voided by our own
        stall.
        """
        self.record.ended(outcome, self.minute)
        if outcome is Outcome.ORPHAN and seq in self.flights:
            self.record.tally.credit("blind", 1)
        reporters = set(self.reports.get(seq, {}))
        if arrival is not None:
            reporters.add(self._reporter(arrival))
        self._remember(seq, Past(outcome is Outcome.LOST, reporters))
        self.lost_in_a_row = self.lost_in_a_row + 1 if outcome is Outcome.LOST else 0
        self.forget(seq)

    def _remember(self, seq: str, past: Past) -> None:
        self.past[seq] = past
        while len(self.past) > MAX_PAST:
            del self.past[next(iter(self.past))]

    def wiped(self, count: int) -> None:
        """Note canaries whose promises vanished from the server."""
        self.record.ended(Outcome.LOST, self.minute, count)

    def refused(self) -> None:
        """Note a canary that was never published."""
        self.record.tally.credit(Outcome.PUBLISH_ERROR, 1)
        self.record.ended(Outcome.PUBLISH_ERROR, self.minute)

    def hop_failures(self) -> dict[str, int]:
        """Failures by hop since sentinel began to watch."""
        return {hop: self.record.tally.total(HOP_PREFIX + hop) for hop in self.hops}

    def dump_past(self) -> dict[str, Any]:
        """What the constructor takes as `past`: only losses, for only they may come back from
        another life.
        """
        return {seq: [True, sorted(past.reporters)] for seq, past in self.past.items() if past.lost}
