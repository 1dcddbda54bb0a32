"""Reports by the calendar: told to the channels, and what goes wrong with one costs that one alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from structlog.testing import capture_logs

from sentinel.app.calendar import LOOKING, Calendar
from sentinel.config.value import NoticeSetup, ScheduledReport
from sentinel.core.order import OrderKind
from sentinel.core.progress.plan import Evidence, EvidenceKind, Milestone, Plan
from sentinel.metrics import Metrics
from sentinel.reports.figures.milestone import read_readings
from sentinel.store import Changes
from sentinel.store.sqlite import SqliteStore

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PAGE = "http://127.0.0.1:9130"


class Desk:
    """A calendar with a real store and everything else at rest."""

    def __init__(self, store: SqliteStore, folder: Path) -> None:
        self.store = store
        self.configuration = SimpleNamespace(
            platform="demo",
            state=folder,
            reports=tuple(
                ScheduledReport(kind, "0 8 * * *", "Europe/Berlin", ("lead", "log"))
                for kind in ("shift", "daily")
            ),
            report_templates=None,
            tasks_per_hour_target=None,
            components=(),
            chores=(),
            retention=86400.0,
            plan=Plan(),
            notices=NoticeSetup(),
            actions_enabled=False,
            objectives=(),
        )
        picture = SimpleNamespace(metrics=Metrics(), utcnow=lambda: NOW, watched=list)
        housekeeper: Any = SimpleNamespace(configure=lambda _chores: None)
        self.calendar = Calendar(
            lambda: self.configuration,
            store,
            self,
            picture,
            housekeeper,
            {},
            lambda: NOW,
            lambda: PAGE,
        )  # type: ignore[arg-type]

    async def call(self, work: Callable[[], Any]) -> Any:
        return work()

    async def record(self, changes: Changes) -> None:
        self.store.commit(changes)

    async def later(self, *_: Any) -> None:
        """Nothing is rolled up here."""

    async def settle(self) -> None:
        pass

    async def write(self, kind: str) -> list[str]:
        """What the calendar logs while it writes a report."""
        with capture_logs() as logs:
            await self.calendar._report_by_calendar(kind)
        return [each["error"] for each in logs if each["event"] == "report_failed"]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    store = SqliteStore(tmp_path)
    yield Desk(store, tmp_path)
    store.close()


async def test_what_is_written_is_told(desk: Desk) -> None:
    """Also that nothing happened, to whom it is for, with the files."""
    assert await desk.write("shift") == []
    orders = desk.store.take_orders()
    (report,) = desk.store.reports("shift")
    assert [(each.kind, each.subject) for each in orders] == [
        (OrderKind.DELIVER, "lead"),
        (OrderKind.DELIVER, "log"),
    ]
    notice = orders[0].payload["notice"]
    assert notice["told"] == "report"
    assert notice["title"].startswith("[demo] shift: Nothing happened in 8 h")
    assert notice["lines"] == [Path(path).name for path in report.paths]
    assert notice["link"] == f"{PAGE}/reports/"


async def test_a_broken_template_costs_one_document(desk: Desk, tmp_path: Path) -> None:
    """The other formats and the other reports come."""
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "shift.md.j2").write_text("{% for x in %}")
    desk.configuration.report_templates = tmp_path / "own"
    (error,) = await desk.write("shift")
    assert "shift.md.j2:1" in error
    assert await desk.write("daily") == []
    written = {Path(path).suffix for path in desk.store.reports("shift")[0].paths}
    assert written == {".html", ".json"}
    assert len(desk.store.reports("daily")[0].paths) == 3


async def test_a_folder_that_can_not_be_written(desk: Desk, tmp_path: Path) -> None:
    """One error names it, nothing is remembered, and the next report comes when it can."""
    (tmp_path / "reports").write_text("no folder")
    (error,) = await desk.write("shift")
    assert str(tmp_path / "reports") in error
    assert not desk.store.reports("shift")
    (tmp_path / "reports").unlink()
    assert await desk.write("shift") == []


async def test_whatever_is_raised_is_one_line(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A defect in one report is a line of the log, not the end of the calendar."""

    def fail(*_: Any, **__: Any) -> None:
        raise ValueError("odd facts")

    monkeypatch.setattr("sentinel.app.calendar.collect", fail)
    assert await desk.write("shift") == ["ValueError('odd facts')"]


async def test_evidence_is_looked_at_while_something_is_to_be_reached(
    desk: Desk, tmp_path: Path
) -> None:
    """The job is there with a plan, follows its time, and goes with it; a look is remembered."""
    (tmp_path / "plan.md").write_text("- [x] one\n- [ ] two\n")
    boxes = Evidence(EvidenceKind.CHECKLIST, str(tmp_path / "plan.md"))
    desk.configuration.plan = Plan(milestones={"m": Milestone("m", "t", evidence=boxes)})
    desk.calendar._follow_plan()
    assert desk.calendar._jobs.get_job(LOOKING) is not None
    await desk.calendar.look()
    assert read_readings(desk.store)["m"].ratio == 0.5
    desk.configuration.plan = Plan()
    desk.calendar._follow_plan()
    assert desk.calendar._jobs.get_job(LOOKING) is None
