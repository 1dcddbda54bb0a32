"""How the engine is put together: nothing is slipped into a part once it is made."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import get_type_hints

import pytest

import sentinel
from sentinel.core.order import AnswerWord
from sentinel.engine.assembly import Engine, Surroundings, make_engine
from sentinel.engine.automation import Restraint

HOUSE = Path(sentinel.__file__).parent
ENGINE_AND_APP = sorted([*HOUSE.glob("engine/**/*.py"), *HOUSE.glob("app/**/*.py")])


def names_of_parts() -> set[str]:
    """Every attribute with which a part of the engine is made."""
    parts = (kind for kind in get_type_hints(Engine).values() if is_dataclass(kind))
    return {field.name for part in parts for field in fields(part)}


def assigned(tree: ast.AST) -> Iterator[ast.Attribute]:
    """Attributes that are assigned, of anything but `self`."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute) or not isinstance(node.ctx, ast.Store):
            continue
        if ast.unparse(node.value) != "self":
            yield node


@pytest.mark.parametrize("file", ENGINE_AND_APP, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_no_part_is_changed_from_outside(file: Path) -> None:
    """A part gets what it works with when it is made, and changes by its own methods."""
    parts = names_of_parts()
    assert {"picture", "fleet", "incidents", "restraint", "writable", "components"} <= parts
    slots = [
        f"line {node.lineno}: {ast.unparse(node)}"
        for node in assigned(ast.parse(file.read_text()))
        if node.attr in parts
    ]
    assert slots == []


def test_every_part_is_made_with_what_the_others_have(store, metrics, clock, tmp_path) -> None:
    """One picture, one fleet, one journal: nobody has a copy of his own."""
    engine = make_engine(Surroundings(store, metrics, clock, tmp_path, Restraint(enabled=True)))
    kinds = get_type_hints(Engine)
    seen = 0
    for part in (getattr(engine, name) for name in kinds):
        for name, kind in get_type_hints(type(part)).items() if is_dataclass(part) else ():
            if kinds.get(name) == kind:
                assert getattr(part, name) is getattr(engine, name), (part, name)
                seen += 1
    assert seen > 25
    engine.recorder.close()


def test_nobody_reads_the_first_word() -> None:
    """What became of an order is a value; its text is for people."""
    words = {str(word) for word in AnswerWord}
    found = [
        f"{file.relative_to(HOUSE)}:{node.lineno}"
        for file in sorted(HOUSE.glob("**/*.py"))
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in {"startswith", "removeprefix"}
        and {
            each.value.rstrip(": ")
            for each in ast.walk(node)
            if isinstance(each, ast.Constant) and isinstance(each.value, str)
        }
        & words
    ]
    assert found == []


def test_the_store_is_named_where_it_is_opened() -> None:
    """Engine, commands and web know protocols."""
    rooms = ("app", "cli", "engine", "web", "reports", "coordination")
    files = [file for room in rooms for file in HOUSE.glob(f"{room}/**/*.py")]
    naming = [file.name for file in files if "SqliteStore" in file.read_text()]
    assert naming == ["opening.py"]
