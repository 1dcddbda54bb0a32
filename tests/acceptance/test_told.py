"""Chaos is told at receivers that are there: once, with its subject, a runbook and a link, and with its
end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sentinel.demo.chaos import load_scenarios
from sentinel.demo.servers import free_port
from tests.acceptance.conftest import ROOT, RUNS, DemoRun, copy_pack, finish, start_demo
from tests.acceptance.injected import Traces, names_any
from tests.acceptance.receivers import Document, Receivers, Told

STANDS = {"crash-loop": ["opened", "exhausted"], "poison-message": ["opened"]}
"""What is told of a scenario that stands until a person does something."""

SECONDS = dict.fromkeys(("evict-stream", "lose-messages", "slow-assigner"), "120s")
"""A run of a scenario whose fault stands for a while after it is over."""


def assert_told(traces: Traces, run: DemoRun) -> Sequence[Document]:
    """What the webhook was told of the scenario's incident: rightly. Nothing at all of what healed
    before anybody was told, and nothing of what is bad because of it while it is.
    """
    incident, documents = traces.incident, run.told.documents
    about = [each for each in documents if each["affair"] == incident.id]
    assert len({each["key"] for each in documents}) == len(documents)
    if not incident.announced:
        assert about == []
        return about
    opened, *more = about
    assert opened["event"] == "opened"
    assert [each["event"] for each in more].count("opened") == 0
    assert any(names_any(each["text"], traces.injected) for each in about), about
    assert {each["runbook"] for each in about} <= {path.stem for path in RUNBOOKS}
    assert all(each["link"].endswith(f"/incident/{incident.id}") for each in about)
    assert f"acknowledge: sentinel incident ack {incident.id}" in opened["text"]
    effects = {
        each.id
        for each in traces.store.incidents(limit=1000)
        if incident.component in {each.blocked_by, each.root_cause}
    }
    until = (incident.recovered or datetime.max.replace(tzinfo=UTC)).isoformat()
    early = [each for each in documents if each["at"] < until]
    assert not {each["affair"] for each in early} & effects
    return about


RUNBOOKS = list((ROOT / "runbooks").glob("*.md"))


@pytest.mark.parametrize("scenario", ["tenant-leak", "stuck-flow", "redis-down"])
def test_a_webhook_is_told_of_a_scenario(
    demo_runs: dict[str, DemoRun], scenario: str, tmp_path: Path
) -> None:
    """In the runs that other tests have, too."""
    run = next(demo_runs[name] for name, (_, chaos) in RUNS.items() if scenario in chaos)
    traces = Traces(run, scenario, tmp_path)
    about = assert_told(traces, run)
    traces.store.close()
    assert [each["event"] for each in about] == ["opened", "recovered"]


@pytest.mark.nightly
@pytest.mark.timeout(400)
@pytest.mark.parametrize("scenario", sorted(load_scenarios()))
def test_every_receiver_is_told_of_each_scenario(scenario: str, tmp_path: Path) -> None:
    """Webhook, mail and Alertmanager: one affair, the same words, and the same end."""
    receivers = Receivers(tmp_path / "alertmanager")
    receivers.start()
    program = copy_pack(tmp_path / "packs", receivers.write_channels())
    process = start_demo(
        SECONDS.get(scenario, "75s"), [scenario], tmp_path / "demo",
        listen=f"127.0.0.1:{free_port()}", hook=receivers.hook, program=program,
    )  # fmt: skip
    run = replace(finish(process, tmp_path / "demo"), told=receivers.stop())
    assert run.code == 0, run.stderr
    traces = Traces(run, scenario, tmp_path)
    about = assert_told(traces, run)
    traces.store.close()
    if not about:
        assert (run.told.documents, run.told.mails, run.told.alerts) == ([], [], [])
        assert run.restarts(traces.injected.component)
        return
    ends = STANDS.get(scenario, ["opened", "recovered"])
    assert [each["event"] for each in about] == ends
    assert_mailed(run.told, about)
    assert_alerted(run.told, about, stands=scenario in STANDS)


def assert_mailed(told: Told, about: Sequence[Document]) -> None:
    """One mail for each document, with its title, runbook and link."""
    link, mails = about[0]["link"], told.mails
    mine = [each for each in mails if link in each.get_content()]
    assert [each["Subject"].strip() for each in mine] == [each["title"] for each in about]
    assert len({each["Message-ID"] for each in mails}) == len(mails)
    assert len({each["References"] for each in mine}) == 1
    for mail, document in zip(mine, about, strict=True):
        assert f"runbook: {document['runbook']}" in mail.get_content()


def assert_alerted(told: Told, about: Sequence[Document], *, stands: bool) -> None:
    """Alertmanager keeps one alert, and forgets it at the recovery and not before."""
    mine = [each for each in told.alerts if each["labels"]["incident"] == about[0]["affair"]]
    assert {each["labels"]["component"] for each in mine} == {about[0]["component"]}
    assert all(each["annotations"]["runbook"] for each in mine)
    assert {each["generatorURL"] for each in mine} == {about[0]["link"]}
    assert len({each["fingerprint"] for each in mine}) == 1
    ends = [each["status"] for each in mine]
    assert ends.count("resolved") == (0 if stands else 1)
    assert "firing" in ends
