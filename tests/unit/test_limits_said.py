"""A verdict says what it rests on: whoever breaks a limit is told by how much, and over which time.

Each fault of each kind is in one of two lists: it breaks a limit, and is made here with one that can be
recognized; or there is none to break.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import pytest

from sentinel.core.agents.progress import ProgressRules
from sentinel.core.agents.standstill import ProgressDoubts, judge_progress
from sentinel.core.agents.suspects import Suspect
from sentinel.core.bus import ledger_finding
from sentinel.core.bus.arrivals import Arrivals
from sentinel.core.bus.crosscheck import SampleVerdict
from sentinel.core.bus.dead_letter import KeyReading, PlaceLimits, PlaceStanding
from sentinel.core.bus.delivery import Anchor
from sentinel.core.bus.delivery import finding as delivery
from sentinel.core.bus.delivery.lineage import REASONS, Break
from sentinel.core.bus.delivery.presence import find_group_faults
from sentinel.core.bus.delivery.statement import describe_total
from sentinel.core.bus.pending import ConsumerRoster, ConsumerView
from sentinel.core.bus.pending_fault import find_cases, find_crowded
from sentinel.core.canary.finding import CanaryLimits, find_canary_faults
from sentinel.core.fault import Fault, Status
from sentinel.core.quantity import Bounds
from sentinel.core.servers.http import judge_answer, judge_values
from sentinel.core.servers.postgres import Lineage, PostgresLimits, judge_postgres
from sentinel.core.servers.redis import RedisLimits, judge_redis
from sentinel.core.servers.tcp import TcpLimits, judge_conversation
from sentinel.core.tasks import finding as assignment
from sentinel.core.tasks.finding import AssignmentFacts, AssignmentLimits, Minute
from sentinel.core.tasks.workflow import judge_path, judge_pause
from sentinel.probes import load_kinds
from sentinel.probes.bus_delivery import DeliveryOptions
from tests.unit.core.agents import test_mismatch as agents
from tests.unit.core.agents import test_standstill as progress
from tests.unit.core.bus import test_crosscheck_finding as crosscheck
from tests.unit.core.bus import test_pending_fault as pending
from tests.unit.core.bus.delivery import test_finding as bus
from tests.unit.core.canary import test_finding as canary
from tests.unit.core.flows import test_stuck as flows
from tests.unit.core.servers import test_http as http
from tests.unit.core.servers import test_postgres as postgres
from tests.unit.core.servers import test_process as process
from tests.unit.core.servers import test_redis as redis
from tests.unit.core.tasks import test_finding as tasks
from tests.unit.core.tasks import test_workflow as workflow

Key = tuple[str, str]
TARGET = {"unreachable", "starting", "rejected"}
"""Faults of what is asked: the error says what was waited for."""

NO_LIMIT: dict[str, set[str]] = {
    "agent_progress": {"unmapped_status", "unjudged", "skewed"},
    "bus_canary": {
        "wiped", "never_arrived", "reader_failed", "path_in_use", "no_verdict", "not_asked",
    },
    "bus_codec": {"lossy", "error", "unjudged"},
    "bus_crosscheck": {"skewed"},
    "bus_delivery": {
        "group_missing", "replica", "drops_unseen", "unjudged", "unwatched", "nothing_found",
    },
    "bus_ledger": {"unjudged"},
    "bus_pending": {
        "payload_missing", "unknown_consumers", "group_missing", "unjudged", "unwatched",
        "nothing_found",
    },
    "flows": {
        "regression", "phase_order", "worker_unknown", "no_exits", "master_initialized",
        "master_finished", "child_finished", "no_master",
        "statuses_differ",
        "tenant_missing",
        "tenant_fallback",
        "foreign_master",
        "unreadable_phase", "unmapped_status", "unjudged", "skewed",
    },
    "http": {"wrong_body", "asks_for_rest", "unjudged"},
    "postgres": {
        "checksum_failures", "collation_changed", "slot_lost", "invalid_index", "unjudged",
    },
    "process": {"not_running", "zombie", "dead", "stopped", "traced", "unjudged"},
    "redis_server": {
        "writes_refused", "failover", "restarted", "primary_lost", "evicts_streams", "save_failing",
        "log_failing", "unjudged",
    },
    "registry": {
        "none_alive", "unregistered", "zombie", "twin", "split", "uncovered",
        "uncovered_combination", "stale_file", "unmapped_status", "unreadable_heartbeat", "skewed",
        "unjudged",
    },
    "task_assignment": {"skewed", "missed"},
    "tcp": {"wrong_answer"},
    "tenant_audit": {"superuser", "hole", "weakness", "unjudged"},
    "tenant_http": {"leak", "unjudged"},
    "tenant_probe": {
        "leak", "writes", "no_tenant", "unguarded", "superuser", "left_behind", "unjudged",
    },
    "tenant_rows": {"tenant_missing", "tenant_fallback", "tenant_unknown", "unjudged"},
    "workflow_canary": {
        "enqueue", "bus_unread", "uncleaned", "foreign_row", "no_verdict", "unjudged",
    },
}  # fmt: skip
"""What is so, or was seen, however long it lasts; and what can't be judged."""

SOON = "in the last 1 min"


def of_delivery() -> list[Fault]:
    """What the window shows, what waits and pends, what is gone."""
    skip = delivery.Skip(5, 10, (5, 0), (10, 0), certain=True)
    mishaps = [delivery.note_skip("s", "g", skip)]
    mishaps += [
        delivery.note_break("s", Break(reason, "a sign", Anchor((0, 0), 0, 0.0)))
        for reason in REASONS
    ]
    made = bus.window({"s": [bus.BAD, bus.BAD]}, {("s", "g"): 3}, mishaps)
    late = replace(
        bus.STANDING,
        waiting=Bounds(3, 3),
        oldest_waiting=9.0,
        pending=4,
        overdue=4,
        oldest_pending=12.0,
    )
    gone = bus.account("h", known=("g",))
    lost = find_group_faults(bus.RULES, "t", gone)
    return delivery.find_delivery_faults(bus.RULES, made, [late], {}, lost, [])


def of_pending() -> list[Fault]:
    """One group with everything that has a limit."""
    dead, ghost = ConsumerView("d", 2, 200.0), ConsumerView("e", 0, 4000.0)
    roster = ConsumerRoster(active=1, alive="live", dead=(dead,), ghosts=(ghost, ghost))
    wrong = replace(pending.late(), roster=roster, poison=Bounds(1, 1), poison_ids={(1, 0): 9})
    limits = replace(pending.LIMITS, max_overdue=1)
    cases = [*find_cases([wrong], limits), find_crowded("s", "h", 20_001, 20_000)]
    return [case.fault for case in cases]


def of_ledger() -> list[Fault]:
    """A place beyond each of its limits."""
    readings = (KeyReading("k", 9, None, tasks.NOW - 500.0, 4, ("5-0", "9-0")),)
    standing = PlaceStanding("p", "zset", readings, tasks.NOW, 0, 4.0, Arrivals(20.0, {"s": 7}))
    return ledger_finding.find_place_faults(standing, PlaceLimits(8, 69.0, 3, 2.0, 6, 240.0))


def of_canary() -> list[Fault]:
    """Paths on which canaries end in each way."""
    limits = CanaryLimits(deadline=1.5, failures=2, of=20, down_after=3)
    found: list[Fault] = []
    for recent in (["lost", "lost"], ["late"] * 2, ["corrupt"] * 2, ["publish_error"] * 2):
        found += find_canary_faults(replace(canary.QUIET, recent=recent), limits)
    return found


def of_crosscheck() -> list[Fault]:
    """Both directions, single and mostly; and nothing measured."""
    bad = crosscheck.bad
    published, processed = map(crosscheck.missing, "abcd"), map(crosscheck.effectless, "abcd")
    lost = crosscheck.ledgers(bad(*published), bad(*processed))
    hidden = crosscheck.ledgers([(SampleVerdict.UNMEASURABLE, {})] * 3)
    return [
        fault
        for ledgers in (lost, hidden)
        for fault in crosscheck.find_crosscheck_faults(crosscheck.RULES, ledgers, ())
    ]


def of_assignment() -> list[Fault]:
    """A queue that waits, one that is late, and a tenant that starves."""
    limits = AssignmentLimits(2.0, 5.0, 0.99, 20, unfair_above=12.0, deadline=0.25)
    facts = AssignmentFacts(
        tasks.NOW,
        "public.tasks",
        waiting=[tasks.waiting(3.0)],
        minute=Minute(1, 40),
        minutes={"mail": Minute(1, 40)},
    )
    return assignment.find_faults(facts, limits)


def of_flows() -> list[Fault]:
    """As the finding tells a reason: here the reasons themselves."""
    rules = replace(flows.RULES, has_worker=True, no_worker_after=120.0)
    sight = flows.FlowSight("f", "t", "run", progress=100.0)
    found = flows.reasons(sight, rules=rules, age=3700.0, still=1900.0)
    crew = flows.Crew("agents", {"w": flows.Worker(99.0)}, 30.0)
    dead = flows.reasons(replace(sight, worker="w"), rules=replace(rules, crew=crew))
    return [Fault(key, {}, Status.DEGRADED, text) for key, text in {**dead, **found}.items()]


def of_registry() -> list[Fault]:
    """Each agent that is silent, unheard, or has a wrong clock."""
    beating = agents.census_of(agents.active("a", beat=agents.NOW + 9))
    behind = agents.census_of(agents.active("a", beat=agents.NOW - 300))
    plain = agents.compare(agents.census_of(agents.active("a")))
    return [
        agents.fault_of(plain, "ghost", "a"),
        agents.fault_of(plain, "deaf", "a"),
        agents.fault_of(plain, "orphan", "a", Suspect(count=2)),
        agents.fault_of(plain, "flapping", "a", Suspect(sample=("12 times in an hour",))),
        agents.fault_of(agents.compare(beating), "clock_ahead", "a"),
        agents.fault_of(agents.compare(behind), "clock_behind", "a"),
    ]


def of_process() -> list[Fault]:
    """Too few, too many, and too much of each."""
    limits = process.ProcessLimits(least=3, most=1, resident=1_000_000, cpu=1.25, descriptors=0.8)
    return process.judge(limits)


def of_postgres() -> list[Fault]:
    """Every level, and who answers."""
    found: list[Fault] = []
    for name, change, *_ in postgres.BAD:
        facts = {each: [record] for each, record in postgres.GOOD.items()}
        found += judge_postgres(facts | {name: [postgres.GOOD[name] | change]}, PostgresLimits())
    now = postgres.datetime(2026, 1, 1, tzinfo=postgres.UTC)
    for system, timeline in (("other", 1), ("one", 2)):
        lineage = Lineage("one", 1)
        lineage.see(system, timeline, now)
        fault = lineage.find_fault(now, 600.0)
        found += [fault] if fault is not None else []
    return found


def of_redis() -> list[Fault]:
    """Memory, clock, role, and what was counted since the last look."""
    seen = redis.look({"used_memory": "95", "role": "slave"}, offset=3.0, evicted=2, rejected=3)
    return judge_redis(seen, RedisLimits())


def of_http() -> list[Fault]:
    """Time, certificate, status and a value."""
    slow = judge_answer(
        http.API, replace(http.GOOD, seconds=9.0, certificate_left=60.0), http.LIMITS
    )
    wrong = judge_answer(http.API, replace(http.GOOD, status=500), http.LIMITS)
    value = judge_values(http.API, http.BodyExpectation("$.n", max=7.5), [("$['n']", 9)])
    return [*slow, *wrong, *value]


def of_tcp() -> list[Fault]:
    """A slow one."""
    return list(judge_conversation("h:1", 0.7, b"", TcpLimits(connect=0.25)))


def of_workflow() -> list[Fault]:
    """Failures of the last ones, so many in a row, and a pause that was forgotten."""
    failing = judge_path("0", workflow.ends("late assigned", "late assigned"), [], workflow.RULE)
    never = judge_path("0", workflow.ends(*["stuck started"] * 3), [], workflow.RULE)
    return [*failing, *never, *judge_pause("0", "f", 1.0, workflow.NOW)]


def of_progress() -> list[Fault]:
    """At work, and finished nothing."""
    rules = ProgressRules(
        stalled_after=540, spending_after=480, spending_limit=None, repeats=3, cycle=1
    )
    still = progress.sight("a")
    memories = {"a": progress.waiting(still, 600.0)}
    return list(judge_progress([still], memories, rules, ProgressDoubts()).faults)


SAID: dict[Callable[[], Sequence[Fault]], dict[Key, list[str]]] = {
    of_delivery: {
        ("bus_delivery", "waiting"): ["longer than 5.0 s"],
        ("bus_delivery", "overdue"): ["in 10.0 s"],
        ("bus_delivery", "below_target"): [SOON, "in 10.0 s", "less than 50 %"],
        ("bus_delivery", "lost"): [SOON],
        ("bus_delivery", "skipped"): [SOON],
        ("bus_delivery", "group_lost"): ["told for 1 h"],
        **{("bus_delivery", delivery.MISHAP_OF[reason]): [SOON] for reason in REASONS},
    },
    of_pending: {
        ("bus_pending", "overdue"): ["1 min after publishing", "tolerated: 1"],
        ("bus_pending", "poison"): ["more than 5 times"],
        ("bus_pending", "dead_consumer"): ["tolerated: 1 min 40 s"],
        ("bus_pending", "ghost_consumers"): ["more than 1 h ago", "tolerated: 1"],
        ("bus_pending", "too_many_consumers"): ["more than the 20,000"],
    },
    of_ledger: {
        ("bus_ledger", "too_many"): ["more than 8"],
        ("bus_ledger", "too_old"): ["more than 1 min 9 s"],
        ("bus_ledger", "overdue"): ["more than 3"],
        ("bus_ledger", "growing"): ["over the last 4 min", "more than 2"],
        ("bus_ledger", "arrivals"): ["within the last 20.0 s", "more than 6"],
    },
    of_canary: {
        ("bus_canary", key): ["of the last 2", "from 2 failures of 20 on"]
        for key in ("lost", "late", "corrupt", "publish_refused")
    },
    of_crosscheck: {
        ("bus_crosscheck", "producer_missing"): ["within 10.0 s"],
        ("bus_crosscheck", "acked_without_effect"): ["30.0 s later"],
        ("bus_crosscheck", "mostly_unpublished"): ["of the last 5 min", "from 50 % on"],
        ("bus_crosscheck", "mostly_without_effect"): ["of the last 5 min", "from 50 % on"],
        ("bus_crosscheck", "unjudged"): ["of the last 5 min"],
    },
    of_assignment: {
        ("task_assignment", "unassigned"): ["(limit 2.0 s)", "longer than 2.0 s"],
        ("task_assignment", "late"): ["the last minute", "in 250 ms", "objective 99 %"],
    },
    of_flows: {
        ("flows", "overdue"): ["the limit is 1 h"],
        ("flows", "no_progress"): ["(limit 30 min)"],
        ("flows", "full_but_open"): ["(limit 1 min)"],
        ("flows", "no_worker"): ["(limit 2 min)"],
        ("flows", "worker_dead"): ["(limit 30.0 s)"],
    },
    of_registry: {
        ("registry", "ghost"): ["(limit 1 min)"],
        ("registry", "deaf"): ["(limit 30.0 s)"],
        ("registry", "orphan"): ["(limit 1 min)"],
        ("registry", "flapping"): ["in an hour", "(limit 10)"],
        ("registry", "clock_ahead"): ["(limit 2.0 s)"],
        ("registry", "clock_behind"): ["(limit 1 min)"],
    },
    of_process: {
        ("process", "too_few"): ["at least 3"],
        ("process", "too_many"): ["at most 1"],
        ("process", "memory"): ["more than 976.6 KiB"],
        ("process", "cpu"): ["more than 1.25"],
        ("process", "files"): ["more than 80 %"],
    },
    of_postgres: {
        ("postgres", "xid_age"): ["of 2.1e+09", "more than 1.2e+09"],
        ("postgres", "mxid_age"): ["more than 1.2e+09"],
        ("postgres", "connections_short"): ["more than 85 %"],
        ("postgres", "lock_wait"): ["more than 30.0 s"],
        ("postgres", "long_transaction"): ["more than 1 h"],
        ("postgres", "idle_in_transaction"): ["more than 5 min"],
        ("postgres", "vacuum_held_back"): ["more than 5e+07"],
        ("postgres", "replication_lag"): ["more than 1 min"],
        ("postgres", "replay_late"): ["more than 1 min"],
        ("postgres", "slot_retains"): ["more than 18.6 GiB"],
        ("postgres", "archiver_failing"): ["more than 15 min"],
        ("postgres", "other_cluster"): ["told for 10 min"],
        ("postgres", "failover"): ["told for 10 min"],
    },
    of_redis: {
        ("redis_server", "memory_short"): ["90 % or more"],
        ("redis_server", "clock_off"): ["more than 1.0 s"],
        ("redis_server", "wrong_role"): ["expected master"],
        ("redis_server", "evicted"): ["since the last look"],
        ("redis_server", "connections_rejected"): ["since the last look"],
    },
    of_http: {
        ("http", "slow"): ["more than 2.0 s"],
        ("http", "certificate"): ["less than 14 d"],
        ("http", "wrong_status"): ["expected 200, 204"],
        ("http", "wrong_value"): ["not at most 7.5"],
    },
    of_tcp: {("tcp", "slow"): ["more than 250 ms"]},
    of_workflow: {
        ("workflow_canary", "hop_failing"): ["of the last 2", "limit of the path: 2 of 5"],
        ("workflow_canary", "never_through"): ["limit of the path: 3 in a row"],
        ("workflow_canary", "paused"): ["limit 1 h"],
    },
    of_progress: {
        ("agent_progress", "no_progress"): ["9 min"],
    },
}
"""What a fault must say: its limit, and its window where it has one."""
TOLD_ELSEWHERE: set[Key] = {
    ("flows", "second_overdue"),  # as `overdue`, of the second status
    ("agent_progress", "repeated_step"),  # tests/unit/core/agents/test_standstill.py
    ("agent_progress", "spending"),
    ("task_assignment", "starved"),  # tests/unit/core/tasks/test_finding.py
}


def list_declared() -> set[Key]:
    """Every fault of every kind, but those of whatever is asked."""
    return {
        (kind.name, fault.key)
        for kind in load_kinds().values()
        for fault in kind.faults
        if fault.key not in TARGET
    }


def list_said() -> set[Key]:
    """Every fault that is made here."""
    return {key for words in SAID.values() for key in words}


def test_every_fault_has_a_limit_or_none() -> None:
    """A new one belongs into one of the lists."""
    free = {(kind, key) for kind, keys in NO_LIMIT.items() for key in keys}
    assert free & list_said() == set()
    assert free | list_said() | TOLD_ELSEWHERE == list_declared()


@pytest.mark.parametrize("make", SAID, ids=lambda make: make.__name__)
def test_whoever_breaks_a_limit_says_it(make: Callable[[], Sequence[Fault]]) -> None:
    """And over which time it was counted."""
    found = {fault.key: fault.text for fault in make()}
    for (_, key), words in SAID[make].items():
        missing = [word for word in words if word not in found[key]]
        assert not missing, (key, found[key], missing)


@pytest.mark.parametrize("make", SAID, ids=lambda make: make.__name__)
def test_a_sentence_is_about_its_own_subject(make: Callable[[], Iterable[Fault]]) -> None:
    """It never speaks of all of them where it has a subject."""
    for fault in make():
        assert not fault.subject or "all streams" not in fault.text
        assert not fault.subject or "in all" not in fault.text


def test_a_line_names_its_scope_when_it_changes_it() -> None:
    """What is wrong with one stream, then the figures of all: over which time they were counted."""
    late, *_ = of_delivery()
    account = {"published": 907, "lost": [0, 3], "ratio": [1.0, 1.0], "ratio_delivered": [1.0, 1.0]}
    line = describe_total(DeliveryOptions().deadlines, account, [late], measured=True)
    assert line == (
        f"{late.text}; all streams since the watch began: 907 published, 100 % acknowledged in"
        " 5.0 s; 0 to 3 lost"
    )
