"""`sentinel status`: what a tired person reads first."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from functools import partial

from sentinel.cli import main
from sentinel.clock import read_moment_now
from sentinel.core.fault import Fault, StandingFault, Status
from sentinel.core.model import Incident, IncidentState
from sentinel.core.moment import write_moment
from sentinel.store import BEAT, Changes, CheckView, ComponentView, Gap
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


def test_the_worst_stands_in_the_second_line(tmp_path, capsys):
    """Who is down, who is degraded, where to go on; nothing of it where all is well."""
    store, now = SqliteStore(tmp_path), datetime.now(UTC)
    parts = [("db", "up"), ("api", "down"), ("worker", "degraded"), ("bus", "down")]
    made = [ComponentView(name, status, now, "", (), "", None, 0, "") for name, status in parts]
    store.commit(Changes(components=made, meta={BEAT: write_moment(read_moment_now())}))
    (tmp_path / "HALT").write_text("2026-11-30T11:40:00.123456+00:00 anna: deploy\n")
    assert main(["--state", str(tmp_path), "status"]) == 2
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines[1] == "down: api, bus; degraded: worker (what to do: `sentinel faults`)"
    text = "halted, no automatic action: `sentinel resume` when it is over"
    assert " ".join(lines[2:4]).startswith(f"{text} (2026-11-30 11:40:00Z anna: deploy)")
    store.commit(Changes(components=made[:1]))
    store.replace_configuration([], ["db"])
    assert main(["--state", str(tmp_path), "status"]) == 0
    assert "what to do" not in capsys.readouterr().out
    store.close()


def test_a_list_of_nothing_says_so(tmp_path, capsys):
    """No heads without rows, and no check that is called `accept`."""
    file = tmp_path / "sentinel.yaml"
    check = "{name: port, kind: tcp, component: api, address: '127.0.0.1:1'}"
    file.write_text(f"state: {tmp_path}/var\ncomponents: {{api: {{}}}}\nchecks: [{check}]\n")
    assert main(["--config", str(file), "clean", "list"]) == 0
    assert capsys.readouterr().out.startswith("no chores: ")
    assert main(["--state", str(tmp_path), "faults", "accept"]) == 64
    told = capsys.readouterr().err
    assert "nothing is named to accept" in told
    assert "`sentinel faults accept CHECK FAULT --reason TEXT`" in told
