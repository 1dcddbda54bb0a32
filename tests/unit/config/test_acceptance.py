"""Accepted faults: read with their end, and refused when they accept what nobody can have."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sentinel.cli import main
from sentinel.config import load
from sentinel.config.acceptance import read_acceptances
from sentinel.core.fault import Acceptance, FaultKind, Severity
from sentinel.errors import ConfigurationError
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


def note(kind: Kind, **entry: Any) -> tuple[tuple[Acceptance, ...], Document]:
    """What becomes of one entry, and where everything about it is noted."""
    document = Document("x.yaml")
    written = {"fault": "leak", "reason": "known", "until": "2026-05-31", **entry}
    return read_acceptances(document.at("accept"), [written], kind, NOW), document


def read(kind: Kind, **entry: Any) -> tuple[tuple[Acceptance, ...], list[str]]:
    """What becomes of one entry, and what is said of it."""
    found, document = note(kind, **entry)
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
def test_what_is_over_has_lapsed(kind: Kind, until: str) -> None:
    """The instant of its end does not count any more; it was right once, so nothing is wrong."""
    found, document = note(kind, until=until)
    assert (found, document.problems) == ((), [])
    (lapsed,) = document.lapsed
    assert lapsed.key == "accept[0].until"
    assert lapsed.message == f"{until} is over: nothing is accepted any more"
    assert lapsed.remedy == "remove the entry, or decide anew"


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


def write(folder: Path, until: str, more: str = "") -> Path:
    """A configuration with one acceptance."""
    (folder / "x.yaml").write_text(
        "components: {api: {}}\n"
        "checks:\n"
        "  - name: port\n"
        "    kind: tcp\n"
        "    component: api\n"
        "    address: 127.0.0.1:80\n"
        f"    accept: [{{fault: threshold, reason: a new cable comes, until: {until}}}]\n{more}"
    )
    return folder


def test_a_check_has_its_acceptances(tmp_path: Path) -> None:
    """From the file to the value that the engine asks."""
    (check,) = load(write(tmp_path, "2999-12-31"), {}).checks
    end = datetime(3000, 1, 1, tzinfo=UTC)
    assert check.accept == (Acceptance("threshold", {}, "a new cable comes", end),)


def test_one_that_is_over_stops_nobody(tmp_path: Path) -> None:
    """The configuration holds without it, and has its file, line and key."""
    configuration = load(write(tmp_path, "2020-01-31"), {})
    assert configuration.checks[0].accept == ()
    (lapsed,) = configuration.lapsed
    assert (lapsed.file, lapsed.line) == (str(tmp_path / "x.yaml"), 7)
    assert lapsed.key == "checks[0].accept[0].until"


def test_one_that_is_over_is_told_with_what_is_wrong(tmp_path: Path) -> None:
    """Whoever mends a file hears of everything in it at once."""
    with pytest.raises(ConfigurationError) as caught:
        load(write(tmp_path, "2020-01-31", "    colour: red\n"), {})
    assert [each.key for each in caught.value.problems] == [
        "checks[0].accept[0].until",
        "checks[0].colour",
    ]


@pytest.mark.parametrize("words", [[], ["--json"]])
def test_validate_refuses_one_that_is_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    """Exit 78, with the place and the way out; in force it is called valid."""
    command = ["--config", str(write(tmp_path, "2020-01-31")), "validate", *words]
    assert main(command) == 78
    told = "".join(capsys.readouterr())
    assert "2020-01-31 is over" in told
    assert "remove the entry, or decide anew" in told
    write(tmp_path, "2999-12-31")
    assert main(command) == 0


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


BUS = """
resources: {{bus: {{redis: "redis://127.0.0.1:1"}}}}
components: {{messaging: {{resource: bus}}}}
checks:
  - {{name: delivery, kind: {kind}, component: messaging{more}}}
"""


def write_bus(folder: Path, kind: str = "bus_delivery", more: str = "") -> Path:
    """A check of a bus, with a key more."""
    (folder / "x.yaml").write_text(BUS.format(kind=kind, more=more))
    return folder


@pytest.mark.parametrize(("more", "days"), [("", 7), (", keep_losses: 30d", 30)])
def test_how_long_a_loss_stands(tmp_path: Path, more: str, days: int) -> None:
    """A week, or what the check says."""
    (check,) = load(write_bus(tmp_path, more=more), {}).checks
    assert check.keep_losses == days * 86400.0


def test_a_kind_that_loses_nothing_keeps_nothing(tmp_path: Path) -> None:
    """The key would have no effect."""
    with pytest.raises(ConfigurationError) as caught:
        load(write_bus(tmp_path, "bus_pending", ", keep_losses: 30d"), {})
    (problem,) = caught.value.problems
    assert (problem.key, problem.remedy) == ("checks[0].keep_losses", "remove the key")
    assert problem.message == "kind bus_pending finds nothing that is lost for good"
