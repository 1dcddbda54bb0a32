"""`sentinel faults`: what a person reads and types."""

import pytest

from sentinel.cli.faults import _describe_fault

FAULT = {
    "status": "down",
    "fault": "lost",
    "subject_text": "stream s",
    "check": "delivery",
    "age_text": "3 s",
    "text": "stream s: 20 lost",
    "accepted": None,
    "guidance": "",
    "cure": [],
    "lasts_until": None,
}


@pytest.mark.parametrize(
    ("command", "prompt"),
    [
        ("sentinel faults accept delivery lost --reason known", "$"),
        ("kill -CONT 17", "$"),
        ("XRANGE s (5-0 + COUNT 10", "redis>"),
        ("CONFIG SET maxmemory-policy noeviction", "redis>"),
        ('SELECT * FROM "flows" WHERE "id"::text = \'f\';', "sql>"),
        ("GRANT SELECT ON tasks TO sentinel;", "sql>"),
    ],
)
def test_a_command_says_where_it_is_typed(command: str, prompt: str) -> None:
    """`$ XRANGE …` is no command of a shell."""
    assert _describe_fault({**FAULT, "cure": [command]})[-1] == f"    {prompt} {command}"


def test_an_accepted_loss_is_accepted_for_good() -> None:
    """Only the list forgets it; what is borne by configuration is borne until a date."""
    word = {"until_text": "2026-12-07 08:37 UTC", "by": "ann", "reason": "known"}
    borne = _describe_fault({**FAULT, "accepted": word})[-1]
    assert borne.strip() == "accepted until 2026-12-07 08:37 UTC by ann: known"
    lost = _describe_fault({**FAULT, "accepted": word, "lasts_until": "2026-12-07"})[-1]
    assert lost.strip() == "accepted by ann, shown until 2026-12-07 08:37 UTC: known"
