"""The recovery report of a period over the whole platform, and what it says of people, risks, data and
time that nobody saw.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from sentinel.core.component.incident import Event
from sentinel.core.fault import Fault, StandingFault, Status
from sentinel.core.model import Attempt, Incident, IncidentState, Transition
from sentinel.core.moment import Moment, write_moment
from sentinel.errors import UsageError
from sentinel.probes import load_kinds
from sentinel.reports import ReportRequest
from sentinel.reports.figures import RecoveryFacts
from sentinel.reports.figures.measure import SINCE_WATCH_BEGAN
from sentinel.reports.figures.risk import DISK, FILES, NOT_LOOKED_AT
from sentinel.reports.paper.collect import collect
from sentinel.reports.paper.render import render
from sentinel.reports.recovery import recovery_facts
from sentinel.store import BEAT, FORGOTTEN, Changes, Gap, Sample
from sentinel.store.document import write_instant
from sentinel.store.folder import DiskSpace, read_disk
from sentinel.store.sqlite import SqliteStore
from tests.unit.reports.conftest import at, check, component, row

WAL = "wal_position_bytes"


def told(store: SqliteStore, now: float, **asked: object) -> RecoveryFacts:
    request = ReportRequest(kinds=load_kinds(), **asked)  # type: ignore[arg-type]
    return recovery_facts(store, at(now), request)


def test_a_period_tells_all_its_incidents(incident_store: SqliteStore) -> None:
    """Those that lasted within it, with their times; the timeline is that of all of them."""
    api = Incident("I2", "api", at(300), IncidentState.OPEN, Status.DOWN, "api refuses")
    before = Incident(
        "I0", "bus", at(-900), IncidentState.CLOSED, Status.DOWN, "old", closed=at(-800)
    )
    opened = ("I2", at(300), Event("opened", "it refuses"), {})
    incident_store.commit(Changes(incidents=[api, before], events=[opened]))
    facts = told(incident_store, 1200, began=at(-60))
    assert [(one.id, one.recovery.low) for one in facts.episodes] == [("I1", 90), ("I2", None)]
    assert facts.headline == "2 incidents in 21 min, 1 not closed."
    assert facts.next_update == at(1200 + 1800)
    assert [line.text for line in facts.timeline if line.at == at(300)] == ["api: it refuses"]
    assert [line.at for line in facts.timeline] == sorted(line.at for line in facts.timeline)
    assert [act.component for act in facts.actions] == ["agent-1"]


def test_a_quiet_period_is_told_all_the_same(incident_store: SqliteStore) -> None:
    """No incident is a result, and what was up is named as not affected."""
    facts = told(incident_store, 1200, began=at(800), ended=at(1100))
    assert facts.headline == "No incident in 5 min: nothing happened that sentinel saw."
    assert sorted(facts.unaffected) == ["agent-1", "bus"]
    text = render("recovery", collect(incident_store, "recovery", at(1200), asked(800)), ("md",))
    assert "can't be mistaken for health" in text.texts["md"]


def asked(began: float) -> ReportRequest:
    return ReportRequest(began=at(began))


def test_an_empty_period_is_refused(incident_store: SqliteStore) -> None:
    """One error says which way round it must be."""
    with pytest.raises(UsageError, match="is empty"):
        told(incident_store, 1200, began=at(1300))


@pytest.mark.parametrize("how", ["stopped", "gap", "before", "forgotten", "dropped"])
def test_no_uptime_is_claimed_for_what_nobody_saw(incident_store: SqliteStore, how: str) -> None:
    """Half of the hour sentinel was down, blind, not begun or has forgotten: half is unobserved."""
    wanted: dict[str, object] = {"began": at(0), "ended": at(3600)}
    if how == "stopped":
        beat = write_moment(Moment(at(1800), "", None))
        incident_store.commit(Changes(meta={"stopped": "x", BEAT: beat}))
    elif how == "gap":
        incident_store.commit(Changes(gaps=[Gap(at(1800), at(3600), "stalled")]))
    elif how == "before":
        wanted = {"began": at(-7200 - 1800), "ended": at(-7200 + 1800)}
    elif how == "dropped":  # whatever the configuration says since, also where nobody can read it
        incident_store.commit(Changes(meta={FORGOTTEN: write_instant(at(1800))}))
        wanted["remembered"] = 86400.0
    else:
        wanted["remembered"] = 1800.0
    facts = told(incident_store, 3600, **wanted)
    for uptime in facts.uptime:
        assert uptime.unobserved >= 1800
        assert uptime.up + uptime.degraded + uptime.down <= 1800
    assert any("nobody observed" in line for line in facts.summary)


@pytest.mark.parametrize(
    ("ended", "basis"),
    [(1300, "since the watch began, until 2026-03-01 12:20:00 UTC"), (1100, SINCE_WATCH_BEGAN)],
)
def test_a_period_in_which_the_watch_began(
    incident_store: SqliteStore, ended: float, basis: str
) -> None:
    """Counters that began at zero in it are all of it, if nothing was counted after it."""
    facts = told(incident_store, 1300, began=at(-8000), ended=at(ended))
    twice = next(each for each in facts.impact if each.name == "canaries duplicated")
    assert (twice.low, twice.basis) == (2, basis)


def test_people_and_sentinel_are_told_apart(incident_store: SqliteStore) -> None:
    """Notes and orders of people; what chores did by themselves is no person's work."""
    incident_store.add_audit(at(20), "ada", "restart", "bus", "by hand")
    incident_store.add_audit(at(21), "sentinel", "clean", "trim", "10 entries")
    incident_store.add_audit(at(5000), "ada", "halt", "", "later")
    note = ("I1", at(30), Event("note", "bob: pulled the cable"), {"by": "bob"})
    incident_store.commit(Changes(events=[note]))
    people = told(incident_store, 1200).people
    assert [(act.by, act.action, act.detail) for act in people] == [
        ("ada", "restart", "by hand"),
        ("bob", "note", "pulled the cable"),
    ]


def add_fault(store: SqliteStore) -> None:
    """One that stands."""
    lost = Fault("lost", {"stream": "a"}, Status.DOWN, "7 lost", cure=("XINFO STREAM a",))
    store.commit(Changes(faults=[StandingFault("bus-delivery", "bus", lost, at(1), Status.DOWN)]))


def test_a_fault_has_priority_owner_and_command(incident_store: SqliteStore) -> None:
    """Pending ones come first, each with who answers for it and what to type."""
    lost = Fault("lost", {"stream": "a"}, Status.DOWN, "7 lost", cure=("XINFO STREAM a",))
    idle = Fault("idle_in_transaction", {"process": "7"}, Status.DEGRADED, "idles")
    faults = [
        StandingFault("bus-delivery", "bus", lost, at(1), Status.DOWN, ended=at(50)),
        StandingFault("database", "db", idle, at(2), Status.DEGRADED),
    ]
    views = [check("database", "postgres", "db")]
    incident_store.commit(Changes(faults=faults, checks=views))
    facts = told(incident_store, 1200, owners={"bus": "team bus"})
    first, second = facts.faults
    assert (first.priority, first.owner) == ("ticket", "")
    assert first.command == "sentinel runbook run database-degraded"
    assert (second.priority, second.owner, second.command) == ("page", "team bus", "XINFO STREAM a")


def test_the_runbook_of_a_fault_is_that_of_its_incident(incident_store: SqliteStore) -> None:
    """What its incident shows, else what the configuration has for it, else what its kind has."""
    idle = Fault("idle_in_transaction", {"process": "7"}, Status.DEGRADED, "idles")
    faults = [StandingFault("database", "db", idle, at(2), Status.DEGRADED)]
    views = [check("database", "postgres", "db")]
    incident_store.commit(Changes(faults=faults, checks=views))

    def command(**more: object) -> str:
        (fault,) = told(incident_store, 1200, began=at(-60), **more).faults
        return fault.command

    def find(*named: str) -> str:
        assert named == ("database", "idle_in_transaction")
        return "of-the-check"

    assert command() == "sentinel runbook run database-degraded"
    assert command(find_runbook=find) == "sentinel runbook run of-the-check"
    incident = Incident(
        "I7", "db", at(2), IncidentState.OPEN, Status.DEGRADED, "idles", "database",
        fault="idle_in_transaction", runbook="of-the-incident",
    )  # fmt: skip
    incident_store.commit(Changes(incidents=[incident]))
    assert command(find_runbook=find) == "sentinel runbook run of-the-incident"


def database(store: SqliteStore, before: float, after: float, timeline: float = 1) -> None:
    """A database whose log is read before the incident and after it."""
    samples = [
        Sample(at(-30), "database", WAL, {"server": "db"}, before),
        Sample(at(-30), "database", "timeline", {"server": "db"}, 1),
    ]
    rows = [row({"server": "db"}, timeline=timeline, wal_position_bytes=after)]
    store.commit(Changes(samples=samples, checks=[check("database", "postgres", "db", rows=rows)]))


@pytest.mark.parametrize(
    ("after", "timeline", "lost"),
    [(0x2000, 1, ""), (0x800, 1, "went back by 2,048"), (0x2000, 2, "another history")],
    ids=["goes on", "went back", "failover"],
)
def test_data_loss_of_a_database(
    incident_store: SqliteStore, after: float, timeline: float, lost: str
) -> None:
    """A log that went back, or another timeline, is a loss; one that went on is none."""
    database(incident_store, 0x1000, after, timeline)
    facts = told(incident_store, 1200)
    log = {each.name: each for each in facts.positions}
    assert (log["write-ahead log"].before, log["write-ahead log"].after) == (0x1000, after)
    verdicts = "; ".join(each.verdict for each in facts.positions)
    assert (lost in verdicts) if lost else "is lost" not in verdicts
    assert log["transactions committed"].verdict == "not measured before it began"
    text = render("recovery", collect(incident_store, "recovery", at(1200)), ("md",)).texts["md"]
    assert f"0/1000 before, 0/{after:X} after" in text


def test_what_is_close_to_a_limit(incident_store: SqliteStore) -> None:
    """The nearest first; what is not measured is said; a limit of 0 is none."""
    rows = [
        row({"server": "db"}, connections_used=90.0, connections_usable=97.0),
        row({"server": "db", "sequence": "public.a"}, sequence_used_ratio=0.99),
        row({"server": "db", "db": "x"}, xid_age=1000.0),
    ]
    bus = row({"server": "bus"}, memory_used_bytes=5.0, memory_limit_bytes=0.0)
    views = [
        check("database", "postgres", "db", rows=rows),
        check("server", "redis_server", "bus", rows=[bus]),
    ]
    incident_store.commit(Changes(checks=views))
    table = told(incident_store, 1200).risks
    assert [(each.name, each.subject) for each in table.close] == [
        ("sequences", "sequence public.a"),
        ("connections", ""),
    ]
    assert "transaction ids" in table.far
    assert {"certificate", "memory", DISK, NOT_LOOKED_AT} <= set(table.unmeasured)


@pytest.mark.parametrize(
    ("disk", "close"),
    [
        (DiskSpace(81, 100, 5, 10), [(DISK, 19.0)]),
        (DiskSpace(79, 100, 9, 10), [(FILES, 1.0)]),
        (DiskSpace(1, 100), []),
    ],
)
def test_the_disk_of_the_state_is_a_risk(
    incident_store: SqliteStore, disk: DiskSpace, close: list[tuple[str, float]]
) -> None:
    """Bytes and files; a disk without a limit of files has none to come near to."""
    table = told(incident_store, 1200, disk=disk).risks
    assert [(each.name, each.left) for each in table.close] == close
    assert DISK not in table.unmeasured


def test_the_disk_is_looked_at(tmp_path: Path) -> None:
    """As the system tells it; of a folder that is not there nothing."""
    seen, disk = read_disk(tmp_path), shutil.disk_usage(tmp_path)
    assert seen is not None
    assert seen.whole == disk.total
    assert 0 < seen.used < seen.whole
    assert read_disk(tmp_path / "none") is None


def test_targets_and_escalation(incident_store: SqliteStore) -> None:
    """What is missed is said; a step is reached by the oldest open incident."""
    steps = ((60.0, "on-call"), (6000.0, "head"))
    opened = Incident("I2", "api", at(300), IncidentState.OPEN, Status.DOWN, "api refuses")
    incident_store.commit(Changes(incidents=[opened]))
    facts = told(incident_store, 1200, escalation=steps, target_per_hour=1000.0)
    assert [(step.who, step.since) for step in facts.escalation] == [
        ("on-call", at(300)),
        ("head", None),
    ]
    (target,) = facts.targets
    assert (target.met, target.actual.low) == (False, pytest.approx(600 * 3600 / 8400))


def test_a_target_that_nobody_measures_is_not_met(store: SqliteStore) -> None:
    """Nor missed: it is not known."""
    facts = told(store, 1200, began=at(0), target_per_hour=1000.0)
    assert [(each.met, each.actual.low) for each in facts.targets] == [(None, None)]


def test_summary_is_made_of_the_figures(incident_store: SqliteStore) -> None:
    """Each number of it stands in a table of the same report."""
    changes = [Transition("bus", "component", Status.UP, Status.DEGRADED, at(10), "slow")]
    changes.append(replace(changes[0], before=Status.DEGRADED, after=Status.UP, at=at(40)))
    incident_store.commit(Changes(transitions=changes))
    lines = told(incident_store, 1200, began=at(0), ended=at(600)).summary
    assert lines[0].startswith("agent-1 was down 1 min 20 s; bus was degraded 20.0 s.")
    assert any("messages lost before they were read 7 to 11" in line for line in lines)
    assert any(line.startswith("Sentinel acted once (1 succeeded)") for line in lines)


def act(store: SqliteStore, incident: str, when: float) -> None:
    """One restart for an incident of agent-1."""
    store.claim_attempt(Attempt(incident, 9, "agent-1", "restart", "down", at(when)))


def test_an_act_for_another_incident_is_no_response(incident_store: SqliteStore) -> None:
    """The second incident of a component has a response of its own, or none."""
    again = Incident("I2", "agent-1", at(900), IncidentState.OPEN, Status.DOWN, "it died again")
    incident_store.commit(Changes(incidents=[again]))
    facts = told(incident_store, 1200, began=at(-60))
    assert [one.response.low for one in facts.episodes] == [5, None]
    act(incident_store, "I2", 930)
    facts = told(incident_store, 1200, began=at(-60))
    assert [one.response.low for one in facts.episodes] == [5, 30]


def test_acts_before_and_after_a_period_are_of_others(incident_store: SqliteStore) -> None:
    """The incident lasted into it; what was done for it before the period is not told as of it."""
    facts = told(incident_store, 1200, began=at(60), ended=at(300))
    assert [one.id for one in facts.episodes] == ["I1"]
    assert not facts.actions
    assert not any(line.startswith("Sentinel acted") for line in facts.summary)


def test_an_open_incident_is_ill_for_as_long_as_somebody_looked(
    incident_store: SqliteStore,
) -> None:
    """Sentinel stopped at 12:10: what came after it is unobserved, not down."""
    down = Transition("agent-1", "component", Status.UP, Status.DOWN, at(300), "died")
    view = component("agent-1", "down", since=at(300))
    opened = Incident("I2", "agent-1", at(300), IncidentState.OPEN, Status.DOWN, "it died again")
    meta = {"stopped": "x", BEAT: write_moment(Moment(at(600), "", None))}
    changes = Changes(transitions=[down], incidents=[opened], components=[view], meta=meta)
    incident_store.commit(changes)
    (episode,) = (one for one in told(incident_store, 1200, began=at(0)).episodes if one.id == "I2")
    assert (episode.spent.down, episode.spent.unobserved) == (300, 600)


def test_a_total_that_went_back_is_none_since_the_watch_began(incident_store: SqliteStore) -> None:
    """Without a reading before the period its gain is not known, and its total is of a part only."""
    readings = [
        Sample(at(when), "bus-canary", "duplicates", {"path": "0"}, value)
        for when, value in ((600, 9), (660, 1))
    ]
    incident_store.commit(Changes(samples=readings))
    facts = told(incident_store, 1200, began=at(0))
    twice = next(each for each in facts.impact if each.name == "canaries duplicated")
    assert (twice.low, "went back" in twice.basis) == (None, True)


def test_the_summary_of_one_incident_says_since_when_it_counts(incident_store: SqliteStore) -> None:
    """Uptime is told over a day: an earlier failure is in it, and must not look like this one."""
    facts = told(incident_store, 1200)
    assert facts.period is not None
    since = f"Since {facts.period.began:%Y-%m-%d %H:%M:%S} UTC, other failures included: "
    assert facts.summary[0].startswith(since)


def test_what_happens_at_the_end_of_a_period_is_of_the_next(incident_store: SqliteStore) -> None:
    """Two reports, one after the other, tell an act once."""
    periods = ((-60, 5), (5, 60))
    both = [told(incident_store, 1200, began=at(a), ended=at(b)) for a, b in periods]
    assert [len(facts.actions) for facts in both] == [0, 1]
