"""What holds every action back, whatever the component: kill switch, fence, mass-failure brake,
breaker.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import structlog

from sentinel.core.moment import Moment, read_moment, write_moment
from sentinel.core.order import Order, OrderKind
from sentinel.core.remediation.brake import (
    ActionLimits,
    Brake,
    BrakePolicy,
    Crowd,
    Recent,
    brake_of,
    find_brakes,
    find_limit,
)
from sentinel.core.remediation.breaker import Breaker, BreakerPolicy, Record, find_cause
from sentinel.core.remediation.restart import Reason
from sentinel.engine.halt_file import HaltFile
from sentinel.engine.pause import PauseGuard
from sentinel.metrics import Metrics
from sentinel.store import Changes, Store
from sentinel.store.identity import CURE
from sentinel.strict.file import open_at_once

log = structlog.get_logger()

BREAKER, STARTS, EXHAUSTIONS, BRAKES = "breaker", "crashes", "exhaustions", "brakes"
KEPT = 10
_NOTED_WITHIN = 0.2
"""Seconds that the word of a halt may take to the disk while somebody waits."""


@dataclass(frozen=True, slots=True)
class Restraint:
    """What the configuration says about acting."""

    enabled: bool
    limits: ActionLimits = field(default_factory=ActionLimits)
    brake: BrakePolicy = field(default_factory=BrakePolicy)
    breaker: BreakerPolicy = field(default_factory=BreakerPolicy)


@dataclass(slots=True)
class Automation:
    """May sentinel act at all? Everything is read again right before an act."""

    store: Store
    metrics: Metrics
    moment: Callable[[], Moment]
    halt_file: Path
    guard: PauseGuard
    restraint: Restraint
    breaker: Breaker = field(default_factory=Breaker)
    brakes: Sequence[Brake] = ()
    fenced: str = ""
    doubt: str = ""
    """Why the state is not certainly the one that was here: then nothing is done."""
    crowd: Crowd = field(default_factory=Crowd)
    halted_by_signal: bool = False
    _file: HaltFile = field(default_factory=HaltFile)
    _told: frozenset[str] = frozenset()
    """Groups whose brake people were told of, over a restart of sentinel too."""
    _starts: list[Moment] = field(default_factory=list)
    _exhaustions: list[Moment] = field(default_factory=list)

    def __post_init__(self) -> None:
        """What the metrics say from the start."""
        self.configure(self.restraint)

    @property
    def enabled(self) -> bool:
        """Whether sentinel acts at all; else it says what it would do."""
        return self.restraint.enabled

    def load(self, *, crashed: bool) -> Changes:
        """Remember what was before; `crashed`: the sentinel before did not end in order."""
        self.follow_state()
        self.breaker = _read_breaker(self.store.meta(BREAKER))
        self._exhaustions = _read_instants(self.store.meta(EXHAUSTIONS))
        self._told = frozenset(json.loads(self.store.meta(BRAKES) or "[]"))
        self._starts = _read_instants(self.store.meta(STARTS))
        if crashed:
            self._starts = [*self._starts, self.moment()][-KEPT:]
        self._show()
        return Changes(meta={STARTS: _write_instants(self._starts)})

    def configure(self, restraint: Restraint) -> None:
        """What holds actions back, as it is configured now."""
        self.restraint = restraint
        self.metrics.actions_enabled.set(restraint.enabled)

    def fence(self, reason: str) -> None:
        """Another sentinel may act, and not this one; "": this one may again."""
        if reason != self.fenced:
            log.error("fenced" if reason else "no_longer_fenced", reason=reason)
        self.fenced = reason

    def follow_state(self) -> None:
        """See again whether the state is the one that was here. Raises StateError."""
        trouble = self.store.trouble()
        if trouble.doubt != self.doubt:
            log.error(
                "state_doubted" if trouble.doubt else "state_accepted",
                reason=trouble.doubt,
                guidance=trouble.cure if trouble.doubt else "actions go on",
            )
        self.doubt = trouble.doubt

    def conditions(self) -> list[tuple[Reason, str]]:
        """For people: everything that holds all actions back now, with its remedy."""
        found = []
        if self.doubt:
            found.append((Reason.STATE_DOUBTED, f"no action: {self.doubt}; {CURE}"))
        if self.fenced:
            found.append((Reason.FENCED, f"fenced, no action: {self.fenced}"))
        if self.is_halted():
            found.append(
                (Reason.HALTED, "halted, no automatic action: `sentinel resume` when it is over")
            )
        if not self.enabled:
            found.append(
                (
                    Reason.OBSERVE,
                    "observe mode: says what it would do, does nothing (actions.enabled is false)",
                )
            )
        if self.breaker.opened is not None:
            text = (
                f"automation switched itself off: {self.breaker.reason}; after a look:"
                " `sentinel breaker close --reason …`"
            )
            found.append((Reason.BREAKER_OPEN, text))
        found += [
            (
                Reason.BRAKED,
                f"braked, no restart until fewer are: {brake.text}, taken for one common cause",
            )
            for brake in self.brakes
        ]
        return found

    # -- the kill switch --------------------------------------------------------------------------

    def is_halted(self, *, now: bool = True) -> bool:
        """The kill switch: what can't be told counts as halted. Not `now`: as it was a moment ago."""
        return self.halted_by_signal or self._file.is_there(self.halt_file, now=now)

    def halt(self, by: str) -> None:
        """The kill switch by signal: at once in memory, and as the file that `sentinel resume`
        takes away.
        """
        self.halted_by_signal = True
        log.error("halted", by=by, guidance="`sentinel resume` when it is over")
        # A disk that is away may keep who writes for ever, and nothing waits for it.
        note = threading.Thread(target=self._write_halt, args=(by,), name="halt", daemon=True)
        note.start()
        note.join(_NOTED_WITHIN)

    def _write_halt(self, by: str) -> None:
        try:
            with open(self.halt_file, "w", opener=open_at_once) as file:
                file.write(f"{self.moment().at.isoformat()} {by}\n")
        except OSError as error:
            log.error(
                "halt_file_not_written",
                error=str(error),
                guidance="halted all the same, until `sentinel resume`",
            )
            if not os.path.lexists(self.halt_file):
                return
        # From now on the file counts, though a full disk took none of its words.
        self.halted_by_signal = False

    def resume(self) -> None:
        """Forget a halt that came by a signal while the file could not be written."""
        self.halted_by_signal = False

    def may_act(self, *, automatic: bool) -> str:
        """Why nothing may be done in this very moment, or ""; asked right before an act."""
        if self.is_halted():
            return (
                "halted between intent and act" if automatic else "halted: `sentinel resume` first"
            )
        if self.doubt:
            return f"{self.doubt}: `sentinel state accept --reason …`"
        if self.fenced:
            return f"fenced between intent and act: {self.fenced}"
        if automatic and not self.enabled:
            return "actions were switched off between intent and act"
        return ""

    # -- brake and limits -------------------------------------------------------------------------

    def look(
        self, groups: Mapping[str, str], unhealthy: Sequence[str], *, early: bool = False
    ) -> Changes:
        """See who is down by a cause of its own; orders one page when a brake goes on, and a word
        when it goes off. While everything is braked that is the one page: a group that is down in
        it has none of its own, and one that had is not said to be free before everything is.

        `early`: sentinel has just started and has not seen everybody yet; then no brake is said to
        be off.
        """
        self.crowd = Crowd(groups, frozenset(unhealthy))
        self.brakes = find_brakes(self.restraint.brake, self.crowd) if unhealthy else []
        self.metrics.braked.set(len(self.brakes))
        present = frozenset(brake.group for brake in self.brakes)
        before = self._told
        if "" in present:
            self._told = before | {""}
        else:
            self._told = present | before if early else present
        changes = Changes()
        for brake in self.brakes:
            if brake.group in self._told - before:
                within = () if brake.group else [each.text for each in self.brakes if each.group]
                crowd = ", ".join((brake.text, *within))
                text = f"common cause: {crowd}; nothing is restarted until fewer are"
                changes.orders.append(
                    self._page("braked", brake.group or "everything", text, brake.members)
                )
        for group in sorted(before - self._told):
            text = "fewer components are down: restarts are allowed again"
            changes.orders.append(self._page("brake_released", group or "everything", text))
        if before != self._told:
            changes.meta[BRAKES] = json.dumps(sorted(self._told))
        return changes

    def brake(self, component: str) -> str:
        """How many are down together with a component, or ""."""
        found = brake_of(self.brakes, self.crowd.groups.get(component, ""))
        return found.text if found else ""

    def limit(self, component: str, recent: Sequence[Recent]) -> tuple[str, float] | None:
        """Why enough was done for now, and for how many more seconds."""
        return find_limit(self.restraint.limits, component, self.crowd, recent)

    def holds_announcement(self, group: str, opened: datetime) -> bool:
        """Members of a group wait a little, in case all of them fall; while a brake is on it is the
        page.
        """
        if brake_of(self.brakes, group):
            return True
        return (
            bool(group)
            and (self.moment().at - opened).total_seconds() < self.restraint.brake.announce_after
        )

    # -- breaker ----------------------------------------------------------------------------------

    def note_exhausted(self) -> Changes:
        """One more component was given up."""
        self._exhaustions = [*self._exhaustions, self.moment()][-KEPT:]
        return Changes(meta={EXHAUSTIONS: _write_instants(self._exhaustions)})

    def judge(self, verdicts: Sequence[str]) -> Changes:
        """Open the breaker when sentinel's own acting does not help, or sentinel itself is ill."""
        if self.breaker.opened is not None:
            return Changes()
        cause = find_cause(self.restraint.breaker, self._look_at_ourselves(verdicts))
        if not cause:
            return Changes()
        self.breaker = Breaker(self.moment(), cause, self.breaker.closed)
        self._show()
        log.error(
            "breaker_opened",
            cause=cause,
            guidance="`sentinel breaker close --reason …` after a look",
        )
        text = (
            f"automation switched itself off: {cause}; next: `sentinel breaker close --reason …`"
            " after a look"
        )
        return Changes(
            meta={BREAKER: _write_breaker(self.breaker)},
            orders=[self._page("breaker_opened", "automation", text)],
        )

    def close_breaker(self, reason: str) -> Changes:
        """An operator's word: what was before it does not open the breaker again."""
        was = self.breaker.opened is not None
        self.breaker = Breaker(closed=self.moment())
        self._show()
        log.info("breaker_closed", reason=reason)
        text = f"automation acts again: {reason}"
        orders = [self._page("breaker_closed", "automation", text)] if was else []
        return Changes(meta={BREAKER: _write_breaker(self.breaker)}, orders=orders)

    def closed_at(self) -> Moment | None:
        """When an operator closed the breaker last."""
        return self.breaker.closed

    def _look_at_ourselves(self, verdicts: Sequence[str]) -> Record:
        now, closed = self.moment(), self.breaker.closed
        window = self.restraint.breaker.stall_window
        if closed is not None:
            window = min(window, now.seconds_since(closed))
        pause = self.guard.longest(self.guard.monotonic() - window)
        return Record(
            _ages(self._exhaustions, now, closed), verdicts, _ages(self._starts, now, closed), pause
        )

    def _show(self) -> None:
        self.metrics.breaker_open.set(self.breaker.opened is not None)

    def _page(self, event: str, subject: str, text: str, members: Sequence[str] = ()) -> Order:
        payload = {"event": event, "text": text, "members": list(members)}
        key = f"{event}/{subject}/{self.moment().at.isoformat()}"
        return Order(OrderKind.NOTIFY, key, subject, payload)


def _ages(instants: Sequence[Moment], now: Moment, closed: Moment | None) -> list[float]:
    return [now.seconds_since(at) for at in instants if closed is None or at.is_after(closed)]


def _read_instants(text: str | None) -> list[Moment]:
    """An older sentinel kept instants with blanks between them."""
    words = json.loads(text) if text and text.startswith("[") else (text or "").split()
    return [read_moment(word) for word in words]


def _write_instants(instants: Sequence[Moment]) -> str:
    return json.dumps([write_moment(at) for at in instants])


def _read_breaker(text: str | None) -> Breaker:
    known = json.loads(text) if text else {}
    opened, closed = (
        read_moment(known[key]) if known.get(key) else None for key in ("opened", "closed")
    )
    return Breaker(opened, known.get("reason", ""), closed)


def _write_breaker(breaker: Breaker) -> str:
    instants = {"opened": breaker.opened, "closed": breaker.closed}
    return json.dumps(
        {
            **{key: write_moment(at) if at else "" for key, at in instants.items()},
            "reason": breaker.reason,
        }
    )
