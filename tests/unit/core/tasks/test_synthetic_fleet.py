"""The synthetic tasks of one path: promises, doubts, litter; each task counted once, over kills."""

from __future__ import annotations

import json
import re

from sentinel.core.tasks.synthetic import CREATED, End, HopPlan, TaskOutcome
from sentinel.core.tasks.synthetic_fleet import (
    MAX_SUSPECTS,
    PATTERN,
    RETRY_AFTER,
    TaskFleet,
    token_prefix,
)

PLAN = HopPlan({"created": 1.0, "completed": 5.0})
EPOCH, OTHER = "0" * 12, "1" * 12


def fleet(document: object = None, epoch: str = EPOCH) -> TaskFleet:
    return TaskFleet(document, epoch)  # type: ignore[arg-type]


def again(known: TaskFleet, epoch: str = OTHER) -> TaskFleet:
    """After a kill: what was stored last."""
    return fleet(json.loads(json.dumps(known.dump())), epoch)


def send(known: TaskFleet, now: float = 100.0) -> str:
    known.promise("0")
    return known.depart(now, now).token


def test_a_token_names_its_path_life_and_number() -> None:
    """Promised in one run, used in a later one; the expression for all of them finds it."""
    known = fleet()
    known.promise("0")
    promised = known.promised
    known.promise("0")
    assert promised == known.promised == f"{token_prefix('0')}{EPOCH}:1"
    assert re.fullmatch(PATTERN, promised)
    assert known.depart(100.0, 100.0).token == promised
    assert (known.promised, known.record.sent) == ("", 1)


def test_a_task_is_due_at_its_pace() -> None:
    """Not without a promise; a clock that was set back does not stop it."""
    known = fleet()
    assert not known.is_due(100.0, 0.0)
    known.promise("0")
    assert known.is_due(100.0, 60.0)
    known.last_sent = 100.0
    assert [known.is_due(now, 60.0) for now in (159.0, 160.0, 99.0)] == [False, True, True]


def test_what_was_promised_before_a_kill_is_suspected() -> None:
    """It may have been sent: looked for, adopted when its row is there, forgotten when not."""
    known = fleet()
    known.promise("0")
    known.looked = 90.0
    lives = again(known), again(known)
    for life in lives:
        assert life.suspects == {known.promised: 90.0}
        assert again(life).suspects.keys() == life.suspects.keys()
    adopted, forgotten = lives
    adopted.adopt(known.promised, "7", 95.0, 10.0)
    assert (adopted.suspects, adopted.record.sent) == ({}, 1)
    assert not adopted.open[known.promised].ours
    adopted.adopt(known.promised, "7", 95.0, 10.0)
    assert adopted.record.sent == 1
    forgotten.forget_suspects(10.0, 4.0)
    assert forgotten.suspects
    forgotten.forget_suspects(14.1, 4.0)
    assert (forgotten.suspects, forgotten.record.sent) == ({}, 0)


def test_what_was_pledged_after_it_was_stored_is_suspected() -> None:
    """Each task between both may be on its way, and none gets its name once more."""
    known = fleet()
    send(known)
    known.looked = 99.0
    document = known.dump()
    for _ in range(3):
        known.accepted(send(known), "7")
    known.promise("0")
    life = fleet({**document, "pledged": known.promised}, OTHER)
    prefix = token_prefix("0")
    assert life.suspects == {f"{prefix}{EPOCH}:{n}": 99.0 for n in (2, 3, 4, 5)}
    life.promise("0")
    assert life.promised == f"{prefix}{EPOCH}:6"
    far = fleet({**document, "pledged": f"{prefix}{EPOCH}:{9 * MAX_SUSPECTS}"})
    assert len(far.suspects) == MAX_SUSPECTS


def test_suspects_are_bounded() -> None:
    """The newest are kept."""
    known = fleet()
    known.suspects = {f"t{n}": float(n) for n in range(50)}
    assert list(again(known).suspects) == [f"t{n}" for n in range(30, 50)]
    assert len(again(known).suspects) == MAX_SUSPECTS


def test_rows_of_a_life_of_which_nothing_is_stored() -> None:
    """Of this epoch those after the stored number; of another one only while we know nothing."""
    known = fleet({"epoch": EPOCH, "number": 5, "looked": 1.0})
    prefix = token_prefix("0")
    found = [known.is_unstored(f"{prefix}{EPOCH}:{n}") for n in (5, 6)]
    assert found == [False, True]
    assert not known.is_unstored(f"{prefix}{OTHER}:9")
    assert fleet().is_unstored(f"{prefix}{OTHER}:9")
    known.adopt(f"{prefix}{EPOCH}:8", "7", 1.0, 1.0)
    assert known.number == 8, "numbers only grow"


def test_a_fault_of_our_own_is_no_task() -> None:
    """As if it had never been promised."""
    known = fleet()
    token = send(known)
    known.take_back(token)
    assert (known.record.sent, known.open) == (0, {})


def test_a_refused_task_is_an_end() -> None:
    """Its row is cleaned up only where one may have been made."""
    for perhaps in (False, True):
        known = fleet()
        known.refused(send(known), PLAN, 101.0, perhaps_there=perhaps)
        assert known.record.ends == {("enqueue_error", CREATED): 1}
        assert len(known.litter) == perhaps


def test_a_row_that_vanished_needs_no_clean_up() -> None:
    """Lost after it was seen: gone. Lost and never seen: it may still come."""
    for seen, left in ((True, 0), (False, 1)):
        known = fleet()
        canary = known.open[send(known)]
        ended = canary.load({**canary.dump(), "seen": seen})
        known.end(End(TaskOutcome.LOST, CREATED, ended), PLAN, 101.0, clean=True)
        assert (len(known.litter), known.open) == (left, {})


def test_litter_is_kept_swept_and_tried_again() -> None:
    """So long after its end; what can't be removed is counted, and tried again a minute later."""
    known = fleet()
    for _ in range(3):
        canary = known.open[send(known)]
        known.end(End(TaskOutcome.OK, "", canary), PLAN, 200.0, clean=True)
    assert known.due_litter(260.0, 60.0) == []
    due = known.due_litter(261.0, 60.0)
    assert len(due) == 3
    assert len(known.due_litter(261.0, 60.0, most=2)) == 2
    known.swept(due[:1], 1)
    known.not_swept(due[1:], 261.0, ("no right", "GRANT it"))
    assert (known.cleaned, known.cleanup_failures, known.uncleaned) == (1, 2, 2)
    assert known.complaint == ("no right", "GRANT it")
    assert known.due_litter(261.0 + RETRY_AFTER - 1, 60.0) == []
    assert len(known.due_litter(261.0 + RETRY_AFTER, 60.0)) == 2
    assert again(known).uncleaned == 2


def test_our_own_standstill_is_no_watch() -> None:
    """Seconds since we began to watch, without those for which we stood still."""
    known = fleet()
    token = send(known, 100.0)
    watch = known.watch(token, 110.0, 4.0)
    assert (watch.seconds, watch.stalled) == (6.0, 4.0)
    assert known.watch(token, 101.0, 4.0).seconds == 0.0
    life = again(known)
    assert life.watch(token, 500.0, 0.0).seconds == 0.0, "of another life: watched from now on"
    assert life.begun(token, 900.0) == 500.0


def test_the_document_survives_as_it_is() -> None:
    """All of it, also before anything was sent."""
    known = fleet()
    assert again(known).dump() == known.dump()
    canary = known.open[send(known)]
    known.accepted(canary.token, "7")
    known.looked = 101.0
    life = again(known)
    assert life.open[canary.token].id == "7"
    assert not life.open[canary.token].ours, "its latency is not judged any more"
    assert (life.fresh, life.epoch, life.last_sent) == (False, EPOCH, 100.0)
