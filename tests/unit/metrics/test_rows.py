"""Rows become series in slices: what comes, goes or stops in between leaves no false line."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator

import pytest

from sentinel.core.fault import Status
from sentinel.core.model import Finding, Histogram, Measurement, Row
from sentinel.metrics import family as family_module
from sentinel.metrics import rows as rows_module
from sentinel.metrics.family import Counter, FigureFamily, Gauge
from sentinel.metrics.rows import RowBook

LAG = Measurement("lag", "Lag.", "bus_lag", "gauge", "", ("stream",))
SENT = Measurement("sent", "Sent.", "bus_sent_total", "counter", "", ("stream",))
TIME = Measurement("time", "Time.", "bus_time", "histogram", "", ("stream",))
DECLARED = (LAG, SENT, TIME)


@pytest.fixture
def book(monkeypatch: pytest.MonkeyPatch) -> RowBook:
    """One that rests after each row."""
    monkeypatch.setattr(rows_module, "SETTLED", 1)
    return RowBook(lambda _: None, set())


def found(**streams: float) -> Finding:
    """A lag for each stream."""
    return Finding(Status.UP, "", [Row({"stream": s}, {"lag": v}) for s, v in streams.items()])


def read(book: RowBook) -> dict[str, str]:
    """Settle, write; the figure of each line."""
    for _ in book.settle():
        pass
    lines = {}
    for family in book.families.values():
        for _ in family.patch():
            pass
        text = b"".join(family.pieces(False)).decode()
        for line in text.splitlines():
            if not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                assert name not in lines
                lines[name.partition('stream="')[2][:-2] or name] = value
    return lines


def stop_after(steps: Iterator[None], count: int) -> None:
    for _ in range(count):
        next(steps)


def test_rows_in_another_order_are_the_same_series(book: RowBook) -> None:
    """Nothing is mixed up, doubled or lost, whichever rows move, come and go."""
    book.take("c", found(a=1.0, b=2.0, c=3.0), DECLARED)
    assert read(book) == {"a": "1.0", "b": "2.0", "c": "3.0"}
    book.take("c", found(c=4.0, a=5.0, d=6.0), DECLARED)
    assert read(book) == {"a": "5.0", "c": "4.0", "d": "6.0"}
    book.take("c", found(a=7.0), DECLARED)
    assert read(book) == {"a": "7.0"}
    book.take("c", found(a=8.0), DECLARED)
    assert read(book) == {"a": "8.0"}


def test_a_figure_that_a_row_no_longer_has_goes(book: RowBook) -> None:
    """Of the same subject, among others that stay."""
    age = Measurement("age", "Age.", "bus_age", "gauge", "", ("stream",))
    for values, left in (({"lag": 1.0, "age": 2.0}, 2), ({"lag": 1.0}, 1)):
        book.take("c", Finding(Status.UP, "", [Row({"stream": "s"}, values)]), (LAG, age))
        for _ in book.settle():
            pass
        assert sum(len(family) for family in book.families.values()) == left


def test_what_a_failed_check_keeps_goes_with_it(book: RowBook) -> None:
    """Its counters stay while it fails, and no longer than it is configured."""
    book.take("c", Finding(Status.UP, "", [Row({"stream": "s"}, {"sent": 1.0})]), DECLARED)
    assert read(book) == {"s": "1.0"}
    book.take("c", Finding(Status.DOWN, ""), DECLARED)
    assert read(book) == {"s": "1.0"}
    book.remove("c")
    assert read(book) == {}


def test_a_check_that_goes_meanwhile_leaves_nothing(book: RowBook) -> None:
    """Also what was made of its rows before it went."""
    for turn in range(2):
        book.take("c", found(a=1.0 + turn, b=2.0 + turn, c=3.0 + turn), DECLARED)
        book.take("other", found(x=1.0), DECLARED)
        steps = book.settle()
        stop_after(steps, 2)
        book.remove("c")
        list(steps)
        assert read(book) == {"x": "1.0"}


def test_rows_that_come_meanwhile_are_the_ones_that_count(book: RowBook) -> None:
    """The older ones are left as they are; the next scrape has the new ones."""
    book.take("c", found(a=1.0, b=2.0, c=3.0), DECLARED)
    steps = book.settle()
    stop_after(steps, 2)
    book.take("c", found(c=9.0), DECLARED)
    list(steps)
    assert read(book) == {"c": "9.0"}


def test_who_stops_in_between_begins_anew(book: RowBook) -> None:
    """A scrape that was given up costs nothing but its time."""
    book.take("c", found(a=1.0, b=2.0, c=3.0), DECLARED)
    assert len(read(book)) == 3
    book.take("c", found(a=4.0, b=5.0), DECLARED)
    steps = book.settle()
    stop_after(steps, 1)
    del steps
    gc.collect()
    assert read(book) == {"a": "4.0", "b": "5.0"}


def test_other_measurements_are_other_series(book: RowBook) -> None:
    """A check that became another kind under its name keeps nothing of the former."""
    book.take("c", found(a=1.0), DECLARED)
    read(book)
    other = (Measurement("lag", "Lag.", "bus_lag", "counter", "", ("stream",)),)
    book.take("c", found(a=2.0), other)
    assert read(book) == {"a": "2.0"}
    (family,) = book.families.values()
    assert (family.kind, family.sample) == ("counter", "bus_lag_total")


def test_two_families_never_share_a_line() -> None:
    """A gauge that is called like a bucket of a histogram is refused, and so is a reserved name."""
    refused: list[int] = []
    book = RowBook(refused.append, {"bus_taken"})
    clash = Measurement("clash", "", "bus_time_count", "gauge", "", ("stream",))
    taken = Measurement("taken", "", "bus_taken", "gauge", "", ("stream",))
    broken = Measurement("broken", "", "bus-broken", "gauge", "", ("stream",))
    time = Histogram((1.0,), (1,), 2, 3.0)
    row = Row({"stream": "s"}, {"time": time, "clash": 1.0, "taken": 1.0, "broken": 1.0})
    book.take("c", Finding(Status.UP, "", [row]), (TIME, clash, taken, broken))
    read(book)
    assert set(book.families) == {"bus_time"}
    assert sum(refused) == 3


def test_a_histogram_with_other_edges_is_written_with_them(book: RowBook) -> None:
    """And counted: the cap counts lines."""
    for edges in ((1.0,), (1.0, 2.0, 3.0)):
        time = Histogram(edges, (1,) * len(edges), 2, 3.0)
        book.take("c", Finding(Status.UP, "", [Row({"stream": "s"}, {"time": time})]), DECLARED)
        read(book)
        (family,) = book.families.values()
        text = b"".join(family.pieces(False))
        assert text.count(b"_bucket") == len(edges) + 1
        assert family.samples == text.count(b"\n") - 2


def test_no_mark_of_a_thread_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """The watchdog counts from a thread of its own while a scrape writes."""
    monkeypatch.setattr(family_module, "PATCHED", 3)
    counters = FigureFamily("c_total", "counter", "C.", ["n"], Counter)
    series = [counters.labels(str(n)) for n in range(20)]

    def count() -> None:
        for _ in range(500):
            for each in series:
                each.inc()

    thread = threading.Thread(target=count)
    thread.start()
    while thread.is_alive():
        for _ in counters.patch():
            pass
    thread.join()
    for _ in counters.patch():
        pass
    text = b"".join(counters.pieces(False)).decode()
    assert [line.rpartition(" ")[2] for line in text.splitlines()[2:]] == ["500.0"] * 20


def test_a_series_that_went_is_never_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its mark is still there; the one in its place keeps its own figure."""
    monkeypatch.setattr(family_module, "JOINED", 1)
    gauges = FigureFamily("g", "gauge", "G.", ["n"], Gauge)
    one, two = gauges.labels("1"), gauges.labels("2")
    one.set(1)
    two.set(2)
    gauges.remove("1")
    gauges.remove("1")
    one.set(7)
    for _ in gauges.patch():
        pass
    assert b"".join(gauges.pieces(False)).splitlines()[2:] == [b'g{n="2"} 2.0']


def test_a_series_that_goes_meanwhile_takes_no_other_along(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last one moves to its place, which was read already: it is read all the same."""
    monkeypatch.setattr(family_module, "JOINED", 1)
    gauges = FigureFamily("g", "gauge", "G.", ["n"], Gauge)
    for name in "123":
        gauges.labels(name).set(1)
    pieces = gauges.pieces(False)
    next(pieces)
    gauges.remove("1")
    assert [piece[:8] for piece in pieces] == [b'g{n="2"}', b'g{n="3"}']
