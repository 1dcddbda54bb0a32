"""The truth module on hand-made ledgers, and the ledger itself."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sentinel.demo.chaos import ACTIONS, find_scenario, load_scenarios
from sentinel.demo.ledger import Ledger, read_ledgers
from sentinel.demo.truth import Look, add_pings, assignment, decide, delivery, follow, gather_tasks
from sentinel.errors import UsageError

STREAM, GROUP = "agent_messages:a", "group_a"
ALWAYS = (float("-inf"), float("inf"))


def ids(count: int) -> list[tuple[str, str]]:
    """Publication and stream id of `count` entries published at 1, 2, 3 … s."""
    return [(f"p#{n}", f"{n}000-0") for n in range(1, count + 1)]


def test_pings_of_the_monitor_are_messages() -> None:
    """One that waits is published and waiting, one that was read is counted by its reader;
    strangers stay foreign.
    """
    records = [received(("sentinel#a:1", "1000-0")), *acked(("sentinel#a:1", "1000-0"), 1.0, 1.1)]
    live = {
        "sentinel#a:1": (STREAM, "1000-0"),
        "sentinel#a:2": (STREAM, "2000-0"),
        "?3000-0": (STREAM, "3000-0"),
    }
    look, fates = Look(live, frozenset()), follow(records)
    add_pings(fates, look)
    decide(fates, fates, look)
    found = delivery(fates, look, 2.0, 0.0, ALWAYS)
    assert (found["published"], found["acknowledged"], found["waiting"], found["foreign"]) == (
        2,
        1,
        1,
        1,
    )


def published(count: int) -> list[dict[str, Any]]:
    intents = [[name, "m"] for name, _ in ids(count)]
    return [
        {"event": "publish_intent", "t": 0.0, "stream": STREAM, "publications": intents},
        {"event": "published", "t": 0.0, "stream": STREAM, "entries": ids(count)},
    ]


def received(*entries: tuple[str, str]) -> dict[str, Any]:
    return {
        "event": "received",
        "t": 0,
        "stream": STREAM,
        "entries": [[name, publication] for publication, name in entries],
    }


def acked(
    entry: tuple[str, str], sent: float, done: float | None, removed: int = 1, again: bool = False
) -> list[dict[str, Any]]:
    facts = {"stream": STREAM, "group": GROUP, "publication": entry[0], "id": entry[1]}
    intent = {"event": "ack_intent", "t": sent, **facts}
    return (
        [intent]
        if done is None
        else [intent, {"event": "acked", "t": done, "removed": removed, "again": again, **facts}]
    )


def figures(
    records: list[dict[str, Any]], look: Look | None = None, deadline: float = 2, blur: float = 0
) -> dict[str, Any]:
    fates = follow(records)
    if look is not None:
        decide(fates, follow(records), look)
    return delivery(fates, look, deadline, blur, ALWAYS)


def test_ratio_spans_the_acknowledgement_and_the_blur() -> None:
    """In time for sure by the confirmation; perhaps in time by the intent and the blur."""
    one, two, three, _four = ids(4)
    records = [
        *published(4),
        received(one, two, three),
        *acked(one, 1.1, 1.2),
        *acked(two, 3.9, 4.1),
        *acked(three, 5.5, 5.6),
    ]
    assert figures(records)["ratio"] == [0.25, 0.5]
    assert figures(records, blur=0.5)["ratio"] == [0.25, 0.75]
    assert figures([])["ratio"] == [0.0, 1.0]


def test_every_entry_has_exactly_one_outcome() -> None:
    """published = acknowledged + pending + waiting + dropped + lost."""
    one, two, three, four, _ = ids(5)
    gone = {"event": "lost", "t": 0, "stream": STREAM, "entries": [[four[1], four[0]]]}
    records = [
        *published(5),
        received(one, two, three),
        *acked(one, 1, 1),
        *acked(three, 3, 3, removed=0),
        gone,
    ]
    found = figures(records)
    assert (found["acknowledged"], found["pending"], found["waiting"], found["dropped"]) == (
        1,
        1,
        1,
        1,
    )
    assert (found["published"], found["lost"]) == (5, [1, 1])


def test_repeated_acknowledgement_that_removes_nothing_is_one() -> None:
    """XACK was sent again because its reply was lost: 0 removed the second time is no drop."""
    one = ids(1)[0]
    assert (
        figures([*published(1), received(one), *acked(one, 1, 4, removed=0, again=True)])[
            "acknowledged"
        ]
        == 1
    )


def test_doubt_is_counted_without_a_look_and_decided_by_one() -> None:
    """An intent alone is in doubt; a live entry proves it, nothing left behind refutes it."""
    one, two = ids(2)
    records = published(2)[:1]
    assert (figures(records)["published"], figures(records)["in_doubt"]) == (0, 2)
    found = figures(records, Look({one[0]: (STREAM, one[1])}, frozenset()))
    assert (found["published"], found["waiting"], found["in_doubt"]) == (1, 1, 0)
    assert figures([*records, received(two)])["published"] == 1


def test_unconfirmed_acknowledgement_is_decided_by_the_pending_list() -> None:
    """Still pending: the XACK never ran. Not pending any more: it did."""
    one = ids(1)[0]
    records = [*published(1), received(one), *acked(one, 1.5, None)]
    live = {one[0]: (STREAM, one[1])}
    assert figures(records)["in_doubt"] == 1
    assert figures(records, Look(live, frozenset({(STREAM, one[1])})))["pending"] == 1
    found = figures(records, Look(live, frozenset()))
    assert (found["acknowledged"], found["ratio"]) == (1, [0.0, 1.0])


def test_vanished_entries_are_lost_or_dropped() -> None:
    """Not in the stream and never received: lost. Received, not pending, not acknowledged: dropped."""
    two = ids(2)[1]
    found = figures([*published(2), received(two)], Look({}, frozenset()))
    assert (found["lost"], found["dropped"]) == ([1, 1], 1)


def test_entry_newer_than_the_look_is_not_judged_by_it() -> None:
    """Published after the look: absent from it, and not lost."""
    fates = follow(published(1))
    decide(fates, {}, Look({}, frozenset()))
    assert delivery(fates, Look({}, frozenset()), 2, 0, ALWAYS)["lost"] == [0, 0]


def test_refused_and_foreign_streams_do_not_count() -> None:
    """A refused publish added nothing; dead letters are another bus."""
    records = [*published(1)[:1], {"event": "publish_refused", "t": 0, "publication": "p#1"}]
    other = [{**record, "stream": "dead_letter_queue"} for record in published(3)]
    assert figures(records + other)["published"] == figures(records + other)["in_doubt"] == 0


def test_window_is_half_open() -> None:
    """[since, until) by the time of the publish."""
    fates = follow(published(4))
    assert delivery(fates, None, 2, 0, (2.0, 4.0))["published"] == 2


def test_assignment_counts_open_tasks_by_their_age() -> None:
    """100 ms is within; an open task enters the p99 with its age; a created row in doubt is not
    counted.
    """
    records = [
        {"event": "task_intent", "tasks": ["a", "b", "c", "d"]},
        {"event": "task_created", "tasks": [["a", 1_000_000], ["b", 1_000_000], ["c", 2_000_000]]},
        {"event": "assigned", "tasks": [["a", 1_000_000, 1_100_000], ["b", 1_000_000, 1_100_001]]},
    ]
    found = assignment(gather_tasks(records), ALWAYS, now=9.0)
    assert found == {
        "total": 3,
        "within_100ms": 1,
        "unassigned": 1,
        "p99_seconds": 7.0,
        "in_doubt": 1,
    }
    assert assignment(gather_tasks([]), ALWAYS, now=9.0)["p99_seconds"] is None


def test_torn_last_line_was_never_written(tmp_path: Path) -> None:
    """What SIGKILL cut short is ignored; every whole line is there, in order."""
    ledger = Ledger(tmp_path, "agent-1")
    ledger.write("received", entries=[])
    ledger.close()
    path = next((tmp_path / "ledgers").iterdir())
    with path.open("a") as file:
        file.write('{"event":"acked"')
    assert [record["event"] for record in read_ledgers(tmp_path)] == ["started", "received"]


def test_publications_are_unique_over_incarnations(tmp_path: Path) -> None:
    """Two incarnations of one component never name a publish alike."""
    names = [Ledger(tmp_path, "load").next_publication() for _ in range(2)]
    assert len(set(names)) == 2


def test_every_scenario_has_an_action_and_an_expectation() -> None:
    """The catalogue is complete and whole."""
    catalogue = load_scenarios()
    assert set(catalogue) == {
        "crash-agent", "crash-orchestrator", "crash-loop", "wedge-agent", "slow-assigner", "poison-message",
        "lose-messages", "evict-stream", "stuck-flow", "tenant-leak", "redis-down", "postgres-down",
    }  # fmt: skip
    for scenario in catalogue.values():
        assert scenario.action in ACTIONS
        assert scenario.expect
        assert scenario.description


def test_unknown_scenario_names_the_known_ones() -> None:
    """The guidance lists what there is."""
    with pytest.raises(UsageError) as caught:
        find_scenario("crash-everything")
    assert "crash-agent" in caught.value.guidance


def test_a_scenario_can_have_other_times() -> None:
    """As long as the word after the colon says, later by the one after @; what happens once does
    not last.
    """
    own, other = find_scenario("redis-down"), find_scenario("redis-down:70s@20s")
    assert (own.start, own.duration) == (5.0, 8.0)
    assert (other.start, other.duration) == (20.0, 70.0)
    assert find_scenario("crash-agent@1m").start == 60.0
    wrong = {
        "crash-agent:70s": "happens once",
        "redis-down:long": "no duration",
        "redis-down@": "no",
    }
    for text, word in wrong.items():
        with pytest.raises(UsageError, match=word):
            find_scenario(text)


def test_components_import_nothing_of_the_monitor() -> None:
    """The platform's processes stay lean and independent of what watches them."""
    code = "import json, sys, sentinel.demo.{0}; print(json.dumps([m for m in sys.modules]))"
    for module in ("agent", "orchestrator", "api", "load"):
        loaded = set(
            json.loads(subprocess.check_output([sys.executable, "-c", code.format(module)]))
        )
        ours = {name for name in loaded if name.startswith("sentinel.")}
        allowed = {
            "sentinel.core",
            "sentinel.core.fault",
            "sentinel.core.fault.value",
            "sentinel.core.fault.loss",
            "sentinel.core.quantity",
            "sentinel.core.model",
            "sentinel.core.moment",
            "sentinel.core.moment.instant",
            "sentinel.core.moment.zone",
            "sentinel.errors",
            "sentinel.demo",
        }
        assert {name for name in ours - allowed if not name.startswith("sentinel.demo.")} == set()
        assert not {"pydantic", "yaml", "structlog"} & loaded
