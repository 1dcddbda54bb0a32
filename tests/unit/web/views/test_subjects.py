"""Pages of agents, flows and tenants: the kinds that they name are kinds."""

from __future__ import annotations

import pytest

from sentinel.probes import load_kinds
from sentinel.web.views.subjects import AGENTS, FLOWS, TENANTS, SubjectPage


@pytest.mark.parametrize("page", [AGENTS, FLOWS, TENANTS], ids=lambda page: page.title)
def test_kinds_of_a_page_are_on_the_shelf(page: SubjectPage) -> None:
    """A kind that was renamed must not vanish from its page."""
    assert set(page.kinds) | set(page.others) <= set(load_kinds())


def test_every_kind_of_tenants_is_on_their_page() -> None:
    """Whichever is added."""
    named = {name for name in load_kinds() if name.startswith("tenant_")}
    assert named == set(TENANTS.kinds)


def test_what_is_of_something_else_stands_elsewhere() -> None:
    """Of a check that knows of other things too, only what names one of these."""
    assert TENANTS.covers("tenant_rows", {"subject": {}})
    assert TENANTS.covers("task_assignment", {"subject": {"tenant": "t"}})
    assert not TENANTS.covers("task_assignment", {"subject": {"queue": "q"}})
    assert not TENANTS.covers("tcp", {"subject": {"tenant": "t"}})
