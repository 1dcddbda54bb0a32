"""`sentinel check run`, as a person reads it."""

from __future__ import annotations

from pathlib import Path

import pytest

from sentinel.cli import main

CHECKS = """
resources: {bus: {redis: "redis://127.0.0.1:1"}}
components: {bus: {}}
checks:
  - {name: server, kind: redis_server, component: bus, resource: bus}
  - {name: port, kind: tcp, component: bus, address: "127.0.0.1:1"}
"""


@pytest.mark.parametrize(("name", "measured"), [("server", False), ("port", True)])
def test_it_says_when_nothing_was_measured(
    name: str,
    measured: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """An empty table looks like a fault of the command; figures have their table."""
    monkeypatch.delenv("SENTINEL_STATE", raising=False)
    (tmp_path / "sentinel.yaml").write_text(f"state: {tmp_path}/var\n{CHECKS}")
    main(["--config", str(tmp_path), "check", "run", name])
    said = capsys.readouterr().out
    assert ("nothing was measured" in said) is not measured
    assert ("MEASUREMENT" in said.upper().replace("NOTHING WAS MEASURED", "")) is measured
