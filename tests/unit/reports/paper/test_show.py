"""How values of facts are written for people."""

from __future__ import annotations

import pytest

from sentinel.reports.paper.show import show_end


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("2027-01-01T00:00:00+00:00", "the end of 2026-12-31 UTC"),
        ("2027-01-01T12:00:00+00:00", "2027-01-01 12:00:00 UTC"),
        (None, "–"),
    ],
)
def test_the_end_of_a_day_is_called_by_that_day(text: str | None, shown: str) -> None:
    """`due: 2026-12-31` is read as 2026-12-31, and not as the day after."""
    assert show_end(text) == shown
