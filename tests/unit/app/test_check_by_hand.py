"""A check that is run by hand, where no daemon runs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from sentinel.app import ordering
from sentinel.config import load
from sentinel.core.fault import Fault, Status
from sentinel.core.model import Finding, Result


async def test_it_says_what_to_do(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next step is that of the fault which the line begins with, as the daemon says it."""
    fault = Fault("full", {}, Status.DEGRADED, "it is full", guidance="empty it")
    seen = Finding(fault.status, fault.text, faults=(fault,))

    async def run_once(*_: Any) -> Result:
        return Result("bin", seen, datetime.now(UTC), 0.1, "0" * 32)

    monkeypatch.setattr(ordering, "run_once", run_once)
    file = tmp_path / "sentinel.yaml"
    file.write_text(
        "components: {bin: {}}\n"
        "checks: [{name: bin, kind: process, component: bin, pattern: nothing}]\n"
    )
    _, finding = await ordering.run_check(load(file), None, "bin")
    assert (finding.detail, finding.guidance) == ("it is full", "empty it")
