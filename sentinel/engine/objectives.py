"""Objectives while the daemon runs: what each look adds, and every few seconds where they stand.

Looks only add to numbers in memory. What they added is written together with where the counters
stood, and exported then, not before: after a crash nothing is counted twice, nothing is left out, and
Prometheus sees no counter begin anew.

What may have happened while people worked on the component is left out: it is in no slice and in no
counter. A look counts for the time since the one before began, so the first look after maintenance
is left out, too, where it reads counters; a look as such counts for as long as it took.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from sentinel.core.fault import Status
from sentinel.core.model import Quality, Result
from sentinel.core.notice.maintenance import Maintenance, find_spans, was_worked_upon
from sentinel.core.objective import (
    LOOK_SLIS,
    SLICE,
    Counts,
    Objective,
    ObjectiveStanding,
    Slice,
    SliceHistory,
    Tally,
    count_gains,
    count_look,
    judge,
)
from sentinel.engine.picture import WatchedCheck, remember
from sentinel.errors import StateUnwritable
from sentinel.metrics import Metrics
from sentinel.store import Changes, Store

SETTLE_EVERY = 10.0
"""Seconds between two times at which they are judged."""
WRITE_EVERY = 40.0
"""Seconds between two times at which what was counted is written, less than what checks are held for:
they go along (reliability.md §3.10). What changes its state or calls somebody is written when it is
judged.
"""
BETWEEN_LOOKS = 3.0
"""Intervals of a check between two looks, at most, for the time between them to count as seen."""
EARLY = 0.75
"""A look that comes before so large a part of the interval is a second one at the same thing: it is
no event of its own, or failures, which are looked at again soon, would weigh more.
"""


@dataclass(slots=True)
class _Source:
    """One SLI of one check: what is counted, and for which objectives."""

    name: str
    sli: str
    history: SliceHistory
    tally: Tally
    """What was written of it, or is to be: see `fresh`."""
    fresh: Counts = field(default_factory=Counts)
    """What was counted since it was written, and is not exported yet."""
    aims: list[Objective] = field(default_factory=list)
    began: datetime | None = None
    """When the present slice began; None while nothing was seen since the last one."""
    ended: datetime | None = None
    """When something was counted in it last."""
    counts: Counts = field(default_factory=Counts)
    """What was counted in it."""
    full: list[Slice] = field(default_factory=list)
    """Slices before it that are not written yet."""
    changed: bool = False
    """Whether events came since it was written last."""
    seen: float | None = None
    """Monotonic instant of the latest look that could see."""
    looked: float | None = None
    """Monotonic instant of the latest look that was an event."""
    watched: WatchedCheck | None = None
    """Its check, as it is at the latest look."""

    def add(self, counts: Counts, now: datetime) -> None:
        """Count something; a slice that is long enough gives way to the next one, and so does one
        before the clock was set back.
        """
        self.end_slice(now)
        self.began, self.ended = self.began or now, now
        self.counts += counts
        self.fresh += counts
        self.changed |= bool(counts.total or counts.good)

    def leave_out(self, now: datetime) -> None:
        """A look may have seen maintenance. No slice goes on over it, or a part of the slice would be
        taken for a time of which nothing is in it. Nothing is to be written: when a kill comes, the
        look after it counts from what was written last, and is left out as well.
        """
        self.end_slice(now, cut=True)
        self.seen = None

    def end_slice(self, now: datetime, *, cut: bool = False) -> None:
        """The present slice, when it is long enough or to be `cut`, is one of the past."""
        present = self.make_slice()
        if present and (cut or not timedelta() <= now - present.began < timedelta(seconds=SLICE)):
            self.full.append(present)
            self.history.add(present)
            self.began, self.counts = None, Counts()

    def make_slice(self) -> Slice | None:
        """The present slice, as far as it goes."""
        if self.began is None or self.ended is None:
            return None
        return Slice(self.name, self.began, self.ended, self.counts)

    def count_since(self, instant: datetime) -> Counts:
        """What was counted since an instant, the present slice included."""
        present = self.make_slice()
        recent = SliceHistory([present] if present else [])
        return self.history.count_since(instant) + recent.count_since(instant)


@dataclass(frozen=True, slots=True)
class KeptSource:
    """What the store has of a source: where its counters stood, and the slices of its windows."""

    tally: Tally
    slices: Sequence[Slice]


def read_kept(
    store: Store, objectives: Sequence[Objective], now: datetime
) -> dict[str, KeptSource]:
    """What is kept of the sources of some objectives; what is of no objective any more is dropped
    from the store.
    """
    longest = dict[str, float]()
    for each in objectives:
        longest[each.source] = max(longest.get(each.source, 0.0), each.window)
    with suppress(StateUnwritable):  # then at the next start: no disk holds this one up
        store.keep_objectives([each.name for each in objectives], longest)
    tallies = store.tallies()
    return {
        source: KeptSource(
            tallies.get(source, Tally()),
            store.slices(source, since=now - timedelta(seconds=window)),
        )
        for source, window in longest.items()
    }


@dataclass(slots=True)
class Objectives:
    """Counts for every objective, and judges them."""

    metrics: Metrics
    utcnow: Callable[[], datetime]
    monotonic: Callable[[], float]
    _maintenance: Callable[[], Sequence[Maintenance]] = tuple
    """Every time of maintenance that is known now."""
    _sources: dict[str, _Source] = field(default_factory=dict)
    _of_check: dict[str, list[_Source]] = field(default_factory=dict)
    _known: dict[str, Objective] = field(default_factory=dict)
    _shown: dict[str, ObjectiveStanding] = field(default_factory=dict)
    """Where they stood when it was written last."""
    _settled: float = float("-inf")
    _written: float = float("-inf")

    def heed(self, maintenance: Callable[[], Sequence[Maintenance]]) -> None:
        """Leave out what lies in the times that `maintenance` gives: all that are known."""
        self._maintenance = maintenance

    # -- which there are --------------------------------------------------------------------------

    def follow(self, objectives: Sequence[Objective], kept: Mapping[str, KeptSource]) -> None:
        """Take the objectives of a configuration, with what is kept of their sources. What is
        counted for a source that is there already goes on.
        """
        sources = dict[str, _Source]()
        for each in objectives:
            known = sources.get(each.source) or self._sources.get(each.source)
            tally = kept[each.source].tally
            source = known or _Source(each.source, each.sli, SliceHistory(), tally)
            sources[each.source] = source
        for name, source in sources.items():
            source.aims = [each for each in objectives if each.source == name]
            written = (each for each in kept[name].slices if each.began != source.began)
            source.history = SliceHistory(written)
        self._take(sources, {each.name: each for each in objectives})

    def _take(self, sources: dict[str, _Source], known: dict[str, Objective]) -> None:
        for name, objective in self._known.items():
            if known.get(name) != objective:
                self.metrics.objectives.remove(objective)
        for objective in known.values():
            self.metrics.objectives.add(objective, sources[objective.source].tally.counts)
        of_check = dict[str, list[_Source]]()
        for source in sources.values():
            of_check.setdefault(source.aims[0].check, []).append(source)
        self._sources, self._of_check, self._known = sources, of_check, known
        self._shown = {}
        self._settled = self._written = float("-inf")

    # -- what looks add ---------------------------------------------------------------------------

    def take(self, watched: WatchedCheck, result: Result) -> None:
        """What one look adds. A blind one adds nothing: neither events nor time."""
        component = watched.check.component
        for source in self._of_check.get(watched.check.name, ()):
            source.watched, now = watched, self.utcnow()
            since = min(source.tally.at or result.started, result.started, now)
            counts = self._count(source, watched, result)
            counts += Counts(seen=self._count_time(source, watched, result))
            if was_worked_upon(self._maintenance(), component, since, now):
                source.leave_out(now)
            elif counts:
                source.add(counts, now)

    def _count(self, source: _Source, watched: WatchedCheck, result: Result) -> Counts:
        if source.sli in LOOK_SLIS:
            return self._count_look(source, watched, result)
        sli = next((each for each in watched.kind.slis if each.name == source.sli), None)
        if sli is None:
            return Counts()
        before = source.tally.marks
        found = count_gains(sli, result.finding.rows, before)
        source.changed |= before is None and bool(found.marks)
        if found.marks and found.marks is not before:  # else nobody could read them
            source.tally = replace(source.tally, marks=found.marks, at=result.started)
        return found.counts

    def _count_look(self, source: _Source, watched: WatchedCheck, result: Result) -> Counts:
        now = self.monotonic()
        early = source.looked is not None and now - source.looked < EARLY * watched.check.every
        if result.quality is not Quality.OBSERVED or early:
            return Counts()
        counts = count_look(source.sli, watched.verdict)
        if counts:
            source.looked = now
        return counts

    def _count_time(self, source: _Source, watched: WatchedCheck, result: Result) -> float:
        """Seconds since the look before, as far as nobody can say that they were not seen."""
        if result.quality is not Quality.OBSERVED or result.finding.status is Status.UNKNOWN:
            return 0.0
        now, before = self.monotonic(), source.seen
        source.seen = now
        longest = BETWEEN_LOOKS * watched.check.every + watched.check.timeout
        return now - before if before is not None and now - before <= longest else 0.0

    # -- where they stand -------------------------------------------------------------------------

    def settle(self, *, last: bool = False) -> Changes:
        """Every SETTLE_EVERY, and as the `last` thing: where each objective stands, and what of it
        is to be written. Nothing in between.
        """
        changes, now = Changes(), self.utcnow()
        if not last and self.monotonic() - self._settled < SETTLE_EVERY:
            return changes
        self._settled = self.monotonic()
        found = {
            each.name: self._judge(source, each, now)
            for source in self._sources.values()
            for each in source.aims
        }
        for standing in found.values():
            self.metrics.objectives.show(standing)
        due = self.monotonic() - self._written >= WRITE_EVERY
        if last or due or any(map(self._is_news, found.values())):
            self._written = self.monotonic()
            self._write(found, changes, now, last=last)
        return changes

    def _is_news(self, standing: ObjectiveStanding) -> bool:
        shown = self._shown.get(standing.objective.name)
        return shown is None or (shown.state, shown.alarm) != (standing.state, standing.alarm)

    def _write(
        self, found: Mapping[str, ObjectiveStanding], changes: Changes, now: datetime, *, last: bool
    ) -> None:
        for source in self._sources.values():
            self._write_source(source, changes, now, last=last)
        for name, standing in found.items():
            shown = self._shown.get(name)
            if shown is None or replace(standing, at=shown.at) != shown:
                changes.standings[name] = self._shown[name] = standing

    def _write_source(
        self, source: _Source, changes: Changes, now: datetime, *, last: bool
    ) -> None:
        """What was counted, where the counters stand, and what the check remembers of them: in one
        transaction, or after a kill the counters would be older than what they were counted to.
        """
        source.end_slice(now)
        changes.slices += source.full
        source.full = []
        present = source.make_slice()
        if present is not None and (source.changed or last):
            changes.slices.append(present)
        if source.changed and source.watched is not None:
            source.tally = replace(source.tally, counts=source.tally.counts + source.fresh)
            changes.tallies[source.name] = source.tally
            changes.probe_state.update(remember(source.watched))
            for objective in source.aims:  # what a scrape has seen no kill takes back
                self.metrics.objectives.count(objective, source.fresh)
            source.fresh = Counts()
        source.changed = False
        longest = max(each.window for each in source.aims)
        source.history.forget(now - timedelta(seconds=longest))

    def _judge(self, source: _Source, objective: Objective, now: datetime) -> ObjectiveStanding:
        def count(window: float) -> Counts:
            return source.count_since(now - timedelta(seconds=window))

        since = now - timedelta(seconds=objective.window)
        spans = find_spans(self._maintenance(), objective.component, since, now)
        worked = sum(((ended - began).total_seconds() for began, ended in spans), 0.0)
        return replace(judge(objective, count, now), maintenance=worked)
