"""What is to be reached, as it is written: evidence, claims, needs, the gate."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from sentinel.config import load
from sentinel.config.progress import MAX_CIRCLES
from sentinel.core.progress.plan import EvidenceKind
from sentinel.errors import ConfigurationError

PLAN = """
resources:
  api: {http: "http://127.0.0.1:80"}
  database: {postgres: "postgresql://127.0.0.1/shop"}
components:
  api: {resource: api, owner: team api}
checks:
  - {name: port, kind: tcp, component: api, address: "127.0.0.1:80"}
progress: {every: 1m, seed: 7, trials: 100}
tracks:
  back: {title: Back end, agents: ["agent-*"], owner: ada}
milestones:
  schema:
    track: back
    evidence: {checklist: {file: plan.md, heading: Schema}}
    due: 2026-12-24
    estimate: {low: 1d, high: 2d}
  rows:
    track: back
    needs: [schema]
    evidence: {sql: {resource: database, query: "select 1, 2"}}
    claimed: {percent: 60%, at: 2026-03-01, by: bob}
  agents:
    track: back
    evidence:
      json: {file: agents.json, path: "$.agents[*].status", done: [complete], written: $.timestamp}
readiness:
  - {name: port open, check: port}
  - {name: no outage, no_fault: {check: port, fault: unreachable}}
  - {name: schema, milestone: schema, waive: {reason: later, by: ada, until: 2026-12-31}}
reports:
  - {kind: progress, cron: "0 8 * * *", to: [log]}
"""


def test_a_plan(tmp_path: Path) -> None:
    """Every key has its effect; files begin at the folder; a day ends with its last second."""
    (tmp_path / "all.yaml").write_text(PLAN)
    configuration = load(tmp_path)
    plan = configuration.plan
    assert (plan.every, plan.seed, plan.trials) == (60.0, 7, 100)
    assert plan.tracks["back"].agents == ("agent-*",)
    assert plan.needs == {"schema": (), "rows": ("schema",), "agents": ()}
    schema, rows, agents = plan.milestones.values()
    assert schema.evidence is not None
    assert (schema.evidence.subject, schema.evidence.detail) == (
        str(tmp_path / "plan.md"),
        "Schema",
    )
    assert schema.due == datetime(2026, 12, 25, tzinfo=UTC)
    assert schema.estimate == (86400.0, 2 * 86400.0)
    assert rows.claim is not None
    assert (rows.claim.ratio, rows.claim.by) == (0.6, "bob")
    assert agents.evidence is not None
    assert (agents.evidence.done, agents.evidence.written) == (("complete",), "$.timestamp")
    kinds = [each.evidence.kind for each in plan.requirements]
    assert kinds == [EvidenceKind.CHECK, EvidenceKind.NO_FAULT, EvidenceKind.MILESTONE]
    assert plan.requirements[2].waiver is not None
    assert configuration.components[0].owner == "team api"
    assert configuration.reports[0].to == ("log",)


def test_milestones_may_stand_in_several_files(tmp_path: Path) -> None:
    """As components may; a name that is given twice names both places."""
    (tmp_path / "all.yaml").write_text(PLAN)
    more = "milestones:\n  late: {track: back, needs: [rows], claimed: {percent: 0%, at: 2026-03-01}}\n"
    (tmp_path / "more.yaml").write_text(more)
    assert list(load(tmp_path).plan.milestones)[-1] == "late"


def test_circles_without_end(tmp_path: Path) -> None:
    """A graph in which all need all has thousands of circles: some are told, and soon."""
    names = [f"m{i}" for i in range(30)]
    rows = "".join(
        f"  {name}: {{track: back, needs: [{', '.join(names)}], evidence: {{check: port}}}}\n"
        for name in names
    )
    (tmp_path / "all.yaml").write_text(f"""
components: {{api: {{}}}}
checks: [{{name: port, kind: tcp, component: api, address: "127.0.0.1:80"}}]
tracks: {{back: {{}}}}
milestones:
{rows}""")
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path)
    assert len(caught.value.problems) == MAX_CIRCLES


def test_an_objective_is_evidence(tmp_path: Path) -> None:
    """Of a milestone and of a requirement; one that nobody configured is a problem of its place."""
    text = """
components: {api: {}}
checks: [{name: port, kind: tcp, component: api, address: "127.0.0.1:80"}]
objectives: [{name: reach, check: port, sli: up, target: 99%, window: 1d}]
tracks: {back: {}}
milestones: {m: {track: back, evidence: {objective: reach}}}
readiness: [{name: r, objective: reach}]
"""
    (tmp_path / "all.yaml").write_text(text)
    plan = load(tmp_path).plan
    assert plan.milestones["m"].evidence == plan.requirements[0].evidence
    (tmp_path / "all.yaml").write_text(text.replace("r, objective: reach", "r, objective: rich"))
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path)
    assert [each.key for each in caught.value.problems] == ["readiness[0].objective"]
