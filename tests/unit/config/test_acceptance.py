"""Accepted faults: read with their end, and refused when they accept what nobody can have."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sentinel.config import load
from sentinel.config.acceptance import read_acceptances
from sentinel.core.fault import Acceptance, FaultKind, Severity
from sentinel.probes import Kind, load_kinds
from sentinel.strict.place import Document

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
FAULTS = (
    FaultKind("leak", Severity.PAGE, "tenant-leak", "rows of another tenant are visible"),
    FaultKind("late", Severity.TICKET, "tenant-leak", "it takes long"),
)


@pytest.fixture
def kind() -> Kind:
    """A kind with two faults of its own."""
    some = load_kinds()["tcp"]
    return Kind("tenants", "x", some.options, some.run, (), faults=FAULTS)


def read(kind: Kind, **entry: Any) -> tuple[tuple[Acceptance, ...], list[str]]:
    """What becomes of one entry, and what is said of it."""
    document = Document("x.yaml")
    written = {"fault": "leak", "reason": "known", "until": "2026-05-31", **entry}
    found = read_acceptances(document.at("accept"), [written], kind, NOW)
    return found, [f"{problem.key}: {problem.message}" for problem in document.problems]


@pytest.mark.parametrize(
    ("until", "end"),
    [
        ("2026-05-01", datetime(2026, 5, 2, tzinfo=UTC)),
        ("2026-05-31", datetime(2026, 6, 1, tzinfo=UTC)),
        ("2026-05-01T14:00:01+02:00", datetime(2026, 5, 1, 12, 0, 1, tzinfo=UTC)),
        ("2026-05-31 08:00Z", datetime(2026, 5, 31, 8, tzinfo=UTC)),
    ],
)
def test_when_it_ends(kind: Kind, until: str, end: datetime) -> None:
    """A day counts to its end, in UTC; an instant is one."""
    subject = {"table": "public.*"}
    found, problems = read(kind, until=until, subject=subject)
    assert problems == []
    assert found == (Acceptance("leak", subject, "known", end),)


@pytest.mark.parametrize("until", ["2026-04-30", "2026-05-01T12:00:00Z", "2026-05-01T14:00+02:00"])
def test_what_is_over_is_refused(kind: Kind, until: str) -> None:
    """The instant of its end does not count any more."""
    assert read(kind, until=until) == (
        (),
        [f"accept[0].until: {until} is over: nothing is accepted any more"],
    )


@pytest.mark.parametrize("until", ["9999-12-31", "2026-13-01", "2026-06-01T00:00", "soon", ""])
def test_what_is_no_end_is_refused(kind: Kind, until: str) -> None:
    """An instant without a zone is another one for everybody; a day must have an end."""
    found, (problem,) = read(kind, until=until)
    assert found == ()
    assert problem.startswith("accept[0].until: ")
    assert "is no date, and no instant with a time zone" in problem


def test_an_unknown_fault_names_the_known_ones(kind: Kind) -> None:
    """Those of the kind, and the one that each has: a measurement's limit."""
    document = Document("x.yaml")
    entry = {"fault": "ghost", "reason": "known", "until": "2026-05-31"}
    assert read_acceptances(document.at("accept"), [entry], kind, NOW) == ()
    (problem,) = document.problems
    assert problem.message == "unknown fault `ghost`"
    assert problem.remedy == "known: late, leak, threshold (`sentinel kinds tenants` lists them)"


def test_a_check_has_its_acceptances(tmp_path: Path) -> None:
    """From the file to the value that the engine asks."""
    (tmp_path / "x.yaml").write_text(
        "components: {api: {}}\n"
        "checks:\n"
        "  - name: port\n"
        "    kind: tcp\n"
        "    component: api\n"
        "    address: 127.0.0.1:80\n"
        "    accept: [{fault: threshold, reason: a new cable comes, until: 2999-12-31}]\n"
    )
    (check,) = load(tmp_path, {}).checks
    end = datetime(3000, 1, 1, tzinfo=UTC)
    assert check.accept == (Acceptance("threshold", {}, "a new cable comes", end),)


def test_the_same_is_accepted_once(kind: Kind) -> None:
    """Whatever the order of its labels: the second would never be looked at."""
    document = Document("checks.yaml")
    entries = [
        {"fault": "late", "subject": subject, "reason": "known", "until": "2027-01-01"}
        for subject in ({"a": "1", "b": "2"}, {"b": "2", "a": "1"}, {"a": "1"})
    ]
    read_acceptances(document.at("accept"), entries, kind, NOW)
    (problem,) = document.problems
    assert problem.key == "accept[1]"
    assert "accepts the same" in problem.message
