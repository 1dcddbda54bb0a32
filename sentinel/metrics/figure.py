"""Every figure of sentinel itself, and the exposition of these and of all rows.

Of each check there are four series: status, last verdict, duration, runs; for each of its faults
one while that stands, and one for an hour after it began. Histograms, and runs by outcome, are
those of a kind: ten thousand checks of eight kinds are eight of each.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from sentinel import __version__
from sentinel.clock import utcnow
from sentinel.core.fault import Status
from sentinel.core.model import Check, Histogram, Measurement, Result
from sentinel.metrics.beginning import declare_beginnings
from sentinel.metrics.cap import MAX_SERIES, decide_left_out
from sentinel.metrics.family import Counter, FigureFamily, Gauge, OwnHistogram, Series
from sentinel.metrics.objective import declare_objectives
from sentinel.metrics.plight import Plights
from sentinel.metrics.rows import RowBook
from sentinel.metrics.text import END, list_sample_names

OUTCOMES = ("ok", "error", "timeout", "skipped")
PLACES = (
    "runner", "dispatcher", "scheduler", "recorder", "remediator", "daemon", "page", "watchdog",
)  # fmt: skip
"""Parts of sentinel whose errors are counted from the start."""
ATTEMPT_OUTCOMES = ("recovered", "failed")
NOTICE_OUTCOMES = (
    "delivered", "again", "refused", "expired", "unanswered", "renewed", "overtaken",
)  # fmt: skip
STALE_INTERVALS = 3.0
"""A check without an observed verdict for so many intervals is blind: its age is exported."""
DURATIONS = (0.005, 0.025, 0.1, 0.5, 2.5, 10.0)
LATENESS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0)
LAGS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0)
STATUS_LABELS = ("check", "component", "kind", "resource", "status")
FAULT_LABELS = ("check", "component", "fault")
S = TypeVar("S", bound=Series)


@dataclass(slots=True)
class _Watched:
    """The series of one check. `seen` is the monotonic time of its last observed verdict, or of the
    moment from which it was watched; it is blind after `due`.
    """

    about: tuple[str, str, str, str]
    every: float
    seen: float
    due: float
    status: Gauge
    runs: Counter
    took: OwnHistogram
    duration: Gauge | None = None
    success: Gauge | None = None
    faults: dict[str, Gauge] = field(default_factory=dict)
    accepted: dict[str, Gauge] = field(default_factory=dict)
    stale: Gauge | None = None
    shown: Status = Status.UNKNOWN


class Metrics:
    """Sentinel's own figures, and the latest rows of every check."""

    def __init__(
        self, monotonic: Callable[[], float] = time.monotonic, most: int = MAX_SERIES
    ) -> None:
        self._monotonic, self._most = monotonic, most
        self._families: list[FigureFamily[Any]] = []
        self._watched: dict[str, _Watched] = {}
        self._statuses: dict[str, Status] = {}
        self._declare_checks()
        self._declare_runs()
        self._declare_components()
        self._declare_ourselves()
        self._declare_authority()
        self._declare_troubles()
        self._declare_chores()
        self._declare_notices()
        self.objectives = declare_objectives(self._gauges, self._counters)
        reserved: set[str] = set()
        for family in self._families:
            reserved |= list_sample_names(family.name, family.kind)
        self.rows = RowBook(self._dropped.labels("invalid").inc, reserved)
        self.left_out: Mapping[str, int] = {}
        """Families that the last scrape did not export, with their numbers of series."""
        self.shed = 0
        """Slots that were left out because sentinel did not keep up."""

    # -- what there is ----------------------------------------------------------------------------

    @property
    def families(self) -> Sequence[FigureFamily[Any]]:
        """Every figure of sentinel's own, whether it has series or not."""
        return tuple(self._families)

    def _family(
        self,
        kind: str,
        make: Callable[[FigureFamily[Any], int], S],
        name: str,
        text: str,
        *labels: str,
    ) -> FigureFamily[S]:
        family = FigureFamily(name, kind, text, labels, make)
        self._families.append(family)
        return family

    def _gauges(self, name: str, text: str, *labels: str) -> FigureFamily[Gauge]:
        return self._family("gauge", Gauge, name, text, *labels)

    def _gauge(self, name: str, text: str) -> Gauge:
        return self._gauges(name, text).labels()

    def _counters(self, name: str, text: str, *labels: str) -> FigureFamily[Counter]:
        return self._family("counter", Counter, name, text, *labels)

    def _histograms(
        self, name: str, text: str, bounds: tuple[float, ...], *labels: str
    ) -> FigureFamily[OwnHistogram]:
        shape = Histogram(bounds, (0,) * len(bounds), 0, 0.0)
        return self._family("histogram", partial(OwnHistogram, shape=shape), name, text, *labels)

    def _declare_checks(self) -> None:
        gauges, counters = self._gauges, self._counters
        about = gauges("sentinel_build_info", "Version of sentinel.", "version")
        about.labels(__version__).set(1)
        self._check_status = gauges(
            "sentinel_check_status",
            "1: what a check is of, and its hard status, which is one of its labels.",
            *STATUS_LABELS,
        )
        self._last_success = gauges(
            "sentinel_probe_last_success_timestamp_seconds",
            "When a check last gave an observed verdict.",
            "check",
        )
        self._check_duration = gauges(
            "sentinel_check_duration_seconds", "Duration of the last run of a check.", "check"
        )
        self._check_runs = counters("sentinel_check_runs_total", "Ended runs of a check.", "check")
        self._faults = gauges(
            "sentinel_faults", "Subjects that have a fault which stands.", *FAULT_LABELS
        )
        self._accepted = gauges(
            "sentinel_faults_accepted",
            "Subjects that have a fault which somebody accepted.",
            *FAULT_LABELS,
        )
        self.beginnings = declare_beginnings(gauges)
        self._stale = gauges(
            "sentinel_check_stale_seconds",
            "Age of the last observed verdict of a check that gave none for three intervals.",
            "check",
            "component",
        )

    def _declare_runs(self) -> None:
        self._probe_runs = self._counters(
            "sentinel_probe_runs_total", "Runs by kind and outcome.", "kind", "outcome"
        )
        self._probe_duration = self._histograms(
            "sentinel_probe_duration_seconds", "Duration of runs by kind.", DURATIONS, "kind"
        )
        self.lateness = self._histograms(
            "sentinel_check_lateness_seconds", "From the slot of a run to its start.", LATENESS
        ).labels()

    def _declare_components(self) -> None:
        gauges = self._gauges
        self._component_status = gauges(
            "sentinel_component_status", "1: its label is the status.", "component", "status"
        )
        self.incidents_open = gauges(
            "sentinel_incidents_open", "Incidents that are not closed.", "component"
        )
        self.attempts = self._counters(
            "sentinel_restart_attempts_total", "Attempts by outcome.", "component", "outcome"
        )
        self.exhausted = gauges(
            "sentinel_component_exhausted", "1 when the restart budget is spent.", "component"
        )
        self.plights = Plights(
            gauges("sentinel_component_flapping", "1 while a check of it flaps.", "component"),
            gauges("sentinel_component_blocked", "1 while it waits for it.", "component", "by"),
        )
        self.braked = gauges(
            "sentinel_mass_failure_brakes", "Groups whose members fail together; none is restarted."
        ).labels()

    def _declare_ourselves(self) -> None:
        gauge = self._gauge
        self.loop_lag = self._histograms(
            "sentinel_event_loop_lag_seconds", "Lateness of the event loop's heartbeat.", LAGS
        ).labels()
        self.overdue = gauge(
            "sentinel_checks_overdue", "Checks whose last run is older than two intervals."
        )
        self.coverage = gauge(
            "sentinel_coverage_ratio", "Share of due runs that gave an observed verdict, last hour."
        )
        self.unobserved = self._counters(
            "sentinel_unobserved_seconds_total", "Time in which sentinel was stalled."
        ).labels()
        self.standstills = self._counters(
            "sentinel_standstills_total", "Times that the event loop stood still for too long."
        ).labels()
        self.log_dropped = self._counters(
            "sentinel_log_lines_dropped_total", "Lines of the log that nobody took in time."
        ).labels()
        self.state_writable = gauge(
            "sentinel_state_writable", "1 while the state can be written; else nothing is done."
        )
        self.state_writable.set(1)
        self.persisted = gauge(
            "sentinel_state_persisted_timestamp_seconds", "When the state was last committed."
        )

    def _declare_authority(self) -> None:
        """What sentinel may do, and by which configuration."""
        gauge = self._gauge
        self.fenced = gauge(
            "sentinel_fenced",
            "1 while it must not act: another member does, or its state is in doubt.",
        )
        self.halted = gauge("sentinel_actions_halted", "1 while the kill switch is on.")
        self.breaker_open = gauge(
            "sentinel_automation_breaker_open", "1 while automation has switched itself off."
        )
        self.actions_enabled = gauge(
            "sentinel_actions_enabled", "1 when sentinel may act, 0 in observe mode."
        )
        self.reload_ok = gauge(
            "sentinel_config_last_reload_successful", "1 when the last reload was good."
        )
        self.reload_time = gauge(
            "sentinel_config_last_reload_success_timestamp_seconds", "Last good (re)load."
        )

    def _declare_troubles(self) -> None:
        """What sentinel could not do, or refused."""
        self.swallowed = self._counters(
            "sentinel_unclassified_errors_total", "Errors of sentinel's own code.", "place"
        )
        self.page_refused = self._counters(
            "sentinel_page_refused_total", "Connections that the page cut or refused.", "reason"
        )
        dropped = "Series not exported, once each scrape."
        self._dropped = self._counters("sentinel_series_dropped_total", dropped, "reason")
        left_out = "Series of a family that is not exported."
        self._unexported = self._gauges("sentinel_series_left_out", left_out, "family")
        for place in PLACES:
            self.swallowed.labels(place)
        for reason in ("cap", "invalid"):
            self._dropped.labels(reason)

    def _declare_chores(self) -> None:
        gauges, counters = self._gauges, self._counters
        self.chore_runs = counters(
            "sentinel_housekeeping_runs_total", "Runs of a chore by outcome.", "chore", "outcome"
        )
        self.chore_removed = counters(
            "sentinel_housekeeping_removed_total", "Things that a chore cleaned.", "chore"
        )
        self.chore_found = gauges(
            "sentinel_housekeeping_found", "Things to clean at the last look.", "chore"
        )
        self.chore_refused = counters(
            "sentinel_housekeeping_refused_total",
            "Things that a chore left, by reason.",
            "chore",
            "reason",
        )
        self.chore_last_run = gauges(
            "sentinel_housekeeping_last_run_timestamp_seconds", "When a chore last ended.", "chore"
        )

    def _declare_notices(self) -> None:
        self.notifications = self._counters(
            "sentinel_notifications_total",
            "Tries to deliver a notice, by what came of it.",
            "channel",
            "outcome",
        )
        self.notifications_waiting = self._gauges(
            "sentinel_notifications_waiting", "Notices that are not delivered yet.", "channel"
        )
        window = "1 while a maintenance window is on."
        self.maintenance = self._gauges("sentinel_maintenance", window, "window")

    def add_channel(self, name: str) -> None:
        """Create the series of a channel at zero."""
        for outcome in NOTICE_OUTCOMES:
            self.notifications.labels(name, outcome)
        self.notifications_waiting.labels(name)

    def remove_channel(self, name: str) -> None:
        """Remove every series of a channel that the configuration no longer has."""
        for outcome in NOTICE_OUTCOMES:
            self.notifications.remove(name, outcome)
        self.notifications_waiting.remove(name)

    # -- checks -----------------------------------------------------------------------------------

    def add_check(self, check: Check, status: Status = Status.UNKNOWN) -> None:
        """Create the series of a check, and those of its kind at zero, so that `rate()` sees the
        first failure. One that is there already is described anew and keeps its counters.
        """
        resource = ",".join(sorted(set(check.resources.values())))
        about = (check.name, check.component, check.kind, resource)
        for outcome in OUTCOMES:
            self._probe_runs.labels(check.kind, outcome)
        took = self._probe_duration.labels(check.kind)
        shown = self._check_status.add((*about, status.value))
        shown.set(1)
        known = self._watched.get(check.name)
        if known is None:
            runs, now = self._check_runs.add((check.name,)), self._monotonic()
            due = now + STALE_INTERVALS * check.every
            known = _Watched(about, check.every, now, due, shown, runs, took, shown=status)
            self._watched[check.name] = known
            return
        self._forget_faults(known)
        self._check_status.drop(known.status)
        known.about, known.every, known.took = about, check.every, took
        known.due = known.seen + STALE_INTERVALS * check.every
        known.status, known.shown = shown, status

    def remove_check(self, name: str) -> None:
        """Remove every series of a check that the configuration no longer has."""
        self.rows.remove(name)
        known = self._watched.pop(name, None)
        if known is None:
            return
        self._forget_faults(known)
        self.beginnings.remove(name)
        self._check_status.drop(known.status)
        self._check_runs.drop(known.runs)
        for family, series in (
            (self._last_success, known.success),
            (self._check_duration, known.duration),
            (self._stale, known.stale),
        ):
            if series is not None:
                family.drop(series)

    def set_check_status(self, name: str, status: Status) -> None:
        """The hard status of a check is another one."""
        known = self._watched[name]
        if status is known.shown:
            return
        self._check_status.drop(known.status)
        known.status, known.shown = self._check_status.add((*known.about, status.value)), status
        known.status.set(1)

    def set_faults(
        self, check: str, standing: Mapping[str, int], accepted: Mapping[str, int]
    ) -> None:
        """How many subjects have each fault of a check, and for how many somebody accepted it. What
        nobody has is no series.
        """
        known = self._watched[check]
        for family, shown, counts in (
            (self._faults, known.faults, standing),
            (self._accepted, known.accepted, accepted),
        ):
            for fault in [each for each in shown if not counts.get(each)]:
                family.drop(shown.pop(fault))
            for fault, count in counts.items():
                if count:
                    if fault not in shown:
                        shown[fault] = family.add((*known.about[:2], fault))
                    shown[fault].set(count)

    def _forget_faults(self, known: _Watched) -> None:
        for family, shown in ((self._faults, known.faults), (self._accepted, known.accepted)):
            for series in shown.values():
                family.drop(series)
            shown.clear()

    def skip(self, check: str, slots: int) -> None:
        """Slots of a check in which it was not run."""
        known = self._watched.get(check)
        if known is not None:
            self._probe_runs.labels(known.about[2], "skipped").inc(slots)

    def observe(self, result: Result, measurements: Sequence[Measurement]) -> None:
        """Take a result in: its duration and outcome, and the rows of its finding."""
        known = self._watched.get(result.check)
        if known is not None:
            known.runs.inc()
            self._probe_runs.labels(known.about[2], result.outcome).inc()
            known.took.observe(result.duration)
            if known.duration is None:
                known.duration = self._check_duration.add((result.check,))
            known.duration.set(round(result.duration, 6))
            if result.finding.status is not Status.UNKNOWN:
                self._note_verdict(known, result)
        self.rows.take(result.check, result.finding, measurements)

    def _note_verdict(self, known: _Watched, result: Result) -> None:
        known.seen = self._monotonic()
        known.due = known.seen + STALE_INTERVALS * known.every
        if known.success is None:
            known.success = self._last_success.add((result.check,))
        known.success.set(round(utcnow().timestamp() - result.duration, 3))
        if known.stale is not None:
            self._stale.drop(known.stale)
            known.stale = None

    def _show_stale(self) -> None:
        """Checks without a verdict for three intervals: told by the scrape itself, so that nothing
        else has to be alive for it.
        """
        now = self._monotonic()
        for known in [each for each in self._watched.values() if each.due < now]:
            if known.stale is None:
                known.stale = self._stale.add(known.about[:2])
            known.stale.set(round(now - known.seen, 3))

    # -- components and chores --------------------------------------------------------------------

    def add_supervised(self, component: str, *, exhausted: bool) -> None:
        """Create the label sets of a supervised component at zero."""
        for outcome in ATTEMPT_OUTCOMES:
            self.attempts.labels(component, outcome)
        self.exhausted.labels(component).set(exhausted)

    def remove_component(self, name: str) -> None:
        """Remove every series of a component that the configuration no longer has."""
        status = self._statuses.pop(name, None)
        if status is not None:
            self._component_status.remove(name, status.value)
        for outcome in ATTEMPT_OUTCOMES:
            self.attempts.remove(name, outcome)
        for family in (self.incidents_open, self.exhausted):
            family.remove(name)
        self.plights.remove(name)

    def set_component_status(self, name: str, status: Status) -> None:
        """The status of a component, as people are told it."""
        before = self._statuses.get(name)
        if before is not None and before is not status:
            self._component_status.remove(name, before.value)
        self._statuses[name] = status
        self._component_status.labels(name, status.value).set(1)

    def remove_chore(self, name: str, outcomes: Iterable[str]) -> None:
        """Remove every series of a chore that the configuration no longer has; refusals stay until
        the next start.
        """
        for outcome in outcomes:
            self.chore_runs.remove(name, outcome)
        self.chore_removed.remove(name)
        for family in (self.chore_found, self.chore_last_run):
            family.remove(name)

    # -- the exposition ---------------------------------------------------------------------------

    def render(self, openmetrics: bool = False) -> bytes:
        """The whole text at once."""
        return b"".join(self.pieces(openmetrics))

    def pieces(self, openmetrics: bool = False) -> Iterator[bytes]:
        """The text piece by piece, each made in a few milliseconds at most; an empty piece is a
        rest. One at a time: two that are made side by side would take lines from each other.
        """
        for _ in self.rows.settle():
            yield b""
        families = self.rows.families
        for family in list(families.values()):
            for _ in family.patch():
                yield b""
        self._leave_out({name: family.samples for name, family in families.items()})
        self._show_stale()
        self.beginnings.forget(utcnow().timestamp())
        yield b""
        shown = [family for name, family in families.items() if name not in self.left_out]
        for family in (*self._families, *shown):
            for _ in family.patch():
                yield b""
            yield from family.pieces(openmetrics)
        if openmetrics:
            yield END

    def _leave_out(self, sizes: Mapping[str, int]) -> None:
        before, self.left_out = self.left_out, {}
        if before or sum(sizes.values()) > self._most:
            self.left_out = decide_left_out(sizes, before.keys(), self._most)
        for name in before.keys() - self.left_out.keys():
            self._unexported.remove(name)
        for name, size in self.left_out.items():
            self._unexported.labels(name).set(size)
            self._dropped.labels("cap").inc(size)
