"""`sentinel status`: what a tired person reads first."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from functools import partial

from sentinel.cli import main
from sentinel.core.fault import Fault, StandingFault, Status
from sentinel.core.model import Incident, IncidentState
from sentinel.store import Changes, CheckView, Gap
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


def test_an_incident_says_what_to_do(tmp_path, capsys):
    """Cause, obstacle, who is wrong, runbook: each command as it can be pasted."""
    now = datetime.now(UTC)
    fault = Fault("ghost", {"agent": "a"}, Status.DOWN, "a is silent")
    other = Fault("late", {"queue": "q"}, Status.DEGRADED, "q is late")
    view = partial(
        CheckView, kind="tcp", status="down", soft="down", since=now, detail="", key=None,
        guidance="", evidence={}, rows=[], runs=1, every=5.0, last_run=now, duration=0.1,
        outcome="ok", quality="observed", trace_id="t", runbook="", flapping=False,
    )  # fmt: skip
    incident = Incident(
        "i-1", "agents", now, IncidentState.OPEN, Status.DOWN, "a is silent", "registry",
        exhausted=True, runbook="process-down",
    )  # fmt: skip
    store = SqliteStore(tmp_path)
    store.commit(
        Changes(
            checks=[
                view(name="registry", component="agents"),
                view(name="tasks", component="assignment"),
            ],
            faults=[
                StandingFault("registry", "agents", fault, now, fault.status),
                StandingFault("tasks", "assignment", other, now, other.status),
            ],
            incidents=[incident],
        )
    )
    store.close()
    assert main(["--state", str(tmp_path), "incident", "show", "i-1"]) == 0
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert "root cause: agents, found by registry" in lines
    assert any("`sentinel reset agents --reason repaired`" in line for line in lines)
    assert "runbook: sentinel runbook run process-down --incident i-1" in lines
    assert "who is wrong: sentinel faults --component agents" in lines
    main(["--state", str(tmp_path), "faults", "--component", "agents"])
    out = capsys.readouterr().out
    assert "a is silent" in out
    assert "q is late" not in out
    assert main(["--state", str(tmp_path), "faults", "--component", "agnets"]) == 64
    assert "known: agents, assignment" in capsys.readouterr().err
