"""`sentinel objectives`: what was kept, for people and programs, with an exit code that claims nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sentinel.cli import main
from sentinel.clock import read_moment_now
from sentinel.core.moment import write_moment
from sentinel.core.objective import Counts, Objective, ObjectiveStanding, Slice, judge_slices
from sentinel.store import BEAT, Changes
from sentinel.store.sqlite import SqliteStore

NOW = datetime(2026, 3, 1, tzinfo=UTC)
AIM = Objective("api", "api-health", "api", "up", 0.99, 30 * 86400.0)


def stand(name: str, good: int, total: int, ago: float = 0.0) -> ObjectiveStanding:
    """An objective with so many events, five minutes of them that ended `ago` seconds ago."""
    ended = NOW - timedelta(seconds=ago)
    counted = Slice(AIM.source, ended - timedelta(minutes=5), ended, Counts(good, total, 300.0))
    return judge_slices(replace(AIM, name=name), [counted] if total else [], NOW)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A state folder that a daemon wrote to a moment ago."""
    store = SqliteStore(tmp_path)
    store.commit(Changes(meta={BEAT: write_moment(read_moment_now())}))
    store.close()
    return tmp_path


def run(
    place: Path,
    capsys: pytest.CaptureFixture[str],
    *standings: ObjectiveStanding,
    json_: bool = False,
) -> tuple[int, str]:
    """The command over these objectives."""
    store = SqliteStore(place)
    store.commit(Changes(standings={each.objective.name: each for each in standings}))
    store.close()
    code = main(["--state", str(place), "objectives", *(["--json"] if json_ else [])])
    return code, capsys.readouterr().out


@pytest.mark.parametrize(
    ("standing", "code", "said"),
    [
        (
            stand("a", 9_996, 10_000),
            0,
            ["met", "99.96 %", "99 % over 30 d", "9,996 of 10,000", "96 %"],
        ),
        (stand("a", 9_500, 10_000, ago=86_000), 2, ["missed", "-400 %", "used up"]),
        (stand("a", 9_999_999, 10_000_000), 0, ["99.999 %"]),
        (stand("a", 5, 6), 3, ["insufficient", "5 of 6", "5 min of 30 d"]),
        (stand("a", 0, 0), 3, ["no data"]),
        (stand("a", 200, 100), 3, ["more good events than events"]),
    ],
    ids=["met", "missed", "never rounded up", "few", "none", "contradiction"],
)
def test_each_state_has_its_words_and_its_exit_code(
    place: Path,
    capsys: pytest.CaptureFixture[str],
    standing: ObjectiveStanding,
    code: int,
    said: list[str],
) -> None:
    """Only met is 0: what nobody measured is unknown."""
    ended, out = run(place, capsys, standing)
    assert (ended, [word for word in said if word not in out]) == (code, [])


def test_a_burn_is_a_warning(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Within budget over its window, and burning: degraded, and whom it calls is said."""
    burning = stand("a", 850, 1000)
    met = replace(burning, state=stand("b", 100, 100).state)
    assert run(place, capsys, met)[0] == 1
    assert "burns: page" in run(place, capsys, met)[1]


def test_without_a_daemon_nothing_is_claimed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What stood when it ended is shown, as old, and the exit code is that of unknown."""
    code, out = run(tmp_path, capsys, stand("a", 100, 100))
    assert (code, "met" in out) == (3, True)
    code, out = run(tmp_path, capsys, stand("a", 100, 100), json_=True)
    document = json.loads(out)
    assert (code, document["running"], document["objectives"][0]["state"]) == (3, False, "met")


def test_no_objective_is_said(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the way to have one."""
    code, out = run(place, capsys)
    assert code == 3
    assert "sentinel config keys objectives" in out
