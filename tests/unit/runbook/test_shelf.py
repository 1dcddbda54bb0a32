"""Every fault, every alert and every state has its runbook, and every runbook is for something."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from sentinel.app.runbooks.places import known_faults
from sentinel.cli import build_parser
from sentinel.core.agents.progress import REASONS as PROGRESS_REASONS
from sentinel.core.agents.suspects import KINDS as REGISTRY_KINDS
from sentinel.core.bus.pending_fault import ORDER
from sentinel.core.bus.smell import SMELLS
from sentinel.core.remediation.restart import Reason
from sentinel.core.tasks.synthetic import HOPS, TaskOutcome
from sentinel.core.tenants.hole import RULES
from sentinel.probes import load_kinds
from sentinel.probes.flows import REMEDIES as FLOW_REASONS
from sentinel.runbook.book import CONDITIONS, AppliesTo, Argv, LookAt, RedisCommand, Runbook
from sentinel.runbook.read import read_runbooks
from sentinel.runbook.shelf import Shelf, read_shelf
from sentinel.runbook.supply import find_unsupplied

ROOT = Path(__file__).parents[3]
SHELF = read_shelf(ROOT / "runbooks")
FAULTS = known_faults()
PACKS = sorted((ROOT / "checks").rglob("*.yaml"))
PASSING = {"act", "not_down", "settling", "busy", "startup_grace", "daemon_grace", "backoff"}
"""Reasons that are no trouble, or pass by themselves within a minute or so."""
ALERTS = {
    rule["alert"]: rule
    for name in ("components", "sentinel", "objectives")
    for group in yaml.safe_load((ROOT / f"dashboards/rules/{name}.yml").read_text())["groups"]
    for rule in group["rules"]
    if "alert" in rule and "sloth_id" not in rule["labels"]
}
"""Those of faults lead where their kind says, those of one objective where it is configured."""


def _checks() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in PACKS:
        document = yaml.safe_load(path.read_text())
        for check in document if isinstance(document, list) else document.get("checks", []):
            yield path.name, check


def text_of(name: str) -> str:
    """Everything that a person reads of a runbook."""
    return "\n".join(SHELF.books[name].sections.values())


def books_of(kind: str) -> set[str]:
    """The runbooks that the faults of a kind declare."""
    return {fault.runbook for fault in FAULTS[kind].values()}


def test_every_fault_has_its_runbook() -> None:
    """What a kind declares as the runbook of a fault is a file, and is what is found for it."""
    declared = [(kind, fault) for kind, faults in FAULTS.items() for fault in faults.values()]
    for kind, fault in declared:
        assert fault.runbook in SHELF.books, f"{kind}/{fault.key}"
        found = SHELF.find_for_fault(kind, fault.key, "any", fault.runbook)
        assert found == fault.runbook, f"{kind}/{fault.key} declares {fault.runbook!r}"


def test_shipped_parameters_are_given() -> None:
    """Each value that a shipped runbook takes from a fault is declared by a fault that leads to it."""
    assert find_unsupplied(SHELF, FAULTS, {}) == []


def test_shipped_runbooks_leave_faults_to_the_kinds() -> None:
    """Which fault has which runbook stands in one place: beside the fault."""
    assert [book.name for book in SHELF.books.values() if book.applies_to.faults] == []


def test_runbooks_that_checks_name_exist() -> None:
    """Each `runbook:` of the shipped packs and examples is a runbook."""
    named = [
        (file, check["name"], check["runbook"]) for file, check in _checks() if "runbook" in check
    ]
    assert named
    assert [each for each in named if each[2] not in SHELF.books] == []


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_names_one(alert: str) -> None:
    """The link of an alert leads to a runbook, and that one says it is for this alert."""
    name = ALERTS[alert]["annotations"]["runbook_url"].rpartition("/")[2]
    assert name == SHELF.find_for_alert(alert)
    assert alert in SHELF.books[name].applies_to.alerts


@pytest.mark.parametrize("reason", sorted({reason.value for reason in Reason} - PASSING))
def test_every_reason_not_to_act_has_one(reason: str) -> None:
    """Whatever keeps sentinel from acting for longer than a moment has a runbook."""
    assert reason in CONDITIONS
    assert SHELF.find_for_condition(reason) in SHELF.books


def test_every_condition_has_one() -> None:
    """Each state of sentinel itself has a runbook, too."""
    assert SHELF.list_conditions().keys() == set(CONDITIONS)


@pytest.mark.parametrize("name", sorted(SHELF.books))
def test_every_runbook_is_for_something(name: str) -> None:
    """Each runbook can be reached: by a fault, a state or an alert; and what it claims to be for
    exists.
    """
    applies = SHELF.books[name].applies_to
    reached = any(name in books_of(kind) for kind in FAULTS)
    assert reached or applies.conditions or applies.alerts
    assert set(applies.alerts) <= ALERTS.keys()


def _takes_option(model: Any, path: list[str]) -> bool:
    """Whether an option of this name can be written there."""
    field = model.model_fields.get(path[0])
    if field is None or not path[1:]:
        return field is not None
    inner = [field.annotation, *get_args(field.annotation)]
    return any(hasattr(each, "model_fields") and _takes_option(each, path[1:]) for each in inner)


def test_sources_exist() -> None:
    """Each kind and option from which a shipped runbook takes a value is one."""
    kinds = load_kinds()
    sources = {
        (book.name, source)
        for book in SHELF.books.values()
        for parameter in book.parameters
        for source in parameter.sources
    }
    for book, source in sources:
        what, *path = source.split(".")
        if what in {"kind", "option", "component"}:
            assert path[0] in kinds, f"{book}: {source}"
        if what == "option":
            assert _takes_option(kinds[path[0]].options, path[1:]), f"{book}: {source}"


def _first_cells(text: str) -> Iterator[str]:
    """The words in the first column of tables whose heading is `fault`."""
    inside = False
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split(" | ")]
        if not line.startswith("|"):
            inside = False
        elif cells[0] == "fault":
            inside = True
        elif inside and not line.startswith("|---"):
            yield from cells[0].split(", ")


@pytest.mark.parametrize("name", sorted(SHELF.books))
def test_tables_of_faults_name_faults(name: str) -> None:
    """Each word below `fault` in a runbook is a fault that exists; and all that lead to this
    runbook from the kind that a table is about are in it.
    """
    keys = {key for faults in FAULTS.values() for key in faults}
    said = set(_first_cells(text_of(name)))
    assert said <= keys
    for faults in FAULTS.values():
        leading = {key for key, fault in faults.items() if fault.runbook == name}
        own = leading - {"threshold", "unreachable", "starting", "rejected"}
        if own & said:
            assert own - said == set()


def test_faults_stand_in_tables() -> None:
    """Whoever comes from a fault finds it by its key in the runbook to which it leads."""
    led = {fault.runbook for faults in FAULTS.values() for fault in faults.values()}
    assert {name for name in led if not any(_first_cells(text_of(name)))} == set()


def test_file_is_named_as_the_runbook() -> None:
    """`runbooks/NAME.md` has the runbook NAME."""
    assert {Path(book.source).stem for book in SHELF.books.values()} == set(SHELF.books)


CODES = ("OOM", "READONLY", "MASTERDOWN", "MISCONF", "NOREPLICAS", "BUSY", "CLUSTERDOWN", "LOADING", "NOAUTH",
         "WRONGPASS", "NOPERM", "max number of clients")  # fmt: skip
CLASSES = {
    "bus_pending": set(ORDER),
    "registry": set(REGISTRY_KINDS),
    "flows": set(FLOW_REASONS),
    "agent_progress": set(PROGRESS_REASONS),
    "bus_codec": set(SMELLS) | {"lossy", "error"},
    "bus_crosscheck": {"producer_missing", "acked_without_effect"},
    "bus_canary": {"late", "lost", "corrupt", "publish_error", "duplicate", "orphan", "unknown", "wiped"},
    "bus_delivery": {"recreated", "rollback", "xsetid", "gone", "lost before read", "waiting", "pending overdue"},
    "redis_server": set(CODES) | {"evicted", "RDB save", "AOF writes", "role is", "clock differs"},
    "postgres": {"checksum", "wraparound", "collation", "connections used", "lock", "archiving", "slot", "standby",
                 "idle in transaction", "VACUUM", "invalid index", "prepared", "57P03", "recovery"},
    "process": {"zombie", "SIGSTOP", "memory", "cores", "open files", "not running"},
    "http": {"status", "certificate", "not JSON", "took", "contain", "503/429", "budget"},
    "tcp": {"refused", "no answer in time", "expected", "own limit"},
    "tenant_probe": {"without any tenant", "row-level security is not", "control failed", "SET LOCAL leaves behind",
                     "can write rows", "run as superuser", "before anybody sets it"},
    "tenant_http": {"marker of tenant B", "control failed", "not signed in", "is no refusal"},
    "tenant_audit": set(RULES),
    "tenant_rows": {"without a tenant", "fallback tenant", "does not exist"},
    "workflow_canary": {outcome.value for outcome in TaskOutcome if outcome is not TaskOutcome.OK} | set(HOPS),
    "bus_ledger": {"growth", "overdue", "age", "depth"},
    "task_assignment": {"negative latency", "time zone", "pg_monitor", "capabilit"},
}  # fmt: skip


@pytest.mark.parametrize("kind", CLASSES)
def test_every_class_of_finding_is_explained(kind: str) -> None:
    """Each word that a finding of a kind can say stands in the text of a runbook for that kind."""
    texts = "\n".join(text_of(name) for name in books_of(kind))
    assert {word for word in CLASSES[kind] if word.lower() not in texts.lower()} == set()


HYPHENATED = {"resetchannels", "http-header", "max-deleted-entry-id", "last-delivered-id", "min-replicas-to-write",
              "stop-writes-on-bgsave-error", "maxmemory-policy", "latency-monitor-threshold", "last-id"}  # fmt: skip


def test_texts_mention_what_exists() -> None:
    """Each `name-with-hyphens` in a text is a runbook, a check of the demo, or a word of a server."""
    checks = {check["name"] for _, check in _checks()} | {"agent-progress", "workflow-canary"}
    words = {
        (book.name, word)
        for book in SHELF.books.values()
        for word in re.findall(r"`([a-z]+(?:-[a-z0-9]+)+)`", "\n".join(book.sections.values()))
    }
    assert {w for w in words if w[1] not in {*SHELF.books, *checks, *HYPHENATED}} == set()


def _commands(parser: argparse.ArgumentParser, path: str = "") -> Iterator[str]:
    for action in parser._subparsers._group_actions if parser._subparsers else ():
        for name, child in (action.choices or {}).items():
            yield f"{path}{name}"
            yield from _commands(child, f"{path}{name} ")


def test_texts_mention_commands_that_exist() -> None:
    """Each `sentinel …` in a text is a command."""
    known = set(_commands(build_parser()))
    parents = {command.split()[0] for command in known if " " in command}
    said = {
        (book.name, found)
        for book in SHELF.books.values()
        for found in re.findall(
            r"`sentinel ([a-z]+(?: [a-z]+)?)", "\n".join(book.sections.values())
        )
    }
    assert said
    wrong = {
        (book, c)
        for book, c in said
        if (c if c.split()[0] in parents else c.split()[0]) not in known
    }
    assert wrong == set()


@pytest.mark.parametrize("name", sorted(SHELF.books))
def test_shipped_runbooks_run_anywhere(name: str) -> None:
    """Every check, resource, table and column is a parameter, and no name of a platform is a
    default: what nobody tells is not guessed.
    """
    book = SHELF.books[name]
    assert [p.name for p in book.parameters if p.default and p.type != "int"] == []
    assert book.applies_to.components == ()
    for step in book.steps:
        for act in (step.run, step.precondition, step.verify):
            if act is not None and not isinstance(act, Argv | LookAt):
                assert re.search(r"\{[a-z_]+\}", str(act)) or str(act).startswith(
                    ("action halt", "action resume")
                ), act
    assert any(not step.changes for step in book.steps)


@pytest.mark.parametrize("name", sorted(SHELF.books))
def test_changes_are_last_and_guarded(name: str) -> None:
    """A runbook looks before it acts, acts once, and a restart or reset is verified."""
    book = SHELF.books[name]
    changing = [step for step in book.steps if step.changes]
    assert len(changing) <= 1
    assert changing in ([], [book.steps[-1]])
    for step in changing:
        assert step.precondition is not None or str(step.run).startswith(
            ("action resume", "action reset")
        )
        assert step.verify is not None or not str(step.run).startswith("action restart")


def test_own_runbooks_come_first(tmp_path: Path) -> None:
    """A runbook of the platform replaces the shipped one of its name, and is chosen before others
    of its kind.
    """
    shipped = (ROOT / "runbooks" / "api-failing.md").read_text()
    (tmp_path / "api-failing.md").write_text(shipped.replace("title: An HTTP", "title: Our HTTP"))
    ours = shipped.replace("name: api-failing", "name: ours")
    ours = ours.replace("parameters:", "applies_to: {faults: [http/slow]}\nparameters:", 1)
    (tmp_path / "ours.md").write_text(ours)
    shelf = read_shelf(ROOT / "runbooks", tmp_path)
    assert shelf.books["api-failing"].title.startswith("Our HTTP")
    assert shelf.own == {"api-failing", "ours"}
    assert shelf.find_for_fault("http", "slow", "web", "api-failing") == "ours"
    assert shelf.find_for_fault("http", "refused", "web", "api-failing") == "api-failing"
    assert len(shelf.books) == len(SHELF.books) + 1
    assert read_shelf(ROOT / "runbooks", tmp_path / "missing").books.keys() == SHELF.books.keys()


def _book(name: str, *faults: str, component: str = "", **facts: Any) -> Runbook:
    components = (component,) if component else ()
    purpose = AppliesTo(faults=faults, components=components, line=4)
    return Runbook(name, "x", purpose, facts.get("parameters", ()), (), {}, f"{name}.md")


def _shelf(*books: Runbook) -> Shelf:
    shipped = _book("shipped", "http/slow")
    named = {book.name: book for book in (*books, shipped)}
    return Shelf(named, frozenset(book.name for book in books))


def test_an_own_runbook_comes_before_the_declared_one() -> None:
    """One that names the component comes first, then one that names the very fault, then any of the
    kind; a shipped one is only found by declaration.
    """
    every, slow = _book("every", "http/*"), _book("slow", "http/slow")
    billing = _book("billing", "http/*", component="billing")
    shelf = _shelf(every, slow, billing)
    assert shelf.find_for_fault("http", "slow", "billing", "shipped") == "billing"
    assert shelf.find_for_fault("http", "slow", "web", "shipped") == "slow"
    assert _shelf(billing, every).find_for_fault("http", "down", "web", "shipped") == "billing"
    assert shelf.find_for_fault("tcp", "slow", "billing", "shipped") == "shipped"
    assert _shelf().find_for_fault("http", "slow") == ""


def test_a_declared_runbook_that_is_not_there_is_none() -> None:
    """Nobody is sent to a page that does not exist."""
    assert _shelf().find_for_fault("http", "slow", "web", "gone") == ""


def test_reading_the_shelf_is_strict(tmp_path: Path) -> None:
    """The shelf is what the reader accepted: every file of the folder."""
    assert read_runbooks(ROOT / "runbooks").keys() == SHELF.books.keys()


def test_least_privilege_is_enough() -> None:
    """The shipped Redis role may send every command of the runbooks; only who one is, is asked
    beyond it.
    """
    lines = (ROOT / "checks" / "acl" / "redis.acl").read_text().splitlines()
    (role,) = [line for line in lines if line.startswith("user sentinel_ro ")]
    allowed = set(re.findall(r"\+([a-z|]+)", role))
    sent = {
        (
            f"{act.argv[0]}|{act.argv[1]}"
            if act.argv[0] in {"XINFO", "SLOWLOG", "LATENCY", "ACL"}
            else act.argv[0]
        ).lower()
        for book in SHELF.books.values()
        for act in (step.run for step in book.steps)
        if isinstance(act, RedisCommand)
    }
    assert sent - allowed == {"acl|whoami"}
