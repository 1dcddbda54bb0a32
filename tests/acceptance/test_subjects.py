"""Who was broken is who is named, wherever sentinel speaks of it: each scenario × each place.

What was injected stands in the chaos ledger of the run; nothing of it is repeated here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from sentinel.core.fault import Labels
from sentinel.demo.chaos import load_scenarios
from tests.acceptance.conftest import RUNS, DemoRun
from tests.acceptance.injected import Injected, Traces, names_all, names_any
from tests.acceptance.onlooker import identify

# -- the six places -------------------------------------------------------------------------------


def _in_the_finding(traces: Traces) -> None:
    """Each subject has one fault, nobody else has, each sentence names its own; so does the check's
    line.
    """
    injected = traces.injected
    found = [each.fault for each in traces.faults]
    for subject, names in zip(injected.subjects, injected.names, strict=True):
        texts = [fault.text for fault in found if subject.items() <= fault.subject.items()]
        assert texts, (subject, found)
        assert all(names_all(text, names) for text in texts), texts
    assert all(_is_injected(fault.subject, injected) for fault in found), found
    assert {each.component for each in traces.faults} == {injected.component}
    changes = traces.store.transitions(since=traces.began, subject=injected.check)
    assert any(names_any(change.reason, injected) for change in changes), changes


def _in_the_headline(traces: Traces) -> None:
    """At some time the incident says it in its first line."""
    assert any(names_any(text, traces.injected) for text in traces.headlines), traces.headlines


def _in_the_runbook(traces: Traces) -> None:
    """The runbook hears of a subject and of what else it needs, and its diagnosis names one."""
    injected = traces.injected
    wanted = [{**subject, **injected.told}.values() for subject in injected.subjects]
    heard = [set(given.values()) for given in (*traces.told, traces.plan)]
    assert any(given.issuperset(each) for given in heard for each in wanted), (wanted, heard)
    lines = traces.store.timeline(traces.incident.id)
    said = [str(line.evidence["transcript"]) for line in lines if line.kind == "diagnosis"]
    if not traces.incident.announced:  # it healed before anybody was told: nobody had a look
        said.append(" ".join(traces.plan.values()))
    assert any(names_any(text, injected) for text in said), said or lines


def _in_the_list_of_faults(traces: Traces) -> None:
    """The API lists each subject with its sentence, and the command lists what the API does."""
    injected, seen = traces.injected, traces.run.seen
    mine = [each for each in seen.faults.values() if _is_of(each, injected)]
    for subject, names in zip(injected.subjects, injected.names, strict=True):
        shown = [each for each in mine if subject.items() <= each["subject"].items()]
        assert shown, (subject, mine)
        assert all(names_all(each["text"], names) for each in shown)
        assert all(each["component"] == injected.component for each in shown)
    assert seen.listed
    for before, said, after in seen.listed:
        standing = _identities(before, injected) & _identities(after, injected)
        assert standing <= _identities(said, injected)


def _in_the_metrics(traces: Traces) -> None:
    """As many subjects as were broken, and as many entries as the ledger has."""
    injected = traces.injected
    series = (injected.check, injected.component, injected.fault)
    assert traces.run.seen.most.get(series) == len(injected.subjects)
    if injected.count is not None:
        counts = [each.fault.count for each in traces.faults]
        assert {(each.lo, each.hi) for each in counts if each} == {(injected.count,) * 2}


def _in_the_report(traces: Traces) -> None:
    """Every subject by its name, and what was wrong with it in the check's own sentence."""
    for names in traces.injected.names:
        assert names_all(traces.report, names), (names, traces.report)
    texts = [each.fault.text for each in traces.faults]
    assert any(text in traces.report for text in texts), (texts, traces.report)


PLACES = {
    "finding": _in_the_finding,
    "headline": _in_the_headline,
    "runbook": _in_the_runbook,
    "faults": _in_the_list_of_faults,
    "metrics": _in_the_metrics,
    "report": _in_the_report,
}


def _is_injected(subject: Labels, injected: Injected) -> bool:
    return any(each.items() <= subject.items() for each in injected.subjects)


def _is_of(fault: Mapping[str, Any], injected: Injected) -> bool:
    return (fault["check"], fault["fault"]) == (injected.check, injected.fault)


def _identities(document: Mapping[str, Any], injected: Injected) -> set[str]:
    return {identify(each) for each in document["faults"] if _is_of(each, injected)}


# -- the table ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def traces(
    demo_runs: dict[str, DemoRun], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Traces]]:
    """What a scenario left behind, read once."""
    known: dict[str, Traces] = {}
    folder = tmp_path_factory.mktemp("reports")

    def find(scenario: str) -> Traces:
        if scenario not in known:
            name = next(name for name, (_, chaos) in RUNS.items() if scenario in chaos)
            known[scenario] = Traces(demo_runs[name], scenario, folder)
        return known[scenario]

    yield find
    for each in known.values():
        each.store.close()


@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize("scenario", sorted(load_scenarios()))
def test_who_was_broken_is_who_is_named(
    traces: Callable[[str], Traces], scenario: str, where: str
) -> None:
    """The table: twelve scenarios, six places."""
    PLACES[where](traces(scenario))
