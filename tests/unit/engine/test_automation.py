"""What holds every action back: kill switch, fence, brake, breaker; what of it outlives a restart."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sentinel.core.moment import Moment, write_moment
from sentinel.core.remediation.breaker import Breaker, BreakerPolicy
from sentinel.core.remediation.restart import Reason
from sentinel.engine.automation import (
    BRAKES,
    BREAKER,
    EXHAUSTIONS,
    KEPT,
    STARTS,
    Automation,
    Restraint,
)
from sentinel.engine.pause import PauseGuard
from sentinel.metrics import Metrics
from sentinel.store import Changes
from sentinel.store.sqlite import SqliteStore
from tests.unit.engine.conftest import Clock

GROUPS = {f"a{n}": "agents" for n in range(5)} | {f"s{n}": "" for n in range(15)}
DOWN = ["a0", "a1", "a2"]


@pytest.fixture
def automation(store: SqliteStore, metrics: Metrics, clock: Clock, tmp_path: Path) -> Automation:
    """Switched on, on a clock in the hands of the test."""
    guard = PauseGuard(clock.monotonic, clock.utcnow, metrics)
    halt = tmp_path / "HALT"
    return Automation(store, metrics, clock.moment, halt, guard, Restraint(enabled=True))


def reasons(automation: Automation) -> list[Reason]:
    return [reason for reason, _ in automation.conditions()]


def keep(store: SqliteStore, changes: Changes) -> Changes:
    store.commit(changes)
    return changes


def again(automation: Automation, *, crashed: bool = False) -> Automation:
    """The next sentinel, on the same store."""
    parts = (automation.store, automation.metrics, automation.moment, automation.halt_file)
    made = Automation(*parts, automation.guard, automation.restraint)
    automation.store.commit(made.load(crashed=crashed))
    return made


# -- fence, kill switch, observe mode --------------------------------------------------------------


def test_nothing_holds_it_back(automation: Automation, metrics: Metrics) -> None:
    """Then people are told nothing."""
    assert automation.conditions() == []
    assert automation.may_act(automatic=True) == ""
    assert automation.enabled
    assert metrics.actions_enabled.value == 1


def test_fenced(automation: Automation) -> None:
    """By another sentinel, with its reason; and no longer."""
    automation.fence("another one leads")
    assert automation.conditions() == [(Reason.FENCED, "fenced, no action: another one leads")]
    assert automation.may_act(automatic=False) == (
        "fenced between intent and act: another one leads"
    )
    automation.fence("")
    assert automation.conditions() == []
    assert automation.may_act(automatic=False) == ""


def test_observe_mode_holds_back_what_is_automatic(
    automation: Automation, metrics: Metrics
) -> None:
    """An operator's order is another matter."""
    automation.configure(Restraint(enabled=False))
    assert reasons(automation) == [Reason.OBSERVE]
    assert automation.may_act(automatic=True) == "actions were switched off between intent and act"
    assert automation.may_act(automatic=False) == ""
    assert metrics.actions_enabled.value == 0


def test_halted_by_a_file(automation: Automation) -> None:
    """Whatever it holds; a link that leads nowhere is there, too."""
    assert not automation.is_halted()
    automation.halt_file.symlink_to(automation.halt_file.parent / "nowhere")
    assert automation.is_halted()
    assert reasons(automation) == [Reason.HALTED]
    assert automation.may_act(automatic=False) == "halted: `sentinel resume` first"
    assert automation.may_act(automatic=True) == "halted between intent and act"


def test_halted_by_a_signal_is_written_down(automation: Automation) -> None:
    """With instant and origin; the file alone holds from then on."""
    automation.halt("SIGUSR1")
    assert automation.halt_file.read_text() == f"{automation.moment().at.isoformat()} SIGUSR1\n"
    assert automation.is_halted()
    automation.halt_file.unlink()
    assert not automation.is_halted()


def test_halted_by_a_signal_without_a_place_for_the_file(automation: Automation) -> None:
    """It is kept in memory, until it is resumed."""
    automation.halt_file = automation.halt_file.parent / "no" / "HALT"
    automation.halt("SIGUSR1")
    assert automation.is_halted()
    automation.resume()
    assert not automation.is_halted()


def test_a_halt_file_that_cannot_be_looked_at_halts(automation: Automation) -> None:
    """Only a certain "no such file" allows to act."""
    (automation.halt_file.parent / "file").write_text("")
    automation.halt_file = automation.halt_file.parent / "file" / "HALT"
    assert automation.is_halted()


# -- brake -----------------------------------------------------------------------------------------


def test_a_brake_is_told_once_and_released_once(automation: Automation, metrics: Metrics) -> None:
    """Three of five agents down: one page, however often it is looked at."""
    (page,) = automation.look(GROUPS, DOWN).orders
    assert page.payload == {
        "event": "braked",
        "text": "common cause: 3 of 5 agents down; nothing is restarted until fewer are",
        "members": DOWN,
    }
    assert page.subject == "agents"
    assert automation.conditions() == [
        (
            Reason.BRAKED,
            "braked, no restart until fewer are: 3 of 5 agents down, taken for one common cause",
        )
    ]
    assert (automation.brake("a4"), automation.brake("s1")) == ("3 of 5 agents down", "")
    assert metrics.braked.value == 1
    assert automation.look(GROUPS, DOWN) == Changes()
    (page,) = automation.look(GROUPS, DOWN[:2]).orders
    assert (page.payload["event"], page.subject) == ("brake_released", "agents")
    assert automation.look(GROUPS, []) == Changes()
    assert metrics.braked.value == 0


def test_a_brake_over_everything_has_a_name(automation: Automation) -> None:
    """Six of twenty, in no group: each one is held."""
    (page,) = automation.look(GROUPS, [f"s{n}" for n in range(6)]).orders
    assert page.subject == "everything"
    assert automation.brake("a0") == "6 of 20 components down"


def test_what_takes_groups_down_is_one_page(automation: Automation) -> None:
    """A group within everything has no page of its own; one that had is free when everything is."""

    def look(down: list[str]) -> list[tuple[str, str]]:
        orders = automation.look(GROUPS, down).orders
        return [(order.payload["event"], order.subject) for order in orders]

    everybody = [*DOWN, *(f"s{n}" for n in range(4))]
    (page,) = automation.look(GROUPS, everybody).orders
    crowd = "7 of 20 components down, 3 of 5 agents down"
    assert page.payload["text"].startswith(f"common cause: {crowd}; nothing")
    assert look(DOWN) == [("braked", "agents"), ("brake_released", "everything")]
    assert look(everybody) == [("braked", "everything")]
    assert look(everybody[1:]) == []  # two agents: no brake of theirs, and they are not free
    assert look([]) == [("brake_released", "everything"), ("brake_released", "agents")]


def test_a_brake_is_remembered_over_a_restart(automation: Automation, store: SqliteStore) -> None:
    """It is not told again; early on it is not said to be off, for not everybody was seen."""
    changes = keep(store, automation.look(GROUPS, DOWN))
    assert json.loads(changes.meta[BRAKES]) == ["agents"]
    later = again(automation)
    assert later.look(GROUPS, DOWN, early=True) == Changes()
    assert later.look(GROUPS, [], early=True) == Changes()
    assert [order.payload["event"] for order in later.look(GROUPS, []).orders] == ["brake_released"]


def test_members_of_a_group_are_announced_after_a_while(
    automation: Automation, clock: Clock
) -> None:
    """At ten seconds; who is alone at once; while a brake is on it is the page."""
    opened = automation.moment().at
    assert not automation.holds_announcement("", opened)
    clock.now += 9.9
    assert automation.holds_announcement("agents", opened)
    clock.now += 0.1
    assert not automation.holds_announcement("agents", opened)
    automation.look(GROUPS, DOWN)
    assert automation.holds_announcement("agents", opened)
    assert not automation.holds_announcement("", opened)


# -- breaker ---------------------------------------------------------------------------------------


def test_two_given_up_open_the_breaker(
    automation: Automation, store: SqliteStore, metrics: Metrics
) -> None:
    """Once, with one page; it is open for the next sentinel as well."""
    keep(store, automation.note_exhausted())
    assert automation.judge([]) == Changes()
    keep(store, automation.note_exhausted())
    changes = keep(store, automation.judge([]))
    cause = "2 components exhausted within 15 min"
    assert automation.breaker == Breaker(automation.moment(), cause)
    assert [order.payload["event"] for order in changes.orders] == ["breaker_opened"]
    assert reasons(automation) == [Reason.BREAKER_OPEN]
    assert metrics.breaker_open.value == 1
    assert automation.judge([]) == Changes()
    assert again(automation).breaker == automation.breaker


def test_an_operator_closes_it(
    automation: Automation, store: SqliteStore, clock: Clock, metrics: Metrics
) -> None:
    """What was before does not open it again, what comes later does."""
    assert automation.closed_at() is None
    for _ in range(2):
        keep(store, automation.note_exhausted())
    keep(store, automation.judge([]))
    clock.now += 1
    keep(store, automation.close_breaker("looked"))
    assert metrics.breaker_open.value == 0
    later = again(automation)
    moment = later.closed_at()
    assert moment is not None
    assert moment.at == automation.moment().at
    assert later.judge([]) == Changes()
    clock.now += 1
    keep(store, later.note_exhausted())
    assert later.judge([]) == Changes()
    keep(store, later.note_exhausted())
    assert BREAKER in later.judge([]).meta


def test_starts_count_only_after_a_crash(automation: Automation) -> None:
    """An upgrade is no illness; three crashes are."""
    for crashed in (True, True, False):
        later = again(automation, crashed=crashed)
        assert later.judge([]) == Changes()
    later = again(automation, crashed=True)
    later.judge([])
    assert later.breaker.reason == "sentinel itself crashed 3 times within 10 min"


def test_what_is_kept_is_bounded(automation: Automation, clock: Clock) -> None:
    """The latest ten instants of each."""
    automation.configure(Restraint(enabled=True, breaker=BreakerPolicy(exhausted=0, starts=0)))
    for _ in range(KEPT + 3):
        clock.now += 1
        kept = json.loads(automation.note_exhausted().meta[EXHAUSTIONS])
        again(automation, crashed=True)
    assert len(kept) == KEPT
    assert kept[-1] == write_moment(automation.moment())
    starts = json.loads(automation.store.meta(STARTS) or "[]")
    assert (len(starts), starts[-1]) == (KEPT, kept[-1])


def test_a_stall_from_before_the_breaker_was_closed_is_over(
    automation: Automation, store: SqliteStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is looked for since then, and never further back than the window."""
    asked: list[float] = []

    def longest(_guard: PauseGuard, since: float) -> float:
        asked.append(clock.now - since)
        return 0.0

    monkeypatch.setattr(PauseGuard, "longest", longest)
    automation.judge([])
    keep(store, automation.close_breaker("looked"))
    for passed in (50, 70, 1):
        clock.now += passed
        automation.judge([])
    assert asked == [120.0, 50.0, 120.0, 120.0]


@pytest.mark.parametrize("step", [3600.0, -3600.0, 86400.0])
def test_setting_the_date_neither_forgets_nor_prolongs(
    automation: Automation, clock: Clock, step: float
) -> None:
    """What counts within a window does so by uptime, over a restart of sentinel as well."""
    keep(automation.store, automation.note_exhausted())
    clock.set_back -= step
    clock.now += 899
    later = again(automation)
    keep(later.store, later.note_exhausted())
    assert later._look_at_ourselves([]).exhausted == [899.0, 0.0]
    assert later.judge([]).meta
    keep(later.store, later.close_breaker("looked"))
    clock.set_back += 2 * step
    clock.now += 1
    keep(later.store, later.note_exhausted())
    assert again(later)._look_at_ourselves([]).exhausted == [0.0]


def test_instants_of_an_older_sentinel_are_read(automation: Automation, clock: Clock) -> None:
    """It kept them by the wall alone."""
    at = clock.utcnow().isoformat()
    breaker = json.dumps({"opened": at, "closed": "", "reason": "ill"})
    meta = {EXHAUSTIONS: f"{at} {at}", STARTS: at, BREAKER: breaker}
    keep(automation.store, Changes(meta=meta))
    later = again(automation)
    assert (later.breaker.opened, later.breaker.reason) == (Moment(clock.utcnow()), "ill")
    assert later._look_at_ourselves([]).exhausted == [0.0, 0.0]
