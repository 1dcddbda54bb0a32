"""A dead server is not hammered, a wrong password locks no account."""

from __future__ import annotations

import pytest

from sentinel.adapters.network.reconnect import Reconnect
from sentinel.errors import NotMeasurable, TargetUnreachable


class Clock:
    """Stands still until it is moved."""

    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def reconnect(clock):
    return Reconnect("bus", clock)


def test_the_first_try_is_free(reconnect):
    """Nothing has failed yet."""
    reconnect.admit()


def test_delays_double_up_to_the_maximum(reconnect, clock):
    """0.25, 0.5, 1, 2, 4, 5, 5 … seconds."""
    for delay in (0.25, 0.5, 1.0, 2.0, 4.0, 5.0, 5.0, 5.0):
        reconnect.failed(TargetUnreachable("refused"))
        clock.now += delay - 0.01
        with pytest.raises(TargetUnreachable):
            reconnect.admit()
        clock.now += 0.01
        reconnect.admit()


def test_the_last_error_is_repeated_with_the_time_to_wait(reconnect):
    """Same class, message, guidance and code, so that the verdict is the same."""
    reconnect.failed(NotMeasurable("no permission", "grant it", code="NOPERM"))
    with pytest.raises(NotMeasurable, match=r"no permission \(next try in 0\.2 s\)") as caught:
        reconnect.admit()
    assert (caught.value.guidance, caught.value.code) == ("grant it", "NOPERM")


def test_a_fault_outlives_the_time_to_wait(reconnect):
    """ "(next try in 0.2 s)" is true of this moment, and no part of what is wrong."""
    reconnect.failed(TargetUnreachable("connection refused"))
    with pytest.raises(TargetUnreachable, match="next try in") as caught:
        reconnect.admit()
    assert caught.value.as_fault("bus").text == "bus: connection refused"
    reconnect.failed(caught.value)
    with pytest.raises(TargetUnreachable) as again:
        reconnect.admit()
    assert again.value.as_fault().text == "connection refused"


@pytest.mark.parametrize("code", ["WRONGPASS", "NOAUTH", "28P01", "28000"])
def test_refused_credentials_wait_thirty_seconds_at_once(reconnect, clock, code):
    """At most one try in 30 s with a password that is wrong."""
    reconnect.failed(NotMeasurable("refused", code=code))
    clock.now += 29.9
    with pytest.raises(NotMeasurable):
        reconnect.admit()
    clock.now += 0.1
    reconnect.admit()


def test_success_forgets(reconnect, clock):
    """After a success the delays begin anew."""
    for _ in range(5):
        reconnect.failed(TargetUnreachable("refused"))
    reconnect.succeeded()
    reconnect.admit()
    reconnect.failed(TargetUnreachable("refused"))
    clock.now += 0.25
    reconnect.admit()
