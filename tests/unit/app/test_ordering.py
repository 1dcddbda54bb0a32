"""What is refused before an order is given says why, and what there is."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from sentinel.app.ordering import find_lost
from sentinel.errors import UsageError

STORE: Any = SimpleNamespace(
    checks=lambda: [SimpleNamespace(name="bus", kind="bus_delivery")], faults=lambda _check: []
)


@pytest.mark.parametrize(
    ("check", "fault", "message", "guidance"),
    [
        ("buss", "lost", "there is no check 'buss'", "known: bus"),
        ("bus", "lots", "bus_delivery has no fault 'lots'", "lost, skipped, rolled_back"),
        ("bus", "waiting", "waiting is no loss: it ends when it is repaired", "`accept:`"),
        ("bus", "lost", "bus has no such loss that stands open", "`accept:`"),
    ],
)
def test_what_is_no_loss_is_told_apart(check: str, fault: str, message: str, guidance: str) -> None:
    """A wrong check, a wrong fault, one that is repaired instead, and none that stands."""
    with pytest.raises(UsageError) as refused:
        find_lost(STORE, check, fault, {})
    assert message in refused.value.message
    assert guidance in refused.value.guidance
