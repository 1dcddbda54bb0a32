"""The mapping of tables of flows: the example of the documents, what it reads, what is refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from sentinel.core.flows.evidence import WorkSigns
from sentinel.core.flows.phase import LogKeys
from sentinel.probes.flows import FlowsOptions
from sentinel.watch.flow_mapping import ChildMapping, TableMapping

DOCUMENT = Path(__file__).parents[3] / "docs" / "platforms.md"


def example() -> dict[str, Any]:
    """The check of the documents, without what every check has."""
    (text,) = re.findall(r"```yaml\n(name: flows\n.*?)```", DOCUMENT.read_text(), re.S)
    return {
        key: value for key, value in yaml.safe_load(text).items() if key not in ("name", "kind")
    }


def test_the_example_of_the_documents_is_valid() -> None:
    """And means what it says beside it."""
    options = FlowsOptions.model_validate(example())
    master, child = options.sources
    assert master.table.log_keys == LogKeys("phase", "", "timestamp", "UTC")
    assert (master.table.zone, master.table.tenant) == ("UTC", "client_account_id")
    assert child.signs == WorkSigns(
        frozenset({"running"}), progress=0.0, flags=["state->ui->started"]
    )
    assert (child.rows.table, child.rows.join) == ("migration.tasks", "flow_id")
    assert child.table.done == ["completed", "skipped"]
    assert child.table.second_terminal == ["aborted", "done"]
    assert {"tenant_missing", "tenant_fallback", "foreign_master", "statuses_differ"} < set(
        options.reasons
    )


def mapping(**options: Any) -> TableMapping:
    return TableMapping.model_validate({"table": "flows", **options})


def test_what_proves_work_where_nobody_says() -> None:
    """Progress and phases where they are mapped, else the status; never in the initial one."""
    unbegun = frozenset({"new"})
    assert mapping(initial="New").signs == WorkSigns(unbegun=unbegun, by_status=True)
    by_progress = WorkSigns(unbegun=unbegun, progress=0.0, phases=["a"])
    assert mapping(initial="new", progress="done", phase_flags=["a"]).signs == by_progress
    assert mapping(initial="new", phase_flags=["a"]).signs == WorkSigns(
        unbegun=unbegun, phases=["a"]
    )


def test_the_statement_that_shows_a_flow_quotes_its_names() -> None:
    """Odd names stay one identifier; what is run by hand has no doubled percent signs."""
    shown = mapping(table='odd"s.fl%ows', id="i%d").show
    assert shown == 'SELECT * FROM "odd""s"."fl%ows" WHERE "i%d"::text = '


def test_logs_fit_into_memory_however_many_flows() -> None:
    """16 KiB each for thousands, less for a hundred thousand."""
    for flows, size in ((5000, 16 * 1024), (100_000, 838)):
        (source,) = FlowsOptions(table="flows", max_flows=flows).sources
        assert source.table.log_bytes == size


def test_children_in_the_masters_table_have_its_mapping() -> None:
    """Only the join and what proves their work are their own; their flags are read with the rows."""
    flags = {"flags": ["b", "a"]}
    options = FlowsOptions(
        table="flows",
        progress="p",
        tenant="t",
        children=[ChildMapping(table="flows", join=["m"], begun_when=flags)],
    )
    master, child = options.sources
    assert (master.table.begun, child.table.begun, child.is_own) == (["a", "b"], ["a", "b"], True)
    assert child.signs == WorkSigns(flags=["b", "a"])
    assert options.tables == [options]


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({"done": ["x"]}, "done: the values of phase_flags, of which there are none"),
        ({"second_status": {"column": "status"}}, "second_status: status is the status itself"),
        ({"second_status": {"column": "s", "conflicts": [{"status": []}]}}, "at least 1 item"),
        ({"zone": "Mars/Olympus"}, "unknown time zone"),
        ({"phase_log": {"column": "log", "zone": "Nowhere"}}, "unknown time zone"),
        ({"phase_log": "log"}, "valid dictionary"),
        ({"fallback_tenants": ["x"]}, "name the column of the tenant"),
        ({"alarms_per_week": 0}, "must be from 7/30 to 100"),
        ({"alarms_per_week": 101}, "must be from 7/30 to 100"),
        ({"children": [{"table": "c", "join": ["m"], "begun_when": {}}]}, "names no evidence"),
        (
            {"children": [{"table": "c", "join": ["m"], "begun_when": {"progress": 1}}]},
            "name the column of it in progress",
        ),
        (
            {"children": [{"table": "flows", "join": ["m"], "tenant": "t"}]},
            "whose mapping holds: drop tenant",
        ),
        ({"begun_when": {"progress": 1}}, "Extra inputs"),
    ],
)
def test_what_would_have_no_effect_is_refused(wrong: dict[str, Any], problem: str) -> None:
    """At the door, with what to do."""
    with pytest.raises(ValidationError, match=problem):
        FlowsOptions.model_validate({"table": "flows", **wrong})
