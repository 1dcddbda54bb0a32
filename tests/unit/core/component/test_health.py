"""Soft and hard states, recovery, blindness, flapping and thresholds (reliability.md §2)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.core.component import health as health_core
from sentinel.core.component.health import (
    BLIND_AFTER,
    Crossed,
    Health,
    compare,
    cross_thresholds,
    flap_score,
    follow_clock,
    step,
)
from sentinel.core.fault import Status
from sentinel.core.model import HealthPolicy, Level, Quality, Row, Threshold

T0 = datetime(2026, 1, 5, 12, tzinfo=UTC)
WORDS = {"U": Status.UP, "G": Status.DEGRADED, "D": Status.DOWN, "?": Status.UNKNOWN}
POLICY = HealthPolicy()


def play(verdicts, *, health=None, policy=POLICY, interval=10.0, begin=T0):
    """The beliefs after each verdict: one letter each, one interval apart; lower case is taken
    while blind.
    """
    health = health or Health()
    beliefs = []
    for i, letter in enumerate(verdicts):
        quality = Quality.BLIND if letter.islower() else Quality.OBSERVED
        now = begin + timedelta(seconds=i * interval)
        health = step(health, WORDS[letter.upper()], quality, policy, interval, now)
        beliefs.append(health)
    return beliefs


def statuses(verdicts, **options):
    """The hard status after each verdict, one letter each."""
    letters = {status: letter for letter, status in WORDS.items()}
    return "".join(letters[belief.status] for belief in play(verdicts, **options))


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ("UUUU", "UUUU"),
        ("UDUU", "UUUU"),
        ("UDDU", "UUUU"),
        ("UDDD", "UUUD"),
        ("UDUDD", "UUUUD"),
        ("UDDUD", "UUUUD"),
        ("UDUDUUD", "UUUUUUU"),
        ("UGGG", "UUUG"),
        ("UGDG", "UUUG"),
        ("UGGGD", "UUUGG"),
        ("UGGGDDD", "UUUGGGD"),
        ("DDD", "??D"),
        ("?U", "?U"),
    ],
)
def test_hard_after_three_in_a_row_or_three_of_five(verdicts, expected):
    """One or two failures stay soft; three consecutive or three of the last five are hard."""
    assert statuses(verdicts) == expected


@pytest.mark.parametrize(
    ("failures", "of", "expected"), [(1, 1, "UDD"), (2, 5, "UUD"), (3, 5, "UUU")]
)
def test_failures_and_of_are_the_policys(failures, of, expected):
    """The numbers of the check's own policy are taken."""
    assert statuses("UDD", policy=HealthPolicy(failures=failures, of=of)) == expected


@pytest.mark.parametrize(
    ("interval", "verdicts", "expected"),
    [
        (10.0, "DDDUUUUU", "??DDDDUU"),  # 30 s after the first pass
        (10.0, "DDDUUUDUUUU", "??DDDDDDDDU"),  # a failure begins the 30 s anew
        (60.0, "DDDUU", "??DDU"),  # 30 s are over, the second pass is needed all the same
        (1.0, "DDD" + "U" * 31, "??D" + "D" * 30 + "U"),
    ],
)
def test_recovery_needs_two_passes_and_thirty_seconds(interval, verdicts, expected):
    """Neither two passes nor 30 s alone make it healthy again."""
    assert statuses(verdicts, interval=interval) == expected


def test_old_failures_in_a_long_window_never_undo_a_recovery():
    """A passing check can't become down by failures that were there before its recovery."""
    policy = HealthPolicy(failures=3, of=10, recoveries=2, recovery_time=0.0)
    assert statuses("UDDDUUUUUU", policy=policy) == "UUUDDUUUUU"


def test_old_failures_in_a_long_window_never_make_degraded_down():
    """After an improvement to degraded, a degraded verdict stays degraded."""
    policy = HealthPolicy(failures=3, of=10)
    assert statuses("UDDDGGGGG", policy=policy) == "UUUDDGGGG"


def test_down_improves_to_degraded_after_two_better_verdicts():
    """Two verdicts better than down make it degraded, not healthy."""
    assert statuses("UDDDGUGU") == "UUUDDGGG"


@pytest.mark.parametrize("letter", ["?", "d", "g", "u"])
def test_unknown_and_blind_never_enter_the_window(letter):
    """What was not observed leaves status, window, passes and flap history as they were."""
    before = play("UDD")[-1]
    after = play(letter * 2, health=before, begin=T0 + timedelta(seconds=30))[-1]
    assert replace(after, blind=before.blind) == before
    assert after.blind == 2


def test_unknown_between_failures_neither_helps_nor_hurts():
    """Three failures with unknowns between them are three failures."""
    assert statuses("UD?D?D") == "UUUUUD"


def test_blind_after_more_than_two_intervals_of_unknown():
    """Shown as unknown from the third unknown on, back with the first observation, which flips
    nothing.
    """
    beliefs = play("UUU???U")
    shown = [belief.shown for belief in beliefs]
    assert shown == [Status.UP] * 5 + [Status.UNKNOWN, Status.UP]
    assert beliefs[5].blind == BLIND_AFTER
    assert all(belief.status is Status.UP for belief in beliefs)


@pytest.mark.parametrize(("seconds", "kept"), [(31.0, True), (32.0, False)])
def test_a_gap_of_more_than_three_intervals_clears_the_window(seconds, kept):
    """What happened in a long gap nobody knows: streaks, flap history and passes begin anew; the
    status stays.
    """
    before = play("UUDUD")[-1]
    now = before.last_observed + timedelta(seconds=seconds)
    after = step(before, Status.DOWN, Quality.OBSERVED, POLICY, 10.0, now)
    assert after.status is (Status.DOWN if kept else Status.UP)
    assert len(after.window) == (5 if kept else 1)
    assert len(after.history) == (6 if kept else 1)


def test_a_gap_ends_flapping():
    """The flap state does not outlive a gap."""
    before = play("UD" * 10)[-1]
    assert before.flapping
    after = step(
        before,
        Status.UP,
        Quality.OBSERVED,
        POLICY,
        10.0,
        before.last_observed + timedelta(seconds=60),
    )
    assert not after.flapping


@pytest.mark.parametrize(("before", "verdict"), [("UDD", Status.DOWN), ("DDDUU", Status.UP)])
def test_the_first_result_after_a_restart_never_flips(before, verdict):
    """A restored belief takes the first verdict into its streak; the second one may flip."""
    policy = replace(POLICY, recovery_time=0.0) if verdict is Status.UP else POLICY
    believed = play(before[:-1] if verdict is Status.UP else before, policy=policy)[-1]
    restored = replace(believed, restored=True)
    now = believed.last_observed + timedelta(seconds=10)
    first = step(restored, verdict, Quality.OBSERVED, policy, 10.0, now)
    assert first.status is believed.status
    assert not first.restored
    second = step(first, verdict, Quality.OBSERVED, policy, 10.0, now + timedelta(seconds=10))
    assert second.status is verdict


def test_unknown_does_not_use_up_the_restart_guard():
    """Blindness right after a restart is no result: the first observed one still flips nothing."""
    restored = replace(play("UDD")[-1], restored=True)
    later = T0 + timedelta(seconds=30)
    after = step(restored, Status.UNKNOWN, Quality.OBSERVED, POLICY, 10.0, later)
    assert after.restored


def test_soft_while_the_latest_verdict_differs():
    """Soft asks for faster re-checks, hard does not."""
    assert [belief.soft for belief in play("UDDDUU")] == [False, True, True, False, True, True]


# -- flapping -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "score"),
    [
        ([False] * 20, 0.0),
        ([True] * 20, 100 * sum(0.8 + 0.02 * i for i in range(1, 21)) / 20),
        ([False] * 19 + [True], 100 * 1.2 / 20),
        ([True] + [False] * 19, 100 * 0.82 / 20),
        ([False] * 9 + [True] + [False] * 10, 100 * 1.0 / 20),
    ],
)
def test_flap_score_has_the_weights_of_the_specification(changes, score):
    """Change i of twenty weighs 0.8 + 0.02·i; the score is 100·Σ/20."""
    history = [True]
    for changed in changes:
        history.append(history[-1] ^ changed)
    assert flap_score(history) == pytest.approx(score)


def test_only_the_last_twenty_changes_count():
    """Older observations have no weight."""
    assert flap_score([True, False] * 10 + [True] * 21) == 0.0


def test_no_flap_statement_before_ten_observations():
    """Nine wild observations say nothing; the tenth may."""
    flapping = [belief.flapping for belief in play("UD" * 5)]
    assert flapping == [False] * 9 + [True]


def _at_score(history):
    """A belief with exactly this history, so that the next observation decides."""
    return Health(Status.UP, T0, (Status.UP,), history=tuple(history), last_observed=T0)


def test_flapping_starts_above_thirty_only():
    """A score of 30 or less is calm."""
    calm = [True] * 14 + [False, True, False, True, False]
    score_after = flap_score([*calm, True])
    assert score_after > 30
    five = [True] * 15 + [False, True, False, True]
    assert flap_score([*five, False]) <= 30
    assert not step(_at_score(five), Status.DOWN, Quality.OBSERVED, POLICY, 10.0, T0).flapping
    assert step(_at_score(calm), Status.UP, Quality.OBSERVED, POLICY, 10.0, T0).flapping


def test_flapping_holds_ten_samples_and_stops_at_fifteen_or_below():
    """Once flapping: at least ten samples, and not above a score of 15."""
    wild = play("UD" * 10)
    calm = play("U" * 30, health=wild[-1], begin=T0 + timedelta(seconds=200))
    stopped = next(i for i, belief in enumerate(calm) if not belief.flapping)
    assert flap_score(calm[stopped].history) <= 15 < flap_score(calm[stopped - 1].history)
    short = play("U" * 12 + "DUDUDU")
    began = next(i for i, belief in enumerate(short) if belief.flapping)
    after = play(
        "U" * 30,
        health=replace(short[began], history=(True,) * 21),
        begin=T0 + timedelta(seconds=180),
    )
    assert [belief.flapping for belief in after[:9]] == [True] * 9, "held although the score is 0"
    assert not after[9].flapping


@pytest.mark.parametrize(
    ("places", "score", "was"), [((1, 2, 3, 17, 18, 19), 30.0, False), ((1, 9, 20), 15.0, True)]
)
def test_at_the_edge_of_the_band_it_does_not_flap(places, score, was):
    """At thirty it has not begun, at fifteen it is over."""
    history = [True]
    for place in range(1, 21):
        history.append(history[-1] is not (place in places))
    assert flap_score(history) == score
    before = replace(_at_score(history[:-1]), flapping=was, flap_hold=int(was))
    verdict = Status.UP if history[-1] else Status.DOWN
    assert not step(before, verdict, Quality.OBSERVED, POLICY, 10.0, T0).flapping


def flapping_patterns(longest):
    """Patterns "down k times, up for the rest of the period" that switch the flap state on and off
    for ever.
    """
    found = []
    for period in range(2, longest + 1):
        for down in range(1, period):
            pattern = "D" * down + "U" * (period - down)
            beliefs = play((pattern * 100)[:100])
            if len({belief.flapping for belief in beliefs[50:]}) > 1:
                found.append(pattern)
    return found


def test_no_periodic_pattern_makes_the_flap_state_itself_flap():
    """All 276 patterns of a period up to 24: once settled, the flap state never changes again."""
    assert flapping_patterns(24) == []


def test_the_band_matters(monkeypatch):
    """The same patterns find Icinga's narrower band (30/25) flapping: the test above can fail."""
    monkeypatch.setattr("sentinel.core.component.health.FLAP_STOP", 25.0)
    assert flapping_patterns(8)


@given(st.lists(st.sampled_from("UGD?u"), max_size=60))
def test_status_only_follows_evidence(verdicts):
    """Whatever comes: down needs three observed downs in the window, up a pass as the latest
    verdict.
    """
    before = Health()
    for belief in play("".join(verdicts)):
        if belief.status is not before.status and belief.status is Status.DOWN:
            assert belief.window.count(Status.DOWN) >= 3
        if belief.status is not before.status and belief.status is Status.UP:
            assert belief.window[-1] is Status.UP
        assert len(belief.window) <= 5
        assert len(belief.history) <= 21
        before = belief


# -- thresholds -----------------------------------------------------------------------------------


def crossings(threshold, values):
    """Status raised by each value in turn, with the memory of the runs before."""
    raised: frozenset = frozenset()
    found = []
    for value in values:
        crossed, raised = cross_thresholds(
            [threshold], [Row({"queue": "a"}, {"lag": value})], raised
        )
        assert len(crossed) <= 1, "the worse level speaks for both"
        found.append(str(crossed[0].status) if crossed else "-")
    return found


def test_thresholds_where_high_is_bad():
    """Enter at the raise value, leave at the clear value, not between."""
    threshold = Threshold("lag", degraded=Level(10, 5), down=Level(60, 20))
    values = [9, 10, 9, 6, 5, 9, 60, 59, 21, 20, 6, 5, 60, 8, 5]
    d, x = "degraded", "down"
    assert crossings(threshold, values) == ["-", d, d, d, "-", "-", x, x, x, d, d, "-", x, d, "-"]


def test_thresholds_where_low_is_bad():
    """raise < clear turns the direction round."""
    threshold = Threshold("lag", degraded=Level(0.99, 0.995))
    d = "degraded"
    assert crossings(threshold, [0.991, 0.99, 0.994, 0.995, 0.98]) == ["-", d, d, "-", d]


@pytest.mark.parametrize(("labels", "text"), [((("queue", "a"),), "queue a: "), ((), "")])
def test_a_crossed_threshold_names_its_subject(labels, text):
    """Where there is one: the target itself has no name of its own."""
    fault = Crossed("lag", labels, 30.0, Status.DOWN, 10.0).as_fault()
    assert fault.text == f"{text}lag is 30, the limit is 10"
    assert fault.subject == {**dict(labels), "measurement": "lag"}
    assert fault.parameters == dict(labels)


def test_a_threshold_without_a_band():
    """The same value to raise and to clear: at it a quiet one is raised, and a raised one is clear."""
    threshold = Threshold("lag", degraded=Level(10, 10))
    assert crossings(threshold, [3, 10, 11, 10, 9]) == ["-", "degraded", "degraded", "-", "-"]


def test_a_threshold_remembers_each_subject_by_itself():
    """One queue that is raised does not lower the bar for another."""
    threshold = Threshold("lag", degraded=Level(10, 5))
    rows = [Row({"queue": "a"}, {"lag": 10.0}), Row({"queue": "b"}, {"lag": 7.0})]
    crossed, raised = cross_thresholds([threshold], rows, frozenset())
    assert [dict(each.labels)["queue"] for each in crossed] == ["a"]
    rows = [Row({"queue": "a"}, {"lag": 7.0}), Row({"queue": "b"}, {"lag": 7.0})]
    crossed, _ = cross_thresholds([threshold], rows, raised)
    assert [dict(each.labels)["queue"] for each in crossed] == ["a"]


# -- how it was before a failure -------------------------------------------------------------------

AT_SIGHT = HealthPolicy(failures=1, of=1, recoveries=1, recovery_time=0.0)


@pytest.mark.parametrize(
    ("verdicts", "steady"),
    [
        ("UUUUUU", "?"),  # 50 s
        ("UUUUUUU", "U"),  # 60 s
        ("UUUUUUUDDDDDDDDD", "U"),  # down is no status of before
        ("UUUUUUUGDDDDDDDD", "U"),  # what came right before it is its beginning
        ("UUUUUUUGGGGGGGD", "G"),  # what was there for long is not
        ("UUUUUUUGGGGGGGUUD", "G"),  # the last that was held, not the last that was seen
        ("UUUUUUUGUGUGUGUGUGUGD", "U"),  # flapping holds nothing
        ("DDDDDDDDDDD", "?"),  # never seen healthy
        ("U??UUUU", "U"),  # who can't see says nothing of it
    ],
)
def test_the_status_that_was_held_for_long(verdicts, steady):
    """A minute and three looks."""
    assert play(verdicts, policy=AT_SIGHT)[-1].steady is WORDS[steady]


def test_a_gap_holds_nothing():
    """Nobody knows what it was in between; three looks are needed as well as the time."""
    before = play("UUUU", policy=AT_SIGHT)[-1]
    after = play("UUUU", policy=AT_SIGHT, health=before, begin=T0 + timedelta(seconds=100))
    assert after[-1].steady is Status.UNKNOWN
    slow = play("UU", policy=AT_SIGHT, interval=60.0)[-1]
    assert slow.steady is Status.UNKNOWN
    assert play("UUU", policy=AT_SIGHT, interval=60.0)[-1].steady is Status.UP


def test_how_long_is_the_callers_matter():
    """A component says how long it has to be well to count as recovered."""
    health, now = Health(), T0
    for _ in range(3):
        health = step(health, Status.UP, Quality.OBSERVED, AT_SIGHT, 1.0, now, 2.0)
        now += timedelta(seconds=1)
    assert health.steady is Status.UP


def test_a_belief_moves_with_the_clock():
    """It is as old as before; what never was stays so."""
    hour = timedelta(hours=1)
    assert follow_clock(Health(), hour) == Health()
    before = play("UUUDDDUU")[-1]
    after = follow_clock(before, hour)
    for name in ("since", "first_pass", "last_observed", "held_since"):
        assert getattr(after, name) == getattr(before, name) + hour, name
    assert follow_clock(after, -hour) == before


def test_verdicts_that_are_not_down_are_counted():
    """In a row; a gap begins anew."""
    assert [each.not_down for each in play("UGDG?U", policy=AT_SIGHT)] == [1, 2, 0, 1, 1, 2]


@pytest.mark.parametrize(
    ("shown", "before", "judged"),
    [
        ("G", "G", "U"), ("G", "U", "G"), ("G", None, "U"), ("D", "G", "D"), ("D", None, "D"),
        ("U", "G", "U"), ("?", "G", "?"), ("U", None, "U"),
    ],
)  # fmt: skip
def test_measured_by_what_was_before(shown, before, judged):
    """Degraded is well where it was degraded, or where nobody looked; down and unknown never are."""
    assert compare(WORDS[shown], WORDS[before] if before else None) is WORDS[judged]


@given(
    st.text(st.sampled_from("UUUUUUUUGD?u"), max_size=70),
    st.sampled_from([POLICY, HealthPolicy(failures=1, of=1, recoveries=1, recovery_time=0.0)]),
)
def test_what_is_only_up_goes_on_as_the_rules_say(verdicts: str, policy: HealthPolicy) -> None:
    """Who is up for long takes a short way, and comes to the same belief."""
    short = play(verdicts, policy=policy)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(health_core, "_is_only_up", lambda _health: False)
        assert play(verdicts, policy=policy) == short
