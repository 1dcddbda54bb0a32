"""What was lost stands until somebody accepts it or its retention ends; no sum gets lost."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.core.fault import (
    MAX_CURES,
    MAX_FAULTS,
    Acceptance,
    Fault,
    FaultKind,
    FaultStep,
    Severity,
    StandingFault,
    Status,
    step,
)
from sentinel.core.fault.loss import (
    MAX_LOSSES,
    OTHERS,
    LossRules,
    accept,
    carry,
    describe_extent,
    find_acceptable,
)
from sentinel.core.quantity import MANY, Bounds
from sentinel.store.document import read, write

T0 = datetime(2026, 11, 30, 10, 0, 5, tzinfo=UTC)
DAY = 86400.0
KINDS = {
    "lost": FaultKind("lost", Severity.PAGE, "gone", "entries are gone", lasting="lost unread"),
    "task": FaultKind("task", Severity.PAGE, "gone", "a task is gone", lasting="never published"),
    "late": FaultKind("late", Severity.PAGE, "late", "it is late"),
}
RULES = LossRules("delivery", "bus", KINDS, 7 * DAY)
BY_HAND = Acceptance("lost", {}, "a test", T0, "ops")
DEGRADED, DOWN = Status.DEGRADED, Status.DOWN


def lost(count: int | Bounds | None, stream: str = "a", status: Status = DEGRADED) -> Fault:
    """What one look found of a stream."""
    bounds = Bounds(count, count) if isinstance(count, int) else count
    return Fault("lost", {"stream": stream}, status, "as the kind says it", count=bounds)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def look(
    standing: Sequence[StandingFault] = (),
    *found: Fault,
    seconds: float = 0.0,
    rules: LossRules = RULES,
) -> FaultStep:
    """One look at T0 + seconds, as the engine takes it in."""
    losses = carry(rules, standing, found, at(seconds))
    current = [fault for fault in found if not rules.lasts(fault)]
    return step(standing, [*current, *losses], "delivery", "bus", (), at(seconds))


def settle(standing: Sequence[StandingFault], seconds: float = 0.0) -> list[StandingFault]:
    """Somebody accepts everything that is lost."""
    settled = {each.fault.identity: each for each in accept(standing, BY_HAND, at(seconds))}
    return [settled.get(each.fault.identity, each) for each in standing]


def counts(found: Sequence[StandingFault]) -> dict[str, int]:
    """Open losses by stream."""
    return {
        next(iter(each.fault.subject.values())): (each.fault.count or Bounds(1, 1)).lo
        for each in found
        if each.accepted is None
    }


# -- it stands -------------------------------------------------------------------------------------


def test_what_was_lost_stands_when_nothing_more_is_found():
    """With its status, its beginning and its whole count; nothing has changed."""
    first = look((), lost(25))
    later = look(first.present, seconds=3 * DAY)
    assert later.present == first.present
    assert (later.changed, later.ended) == ((), ())
    assert (later.present[0].fault.status, later.present[0].fault.since) == (DEGRADED, T0)


def test_losses_add_up_and_say_when():
    """One sentence about one subject: how many, between when, and until when it stands."""
    seen = look((), lost(20))
    assert seen.present[0].fault.text == (
        "stream a: 20 lost unread, found at 2026-11-30 10:00:05 UTC; stands until accepted, at most"
        " until 2026-12-07"
    )
    seen = look(seen.present, lost(5), lost(7, "b"), seconds=245)
    assert seen.present[0].fault.text == (
        "stream a: 25 lost unread, between 2026-11-30 10:00:05 and 10:04:10 UTC; stands until"
        " accepted, at most until 2026-12-07"
    )
    assert counts(seen.present) == {"a": 25, "b": 7}
    assert (len(seen.begun), len(seen.changed)) == (1, 1)


def test_its_severity_never_falls():
    """Not by a later loss that is milder; a look may also say only that it is worse than thought."""
    seen = look((), lost(1))
    seen = look(seen.present, lost(0, status=DOWN), seconds=1)
    assert (seen.present[0].fault.status, seen.present[0].fault.count) == (DOWN, Bounds(1, 1))
    seen = look(seen.present, lost(1), seconds=2)
    assert (seen.present[0].fault.status, seen.present[0].fault.count) == (DOWN, Bounds(2, 2))


def test_nothing_lost_is_no_loss():
    """A look that says so begins nothing."""
    assert look((), lost(0)).present == ()


def test_a_possible_loss_says_that_it_is_only_possible():
    """An interval from nothing on stands, too, and its sentence says "up to"."""
    seen = look((), lost(Bounds(0, 5)))
    assert "stream a: up to 5 lost unread" in seen.present[0].fault.text
    seen = look(seen.present, lost(Bounds(2, 3)), seconds=1)
    assert "stream a: 2 to 8 lost unread" in seen.present[0].fault.text
    unknown = look((), lost(Bounds(0, MANY)))
    assert "an unknown number lost unread" in unknown.present[0].fault.text


def test_a_subject_that_was_lost_as_a_whole_is_lost_once():
    """Found again and again while the window shows it; its own sentence stays."""
    task = Fault("task", {"task": "7"}, DEGRADED, "task 7: not published")
    seen = look((), task)
    again = look(seen.present, task, seconds=2)
    assert again.present == seen.present
    assert again.present[0].fault.text.startswith("task 7: not published; stands until accepted")


def test_a_loss_that_was_undone_stands_and_says_so():
    """With its count and its severity; what is lost later is as it ever was, and nobody's loss is
    not undone.
    """
    undone = replace(lost(None), mended="put back to 5-0", guidance="accept it", cure=("LOOK",))
    assert look([], undone).present == ()
    first = look([], lost(5, status=DOWN)).present
    standing = look(first, undone, seconds=60).present
    (known,) = (each.fault for each in look(standing, seconds=90).present)
    assert (known.count, known.status) == (Bounds(5, 5), DOWN)
    assert known.text.startswith(
        "stream a: 5 lost unread, found at 2026-11-30 10:00:05 UTC; put back"
    )
    assert known.text.count("put back to 5-0") == 1
    assert (known.guidance, known.cure[0]) == ("accept it", "LOOK")
    assert known.cure[-1].startswith("sentinel faults accept delivery lost")
    (more,) = (each.fault for each in look(standing, lost(2), seconds=120).present)
    assert (more.count, more.mended) == (Bounds(7, 7), "")


def test_what_can_be_repaired_ends_by_itself():
    """A fault that does not last is as it was."""
    late = Fault("late", {"stream": "a"}, DEGRADED, "late")
    seen = look((), late, lost(1))
    assert [each.fault.key for each in seen.present] == ["late", "lost"]
    assert [each.fault.key for each in look(seen.present, seconds=2).present] == ["lost"]


def test_it_survives_a_restart():
    """As a document of the store, with all that is needed to go on adding."""
    (before,) = look((), lost(25)).present
    after = read(StandingFault, write(before))
    assert after == before
    assert counts(look([after], lost(5), seconds=60).present) == {"a": 30}


def test_a_fault_of_an_older_sentinel_is_none():
    """Its document knows of no loss: it ends as it did, and what is lost next begins."""
    old = StandingFault("delivery", "bus", lost(25), T0, DEGRADED)
    assert look([old], seconds=1).present == ()
    assert counts(look([old], lost(3), seconds=1).present) == {"a": 3}


# -- and it ends -----------------------------------------------------------------------------------


def test_retention_ends_it():
    """Counted from the last loss; until then it stands."""
    seen = look((), lost(25))
    seen = look(seen.present, lost(1), seconds=DAY)
    assert counts(look(seen.present, seconds=8 * DAY - 1).present) == {"a": 26}
    over = look(seen.present, seconds=8 * DAY)
    assert (over.present, len(over.ended)) == ((), 1)


def test_somebody_accepts_it():
    """It is shown as accepted until its retention ends, and no configuration takes that back."""
    seen = settle(look((), lost(25)).present)
    later = look(seen, seconds=DAY)
    (standing,) = later.present
    word = standing.accepted
    assert word is not None
    assert (word.by, word.reason, word.until) == ("ops", "a test", at(7 * DAY))
    assert later.changed == ()
    assert look(later.present, seconds=7 * DAY).present == ()


def test_what_is_lost_later_opens_it_again():
    """With the new count alone; what was accepted is over."""
    seen = settle(look((), lost(25)).present)
    again = look(seen, lost(3), seconds=60)
    assert counts(again.present) == {"a": 3}
    (opened,), (over,) = again.begun, again.ended
    assert (opened.began, opened.worst) == (at(60), DEGRADED)
    assert over.fault.count == Bounds(25, 25)
    assert over.accepted is not None


def test_nothing_new_opens_nothing():
    """A window that still shows what was accepted is no new loss, however bad it says it was."""
    seen = settle(look((), lost(25)).present)
    again = look(seen, lost(0, status=DOWN), seconds=2)
    assert (counts(again.present), again.begun) == ({}, ())


def test_only_open_losses_can_be_accepted():
    """What can be repaired, is accepted already, or has another key or subject is none of them."""
    late = Fault("late", {"stream": "a"}, DEGRADED, "late")
    seen = look((), late, lost(25), lost(2, "b")).present
    assert [each.fault.subject for each in find_acceptable(seen, "lost", {"stream": "b"})] == [
        {"stream": "b"}
    ]
    assert find_acceptable(seen, "late", {}) == []
    assert find_acceptable(settle(seen), "lost", {}) == []
    assert describe_extent(find_acceptable(seen, "lost", {})) == "27 of 2 subjects"


@pytest.mark.parametrize(
    "name",
    [
        "orders[1]", "a*", "what?", "it's", "two\nlines", "\x1b[31m",
        pytest.param("'" * 290, id="many quotes"),
    ],
)  # fmt: skip
def test_the_printed_command_accepts_its_own_loss_and_no_other(name):
    """Whatever a pattern, a shell or a terminal would make of the name."""
    seen = look((), lost(1, name), lost(1, "orders1"), lost(1, "a1"), lost(1, "whats")).present
    [own] = [each.fault for each in seen if each.fault.subject == {"stream": name}]
    command = next(each for each in own.cure if "accept" in each)
    assert command.isprintable()
    words = shlex.split(command)
    label, _, pattern = words[words.index("--subject") + 1].partition("=")
    found = find_acceptable(seen, "lost", {label: pattern})
    assert [each.fault for each in found] == [own]
    assert len(find_acceptable(seen, "lost", {"stream": name})) >= 1  # as it is called, too


def test_an_empty_name_is_one():
    """Its label stands in the command: without it the command would be about all streams."""
    seen = look((), lost(1, ""), lost(1, "orders")).present
    [own] = [each.fault for each in seen if each.fault.subject == {"stream": ""}]
    words = shlex.split(own.cure[-1])
    label, _, pattern = words[words.index("--subject") + 1].partition("=")
    assert [each.fault for each in find_acceptable(seen, "lost", {label: pattern})] == [own]
    assert own.text.startswith('stream "": 1 lost unread')


def test_the_cures_of_earlier_losses_stay():
    """Behind those of the latest; of too many the first ones, which reach furthest back."""
    seen = look((), replace(lost(1), cure=("BACK 1",))).present
    seen = look(seen, replace(lost(1), cure=("BACK 2",)), seconds=1).present
    assert [each for each in seen[0].fault.cure if "BACK" in each] == ["BACK 2", "BACK 1"]
    for n in range(3, 30):
        seen = look(seen, replace(lost(1), cure=(f"BACK {n}",)), seconds=n).present
    backs = [each for each in seen[0].fault.cure if "BACK" in each]
    assert (backs[0], backs[-1], len(backs) <= MAX_CURES) == ("BACK 29", "BACK 1", True)


def test_who_accepts_many_is_told_how_many():
    """Those that are told as one are as many as they are."""
    seen = look((), *(lost(2, f"s{n}") for n in range(MAX_LOSSES + 50))).present
    total = MAX_LOSSES + 50
    assert describe_extent(find_acceptable(seen, "lost", {})) == f"{2 * total} of {total} subjects"


# -- bounded ---------------------------------------------------------------------------------------


def test_many_subjects_are_told_as_one():
    """The latest keep their names; of the others no count gets lost, and how many they are is said."""
    many = [lost(2, f"s{n}") for n in range(MAX_LOSSES + 50)]
    seen = look((), *many)
    assert len(seen.present) == MAX_LOSSES + 1
    (rest,) = [each for each in seen.present if each.fault.subject == OTHERS]
    assert rest.fault.count == Bounds(100, 100)
    assert rest.fault.text.startswith("50 subjects more, told together: 100 lost unread")
    assert sum(counts(seen.present).values()) == 2 * len(many)
    again = look(seen.present, lost(1, "new"), seconds=60)
    assert len(again.present) <= MAX_LOSSES + 1
    assert sum(counts(again.present).values()) == 2 * len(many) + 1


def test_what_the_configuration_bears_is_not_told_among_the_others():
    """A pattern of names fits no sum: 50 old streams that are borne would be open again. They are
    kept by name where there is room, and every other loss is told.
    """
    word = Acceptance("lost", {"stream": "old-*"}, "is replaced", T0 + timedelta(days=30))
    many = [lost(2, f"old-{n}") for n in range(50)]
    many += [lost(3, f"s{n}") for n in range(MAX_LOSSES - 10)]
    carried = carry(RULES, (), many, T0, [word])
    names = [fault.subject.get("stream", "") for fault in carried]
    assert OTHERS not in [fault.subject for fault in carried]
    assert sum(name.startswith("s") for name in names) == MAX_LOSSES - 10
    assert sum(name.startswith("old-") for name in names) == 10
    more = [*many, *(lost(3, f"t{n}") for n in range(30))]
    carried = carry(RULES, (), more, T0, [word])
    assert [f.subject["stream"] for f in carried if f.subject.get("stream", "s")[0] == "o"] == []
    assert sum(fault.count.hi for fault in carried if fault.count) == 3 * (MAX_LOSSES + 20)
    assert [str(f.count) for f in carried if f.subject == OTHERS] == ["60"]


def test_each_part_of_a_sum_keeps_its_cure():
    """Moved over twice: both are put back, the older one last; the way to accept it stays last of
    all, and there are not more than a few.
    """
    first = replace(lost(5), cure=("XRANGE a (5-0 +", "XGROUP SETID a g 5-0"))
    second = replace(lost(3), cure=("XRANGE a (20-0 +", "XGROUP SETID a g 20-0"))
    seen = look(look((), first).present, second, seconds=60).present
    *cures, word = seen[0].fault.cure
    assert tuple(cures) == (*second.cure, *first.cure)
    assert word.startswith("sentinel faults accept")
    again = look(seen, second, seconds=120).present
    assert again[0].fault.cure == seen[0].fault.cure
    for n in range(20):
        again = look(again, replace(lost(1), cure=(f"XLEN {n}",)), seconds=180 + n).present
    assert again[0].fault.cure[0] == "XLEN 19"
    assert len(again[0].fault.cure) <= 9


def test_what_is_told_as_one_can_be_accepted():
    """What is lost afterwards begins anew there, too."""
    seen = settle(look((), *(lost(2, f"s{n}") for n in range(MAX_LOSSES + 50))).present)
    again = look(seen, *(lost(1, f"t{n}") for n in range(MAX_LOSSES + 1)), seconds=60)
    assert sum(counts(again.present).values()) == MAX_LOSSES + 1


DAYS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c", "accept"]), st.integers(0, 5), st.integers(0, 3 * 86400)
    ),
    max_size=30,
)


@given(DAYS)
def test_each_loss_is_open_or_accepted_or_too_old(days):
    """Whatever happens in which order: open counts are exactly what nobody accepted in time."""
    rules = LossRules("delivery", "bus", KINDS, 7 * DAY)
    standing: tuple[StandingFault, ...] = ()
    open_ones: dict[str, int] = {}
    last: dict[str, float] = {}
    seconds = 0.0
    for word, count, pause in days:
        seconds += pause
        open_ones = {s: n for s, n in open_ones.items() if seconds < last[s] + 7 * DAY}
        if word == "accept":
            standing = tuple(settle(look(standing, seconds=seconds).present, seconds))
            open_ones = {}
            continue
        standing = look(standing, lost(count, word), seconds=seconds, rules=rules).present
        if count:
            open_ones[word] = open_ones.get(word, 0) + count
            last[word] = seconds
        assert counts(standing) == open_ones


@pytest.mark.parametrize("keep", [3600.0, 30 * DAY])
def test_a_check_says_for_how_long(keep):
    """`keep_losses` of the check."""
    rules = LossRules("delivery", "bus", KINDS, keep)
    seen = look((), lost(1), rules=rules)
    assert len(look(seen.present, seconds=keep - 1, rules=rules).present) == 1
    assert look(seen.present, seconds=keep, rules=rules).present == ()


def test_no_flood_of_other_faults_washes_a_loss_away():
    """What is cut is found again by the next look, a loss by none."""
    flood = [Fault("late", {"stream": f"s{n}"}, DOWN, "late") for n in range(MAX_FAULTS + 100)]
    seen = look((), *flood, lost(3))
    assert counts([each for each in seen.present if each.fault.key == "lost"]) == {"a": 3}
    assert seen.cut == 101


def test_a_clock_that_is_set_ends_no_loss():
    """Eight days ahead or back: it stands as long as it would have."""
    step = timedelta(days=8)
    for seen in (look((), lost(25)).present, settle(look((), lost(25)).present)):
        moved = [each.follow_clock(step) for each in seen]
        later = look(moved, seconds=8 * DAY + 7 * DAY - 1)
        assert (later.present, later.changed) == (tuple(moved), ())
        assert look(moved, seconds=15 * DAY).present == ()
