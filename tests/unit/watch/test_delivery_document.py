"""What the watch over deliveries wrote down before faults had subjects is read: no figure begins
anew. The document was written by that version against a real server: 100 entries to group_2, 40
acknowledged, 13 pending, 37 trimmed unread; 10 to group_b, whose stream was deleted then.
"""

from __future__ import annotations

import json
from pathlib import Path

from sentinel.core.bus.delivery import Bounds
from sentinel.core.bus.delivery.fleet import Totals
from sentinel.core.bus.delivery.window import Share
from sentinel.probes.bus_delivery import DeliveryOptions, DeliveryState
from sentinel.watch.delivery_census import TurnOrder

DOCUMENT = json.loads((Path(__file__).parent / "delivery-before-faults.json").read_text())
OPTIONS = DeliveryOptions.model_validate(
    {"streams": {"include": ["agent_messages:*"], "exclude": ["*:dlq"]}, "deadline": "20ms"}
)


def load(document) -> DeliveryState:
    state = DeliveryState(json.loads(json.dumps(document)))
    state.open(OPTIONS)
    return state


def test_accounts_of_the_version_before_go_on():
    """Every figure of both groups, the counters of the gone stream included."""
    watch = load(DOCUMENT).watch
    assert watch is not None
    found = watch.accounts["agent_messages:agent-2"].account_of("group_2")
    assert (found.published, found.waiting, found.pending) == (100, Bounds(10, 10), Bounds(13, 13))
    assert found.lost == Bounds(0, 37)
    assert found.acknowledged == Bounds(40, 77)
    gone = watch.accounts["agent_messages:b"]
    assert (gone.present, gone.resets["gone"]) == (False, 1)
    assert gone.groups["group_b"].settled["acked"] == 10
    assert watch.nature.capability.family == "rank-b"
    assert not watch.nature.note
    assert watch.census.absent == {"agent_messages:b"}
    assert watch.reader.drops.seen is None


def test_the_window_of_the_version_before_keeps_its_share():
    """Sums without names go on; nothing is lost anew because of the restart."""
    state = load(DOCUMENT)
    assert state.window.whole == Share(110, Bounds(50, 87))
    assert state.losses.known == {}


def test_what_is_written_now_says_the_same():
    """Written and read once more, accounts and counters are equal to what the old document says."""
    again = json.loads(json.dumps(load(load(DOCUMENT).dump()).dump()))
    assert again["version"] == DOCUMENT["version"]
    for part in ("retired", "absent", "patterns", "capability", "server"):
        assert again["watch"][part] == DOCUMENT["watch"][part], part
    assert again["watch"]["departed"] == [*DOCUMENT["watch"]["departed"], 0]
    assert again["watch"]["drops"][1:3] == DOCUMENT["watch"]["drops"][1:]
    for name, text in DOCUMENT["watch"]["accounts"].items():
        now, before = json.loads(again["watch"]["accounts"][name]), json.loads(text)
        for part in ("anchors", "cohorts", "gap", "present", "totals", "resets", "now", "unseen"):
            assert now[part] == before[part], part
        for group, known in before["groups"].items():
            for part in ("base", "delivered", "high", "bounds", "closed", "settled", "counted"):
                assert now["groups"][group][part] == known[part], part


def test_what_the_version_before_counted_proves_nothing_now():
    """It did not watch whether groups were made or moved: everything may have happened since, and
    reads count from the next look on.
    """
    account = load(DOCUMENT).watch.accounts["agent_messages:agent-2"]
    assert account.view is not None
    assert account.view.moves == account.view.creations == account.view.forces == -1
    assert account.calls == account.view.calls
    assert account.groups["group_2"].reads.surplus is None


def test_losses_known_before_a_restart_are_no_news():
    """What was certainly lost in an earlier life is in the book when the watch begins."""
    document = json.loads(json.dumps(DOCUMENT))
    accounts = document["watch"]["accounts"]
    account = json.loads(accounts["agent_messages:agent-2"])
    account["groups"]["group_2"]["counted"] = [25, 12, 0]
    accounts["agent_messages:agent-2"] = json.dumps(account)
    state = load(document)
    assert state.losses.known == {"agent_messages:agent-2": {"group_2": 25}}
    watched = state.watch
    assert watched is not None
    name = "agent_messages:agent-2"
    assert state.losses.take(name, watched.accounts[name]) == {}


def test_counters_of_retired_streams_survive():
    """Streams that were let go stay in the sums."""
    state = load(DOCUMENT)
    books = state.watch.books
    books.let_go(OPTIONS.naming, "agent_messages:b")
    assert "agent_messages:b" in books.take_moved()
    totals = Totals.load(json.loads(json.dumps(state.dump()))["watch"]["retired"])
    assert totals.groups["agent_messages:*", "group_b"]["acked"] == 10
    assert books.retired.figures.published == 10


def test_streams_take_turns():
    """All when there is room, else the next ones, round and round; who comes or goes begins anew."""
    turns = TurnOrder()
    names = ["a", "b", "c", "d", "e"]
    assert turns.take(names, 5) == [b"a", b"b", b"c", b"d", b"e"]
    seen = [turns.take(names, 2) for _ in range(3)]
    assert seen == [[b"a", b"b"], [b"c", b"d"], [b"e", b"a"]]
    turns.reset()
    assert turns.take([*names, "f"], 6)[-1] == b"f"
