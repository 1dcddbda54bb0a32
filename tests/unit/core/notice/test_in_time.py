"""Hours of a day, maintenance windows over a change of the clock, storms, retries: by time alone."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from sentinel.core.fault import Severity
from sentinel.core.model import ErrorClass
from sentinel.core.notice import Tidings
from sentinel.core.notice.book import Telling
from sentinel.core.notice.maintenance import (
    Maintenance,
    MaintenanceWindow,
    find_reason,
    find_spans,
    follow_windows,
    last_end,
    was_worked_upon,
)
from sentinel.core.notice.retry import (
    Miss,
    NoticeFate,
    Tries,
    decide_retry,
    read_tries,
    write_tries,
)
from sentinel.core.notice.route import DayHours
from sentinel.core.notice.storm import Storm, StormLimit, admit
from sentinel.core.notice.text import Letterhead, write_digest, write_notice
from sentinel.core.schedule.crontab import read_crontab
from tests.unit.core.notice.rig import T0, at, make

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("hours", "instant", "covered"),
    [
        ((time(9), time(17), frozenset(range(5))), "2026-06-05T16:59+02:00", True),
        ((time(9), time(17), frozenset(range(5))), "2026-06-05T17:00+02:00", False),
        ((time(9), time(17), frozenset(range(5))), "2026-06-06T10:00+02:00", False),
        ((time(22), time(7), frozenset({4})), "2026-06-06T06:59+02:00", True),  # Friday's night
        ((time(22), time(7), frozenset({4})), "2026-06-05T06:59+02:00", False),
        ((time(22), time(7), frozenset({4})), "2026-06-05T22:00+02:00", True),
        ((time(0), time(0), frozenset({5})), "2026-06-06T12:00+02:00", True),
        ((time(0), time(0), frozenset({5})), "2026-06-07T00:00+02:00", False),
        # The night in which the clock is put forward, and the one in which it is put back.
        ((time(22), time(7), frozenset(range(7))), "2026-03-29T05:30+02:00", True),
        ((time(22), time(7), frozenset(range(7))), "2026-10-25T02:30+01:00", True),
        ((time(2), time(3), frozenset(range(7))), "2026-03-29T01:30+00:00", False),
    ],
)
def test_hours_by_the_wall(hours, instant, covered):
    """Over midnight they belong to the day on which they begin."""
    begins, ends, days = hours
    assert DayHours(begins, ends, BERLIN, days).covers(datetime.fromisoformat(instant)) is covered


def window(**facts) -> MaintenanceWindow:
    """Two hours every night at half past one, by the wall of Berlin."""
    given = {"cron": read_crontab("30 1 * * *"), "zone": BERLIN, "lasts": 7200.0, **facts}
    return MaintenanceWindow("night", ("bus*",), "backup", **given)


@pytest.mark.parametrize(
    ("day", "began", "ended"),
    [
        ("2026-03-28", "2026-03-28T00:30", "2026-03-28T02:30"),
        ("2026-03-29", "2026-03-29T00:30", "2026-03-29T02:30"),  # the wall shows 01:30 to 04:30
        ("2026-03-30", "2026-03-29T23:30", "2026-03-30T01:30"),
        ("2026-10-25", "2026-10-24T23:30", "2026-10-25T01:30"),  # the wall shows 01:30 to 02:30
        ("2026-10-26", "2026-10-26T00:30", "2026-10-26T02:30"),
    ],
)
def test_a_window_over_a_change_of_the_clock(day, began, ended):
    """It begins by the wall, and lasts as long as it says."""
    span = tuple(datetime.fromisoformat(f"{each}+00:00") for each in (began, ended))
    made, second = window(), timedelta(seconds=1)
    assert made.find_span(span[0] - second) is None
    assert made.find_span(span[0]) == made.find_span(span[1] - second) == span
    assert made.find_span(span[1]) is None
    assert made.find_next(span[0] - second) == span


def test_a_window_that_the_clock_jumps_over_begins_at_the_jump():
    """02:30 does not exist on that day: cron(8) makes it up."""
    made = window(cron=read_crontab("30 2 * * *"))
    jump = datetime(2026, 3, 29, 1, tzinfo=UTC)
    assert made.find_span(jump) == (jump, jump + timedelta(hours=2))


def test_a_window_once():
    """From, until; then never again."""
    made = MaintenanceWindow("once", ("*",), "move", begins=at(10), ends=at(20))
    assert [made.find_span(at(n)) is not None for n in (9, 10, 19, 20)] == [
        False, True, True, False,
    ]  # fmt: skip
    assert made.find_next(at(0)) == (at(10), at(20))
    assert made.find_next(at(20)) is None


def test_times_are_kept_as_they_were():
    """What is taken out of the configuration has ended then; what was is not changed by it."""
    once = MaintenanceWindow("once", ("bus",), "move", begins=at(10), ends=at(100))
    known = follow_windows([once], (), at(5))
    assert known == ()
    known = follow_windows([once], known, at(12))
    assert known == (Maintenance("once", ("bus",), "move", at(10), at(100)),)
    assert follow_windows([once], known, at(50)) == known
    assert find_reason(known, "bus", at(50)) == known[0]
    assert find_reason(known, "api", at(50)) is None
    ended = follow_windows([], known, at(60))
    assert ended[0].ended == at(60)
    assert (find_reason(ended, "bus", at(61)), last_end(ended, "bus", at(61))) == (None, at(60))
    late = follow_windows([], known, at(500))  # no sentinel ran at its end
    assert late[0].ended == at(100)
    again = follow_windows([once], ended, at(70))
    assert [each.ended for each in again] == [at(60), None]


def test_a_window_that_grows_is_the_same():
    """Its end moves."""
    known = (Maintenance("once", ("bus",), "move", at(10), at(100)),)
    longer = MaintenanceWindow("once", ("bus", "api"), "move", begins=at(10), ends=at(200))
    (found,) = follow_windows([longer], known, at(50))
    assert (found.began, found.until, found.components) == (at(10), at(200), ("bus", "api"))


def test_times_that_follow_without_a_break_are_one():
    """An hour that begins every hour never ends; one that comes later is another."""
    always = window(cron=read_crontab("0 * * * *"), lasts=3600.0)
    known = follow_windows([always], (), T0)
    known = follow_windows([always], known, at(3600))
    (found,) = known
    assert (found.began, found.until, found.ended) == (T0, at(7200), None)
    later = follow_windows([always], known, at(4 * 3600))
    assert [(each.began, each.ended) for each in later] == [
        (T0, at(7200)),
        (at(4 * 3600), None),
    ]


def test_spans_for_those_who_leave_them_out():
    """Within a period, in order, merged; by component."""
    known = [
        Maintenance("b", ("bus",), "", at(50), at(70)),
        Maintenance("a", ("b*",), "", at(10), at(30), at(20)),
        Maintenance("c", ("bus",), "", at(60), at(90)),
        Maintenance("d", ("api",), "", at(0), at(90)),
        Maintenance("e", ("bus",), "", at(200), at(300)),
    ]
    assert find_spans(known, "bus", at(15), at(80)) == [(at(15), at(20)), (at(50), at(80))]
    assert find_spans(known, "other", at(0), at(80)) == []


def tellings(count: int, channel: str = "team") -> list[Telling]:
    """Many at once."""
    return [
        Telling(make(f"api-{n}"), channel, Tidings.OPENED, 1, f"api-{n} is down")
        for n in range(count)
    ]


def test_a_storm_becomes_digests():
    """The first few go alone; the rest as one, and again only after a rest."""
    limits = {"team": StormLimit(3, 300.0)}
    storm, alone, digests = admit(Storm(), tellings(50), limits, T0)
    assert (len(alone), digests) == (3, {})
    storm, alone, digests = admit(storm, tellings(2), limits, at(29))
    assert (alone, digests) == ([], {})
    storm, alone, digests = admit(storm, [], limits, at(30))
    assert digests["team"].count == 49
    assert len(digests["team"].first) == 20
    storm, alone, digests = admit(storm, tellings(1), limits, at(31))
    assert (alone, digests) == ([], {})
    storm, alone, digests = admit(storm, [], limits, at(60))
    assert (digests["team"].count, digests["team"].number) == (1, 2)
    storm, alone, digests = admit(storm, tellings(1), limits, at(400))
    assert (len(alone), digests) == (1, {})


def test_a_channel_that_keeps_alerts_gets_each_of_them():
    """It has to know of each what has ended."""
    _, alone, digests = admit(Storm(), tellings(50, "keeper"), {"team": StormLimit(3)}, T0)
    assert (len(alone), digests) == (50, {})


def test_a_digest_says_how_many_and_names_the_first():
    """With the worst severity among them."""
    heap = admit(Storm(), tellings(60), {"team": StormLimit(1)}, T0)[0].heaps["team"]
    notice = write_digest("team", heap, Letterhead("trial"), T0)
    assert notice.title == "[trial] 59 more notices at once"
    assert len(notice.lines) == 20
    assert notice.text.endswith("… and 39 more")
    assert notice.severity is Severity.PAGE


def test_delays_double_up_to_five_minutes():
    """Or what the receiver asks for, when that is longer."""
    tries, delays = Tries(), []
    for _ in range(11):
        fate, tries = decide_retry(tries, Miss("x"), T0, T0, repeatable=False)
        assert (fate, tries.not_before is not None) == (NoticeFate.AGAIN, True)
        delays.append((tries.not_before - T0).total_seconds())
    assert delays == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    _, asked = decide_retry(Tries(), Miss("x", retry_after=60.0), T0, T0, repeatable=False)
    assert asked.not_before == at(60)
    assert not asked.is_due(at(59.9))
    assert asked.is_due(at(60))


def test_what_ends_a_notice():
    """A refusal, two requests that nobody answered, a day; never what a person has to mend."""
    refused = Miss("400", ErrorClass.PERMANENT)
    assert decide_retry(Tries(), refused, T0, T0, repeatable=True)[0] is NoticeFate.REFUSED
    lost = Miss("no answer", arrived=True)
    fate, tries = decide_retry(Tries(), lost, T0, T0, repeatable=False)
    assert (fate, tries.needs_proof) == (NoticeFate.AGAIN, True)
    assert decide_retry(tries, lost, T0, T0, repeatable=False)[0] is NoticeFate.UNANSWERED
    fate, same = decide_retry(Tries(), lost, T0, T0, repeatable=True)
    assert (fate, same.needs_proof) == (NoticeFate.AGAIN, False)
    ours = Miss("401", ErrorClass.OURS)
    assert decide_retry(Tries(50), ours, T0, at(86399), repeatable=False)[0] is NoticeFate.AGAIN
    assert decide_retry(Tries(50), ours, T0, at(86400), repeatable=False)[0] is NoticeFate.EXPIRED


def test_tries_are_written_and_read():
    """As the row of the order keeps them."""
    tries = Tries(3, 1, at(5), "no answer")
    assert read_tries(write_tries(tries)) == tries
    assert read_tries(write_tries(Tries())) == read_tries({}) == Tries()


def test_a_notice_says_it_in_one_line_and_then_the_rest():
    """With what needs it, who found it, where to read on."""
    affair = make(dependants=37, needed_by=200, check="bus-tcp", runbook="port-unreachable")
    opened = write_notice(
        Telling(affair, "team", Tidings.OPENED, 1, affair.text),
        Letterhead("trial", "https://x/"),
        T0,
    )
    assert opened.title == "[trial] bus is down"
    assert opened.text.splitlines() == [
        "bus is down",
        "needed by 200 components, 37 of them bad by now",
        "found by check bus-tcp, since 2026-06-01 12:00:00 UTC",
        "runbook: port-unreachable",
        "acknowledge: sentinel incident ack i-bus",
    ]
    assert opened.link == "https://x/incident/i-bus"
    over = write_notice(
        Telling(affair, "team", Tidings.RECOVERED, 2, "bus is healthy"), Letterhead("trial"), T0
    )
    assert over.title == "[trial] recovered: bus is healthy"
    seen_to = Telling(affair, "team", Tidings.ACKNOWLEDGED, 2, "acknowledged by ada")
    acked = write_notice(seen_to, Letterhead("trial"), T0)
    assert acked.title == "[trial] acknowledged by ada: bus is down"
    assert over.text.startswith("bus is healthy\nit was: bus is down\n")
    assert over.labels == opened.labels
    assert over.link == ""


def test_names_in_a_notice_neither_hide_nor_move():
    """Control and direction signs are written out; the title is one line, and bounded."""
    text = "bus\r\nX: y\x1b[2J\u202e" + "a" * 5000
    notice = write_notice(Telling(make(), "team", Tidings.OPENED, 1, text), Letterhead("t"), T0)
    assert "\n" not in notice.title
    assert not {"\x1b", "\r", "\u202e"} & set(notice.title + notice.text)
    assert (len(notice.title), len(notice.text)) == (200, 2000)


@pytest.mark.parametrize(
    ("since", "until", "is_touched"),
    [
        (0, 9.9, False),
        (0, 10, True),  # its first instant is within
        (12, 12, True),
        (0, 100, True),
        (19.9, 30, True),
        (20, 30, False),  # its last one is not
    ],
)
def test_what_may_have_happened_in_maintenance(
    since: float, until: float, *, is_touched: bool
) -> None:
    """Any instant of the time that an event may be of; of the components that it names."""
    known = [Maintenance("w", ("bus*",), "x", at(10), at(60), ended=at(20))]
    assert was_worked_upon(known, "bus-a", at(since), at(until)) is is_touched
    assert not was_worked_upon(known, "web", at(since), at(until))


@pytest.mark.parametrize(
    ("bad", "needed_by", "said"),
    [
        (1, 1, "needed by 1 component, bad by now"),
        (0, 1, "needed by 1 component, not bad by now"),
        (0, 3, "needed by 3 components, none of them bad by now"),
    ],
)
def test_a_notice_says_what_needs_it_in_english(bad, needed_by, said):
    """`1 component, 1 of them` is read twice at night."""
    telling = Telling(make(dependants=bad, needed_by=needed_by), "team", Tidings.OPENED, 1, "x")
    notice = write_notice(telling, Letterhead("trial", "https://x/"), T0)
    assert said in notice.text.splitlines()
