"""The book of affairs: who is told what, when, and never twice."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, time, timedelta

from sentinel.core.fault import Severity, Status
from sentinel.core.notice import Tidings, judge_severity
from sentinel.core.notice.maintenance import Maintenance
from sentinel.core.notice.route import DayHours, EscalationStep, NoticeRoute
from sentinel.core.notice.silence import Silence, keep_running
from sentinel.core.notice.text import Letterhead, write_notice
from tests.unit.core.notice.rig import T0, Case, at, make

TEAM = NoticeRoute(("team",))


def test_what_begins_is_told_once():
    """Every channel of its route; looks repeat nothing."""
    case = Case(NoticeRoute(("team", "lead")))
    assert case.begin(make()) == ["lead opened", "team opened"]
    assert [case.after(1.0) for _ in range(3)] == [[], [], []]


def test_what_no_route_fits_is_told_in_the_log():
    """Nothing is told to nobody."""
    case = Case(NoticeRoute(("team",), {"component": ("api*",)}))
    assert case.begin(make()) == ["log opened"]


def test_recovery_is_told_to_those_who_were_told_and_its_end_is_not():
    """The end of an incident is no news after its recovery."""
    case = Case(TEAM)
    case.begin(make())
    case.change(over=True)
    assert case.tell(Tidings.RECOVERED) == ["team recovered"]
    assert case.after(1.0) == []
    assert case.tell(Tidings.CLOSED) == []
    assert case.book.entries == {}


def test_its_end_is_told_when_asked_for():
    """And when nobody heard that it recovered, because it flapped."""
    case = Case(replace(TEAM, tell_close=True))
    case.begin(make())
    case.tell(Tidings.RECOVERED)
    assert case.tell(Tidings.CLOSED) == ["team closed"]
    flapping = Case(TEAM)
    flapping.begin(make())
    assert flapping.tell(Tidings.CLOSED) == ["team closed"]


def test_what_is_ended_by_another_word_is_closed():
    """An operator's reset, a component that is no longer watched: nobody announces it."""
    case = Case(TEAM)
    case.begin(make())
    case.affairs.clear()
    assert case.after(1.0) == ["team closed"]
    assert case.book.entries == {}


def test_a_relapse_is_told():
    """To those who heard of the recovery; then it recovers again."""
    case = Case(TEAM)
    case.begin(make())
    case.change(over=True)
    case.tell(Tidings.RECOVERED)
    case.change(over=False)
    assert case.after(1.0) == ["team relapsed"]
    assert case.after(1.0) == []
    case.change(over=True)
    assert case.tell(Tidings.RECOVERED) == ["team recovered"]


def test_numbers_make_every_key_its_own():
    """Over relapses, too."""
    case, keys = Case(TEAM), []
    case.begin(make())
    for _ in range(3):
        case.change(over=True)
        case.tell(Tidings.RECOVERED)
        case.change(over=False)
        case.after(1.0)
        keys += [each.key for each in case.tellings]
    assert keys == [f"i-bus/relapsed/{n}@team" for n in (3, 5, 7)]


def test_escalation_until_somebody_acknowledges():
    """By time from the first notice, each channel once."""
    steps = (EscalationStep(600, ("lead",)), EscalationStep(1200, ("boss",)))
    case = Case(replace(TEAM, escalate=steps))
    case.begin(make())
    assert case.after(599.0) == []
    assert case.after(1.0) == ["lead escalated"]
    assert case.tell(Tidings.ACKNOWLEDGED) == ["lead acknowledged", "team acknowledged"]
    assert case.after(3600.0) == []


def test_nothing_is_escalated_that_is_over():
    """Nor is anybody reminded."""
    case = Case(replace(TEAM, escalate=(EscalationStep(600, ("lead",)),), remind=60.0))
    case.begin(make())
    case.change(over=True)
    assert case.after(700.0) == []
    case.tell(Tidings.RECOVERED)
    assert case.after(700.0) == []


def test_reminders_until_somebody_acknowledges():
    """Each after the last notice on the channel; other routes are left alone."""
    case = Case(replace(TEAM, remind=600.0, also=True), NoticeRoute(("quiet",)))
    case.begin(make())
    assert [case.after(300.0) for _ in range(4)] == [[], ["team reminder"], [], ["team reminder"]]
    case.tell(Tidings.ACKNOWLEDGED)
    assert case.after(3600.0) == []


def test_what_gets_worse_is_told_and_what_gets_better_is_not():
    """With the name that the alert had; severity never falls, so its end has the name that it has."""
    case = Case(TEAM)
    case.begin(make(severity=Severity.TICKET, status="degraded"))
    case.change(severity=Severity.PAGE, status="down")
    assert case.after(1.0) == ["team worse"]
    assert case.tellings[0].former.severity is Severity.TICKET
    case.change(severity=Severity.TICKET, status="degraded")
    assert case.after(1.0) == []
    case.tell(Tidings.RECOVERED)
    assert case.book.entries["i-bus"].affair.severity is Severity.PAGE


def test_who_was_called_hears_that_it_gets_worse():
    """Those of an escalation, too; nobody new is called once somebody sees to it."""
    lead, oncall = EscalationStep(600, ("lead",)), NoticeRoute(("oncall",), {"severity": ("page",)})
    case = Case(replace(oncall, also=True), replace(TEAM, escalate=(lead,)))
    case.begin(make(severity=Severity.TICKET))
    assert case.after(600.0) == ["lead escalated"]
    case.tell(Tidings.ACKNOWLEDGED)
    case.change(severity=Severity.PAGE)
    assert case.after(1.0) == ["lead worse", "team worse"]


def test_who_has_it_by_now_is_told():
    """A route that fits only what is severe hears of what has become so."""
    case = Case(NoticeRoute(("oncall",), {"severity": ("page",)}, also=True), TEAM)
    assert case.begin(make(severity=Severity.TICKET)) == ["team opened"]
    case.change(severity=Severity.PAGE)
    assert case.after(1.0) == ["oncall opened", "team worse"]


def test_a_silence_holds_back_and_its_end_tells_what_stands():
    """Recovery of what was told before is told all the same."""
    silence = Silence("s", {"component": ("bus",)}, T0, at(600), "known", "me")
    case = Case(TEAM, silences=(silence,))
    assert case.begin(make()) == []
    assert case.begin(make("api")) == ["team opened"]
    assert case.after(599.0) == []
    assert case.after(1.0) == ["team opened"]
    assert keep_running((silence,), at(599)) == (silence,)
    assert keep_running((silence,), at(600)) == ()


def test_a_silence_outlives_ten_flaps():
    """It goes by what it is, not by its incident; told before it, its recovery is told."""
    silence = Silence("s", {"component": ("bus",)}, T0, at(36000), "known", "me")
    case, told = Case(TEAM, silences=(silence,)), []
    for n in range(10):
        told += case.begin(make(id=f"i-{n}"))
        told += case.after(30.0)
        case.change(over=True)
        told += case.tell(Tidings.RECOVERED)
        told += case.after(30.0)
        told += case.tell(Tidings.CLOSED)
        case.affairs.clear()
    assert told == []


def test_nothing_of_a_silenced_affair_gets_worse_aloud():
    """It is told when the silence is over."""
    case = Case(TEAM)
    case.begin(make(severity=Severity.TICKET))
    silence = Silence("s", {"component": ("bus",)}, T0, at(60), "known", "me")
    case.policy = replace(case.policy, silences=(silence,))
    case.change(severity=Severity.PAGE)
    assert case.after(1.0) == []
    assert case.tell(Tidings.EXHAUSTED) == []
    assert case.after(60.0) == ["team worse"]


def test_quiet_hours_let_pass_what_is_loud():
    """The rest waits for the morning, and is told if it still stands."""
    night = DayHours(time(22), time(7), UTC)
    case = Case(replace(TEAM, quiet=night))
    case.now = T0.replace(hour=23)
    assert case.begin(make("api", severity=Severity.TICKET)) == []
    assert case.begin(make()) == ["team opened"]
    assert case.after(7 * 3600.0) == []
    assert case.after(3600.0) == ["team opened"]


def test_maintenance_holds_back_and_the_first_look_after_it_decides():
    """What ended meanwhile was told to nobody; what was told before recovers."""
    times = (Maintenance("m", ("bus",), "upgrade", T0, at(600)),)
    case = Case(TEAM, maintenance=times)
    assert case.begin(make()) == []
    assert case.after(600.0) == []  # nobody has looked since
    case.change(seen=at(601))
    assert case.after(2.0) == ["team opened"]


def test_an_outage_that_runs_into_maintenance_still_recovers():
    """And a relapse in it is held back."""
    case = Case(TEAM)
    case.begin(make())
    times = (Maintenance("m", ("*",), "upgrade", at(10), at(600)),)
    case.policy = replace(case.policy, maintenance=times)
    case.now = at(20)
    case.change(over=True)
    assert case.tell(Tidings.RECOVERED) == ["team recovered"]
    case.change(over=False, seen=at(30))
    assert case.after(30.0) == []
    case.change(seen=at(601))
    assert case.after(600.0) == ["team relapsed"]


def test_effects_are_folded_into_their_cause():
    """200 that need a dead bus are one notice; what stays bad behind it has its own."""
    case = Case(TEAM)
    assert case.begin(make()) == ["team opened"]
    for n in range(200):
        assert case.begin(make(f"api-{n}", cause="bus")) == []
    assert case.after(1.0) == []
    case.affairs["i-bus"] = replace(case.affairs["i-bus"], over=True)
    for n in range(1, 200):
        name = f"i-api-{n}"
        case.affairs[name] = replace(case.affairs[name], over=True)
    assert case.after(1.0) == []
    assert case.after(1.0) == ["team opened"]
    assert case.tellings[0].affair.component == "api-0"


def test_who_must_hear():
    """Somebody at once when it is down or given up; else what its fault asks for."""
    assert judge_severity(Status.DOWN, Severity.INFO, exhausted=False) is Severity.PAGE
    assert judge_severity(Status.DEGRADED, None, exhausted=False) is Severity.TICKET
    assert judge_severity(Status.DEGRADED, Severity.INFO, exhausted=False) is Severity.INFO
    assert judge_severity(Status.DEGRADED, Severity.INFO, exhausted=True) is Severity.PAGE


def test_a_route_by_time_hands_over():
    """Who is responsible by now is told of what still stands, unless somebody sees to it."""
    day = DayHours(time(8), time(18), UTC)
    case = Case(NoticeRoute(("office",), hours=day), NoticeRoute(("oncall",)))
    case.now = T0.replace(hour=17)
    assert case.begin(make()) == ["office opened"]
    assert case.after(timedelta(hours=1).total_seconds()) == ["oncall opened"]
    other = Case(NoticeRoute(("office",), hours=day), NoticeRoute(("oncall",)))
    other.now = T0.replace(hour=17)
    other.begin(make())
    other.tell(Tidings.ACKNOWLEDGED)
    assert other.after(timedelta(hours=1).total_seconds()) == []


def test_a_restart_has_to_hold_before_its_recovery_is_told():
    """A component that dies again after each restart is one notice, and one that a person has to act."""
    case = Case(replace(TEAM, remind=600.0))
    case.begin(make())
    for _ in range(3):
        case.change(over=True, tried=True)
        assert case.tell(Tidings.RECOVERED, "bus is healthy after 3.2 s") == []
        assert case.after(700.0) == []  # nobody is urged meanwhile
        case.change(over=False, tried=False)
        assert "team relapsed" not in case.after(1.0)
    case.change(over=True, tried=True)
    case.tell(Tidings.RECOVERED, "bus is healthy after 9.9 s")
    assert case.after(30.0) == []
    case.change(over=True, tried=False)
    assert case.after(1.0) == ["team recovered"]
    assert case.tellings[0].text == "bus is healthy after 9.9 s"
    assert case.after(30.0) == []
    case.change(over=False)
    assert case.after(1.0) == ["team relapsed"]


def test_a_restart_that_nobody_judges_is_told_at_the_end():
    """By the word that it is closed; an urging that still waits is overtaken before."""
    case = Case(replace(TEAM, escalate=(EscalationStep(600, ("lead",)),)))
    case.begin(make())
    assert case.after(600.0) == ["lead escalated"]
    (urging,) = case.tellings
    notice = write_notice(urging, Letterhead(), case.now)
    assert not case.book.is_overtaken(notice)
    case.change(over=True, tried=True)
    case.tell(Tidings.RECOVERED)
    assert case.book.is_overtaken(notice)
    assert case.tell(Tidings.CLOSED) == ["lead closed", "team closed"]
