"""The trigger that the calendar is given for a cron line."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from apscheduler.schedulers.background import BackgroundScheduler

from sentinel.app.cron import CronLine

MONDAY = datetime(2026, 11, 30, 12, tzinfo=UTC)


def test_monday_is_a_monday():
    """`* * * * 1` is due on a Monday, and `* * * * 0` on a Sunday, in the zone of the line."""
    tokyo = ZoneInfo("Asia/Tokyo")
    assert CronLine("* * * * 1", UTC).get_next_fire_time(None, MONDAY) - MONDAY == timedelta(0, 60)
    sunday = CronLine("30 1 * * 0", tokyo).get_next_fire_time(None, MONDAY)
    assert sunday == datetime(2026, 12, 6, 1, 30, tzinfo=tokyo)


def test_what_was_missed_is_done_once():
    """A clock that was ten years slow makes one run of each line, not five million."""
    calendar = BackgroundScheduler(timezone=UTC)
    job = calendar.add_job(print, CronLine("* * * * *", UTC), next_run_time=MONDAY)
    later = MONDAY + timedelta(days=3653)
    assert job._get_run_times(later) == [MONDAY]
