"""What docs/notifications.md and the demo show is a configuration."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sentinel.config import load
from sentinel.demo.session import _add_webhook

ROOT = Path(__file__).parents[3]
CHECKS = """
components: {database: {}}
checks:
  - {name: x, kind: tcp, component: database, address: "127.0.0.1:1"}
"""


def test_the_example_of_the_document_is_a_configuration(tmp_path: Path) -> None:
    """As it stands there."""
    document = (ROOT / "docs" / "notifications.md").read_text()
    (text,) = re.findall(r"```yaml\n(.*?)```", document, re.S)
    (tmp_path / "a.yaml").write_text(text + CHECKS)
    names = re.findall(r"\$\{(\w+)\}", text)
    setup = load(tmp_path, dict.fromkeys(names, "https://hooks.example.org/secret")).notices
    assert [each.name for each in setup.channels] == [
        "oncall", "team", "lead", "alerts", "alive", "log",
    ]  # fmt: skip
    assert (len(setup.routes), len(setup.windows)) == (4, 2)


@pytest.mark.parametrize(
    ("environment", "kinds"),
    [
        ({}, ["log"]),
        ({"DEMO_WEBHOOK": 'http://127.0.0.1:8080/?a="b'}, ["webhook", "log"]),
    ],
    ids=["without", "with"],
)
def test_the_demo_tells_a_webhook_that_is_named(tmp_path: Path, environment, kinds) -> None:
    """And nobody else."""
    (tmp_path / "a.yaml").write_text(CHECKS)
    _add_webhook(tmp_path, environment)
    assert [each.kind for each in load(tmp_path, environment).notices.channels] == kinds
