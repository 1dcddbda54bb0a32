"""The gate: only what was measured and holds is a pass."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sentinel.core.progress.plan import Evidence, EvidenceKind, Reading, Requirement, Waiver
from sentinel.core.progress.readiness import GateState, judge_gate

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
LOOK = Evidence(EvidenceKind.CHECK, "api")


def required(name: str, until: timedelta | None = None) -> Requirement:
    waiver = None if until is None else Waiver("late", "ada", NOW + until)
    return Requirement(name, LOOK, waiver)


def test_five_of_eight() -> None:
    """62.5 %: what failed, what nobody measured and what is waived are no pass."""
    good = {f"good{n}": Reading(f"good{n}", NOW, 1, 1, "up") for n in range(5)}
    readings = {
        **good,
        "bad": Reading("bad", NOW, 0, 1, "down"),
        "blind": Reading("blind", NOW, why="no answer"),
        "waived": Reading("waived", NOW, 0, 1, "down"),
    }
    gate = judge_gate(
        [
            *(required(name) for name in good),
            required("bad"),
            required("blind"),
            required("waived", timedelta(days=1)),
        ],
        readings,
        NOW,
    )
    assert (gate.passed, gate.share, gate.is_go) == (5, 0.625, False)
    assert [each.state for each in gate.judged[5:]] == [
        GateState.FAILED,
        GateState.INSUFFICIENT,
        GateState.WAIVED,
    ]


def test_a_waiver_lets_through_until_it_ends() -> None:
    """From that instant on it is the failure that it was, and says that it was waived."""
    reading = {"a": Reading("a", NOW, 0, 1, "down")}
    assert judge_gate([required("a", timedelta(seconds=1))], reading, NOW).is_go
    over = judge_gate([required("a", timedelta())], reading, NOW)
    assert not over.is_go
    assert over.judged[0].state is GateState.FAILED
    assert "its waiver ended" in over.judged[0].basis


def test_nothing_measured_is_no_pass() -> None:
    """Neither a requirement that nobody looked at, nor a gate without any."""
    gate = judge_gate([required("a")], {}, NOW)
    assert (gate.judged[0].state, gate.is_go) == (GateState.INSUFFICIENT, False)
    assert (judge_gate([], {}, NOW).share, judge_gate([], {}, NOW).is_go) == (None, False)
