"""`sentinel config`: what is written, where it comes from, and what may be written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sentinel.cli import main
from sentinel.config.model import Overrides, PlatformSettings
from sentinel.strict.describe import describe_options, write_duration, write_value
from tests.unit.cli.test_kinds import OF_PYTHON, _complaints, _texts

CANARIES = ("urlcanary1", "tokencanary2", "filecanary3", "envcanary4", "headercanary5")


@pytest.fixture
def shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> dict[str, Any]:
    """Every value of a configuration with a secret in each place that may have one."""
    (tmp_path / "password").write_text("filecanary3\n")
    (tmp_path / "password").chmod(0o600)
    (tmp_path / "a.yaml").write_text(
        f"platform: shop\nstate: {tmp_path}/var\nresources:\n"
        "  bus: {redis: 'redis://app:urlcanary1@127.0.0.1:6379/0'}\n"
        f"  other: {{redis: 'redis://127.0.0.1:6380/0', password_file: '{tmp_path}/password'}}\n"
        "  api: {http: 'http://127.0.0.1:1', headers: {Authorization: 'Bearer ${TOKEN}'}}\n"
        "components:\n"
        "  shop: {driver: process, command: [sleep, '9'], env: {API_KEY: envcanary4},\n"
        "    restart: {backoff: {max: 2m}}}\n"
    )
    (tmp_path / "b.yaml").write_text(
        "- {name: port, kind: tcp, component: shop, address: '127.0.0.1:1',\n"
        "   thresholds: {connect_seconds: {degraded: {raise: 1, clear: 0.5}}}}\n"
        "- {name: web, kind: http, component: shop, headers: {X-Token: headercanary5}}\n"
    )
    monkeypatch.setenv("TOKEN", "tokencanary2")
    monkeypatch.setenv("SENTINEL_LISTEN", "127.0.0.1:9999")
    monkeypatch.setenv("SENTINEL_CONFIG", str(tmp_path))
    assert main(["config", "show"]) == 0
    text = capsys.readouterr().out
    assert main(["config", "show", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert all(row["key"] in text for row in rows)
    return {"text": text, "folder": tmp_path, **{row["key"]: row for row in rows}}


def test_every_value_and_where_it_comes_from(shown: dict[str, Any]) -> None:
    """File and line, default, kind, environment."""
    folder = shown["folder"]
    for key, value, where in (
        ("platform", "shop", f"{folder}/a.yaml:1"),
        ("listen", '"127.0.0.1:9999"', "environment SENTINEL_LISTEN"),
        ("actions.limits.window", "5m", "default"),
        ("resources.api.headers", '{Authorization: "***"}', f"{folder}/a.yaml:6"),
        ("components.shop.restart.backoff.max", "2m", f"{folder}/a.yaml:9"),
        ("components.shop.restart.backoff.initial", "5s", "default"),
        ("components.shop.command", '[sleep, "9"]', f"{folder}/a.yaml:8"),
        ("checks.port.every", "10s", "default of kind tcp"),
        ("checks.port.address", '"127.0.0.1:1"', f"{folder}/b.yaml:1"),
        ("checks.port.thresholds.connect_seconds.degraded.clear", "0.5", f"{folder}/b.yaml:2"),
        ("checks.web.resource", "api", "found: its component's, or the only one of its type"),
    ):
        assert (shown[key]["value"], shown[key]["where"]) == (value, where), key


def test_no_secret_is_shown(shown: dict[str, Any]) -> None:
    """Wherever it stands: only that there is one."""
    assert not [each for each in CANARIES if each in shown["text"]]
    assert shown["resources.bus.redis"]["value"] == "redis://app:***@127.0.0.1:6379/0"


def test_every_key_is_listed_with_meaning(capsys: pytest.CaptureFixture[str]) -> None:
    """From the models that judge: no key is missing, none is without a word, none of Python."""
    assert main(["config", "keys", "--json"]) == 0
    rows = {row["option"]: row for row in json.loads(capsys.readouterr().out)}
    for key in (
        "platform", "components.NAME.restart.backoff.max", "actions.breaker.stall_window",
        "checks[].thresholds.NAME.degraded.raise", "checks[].accept[].until",
        "housekeeping[].max_per_hour", "SENTINEL_ACTIONS_ENABLED",
    ):  # fmt: skip
        assert key in rows
    assert [key for key, row in rows.items() if not row["what"]] == []
    assert [key for key, row in rows.items() if OF_PYTHON.search(row["type"])] == []


@pytest.mark.parametrize("model", [PlatformSettings, Overrides])
def test_defaults_and_examples_are_what_the_loader_takes(model: Any) -> None:
    """Each at its key, by the model that judges it."""
    for path, judge, text in _texts(model):
        if model is Overrides:
            judge.model_validate({path: text.strip('"')})
        else:
            assert not _complaints(judge, path.rpartition(".")[2], text), f"{path}: {text}"
    assert list(describe_options(model))


def test_a_prefix_limits_what_is_shown(
    shown: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """A name stands for NAME; what does not exist is refused."""
    assert main(["config", "keys", "components.shop.restart", "--json"]) == 0
    keys = [row["option"] for row in json.loads(capsys.readouterr().out)]
    assert keys[0] == "components.NAME.restart"
    assert all(key.startswith("components.NAME.restart") for key in keys)
    assert main(["config", "show", "checks.port", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["key"] == "checks.port.name"
    assert main(["config", "keys", "nonsense"]) == 64


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (0.05, "50ms"), (1.5, "1500ms"), (90, "90s"), (5400, "90m"), (1209600, "14d")],
)
def test_a_duration_as_it_is_written(seconds: float, text: str) -> None:
    """In the largest unit of which it is a whole number."""
    assert write_duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "words", "text"),
    [
        (0.995, "percentage", "99.5%"), (65536, "size", "64KiB"), (1000, "size", "1000B"),
        (20 * 10**9, "size", "20GB"), (2**20, "size", "1MiB"), (10**6 + 1, "size", "1000001B"),
        (True, "", "true"), (None, "", "null"), ("no", "", '"no"'), ("a: b", "", '"a: b"'),
        ("12:30", "", '"12:30"'), ("${X}", "", '"$${X}"'), (["*"], "list of texts", '["*"]'),
        ({"a": 60.0}, "mapping of texts to duration", "{a: 1m}"),
    ],
)  # fmt: skip
def test_a_value_as_it_is_written(value: Any, words: str, text: str) -> None:
    """What YAML would read otherwise stands in quotes."""
    assert write_value(value, words) == text
