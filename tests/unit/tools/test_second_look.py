"""What failed beside others is looked at again, and only a test that then passes is forgiven."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tools.second_look import MANY, TIMES, look_again, read_failed

TEST = "tests/unit/test_x.py::test_y"


class Runner:
    """Answers in turn, and remembers what it was asked to run."""

    def __init__(self, *answers: bool) -> None:
        self.answers, self.asked = list(answers), []

    def __call__(self, names: Sequence[str]) -> bool:
        self.asked.append(list(names))
        return self.answers.pop(0)


def test_a_test_that_passes_each_time_is_forgiven() -> None:
    """It is run as often as promised, and nothing else is."""
    runner = Runner(*[True] * TIMES)
    assert look_again([TEST], runner) == ""
    assert runner.asked == [[TEST]] * TIMES


@pytest.mark.parametrize("answers", [(False,), (True, False)])
def test_a_test_that_fails_again_is_not(answers: tuple[bool, ...]) -> None:
    """Once in so many times is enough."""
    assert (
        look_again([TEST], Runner(*answers)) == f"failed again alone, at look {len(answers)} of 2"
    )


def test_many_are_no_coincidence() -> None:
    """Nothing is run, whatever would come of it."""
    assert look_again([TEST] * (MANY + 1), Runner()).endswith("are no coincidence")


def test_a_part_that_names_nothing_has_failed() -> None:
    """An error of collection or a killed run must not pass for want of names."""
    assert look_again([], Runner()) == "a part failed and named no test"


def test_what_failed_is_read_as_pytest_writes_it(tmp_path) -> None:
    """Sorted; none where no test has failed."""
    path = tmp_path / "lastfailed"
    assert read_failed(path) == []
    path.write_text('{"b::2": true, "a::1": true}')
    assert read_failed(path) == ["a::1", "b::2"]
