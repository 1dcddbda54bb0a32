"""May sentinel restart this component now? Every guard by itself, and the caps over random
histories.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentinel.core.fault import Status
from sentinel.core.model import Attempt, Backoff, Incident, IncidentState, RestartPolicy
from sentinel.core.moment import Moment
from sentinel.core.remediation.restart import (
    Reason,
    Situation,
    backoff_delay,
    count_restarts_left,
    decide_request,
    decide_restart,
)

T0 = datetime(2026, 1, 5, 12, tzinfo=UTC)
POLICY = RestartPolicy()
INCIDENT = Incident("i-1", "api", T0, IncidentState.OPEN, Status.DOWN, "exited")
LATER = T0 + timedelta(minutes=10)


def at(seconds):
    return T0 + timedelta(seconds=seconds)


def attempt(n=1, seconds=0.0, *, incident="i-1", verdict="failed", ended=True):
    """An attempt at T0 + seconds that ended at once."""
    when = at(seconds)
    return Attempt(
        incident,
        n,
        "api",
        "restart",
        "exited",
        when,
        outcome="done",
        verdict=verdict,
        ended=when if ended else None,
    )


def situation(**facts):
    """All is well for acting, but for the given facts."""
    plain = {
        "incident": INCIDENT,
        "status": Status.DOWN,
        "observed": True,
        "attempts": [],
        "dependencies": {},
    }
    return Situation(**{**plain, **facts})


def decide(now=LATER, policy=POLICY, **facts):
    down_for = (now - INCIDENT.opened).total_seconds()
    return decide_restart(policy, situation(**{"down_for": down_for, **facts}), Moment(now))


def test_nothing_objects():
    """An observed, hard down component with a full budget is restarted: attempt 1."""
    decision = decide()
    assert (decision.act, decision.reason, decision.n) == (True, Reason.ACT, 1)
    assert decision.text == "attempt 1 of 3"


def test_the_next_attempt_has_the_next_number():
    """Numbers go on within the incident; attempts of other incidents do not count into them."""
    others = [attempt(1, -7200, incident="i-0"), attempt(2, -7000, incident="i-0")]
    decision = decide(attempts=[*others, attempt(1, 10)], now=LATER)
    assert (decision.act, decision.n) == (True, 2)


YOUNG = timedelta(seconds=1)
GUARDS = {
    "no incident": ({"incident": None}, Reason.NOT_DOWN, "not down"),
    "incident recovers": (
        {"incident": replace(INCIDENT, state=IncidentState.RECOVERING)}, Reason.NOT_DOWN, "not down"
    ),
    "incident closed": ({"incident": replace(INCIDENT, state=IncidentState.CLOSED)}, Reason.NOT_DOWN, "not down"),
    "degraded": ({"status": Status.DEGRADED}, Reason.NOT_DOWN, "not down"),
    "up": ({"status": Status.UP}, Reason.NOT_DOWN, "not down"),
    "unknown": ({"status": Status.UNKNOWN}, Reason.NOT_DOWN, "not down"),
    "not observed": ({"observed": False}, Reason.BLIND, "not observed"),
    "exhausted": ({"incident": replace(INCIDENT, exhausted=True)}, Reason.EXHAUSTED, "reset api --reason repaired`"),
    "journal lost": ({"journal_lost": True}, Reason.JOURNAL_LOST, "the journal was lost"),
    "halted": ({"halted": True}, Reason.HALTED, "`sentinel resume`"),
    "observe mode": ({"actions_enabled": False}, Reason.OBSERVE, "would restart"),
    "dependency down": ({"dependencies": {"bus": Status.DOWN}}, Reason.BLOCKED, "blocked by bus, which is down"),
    "dependency degraded": ({"dependencies": {"bus": Status.DEGRADED}}, Reason.BLOCKED, "which is degraded"),
    "dependency unknown": ({"dependencies": {"bus": Status.UNKNOWN}}, Reason.BLOCKED, "which is unknown"),
    "second dependency down": (
        {"dependencies": {"bus": Status.UP, "database": Status.DOWN}}, Reason.BLOCKED, "blocked by database"
    ),
    "all attempts failed": (
        {"attempts": [attempt(1, 1), attempt(2, 2), attempt(3, 3)]}, Reason.BUDGET_SPENT, "all 3 attempts"
    ),
    "three in an hour": (
        {"attempts": [attempt(n, -60 * n, incident=f"i-{n + 1}") for n in (3, 2, 1)]},
        Reason.BUDGET_SPENT, "3 attempts within 1 h",
    ),
    "six in a day": (
        {"attempts": [attempt(n, -4000 * n, incident=f"i-{n + 1}") for n in (6, 5, 4, 3, 2, 1)]},
        Reason.BUDGET_SPENT, "6 attempts within 24 h",
    ),
    "the last attempt may still succeed": (
        {"attempts": [attempt(1, 590, verdict="")]}, Reason.STARTUP_GRACE, "attempt 1 may still succeed"
    ),
    "the third attempt may still succeed": (
        {"attempts": [attempt(1, 1), attempt(2, 2), attempt(3, 590, verdict="")]}, Reason.STARTUP_GRACE, "attempt 3"
    ),
    "the daemon is young": ({"quiet_until": LATER + YOUNG}, Reason.DAEMON_GRACE, "sentinel has just started"),
    "a dependency has just recovered": ({"settling_until": LATER + YOUNG}, Reason.SETTLING, "just recovered"),
    "flapping": ({"flapping": True}, Reason.FLAPPING, "flapping"),
    "another action runs": ({"busy": "agent-1"}, Reason.BUSY, "agent-1 is running"),
    "too soon after the attempt before": ({"attempts": [attempt(1, 595)]}, Reason.BACKOFF, "attempt 2 of 3 waits"),
    "too soon after the failure": ({"down_for": 1.0}, Reason.BACKOFF, "attempt 1 of 3 waits"),
    "journal unwritable": ({"journal_unwritable": True}, Reason.JOURNAL_UNWRITABLE, "can't be written"),
    "fenced": ({"fenced": "another sentinel"}, Reason.FENCED, "another sentinel"),
    "breaker open": ({"breaker": "2 exhausted"}, Reason.BREAKER_OPEN, "`sentinel breaker close --reason …`"),
    "braked": ({"brake": "4 of 5 agents down"}, Reason.BRAKED, "4 of 5 agents down"),
    "limited": ({"limit": ("3 actions within 300 s", 60.0)}, Reason.LIMITED, "3 actions within 300 s"),
}  # fmt: skip


@pytest.mark.parametrize(("facts", "reason", "text"), GUARDS.values(), ids=GUARDS)
def test_each_guard_objects(facts, reason, text):
    """With everything else in favour, this one fact stops the restart and is the reason given."""
    decision = decide(**facts)
    assert not decision.act
    assert decision.reason is reason
    assert text in decision.text
    assert decision.n == 0


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("quiet time over", {"quiet_until": LATER}),
        ("dependency has settled", {"settling_until": LATER}),
        (
            "an hour ago",
            {"attempts": [attempt(n, 600 - 3600 - n, incident=f"i-{n}") for n in (9, 8, 7)]},
        ),
        (
            "a day ago",
            {
                "attempts": [
                    attempt(n, 600 - 86400 - n, incident=f"i-{n}") for n in (9, 8, 7, 6, 5, 4)
                ]
            },
        ),
        ("grace over", {"attempts": [attempt(1, 539, verdict="")]}),
        ("dependencies up", {"dependencies": {"bus": Status.UP, "database": Status.UP}}),
    ],
)
def test_each_guard_lets_go(name, facts):
    """When its fact is gone, the guard objects no longer."""
    assert decide(**facts).act, name


def test_waiting_tells_until_when():
    """Backoff, grace and quiet time name the instant from which on it is worth asking again."""
    assert decide(quiet_until=LATER + YOUNG).not_before == LATER + YOUNG
    assert decide(attempts=[attempt(1, 590, verdict="")]).not_before == at(650)
    waiting = decide(attempts=[attempt(1, 595)])
    assert decide(waiting.not_before, attempts=[attempt(1, 595)]).act
    assert not decide(
        waiting.not_before - timedelta(milliseconds=1), attempts=[attempt(1, 595)]
    ).act


def test_backoff_counts_from_the_end_of_the_attempt():
    """A restart that took 30 s to stop and start is not followed by the next one at once."""
    slow = replace(attempt(1, 560), ended=at(595))
    assert decide(attempts=[slow]).reason is Reason.BACKOFF


def test_nobody_gives_up_while_a_dependency_is_away():
    """Blocked comes before "budget spent": an exhausted budget is no statement about the component
    then.
    """
    spent = [attempt(1, 1), attempt(2, 2), attempt(3, 3)]
    assert decide(attempts=spent, dependencies={"bus": Status.DOWN}).reason is Reason.BLOCKED


def test_a_component_that_is_never_restarted():
    """max_attempts 0 is a policy, not a crash."""
    decision = decide(policy=RestartPolicy(max_attempts=0))
    assert (decision.act, decision.reason) == (False, Reason.BUDGET_SPENT)
    assert "never restarted" in decision.text


def test_a_clock_that_goes_back_refills_no_budget():
    """Attempts that seem to lie in the future count as made."""
    ahead = [attempt(n, 3600 + n, incident=f"i-{n + 1}") for n in (1, 2, 3)]
    assert decide(attempts=ahead).reason is Reason.BUDGET_SPENT


@pytest.mark.parametrize(("hours", "limit", "attempts"), [(1, 3, 3), (24, 6, 6)])
def test_what_is_as_old_as_the_hour_or_the_day_is_over(hours, limit, attempts):
    """To the second: who waits for the end of it may act at its end."""
    age = hours * 3600
    old = [attempt(1, 600 - age, incident=f"i-{n}") for n in range(attempts)]
    assert decide(attempts=old).act
    young = [attempt(1, 601 - age, incident=f"i-{n}") for n in range(attempts)]
    decision = decide(attempts=young)
    assert (decision.reason, decision.text) == (
        Reason.BUDGET_SPENT,
        f"{limit} attempts within {hours} h",
    )


BOOT = {"boot": "b-1", "uptime": 4000.0}


@pytest.mark.parametrize("jump", [timedelta(days=1), timedelta(hours=-1), timedelta(days=-40)])
def test_a_wall_clock_that_is_set_changes_no_budget(jump):
    """Uptime of the same boot decides: a day forward refills nothing, an hour back holds nothing
    up.
    """
    mine = [
        replace(attempt(n, incident=f"i-{n + 1}"), boot="b-1", uptime=1000.0 + n) for n in (1, 2, 3)
    ]
    spent = {"down_for": 600.0, "attempts": mine}
    decision = decide_restart(POLICY, situation(**spent), Moment(LATER + jump, **BOOT))
    assert decision.reason is Reason.BUDGET_SPENT
    later = Moment(LATER + jump, "b-1", 1004.0 + 3600)
    assert decide_restart(POLICY, situation(**spent), later).act


def test_backoff_does_not_follow_the_wall_clock():
    """Set a day forward right after an attempt: the next one still waits its 20 s of uptime."""
    last = replace(attempt(1, 595), boot="b-1", uptime=3990.0, ended_uptime=3995.0)
    jumped = Moment(LATER + timedelta(days=1), **BOOT)
    assert decide_restart(POLICY, situation(attempts=[last]), jumped).reason is Reason.BACKOFF
    assert decide_restart(POLICY, situation(attempts=[last]), Moment(LATER, "b-1", 4030.0)).act


def test_a_person_and_a_change_of_files_are_beside_the_budget():
    """Six restarts by hand spend nothing; their numbers go on; the automatic one waits for its
    backoff all the same.
    """
    by_hand = [
        replace(attempt(n, 100 + n), by="operator" if n % 2 else "watch") for n in range(1, 7)
    ]
    decision = decide(attempts=by_hand)
    assert (decision.act, decision.n, decision.text) == (True, 7, "attempt 1 of 3")
    assert decide(attempts=[replace(attempt(1, 599.5), by="operator")]).reason is Reason.BACKOFF


REQUEST_GUARDS = {
    "halted": ({"halted": True}, Reason.HALTED),
    "fenced": ({"fenced": "another sentinel"}, Reason.FENCED),
    "journal unwritable": ({"journal_unwritable": True}, Reason.JOURNAL_UNWRITABLE),
    "another action runs": ({"busy": "agent-1"}, Reason.BUSY),
}


@pytest.mark.parametrize(("facts", "reason"), REQUEST_GUARDS.values(), ids=REQUEST_GUARDS)
@pytest.mark.parametrize("budgeted", [True, False])
def test_what_stops_a_request_too(facts, reason, budgeted):
    """A person's word does not get past the kill switch, the fence, a journal that fails, or a
    running action.
    """
    decision = decide_request(POLICY, situation(**facts), Moment(LATER), budgeted=budgeted)
    assert (decision.act, decision.reason) == (False, reason)


def test_a_runbook_acts_under_the_budget_and_a_person_does_not():
    """Three failed attempts: the runbook's restart is refused, the operator's is made with the next
    number.
    """
    spent = situation(
        attempts=[attempt(1, 1), attempt(2, 2), attempt(3, 3)], dependencies={"bus": Status.DOWN}
    )
    assert decide_request(POLICY, spent, Moment(LATER), budgeted=True).reason is Reason.BUDGET_SPENT
    by_hand = decide_request(POLICY, spent, Moment(LATER), budgeted=False)
    assert (by_hand.act, by_hand.n) == (True, 4)


def test_a_healthy_component_may_be_restarted_on_request():
    """Nothing is wrong with it: there is no incident, and no budget to ask."""
    healthy = situation(incident=None, status=Status.UP)
    for budgeted in (True, False):
        assert decide_request(POLICY, healthy, Moment(LATER), budgeted=budgeted).act


@pytest.mark.parametrize(("n", "delay"), [(1, 5.0), (2, 20.0), (3, 80.0), (4, 300.0), (9, 300.0)])
def test_backoff_is_exponential_and_capped(n, delay):
    """5 s · 4^(n−1), at most 300 s."""
    assert backoff_delay(Backoff(jitter=0.0), n, "x") == delay


@given(st.integers(1, 12), st.text())
def test_jitter_is_bounded_and_the_same_after_a_restart(n, seed):
    """× uniform(0.8, 1.2), drawn from the incident and the number."""
    plain = backoff_delay(Backoff(jitter=0.0), n, seed)
    delay = backoff_delay(Backoff(), n, seed)
    assert 0.8 * plain <= delay <= 1.2 * plain
    assert delay == backoff_delay(Backoff(), n, seed)


def test_jitter_spreads():
    """Different incidents wait differently."""
    assert len({round(backoff_delay(Backoff(), 1, f"i-{i}"), 6) for i in range(50)}) > 45


TURNS = st.lists(
    st.tuples(
        st.floats(0.1, 4000),  # seconds since the turn before
        st.sampled_from([Status.DOWN, Status.DOWN, Status.DOWN, Status.UP, Status.UNKNOWN]),
        st.sampled_from(
            [Status.UP, Status.UP, Status.UP, Status.DOWN, Status.DEGRADED, Status.UNKNOWN]
        ),
        st.sampled_from(["failed", "recovered", ""]),
        st.booleans(),  # a new incident begins
        st.booleans(),  # observed
    ),
    max_size=80,
)


@settings(max_examples=300)
@given(TURNS)
def test_the_caps_hold_over_every_history(turns):
    """Never more than 3 attempts per incident, 3 in an hour, 6 in a day; never with a dependency
    that is not up.
    """
    policy = RestartPolicy(startup_grace=10, backoff=Backoff(0.1, 0.1, 2, 1))
    now, incident, attempts = T0, INCIDENT, []
    for i, (seconds, status, dependency, verdict, new, observed) in enumerate(turns):
        now += timedelta(seconds=seconds)
        if new:
            incident = replace(INCIDENT, id=f"i-{i}", opened=now - timedelta(seconds=5))
        facts = {"incident": incident, "status": status, "observed": observed, "attempts": attempts}
        decision = decide(now, policy, **facts, dependencies={"bus": dependency})
        if not decision.act:
            continue
        assert status is Status.DOWN
        assert dependency is Status.UP
        assert observed
        assert decision.n == 1 + sum(each.incident == incident.id for each in attempts)
        attempts = [
            *attempts,
            replace(attempt(decision.n, verdict=verdict, incident=incident.id), intended=now),
        ]
    for incident_id in {each.incident for each in attempts}:
        numbers = [each.n for each in attempts if each.incident == incident_id]
        assert numbers == list(range(1, len(numbers) + 1))
        assert len(numbers) <= policy.max_attempts
    for each in attempts:
        for limit, hours in ((policy.per_hour, 1), (policy.per_day, 24)):
            window = each.intended - timedelta(hours=hours)
            assert sum(window < other.intended <= each.intended for other in attempts) <= limit


def test_observe_mode_says_would_restart_only_of_what_would_be():
    """With actions off, whatever else objects is the reason: blocked, braked, in backoff, spent."""
    for facts, reason in (
        ({"dependencies": {"bus": Status.DOWN}}, Reason.BLOCKED),
        ({"brake": "4 of 5 agents down"}, Reason.BRAKED),
        ({"down_for": 1.0}, Reason.BACKOFF),
        ({"breaker": "2 exhausted"}, Reason.BREAKER_OPEN),
        ({"attempts": [attempt(1, 1), attempt(2, 2), attempt(3, 3)]}, Reason.BUDGET_SPENT),
    ):
        assert decide(actions_enabled=False, **facts).reason is reason
    assert decide(actions_enabled=False).reason is Reason.OBSERVE


def test_a_runbook_has_a_budget_on_a_healthy_component_too():
    """Without an incident the caps per hour and day count all the same."""
    past = [replace(attempt(n, 500 + n, incident="by-hand-api"), by="runbook") for n in (1, 2, 3)]
    healthy = situation(incident=None, status=Status.UP, attempts=past)
    refused = decide_request(POLICY, healthy, Moment(LATER), budgeted=True)
    assert (refused.act, refused.text) == (False, "3 attempts within 1 h")
    assert decide_request(POLICY, healthy, Moment(LATER), budgeted=False).act


def test_what_is_left_of_the_budget() -> None:
    """By incident, hour and day; acts of people and of watches count into none."""
    now = Moment(at(7000))
    spent = [attempt(1, 100), attempt(2, 5000), attempt(1, 6000, incident="i-0")]
    by_hand = replace(attempt(3, 6900), by="operator")
    left = count_restarts_left(POLICY, [*spent, by_hand], "i-1", now)
    assert (left.incident, left.hour, left.day) == (1, 1, 3)
    assert left.least == 1
    none = count_restarts_left(POLICY, [attempt(n, 6000 + n) for n in range(9)], "i-1", now)
    assert (none.incident, none.hour, none.day, none.least) == (0, 0, 0, 0)
    assert count_restarts_left(POLICY, [], "", now).least == min(
        POLICY.max_attempts, POLICY.per_hour
    )
