"""Boxes of a Markdown document."""

from __future__ import annotations

import pytest

from sentinel.core.progress.checklist import count_boxes

PLAN = """# Plan
- [x] one
* [ ] two
## Schema
1. [X] three
   - [ ] four
```
- [ ] shown as code
```
### Detail
- [x] five
## Later
- [ ] six
- [y] no box
-[ ] no box
"""


@pytest.mark.parametrize(
    ("heading", "counted"),
    [("", (3, 6)), ("Schema", (2, 3)), ("schema", (2, 3)), ("Detail", (1, 1)), ("Nowhere", None)],
)
def test_boxes_below_a_heading(heading: str, counted: tuple[int, int] | None) -> None:
    """Up to the next heading of its level; what is shown as code is no box."""
    assert count_boxes(PLAN, heading) == counted


def test_a_document_without_boxes() -> None:
    """Is not done, and not undone: there are none."""
    assert count_boxes("# Nothing\ntext") == (0, 0)


def test_a_fence_that_is_never_closed_hides_the_rest() -> None:
    """As Markdown has it."""
    assert count_boxes("- [x] a\n~~~~\n- [ ] b\n~~~\n- [ ] c") == (1, 1)


def test_a_line_without_end() -> None:
    """Megabytes of blanks after a heading, or of a fence, are looked at as far as a line goes."""
    text = f"# a{' ' * 4_000_000}x\n- [x] one\n{'`' * 4_000_000}\n- [ ] shown as code\n"
    assert count_boxes(text) == (1, 1)
    assert count_boxes(text, "a") is None
