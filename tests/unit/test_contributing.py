"""The examples of CONTRIBUTING.md pass the linter, and their shelves take them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import types
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from sentinel import housekeeping, notify, probes, remediation
from sentinel.core.bus.housekeeping import Member, Target
from sentinel.core.fault import Status
from sentinel.core.model import Incident, IncidentState
from sentinel.core.notice.text import Letterhead, write_test
from sentinel.errors import NotDelivered
from sentinel.reports import Report, ReportRequest
from sentinel.runbook.read import read_runbooks
from sentinel.store import Reader

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
EXAMPLES = dict(re.findall(r"```python\n# (\S+)\n(.*?)```", GUIDE, re.DOTALL))
EXAMPLE_BOOKS = dict(
    re.findall(r"```markdown\n<!-- runbooks/(\S+)\.md -->\n(.*?)```", GUIDE, re.DOTALL)
)
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def make_module(path: str) -> types.ModuleType:
    """The example that belongs to a file, as a module."""
    module = types.ModuleType(f"example_{Path(path).stem}")
    sys.modules[module.__name__] = module
    exec(compile(EXAMPLES[path], path, "exec"), module.__dict__)
    return module


def test_every_page_has_its_example() -> None:
    """A kind, a driver, a chore, a channel, a report; none of them stands in the package already."""
    shelves = [str(Path(path).parent) for path in EXAMPLES]
    names = ("probes", "remediation", "housekeeping", "notify", "reports")
    assert shelves == [f"sentinel/{name}" for name in names]
    assert not [path for path in EXAMPLES if (ROOT / path).exists()]


@pytest.mark.parametrize("path", EXAMPLES)
def test_the_linter_takes_it(path: str) -> None:
    """Rules and format, as if the file were there."""
    for command in (["check", "-"], ["format", "--check", "-"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--stdin-filename", str(ROOT / path)],
            input=EXAMPLES[path],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


async def test_the_kind_measures() -> None:
    """The shelf takes it, and it judges what it reads."""
    kind = make_module("sentinel/probes/keys.py").KIND
    assert isinstance(kind, probes.Kind)

    async def call(*_command: str) -> int:
        return 7

    context = SimpleNamespace(redis=lambda: SimpleNamespace(call=call))
    findings = [await kind.run(kind.options(most=most), context) for most in (7, 6)]
    assert [finding.status for finding in findings] == [Status.UP, Status.DEGRADED]
    assert findings[0].rows[0].values == {"keys": 7}
    assert [fault.key for finding in findings for fault in finding.faults] == ["too_many"]
    shelf = {*read_runbooks(ROOT / "runbooks"), *EXAMPLE_BOOKS}
    assert {fault.runbook for fault in kind.faults} <= shelf
    assert {fault.key for fault in findings[1].faults} <= set(kind.fault_kinds)


def test_the_runbook_is_one(tmp_path: Path) -> None:
    """It reads without a problem and has the sections of the shipped ones."""
    shipped = read_runbooks(ROOT / "runbooks")["port-unreachable"]
    for name, text in EXAMPLE_BOOKS.items():
        (tmp_path / f"{name}.md").write_text(text)
    books = read_runbooks(tmp_path)
    assert list(books) == ["too-many-keys"]
    assert list(books["too-many-keys"].sections) == list(shipped.sections)


async def test_the_driver_acts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The shelf takes it; a stand-in for supervisorctl is asked, and its exit code is believed."""
    module = make_module("sentinel/remediation/supervisord.py")
    kind = module.DRIVER
    assert isinstance(kind, remediation.DriverKind)
    program = tmp_path / "supervisorctl"
    program.write_text('#!/bin/sh\n[ "$1" = pid ] && echo 1\n[ "$1" != stop ] || exit 7\nexit 0\n')
    program.chmod(0o755)
    monkeypatch.setattr(module, "find_program", lambda _name: str(program))
    driver = kind.make(None, kind.options(program="worker"), None)  # type: ignore[arg-type]
    seen = await driver.observe()
    assert (seen.running, bool(seen.start_id)) == (True, True)
    assert [(await driver.restart()).word, (await driver.stop()).word] == ["done", "failed"]


async def test_the_chore_takes_who_is_retired() -> None:
    """The shelf takes it; who holds something, was just heard of or has another name stays."""
    kind = make_module("sentinel/housekeeping/retired_consumers.py").KIND
    assert isinstance(kind, housekeeping.ChoreKind)
    members = [
        Member("old-1", 0, 9e9),
        Member("old-2", 1, 9e9),
        Member("old-3", 0, 1.0),
        Member("new", 0, 9e9),
    ]

    async def read_members(_key: str, _group: str) -> list[Member]:
        return members

    async def find_groups(*_patterns: object) -> list[tuple[str, str]]:
        return [("s", "g")]

    async def remove(_key: str, _group: str, _silence: float, names: tuple[str, ...]) -> list[str]:
        return ["gone" for _ in names]

    cleaner = SimpleNamespace(read_members=read_members, remove_consumers=remove)
    room = SimpleNamespace(cleaner=cleaner, find_groups=find_groups)
    options = kind.options.model_validate({"streams": {"include": ["s"]}, "names": ["old-*"]})
    (target,) = (await kind.survey(options, room)).targets
    assert isinstance(target, Target)
    assert target.items == ("old-1",)
    assert await kind.recount(options, room, target) == 1
    assert (await kind.act(options, room, target)).count == 1


async def test_the_channel_delivers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One line a notice to a stand-in for logger; one that fails raises, so it is tried again."""
    module = make_module("sentinel/notify/journal.py")
    assert isinstance(module.CHANNEL, notify.Channel)
    program, out = tmp_path / "logger", tmp_path / "out.jsonl"
    program.write_text(f'#!/bin/sh\n[ -e {out} ] && exit 1\nprintf %s "$4" > {out}\n')
    program.chmod(0o755)
    monkeypatch.setattr(module, "find_program", lambda _name: str(program))
    notice, room = write_test("journal", Letterhead("trial"), NOW), notify.ChannelRoom("journal")
    options = module.CHANNEL.options()
    await module.CHANNEL.send(options, room, notice)
    assert json.loads(out.read_text())["title"] == "[trial] test of the channel journal"
    with pytest.raises(NotDelivered, match="ended with 1"):
        await module.CHANNEL.send(options, room, notice)
    monkeypatch.setattr(module, "find_program", lambda _name: None)
    with pytest.raises(NotDelivered, match="no logger"):
        await module.CHANNEL.send(options, room, notice)


def test_the_report_has_facts() -> None:
    """Minutes within the period; what was over before it does not count."""
    module = make_module("sentinel/reports/outages.py")

    def incident(name: str, begin: float, end: float | None) -> Incident:
        opened = NOW - timedelta(minutes=begin)
        recovered = None if end is None else NOW - timedelta(minutes=end)
        state = IncidentState.OPEN if end is None else IncidentState.CLOSED
        return Incident(name, name, opened, state, Status.DOWN, "", recovered=recovered)

    rows = [incident("bus", 30, 20), incident("bus", 5, None), incident("api", 9e6, 8e6)]
    report: Report = module.REPORT
    facts = report.facts(
        cast(Reader, SimpleNamespace(incidents=lambda: rows)), NOW, ReportRequest()
    )
    assert (report.name, facts.minutes) == ("outages", {"bus": 15.0})
