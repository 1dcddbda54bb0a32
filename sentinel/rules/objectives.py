"""Objectives as Sloth writes them: the same names and labels, so that its dashboards work.

Two things differ. Every ratio is weighted by events, that over the whole window, too: Sloth
averages over five-minute ratios there, so a quiet night counts as much as a busy day. And an alert
needs events: fewer than the objective's `min_events` in its long window call nobody.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sentinel.core.fault import Severity
from sentinel.core.objective import WINDOWS, BurnAlert, Objective, choose_alerts
from sentinel.metrics.objective import EVENTS, GOOD
from sentinel.rules.value import (
    Alert,
    Links,
    RecordingRule,
    Rule,
    RuleGroup,
    name_alert,
    plain,
    quote_label,
    write_share,
    write_time,
)

KEEP_PAGE = 300.0
INVALID, NO_DATA, MISSED = (
    "SentinelObjectiveInvalid",
    "SentinelObjectiveNoData",
    "SentinelObjectiveMissed",
)
RUNBOOK = "objective-burning"
DAY = 86400.0


@dataclass(frozen=True, slots=True)
class ObjectiveRules:
    """The rules of one objective."""

    platform: str
    objective: Objective
    links: Links

    @property
    def labels(self) -> dict[str, str]:
        """Whose series these are, in Sloth's words."""
        name = self.objective.name
        return {
            "sloth_id": f"{self.platform}-{name}",
            "sloth_service": self.platform,
            "sloth_slo": name,
        }

    @property
    def selector(self) -> str:
        """The records of this objective."""
        inner = ", ".join(f"{key}={quote_label(value)}" for key, value in self.labels.items())
        return f"{{{inner}}}"

    @property
    def period(self) -> str:
        """The window in PromQL."""
        return write_time(self.objective.window)

    def gained(self, metric: str, window: str) -> str:
        """How many events came within a window, of all instances together."""
        series = f"{metric}{{objective={quote_label(self.objective.name)}}}"
        return f"sum(increase({series}[{window}]))"

    def groups(self) -> list[RuleGroup]:
        """As Sloth groups them."""
        name = self.objective.name
        return [
            RuleGroup(f"sloth-slo-sli-recordings-{name}", list(self._indicators())),
            RuleGroup(f"sloth-slo-meta-recordings-{name}", list(self._facts())),
            RuleGroup(f"sloth-slo-alerts-{name}", list(self._alerts())),
        ]

    def _indicators(self) -> Iterator[Rule]:
        windows = [name for name, length in WINDOWS.items() if length < self.objective.window]
        for window in (*windows, self.period):
            good, events = self.gained(GOOD, window), self.gained(EVENTS, window)
            yield RecordingRule(
                f"slo:sli_error:ratio_rate{window}",
                f"clamp_min(1 - {good} / ({events} > 0), 0)",
                {**self.labels, "sloth_window": window},
            )
        for window in dict.fromkeys(alert.long for alert in choose_alerts(self.objective)):
            good, events = self.gained(GOOD, window), self.gained(EVENTS, window)
            labels = {**self.labels, "sloth_window": window}
            yield RecordingRule(f"slo:sli_event:increase{window}", events, labels)
            yield RecordingRule(f"slo:sli_error:increase{window}", f"{events} - {good}", labels)

    def _facts(self) -> Iterator[Rule]:
        objective, selector = self.objective, self.selector
        on = "on (sloth_id, sloth_slo, sloth_service) group_left"
        constants = {
            "slo:objective:ratio": write_share(objective.target),
            "slo:error_budget:ratio": write_share(objective.budget),
            "slo:time_period:days": write_share(objective.window / DAY),
        }
        for name, figure in constants.items():
            yield RecordingRule(name, f"vector({figure})", self.labels)
        budget = f"/ {on} slo:error_budget:ratio{selector}"
        for name, window in (("current", "5m"), ("period", self.period)):
            ratio = f"slo:sli_error:ratio_rate{window}{selector}"
            yield RecordingRule(f"slo:{name}_burn_rate:ratio", f"{ratio} {budget}", self.labels)
        spent = f"slo:period_burn_rate:ratio{selector}"
        yield RecordingRule("slo:period_error_budget_remaining:ratio", f"1 - {spent}", self.labels)
        yield RecordingRule(
            "sloth_slo_info",
            "vector(1)",
            {
                **self.labels,
                "sloth_mode": "sentinel",
                "sloth_objective": write_share(objective.target * 100),
                "sloth_spec": f"{objective.check}/{objective.sli}",
            },
        )

    def _alerts(self) -> Iterator[Rule]:
        objective = self.objective
        title = plain(objective.title or objective.name)
        runbook = self.links.runbook(objective.runbook or RUNBOOK)
        board = self.links.board("objectives")
        labels = {
            **self.labels, "objective": objective.name,
            "check": objective.check, "component": objective.component,
        }  # fmt: skip
        for alert in choose_alerts(objective):
            yield Alert(
                name_alert("objective", objective.name, alert.word, "burn"),
                self._burns(alert),
                alert.severity,
                f"{title}: the error budget burns {alert.factor:g} times too fast",
                f"{{{{ $value | humanizePercentage }}}} of the events of the last {alert.long} were"
                f" bad, and still are over the last {alert.short}; the target is"
                f" {write_share(objective.target * 100)} % over {self.period}."
                f" {plain(objective.description)}".rstrip(),
                runbook,
                board,
                keep=KEEP_PAGE if alert.severity is Severity.PAGE else 0.0,
                labels={**labels, "sloth_severity": str(alert.severity)},
            )
        series = f"{EVENTS}{{objective={quote_label(objective.name)}}}"
        yield Alert(
            name_alert("objective", objective.name, "absent"),
            f"absent({series})",
            Severity.TICKET,
            f"{title}: nobody counts",
            f"sentinel exports no events of the objective {objective.name}: its configuration and"
            " these rules differ (`sentinel rules --check`), or it is not scraped.",
            runbook,
            board,
            900.0,
            labels=labels,
        )

    def _burns(self, alert: BurnAlert) -> str:
        limit = write_share(alert.limit(self.objective))
        terms = [
            f"slo:sli_error:ratio_rate{alert.long}{self.selector} > {limit}",
            f"slo:sli_error:ratio_rate{alert.short}{self.selector} > {limit}",
            f"slo:sli_event:increase{alert.long}{self.selector} >= {self.objective.min_events}",
            f"slo:sli_error:increase{alert.long}{self.selector} >= {alert.bad}",
        ]
        joined = " and ignoring (sloth_window) ".join(terms)
        return f"max without (sloth_window) ({joined})"


def group_objectives(
    platform: str, objectives: Sequence[Objective], links: Links
) -> list[RuleGroup]:
    """The rules of each objective, and those of all of them."""
    groups = [
        group
        for objective in objectives
        for group in ObjectiveRules(platform, objective, links).groups()
    ]
    return [*groups, RuleGroup("sentinel-objectives", list(_about_all(links)))] if groups else []


def _about_all(links: Links) -> Iterator[Alert]:
    who, board = "{{ $labels.objective }}", links.board("objectives")
    runbook = links.runbook(RUNBOOK)
    state = 'sentinel_objective_state{{state="{}"}} == 1'
    texts: Mapping[str, tuple[str, Severity, str, str, float]] = {
        INVALID: (
            f"increase({GOOD}[1h]) - increase({EVENTS}[1h]) > 0.5",
            Severity.TICKET,
            f"{who}: more good events than events",
            f"What counts for {who} is wrong by {{{{ $value }}}} events within an hour: no figure of"
            " this objective is to be trusted.",
            0.0,
        ),
        NO_DATA: (
            f"increase({EVENTS}[1d]) == 0",
            Severity.TICKET,
            f"{who}: no event for a day",
            f"Nothing was counted for {who} for a day: that is no success. Does check"
            " {{ $labels.check }} still find what it counts?",
            3600.0,
        ),
        MISSED: (
            state.format("missed"),
            Severity.TICKET,
            f"{who} is missed",
            f"The error budget of {who} is used up: `sentinel objectives` says by how much.",
            300.0,
        ),
    }
    for name, (expr, severity, summary, description, hold) in texts.items():
        yield Alert(name, expr, severity, summary, description, runbook, board, hold)
