"""`sentinel kinds`: what a person can write is what the loader takes, in a person's words."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from sentinel.cli import main
from sentinel.cli.kinds import SHELVES, describe_thing
from sentinel.config import load
from sentinel.probes import load_kinds
from sentinel.strict.describe import describe_options
from sentinel.strict.explain import validate
from sentinel.strict.place import Document
from sentinel.strict.read import read_yaml

THINGS = [
    (shelf, thing) for shelf, (load_all, _) in SHELVES.items() for thing in load_all().values()
]
NAMES = [f"{shelf}-{thing.name}" for shelf, thing in THINGS]
PLATFORM = """
resources:
  bus: {redis: "redis://127.0.0.1:6379/0"}
  database: {postgres: "postgresql://sentinel@127.0.0.1/platform"}
  api: {http: "http://127.0.0.1:8000"}
"""
OF_PYTHON = re.compile(
    r"Optional|Union|Literal|Annotated|typing|pydantic|Undefined|SecretStr|NoneType|<class|\bNone\b"
    r"|\b(str|int|float|bool|dict|frozenset)\b|list\["
)


@pytest.mark.parametrize(("shelf", "thing"), THINGS, ids=NAMES)
def test_the_example_is_a_configuration(shelf: str, thing: Any, tmp_path: Path) -> None:
    """What is printed can be pasted: the loader takes it as it is."""
    sample = describe_thing(shelf, thing)["example"]
    assert "…" not in sample
    component = "components: {NAME: {}}\n" if shelf != "driver" else ""
    lines = sample.replace("components:\n", "") if shelf == "driver" else ""
    text = f"{PLATFORM}{component}{'components:' if lines else ''}\n{lines or ''}\n"
    if shelf in {"chore", "report", "channel"}:
        text += sample
    (tmp_path / "platform.yaml").write_text(text)
    checks = "- {name: other, kind: tcp, component: NAME, address: '127.0.0.1:1'}\n"
    (tmp_path / "checks.yaml").write_text(f"{sample}\n" if shelf == "check" else checks)
    assert load(tmp_path, _variables(sample)).checks


@pytest.mark.parametrize(("shelf", "thing"), THINGS, ids=NAMES)
def test_every_default_and_example_is_what_the_loader_takes(shelf: str, thing: Any) -> None:
    """Each is read as YAML and judged at its key by the model that judges the configuration."""
    options = getattr(thing, "options", None)
    for path, model, text in _texts(options) if options else ():
        assert not _complaints(model, path.rpartition(".")[2], text), f"{path}: {text}"


def _variables(text: str) -> dict[str, str]:
    """An environment that has what a text names."""
    hook = "://hooks.example.org/x"
    names = re.findall(r"\$\{(\w+)\}", text)
    return {name: f"{'json' if 'APPRISE' in name else 'https'}{hook}" for name in names}


def _texts(model: type[BaseModel]) -> list[tuple[str, type[BaseModel], str]]:
    return [
        (row.option, row.of, text)
        for row in describe_options(model)
        for text in {row.default, row.example} - {"", "required"}
        if row.of is not None
    ]


def _complaints(model: type[BaseModel], key: str, text: str) -> list[str]:
    document = Document("shown")
    read_yaml(f"{key}: {text}", document, _variables(text))
    assert not document.problems, text
    validate(document.at(), model, document.value)
    return [str(each) for each in document.problems if each.key.startswith(key)]


@pytest.mark.parametrize(("shelf", "thing"), THINGS, ids=NAMES)
def test_no_word_of_python(shelf: str, thing: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither a class nor a type of Python: a person writes YAML."""
    main(["kinds", thing.name])
    shown = capsys.readouterr().out
    types = [row["type"] for row in describe_thing(shelf, thing)["options"]]
    assert not [each for each in types if OF_PYTHON.search(each)]
    assert not re.search(r"typing|pydantic|Undefined|SecretStr|NoneType|<class|<function", shown)


def test_options_within_options_are_shown() -> None:
    """Nobody can guess the keys of `children` or `begun_when`."""
    rows = describe_thing("check", load_kinds()["flows"])["options"]
    options = {each["option"]: each for each in rows}
    assert options["children[].join"]["required"]
    assert options["children[].begun_when.progress"]["what"]
    assert options["second_status.conflicts[].status"]["what"]
    assert options["second_status.overdue_after"]["default"] == "1h"
    assert options["children"]["type"] == "list of mappings"


def test_all_shelves_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """Who looks for a driver or a chore finds it in the same place."""
    assert main(["kinds"]) == 0
    shown = capsys.readouterr().out
    assert all(thing.name in shown for _, thing in THINGS)
    assert main(["kinds", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == len(THINGS)


def test_a_name_on_two_shelves_shows_both(capsys: pytest.CaptureFixture[str]) -> None:
    """`process` is a kind of check, and a driver."""
    assert main(["kinds", "process"]) == 0
    shown = capsys.readouterr().out
    assert "check process: " in shown
    assert "driver process: " in shown


def test_which_resource_is_taken_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """An option without a default is no riddle: a resource that nobody names is the component's."""
    assert main(["kinds", "agent_progress"]) == 0
    out = capsys.readouterr().out
    assert "resources: `database` (postgres), `bus` (redis, may be missing); where none is" in out
    assert "named: the component's, or the only one of its type" in out
    assert main(["kinds", "tcp"]) == 0
    assert "resources:" not in capsys.readouterr().out
