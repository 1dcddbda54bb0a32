"""Nouns with a rule of their own: when an attempt began and ended."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from sentinel.core.model import Attempt

T0 = datetime(2026, 1, 5, 12, tzinfo=UTC)


def attempt(**given) -> Attempt:
    """An attempt at T0."""
    return Attempt("i1", 1, "api", "restart", "down", T0, boot="b1", uptime=100.0, **given)


def test_an_attempt_that_goes_on_began_and_has_not_ended():
    """Until it ends, its end is not known by uptime."""
    assert (attempt().began.at, attempt().began.uptime) == (T0, 100.0)
    assert (attempt().finished.at, attempt().finished.uptime) == (T0, 100.0)


def test_an_attempt_that_ended_is_measured_from_its_end():
    """Whatever the date says by then."""
    ended = attempt(ended=T0 - timedelta(hours=1), ended_uptime=130.0)
    assert ended.finished.seconds_since(ended.began) == 30.0


@pytest.mark.parametrize("boot", ["", "b2"])
def test_over_a_reboot_only_the_date_can_tell(boot):
    """Or where no boot is known."""
    one = attempt(ended=T0 + timedelta(seconds=7), ended_uptime=130.0)
    other = Attempt("i1", 2, "api", "restart", "down", T0, boot=boot, uptime=5.0)
    assert one.finished.seconds_since(other.began) == 7.0
