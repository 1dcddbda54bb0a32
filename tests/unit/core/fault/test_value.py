"""A fault over the looks of its check: it begins, changes, ends; nothing is lost between."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.core.fault import (
    MAX_FAULTS,
    Acceptance,
    Fault,
    FaultStep,
    Severity,
    StandingFault,
    Status,
    count_by_key,
    describe_subject,
    headline,
    judge,
    sort_faults,
    step,
    worst,
)

T0 = datetime(2026, 1, 5, 12, tzinfo=UTC)
UP, UNKNOWN, DEGRADED, DOWN = Status.UP, Status.UNKNOWN, Status.DEGRADED, Status.DOWN


def fault(key="lost", status=DEGRADED, text="", **subject) -> Fault:
    """A fault of a subject, by default of stream a."""
    subject = subject or {"stream": "a"}
    return Fault(key, subject, status, text or f"{describe_subject(subject)}: {key}")


def look(standing, *found, accept=(), seconds=0.0) -> FaultStep:
    """One look at T0 + seconds."""
    now = T0 + timedelta(seconds=seconds)
    return step(standing, found, "bus-delivery", "bus", accept, now)


# -- the value ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ([], UNKNOWN),
        ([UP], UP),
        ([UP, UNKNOWN], UNKNOWN),
        ([DEGRADED, UNKNOWN], DEGRADED),
        ([DEGRADED, DOWN, UP], DOWN),
    ],
)
def test_the_worst_of_several(statuses, expected):
    """up < unknown < degraded < down; of none nothing is known."""
    assert worst(statuses) is expected


def test_exit_codes_are_those_of_nagios():
    """0 ok, 1 degraded, 2 failed, 3 unknown."""
    assert [status.exit_code for status in (UP, DEGRADED, DOWN, UNKNOWN)] == [0, 1, 2, 3]


def test_words_are_stable():
    """They stand in configuration, metrics and the store."""
    assert [str(status) for status in Status] == ["up", "degraded", "down", "unknown"]
    assert [str(severity) for severity in Severity] == ["page", "ticket", "info"]


def test_identity_is_key_and_subject_whatever_the_figures_are():
    """Order of labels, text, status and parameters do not matter; key and each label do."""
    one = Fault("lost", {"stream": "a", "group": "g"}, DOWN, "25 lost")
    other = Fault("lost", {"group": "g", "stream": "a"}, DEGRADED, "3 lost", guidance="x")
    assert one.identity == other.identity
    assert replace(one, key="overdue").identity != one.identity
    assert replace(one, subject={"stream": "a"}).identity != one.identity
    assert replace(one, subject={"stream": "b", "group": "g"}).identity != one.identity


@pytest.mark.parametrize(
    ("subject", "text"),
    [
        ({}, ""),
        ({"table": "public.tasks"}, "table public.tasks"),
        ({"stream": "orders", "group": "workers"}, "stream orders, group workers"),
    ],
)
def test_subjects_in_words(subject, text):
    """Label and value, in the order given; nothing for the target itself."""
    assert describe_subject(subject) == text


def test_status_that_faults_justify():
    """The worst of them; what the kind says otherwise where there is none."""
    assert judge([fault(), fault(status=DOWN)]) is DOWN
    assert judge([fault(status=UNKNOWN)]) is UNKNOWN
    assert judge([]) is UP
    assert judge([], otherwise=UNKNOWN) is UNKNOWN


def test_headline_is_the_first_sentence_and_the_number_of_others():
    """One line, whatever there is."""
    first, others = fault(text="a is lost"), [fault(stream=str(n)) for n in range(3)]
    assert headline([]) == ""
    assert headline([first]) == "a is lost"
    assert headline([first, *others]) == "a is lost; and 3 more"


def test_sorting_keeps_the_order_of_the_kind_among_equals():
    """Worst first; otherwise nothing moves."""
    names = [("a", DEGRADED), ("b", DOWN), ("c", UNKNOWN), ("d", DOWN), ("e", DEGRADED)]
    found = sort_faults(fault(status=status, stream=name) for name, status in names)
    assert [each.subject["stream"] for each in found] == ["b", "d", "a", "e", "c"]


def test_subjects_are_counted_by_key():
    """How many subjects each kind of fault has."""
    found = [fault(), fault(stream="b"), fault("overdue")]
    assert count_by_key(found) == {"lost": 2, "overdue": 1}
    assert count_by_key([]) == {}


# -- accepted -------------------------------------------------------------------------------------

UNTIL = T0 + timedelta(hours=1)


def accepting(key="lost", until=UNTIL, **subject) -> Acceptance:
    """Somebody's word about a fault."""
    return Acceptance(key, subject, "known", until)


@pytest.mark.parametrize(
    ("acceptance", "covered"),
    [
        (accepting(), True),
        (accepting(stream="a"), True),
        (accepting(stream="a*"), True),
        (accepting(stream="*", group="g?"), True),
        (accepting(stream="b"), False),
        (accepting(stream="A"), False),
        (accepting(stream="a", group="other"), False),
        (accepting(table="*"), False),
        (accepting("overdue"), False),
        (accepting(until=T0), False),
        (accepting(until=T0 + timedelta(microseconds=1)), True),
        (accepting(until=T0 - timedelta(days=1)), False),
    ],
)
def test_what_an_acceptance_covers(acceptance, covered):
    """Its own key, every label that it names, and only before its end."""
    assert acceptance.covers(fault(stream="a", group="g1"), T0) is covered


def test_an_accepted_fault_stands_and_names_who_bears_it():
    """It is there, with its acceptance; the first that covers it counts."""
    first, second = accepting(stream="a"), accepting()
    (standing,) = look((), fault(), accept=[accepting("overdue"), first, second]).present
    assert standing.accepted is first


def test_an_acceptance_ends_by_itself():
    """At its end the fault has changed: it is nobody's to bear any more."""
    accept = [accepting()]
    before = look((), fault(), accept=accept)
    during = look(before.present, fault(), accept=accept, seconds=3599)
    assert not during.changed
    after = look(during.present, fault(), accept=accept, seconds=3600)
    (changed,) = after.changed
    assert changed.accepted is None
    assert changed.began == T0


def test_an_acceptance_that_comes_later_changes_what_stands():
    """And is written down."""
    before = look((), fault())
    (changed,) = look(before.present, fault(), accept=[accepting()], seconds=5).changed
    assert changed.accepted == accepting()


# -- over time ------------------------------------------------------------------------------------


def test_a_fault_begins():
    """With check, component and the instant of the look."""
    found = look((), fault(status=DOWN), seconds=7)
    (standing,) = found.begun
    assert found.present == found.begun == found.written
    assert (standing.check, standing.component) == ("bus-delivery", "bus")
    assert (standing.began, standing.worst) == (T0 + timedelta(seconds=7), DOWN)
    assert (standing.ended, standing.accepted) == (None, None)
    assert not found.changed
    assert not found.ended


def test_the_same_again_changes_nothing():
    """Nothing has to be written."""
    before = look((), fault())
    again = look(before.present, fault(), seconds=10)
    assert again.present == before.present
    assert again.written == ()


def test_new_figures_are_a_change_of_the_same_fault():
    """It keeps its beginning, and has the text of the latest look."""
    before = look((), fault(text="25 lost"))
    after = look(before.present, fault(text="26 lost"), seconds=10)
    (changed,) = after.changed
    assert changed.fault.text == "26 lost"
    assert changed.began == T0
    assert not after.begun
    assert not after.ended


def test_only_another_status_or_acceptance_is_a_turn():
    """A figure that moved is none, nor is what begins or stays as it is."""
    before = look((), fault(), fault(stream="b"), fault(stream="c"))
    assert before.turned == frozenset()
    moved = fault(text="26 lost"), fault(stream="b", status=DOWN), fault(stream="c"), fault("new")
    after = look(before.present, *moved, seconds=10)
    assert after.turned == {fault(stream="b").identity}
    accepted = look(after.present, fault(), accept=[accepting()], seconds=20)
    assert accepted.turned == {fault().identity}


def test_the_worst_is_remembered():
    """Down for a moment, degraded since: both are told."""
    standing = look((), fault(status=DEGRADED)).present
    standing = look(standing, fault(status=DOWN), seconds=10).present
    (latest,) = look(standing, fault(status=DEGRADED), seconds=20).changed
    assert (latest.fault.status, latest.worst) == (DEGRADED, DOWN)


def test_a_fault_ends_with_its_last_text():
    """What is not found any more has ended now, and does not stand."""
    before = look((), fault(text="25 lost"), fault(stream="b"))
    after = look(before.present, fault(stream="b"), seconds=10)
    (ended,) = after.ended
    assert (ended.fault.text, ended.ended) == ("25 lost", T0 + timedelta(seconds=10))
    assert [each.fault.subject["stream"] for each in after.present] == ["b"]
    assert after.written == after.ended


def test_what_comes_back_begins_anew():
    """An ended fault is over; its successor has a beginning of its own."""
    standing = look((), fault()).present
    standing = look(standing, seconds=10).present
    (again,) = look(standing, fault(), seconds=20).begun
    assert again.began == T0 + timedelta(seconds=20)


def test_a_fault_that_moves_to_another_subject_is_two_faults():
    """One ends, one begins: the headline of an hour ago does not stay."""
    before = look((), fault(agent="agent-2"))
    after = look(before.present, fault(agent="agent-4"), seconds=10)
    assert [each.fault.subject for each in after.begun] == [{"agent": "agent-4"}]
    assert [each.fault.subject for each in after.ended] == [{"agent": "agent-2"}]


def test_one_identity_is_one_fault():
    """A kind that names a subject twice counts it once, and nothing is said to be cut."""
    found = look((), fault(text="one"), fault(text="two"))
    assert len(found.present) == 1
    assert found.cut == 0


@pytest.mark.parametrize("order", [(DOWN, DEGRADED), (DEGRADED, DOWN)])
def test_a_subject_that_is_named_twice_is_as_bad_as_the_worse(order):
    """Whichever comes first: the status of the check and of its faults agree."""
    found = look((), *(fault(status=status) for status in order))
    assert [each.fault.status for each in found.present] == [DOWN]


def test_what_is_cut_does_not_end_and_begin_with_the_order_of_subjects():
    """A kind that lists its subjects in another order has the same faults."""
    many = [fault(stream=str(n)) for n in range(MAX_FAULTS + 50)]
    before = look((), *many)
    again = look(before.present, *reversed(many), seconds=10)
    assert not again.written
    assert again.cut == before.cut == 50


def test_what_ends_makes_room_for_what_was_cut():
    """As soon as one that stood is gone, the next begins."""
    many = [fault(stream=str(n)) for n in range(MAX_FAULTS + 1)]
    before = look((), *many)
    after = look(before.present, *many[1:], seconds=10)
    assert [each.fault.subject["stream"] for each in after.ended] == ["0"]
    assert [each.fault.subject["stream"] for each in after.begun] == [str(MAX_FAULTS)]
    assert after.cut == 0


def test_present_are_sorted_the_worst_first():
    """Whatever order the kind gave."""
    found = look((), fault(), fault("b", DOWN), fault("c", UNKNOWN))
    assert [each.fault.status for each in found.present] == [DOWN, DEGRADED, UNKNOWN]


def test_more_than_can_be_kept_is_said():
    """The worst are kept, the others counted."""
    mild = [fault(stream=f"m{n}") for n in range(MAX_FAULTS)]
    hard = [fault(status=DOWN, stream=f"h{n}") for n in range(7)]
    found = look((), *mild, *hard)
    assert len(found.present) == MAX_FAULTS
    assert found.cut == 7
    assert [each.fault.status for each in found.present[:8]] == [DOWN] * 7 + [DEGRADED]


def test_exactly_as_many_as_can_be_kept_are_not_cut():
    """The bound itself is kept whole."""
    found = look((), *(fault(stream=str(n)) for n in range(MAX_FAULTS)))
    assert (len(found.present), found.cut) == (MAX_FAULTS, 0)


# -- whatever comes -------------------------------------------------------------------------------

FAULTS = st.builds(
    fault,
    key=st.sampled_from(["lost", "overdue"]),
    status=st.sampled_from([UNKNOWN, DEGRADED, DOWN]),
    text=st.sampled_from(["few", "many"]),
    stream=st.sampled_from("abcd"),
)
LOOKS = st.lists(st.lists(FAULTS, max_size=8), max_size=12)


@given(LOOKS)
def test_what_began_and_has_not_ended_stands(looks):
    """Nothing is lost: begun minus ended is what is present, at each look."""
    standing: tuple[StandingFault, ...] = ()
    begun = ended = 0
    for n, found in enumerate(looks):
        each = look(standing, *found, seconds=n)
        begun, ended = begun + len(each.begun), ended + len(each.ended)
        standing = each.present
        assert begun - ended == len(standing)
        assert {one.fault.identity for one in standing} == {one.identity for one in found}


@given(LOOKS)
def test_what_is_written_is_enough_to_know_what_stands(looks):
    """A store that keeps only what was written has the same faults, figures and instants."""
    standing: tuple[StandingFault, ...] = ()
    stored: dict[object, StandingFault] = {}
    for n, found in enumerate(looks):
        each = look(standing, *found, seconds=n)
        stored.update({one.fault.identity: one for one in each.written})
        standing = each.present
    living = {key: one for key, one in stored.items() if one.ended is None}
    assert living == {one.fault.identity: one for one in standing}


@given(LOOKS)
def test_each_fault_is_in_one_list_only(looks):
    """Begun, changed and ended are disjoint, and the first two are present."""
    standing: tuple[StandingFault, ...] = ()
    for n, found in enumerate(looks):
        each = look(standing, *found, seconds=n)
        lists = (each.begun, each.changed, each.ended)
        names = [one.fault.identity for part in lists for one in part]
        assert len(names) == len(set(names))
        here = {one.fault.identity for one in each.present}
        assert {one.fault.identity for one in (*each.begun, *each.changed)} <= here
        assert not {one.fault.identity for one in each.ended} & here
        standing = each.present


@given(LOOKS)
def test_the_worst_never_gets_better_while_a_fault_stands(looks):
    """And it is at least what was found last; a beginning never moves."""
    standing: tuple[StandingFault, ...] = ()
    for n, found in enumerate(looks):
        each = look(standing, *found, seconds=n)
        before = {one.fault.identity: one for one in standing}
        for one in each.present:
            assert one.worst.rank >= one.fault.status.rank
            if one.fault.identity in before:
                assert one.worst.rank >= before[one.fault.identity].worst.rank
                assert one.began == before[one.fault.identity].began
        standing = each.present


@given(st.lists(FAULTS, max_size=30))
def test_the_first_of_sorted_faults_gives_the_status(found):
    """Headline and status never speak of different faults."""
    assert judge(found) is judge(sort_faults(found)[:1])
    assert sorted(map(repr, sort_faults(found))) == sorted(map(repr, found))
    assert sum(count_by_key(found).values()) == len(found)


def test_many_accepted_subjects_do_not_hide_one_that_is_not():
    """What nobody accepted is kept first, also when it is less bad."""
    known = Acceptance("lost", {"stream": "tmp-*"}, "test load", T0 + timedelta(days=1))
    crowd = [fault(status=DOWN, stream=f"tmp-{n}") for n in range(MAX_FAULTS + 50)]
    seen = look((), *crowd, fault(stream="orders"), accept=[known])
    assert len(seen.present) == MAX_FAULTS
    (open_one,) = [each for each in seen.present if each.accepted is None]
    assert open_one.fault.subject == {"stream": "orders"}


def test_a_fault_follows_its_check_to_another_component():
    """A reload gave the check to another component: its faults are that one's from then on."""
    before = look((), fault()).present
    after = step(before, [fault()], "bus-delivery", "other", (), T0)
    assert [each.component for each in after.present] == ["other"]
    assert after.written == after.present
