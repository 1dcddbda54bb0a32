"""Tables in a terminal of any width, and in none."""

from __future__ import annotations

import io
import sys

import pytest

from sentinel.cli.columns import Columns, Line, measure, render, show

LONG = "nothing listens at 127.0.0.1:6379, and the connection was refused three times in a row"


@pytest.fixture
def table() -> Columns:
    made = Columns(("incident", "component", "state", "opened", "summary"), "open incidents")
    made.add("20261130T100000-bus", "bus", Line("open, exhausted", "bold red"), "10:00:00Z", LONG)
    made.add("20261130T100001-api", "api", "recovering", "10:00:01Z", "slow")
    return made


def draw(part: Columns, width: int | None) -> list[str]:
    return list(render(part, width, coloured=False))


@pytest.mark.parametrize("width", [20, 40, 60, 72, 80, 100, 132])
def test_no_line_is_longer_than_the_terminal(table: Columns, width: int) -> None:
    """And every word of every cell is there, whichever way the table is laid out."""
    lines = draw(table, width)
    assert max(map(measure, lines)) <= width
    words = " ".join(" ".join(lines).split())
    for word in [*LONG.split(), "exhausted", "recovering", "10:00:01Z"]:
        assert word in words


def test_sixty_columns_are_readable(table: Columns) -> None:
    """The long text stands below its row."""
    _, _, row, first, second, *_ = draw(table, 60)
    assert row.split() == ["20261130T100000-bus", "bus", "open,", "exhausted", "10:00:00Z"]
    assert f"{first.strip()} {second.strip()}" == LONG


def test_forty_columns_are_readable(table: Columns) -> None:
    """A row is a paragraph: its name first, its facts by name, its text below."""
    _, first, facts, *_ = draw(table, 56)
    assert first == "20261130T100000-bus"
    assert facts == "    component bus · state open, exhausted · opened"
    assert list(render(table, 56, coloured=True))[1] == "\x1b[1;31m20261130T100000-bus\x1b[0m"


def test_a_pipe_has_one_line_a_row(table: Columns) -> None:
    """So that `grep` finds a row as a whole."""
    title, head, first, second = draw(table, None)
    assert (title, head.split()) == ("open incidents", list(table.names))
    assert first.endswith(LONG)
    assert second.split() == ["20261130T100001-api", "api", "recovering", "10:00:01Z", "slow"]


def test_wide_letters_stay_in_their_columns() -> None:
    """A letter of two cells moves nothing."""
    table = Columns(("name", "is"))
    table.add("日本", "up")
    table.add("abcd", "up")
    assert {measure(line.split("up")[0]) for line in draw(table, None)[1:]} == {6}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def show_in_terminal(
    monkeypatch: pytest.MonkeyPatch, line: Line, environment: dict[str, str]
) -> str:
    stream = Terminal()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", stream)
        patch.delenv("NO_COLOR", raising=False)
        for name, value in {"TERM": "xterm", **environment}.items():
            patch.setenv(name, value)
        show(line)
    return stream.getvalue()


def test_colours_are_for_terminals_that_want_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """NO_COLOR and a dumb terminal have none."""
    down = Line("down", "bold red")
    assert show_in_terminal(monkeypatch, down, {}) == "\x1b[1;31mdown\x1b[0m\n"
    assert show_in_terminal(monkeypatch, down, {"NO_COLOR": "1"}) == "down\n"
    assert show_in_terminal(monkeypatch, down, {"TERM": "dumb"}) == "down\n"


def test_a_command_is_one_line_in_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Broken it would not run as it is copied."""
    command = "    $ sentinel faults accept delivery lost --subject stream=orders --reason known"
    shown = show_in_terminal(monkeypatch, Line(command, whole=True), {"COLUMNS": "40"})
    assert shown == f"{command}\n"
