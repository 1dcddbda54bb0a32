"""`sentinel status`: what a tired person reads first."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from sentinel.cli import main
from sentinel.store import Changes, Gap
from sentinel.store.sqlite import SqliteStore


def test_the_last_blindness_is_said(tmp_path, capsys):
    """What sentinel did not see stands above what it saw, also in the terminal."""
    file = tmp_path / "sentinel.yaml"
    file.write_text(
        f"state: {tmp_path}/var\ncomponents: {{worker: {{driver: process, command: [sleep, '9']}}}}\n"
    )
    (tmp_path / "var").mkdir()
    now = datetime.now(UTC)
    store = SqliteStore(tmp_path / "var")
    store.commit(
        Changes(
            gaps=[
                Gap(
                    now - timedelta(seconds=30), now - timedelta(seconds=20), "sentinel was stopped"
                )
            ]
        )
    )
    store.close()
    assert main(["--config", str(file), "status"]) == 3
    out = capsys.readouterr().out
    assert (
        f"saw nothing for 10.0 s at {now - timedelta(seconds=30):%H:%M:%S}Z (sentinel was stopped)"
        in out
    )


def test_faults_of_a_daemon_that_does_not_run_are_unknown(tmp_path, capsys):
    """Nobody looks: "no fault stands" would be taken for health."""
    SqliteStore(tmp_path).close()
    assert main(["--state", str(tmp_path), "faults"]) == 3
    first, *rest = capsys.readouterr().out.splitlines()
    assert first.rstrip() == "sentinel is NOT RUNNING or hangs: all below is old"
    assert "no fault stands" in " ".join(rest)
    assert main(["--state", str(tmp_path), "faults", "--json"]) == 3
    assert json.loads(capsys.readouterr().out)["running"] is False
