"""One reader for every shelf: a file is a thing, a file without one is told, a name stands once."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

from sentinel.housekeeping import load_chores
from sentinel.notify import load_channels
from sentinel.probes import load_kinds
from sentinel.remediation import load_drivers
from sentinel.shelf import LazyShelf, read_shelf, take_from

SHELVES = [load_kinds, load_drivers, load_chores, load_channels]


@dataclass(frozen=True)
class Thing:
    """What stands on the shelves of these tests."""

    name: str


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Writes a package `shelf_NAME` of files with one line each; its name."""

    def make(name: str, **files: str) -> str:
        package = tmp_path / f"shelf_{name}"
        package.mkdir()
        (package / "__init__.py").touch()
        for file, line in files.items():
            (package / f"{file}.py").write_text(f"from {__name__} import Thing\n{line}\n")
        return package.name

    # The import mode of the tests gives this module a name that the files can't be sure of.
    module = ModuleType(__name__)
    module.Thing = Thing  # type: ignore[attr-defined]
    monkeypatch.setitem(__import__("sys").modules, __name__, module)
    monkeypatch.syspath_prepend(str(tmp_path))
    return make


def test_every_file_is_a_thing(write: Callable[..., str]) -> None:
    """By the name that it declares, which may be another one than its file's."""
    package = write("good", b='THING = Thing("bee")', a='THING = Thing("a")')
    shelf = read_shelf(package, Thing, "THING")
    assert list(shelf) == ["a", "bee"]
    assert shelf["bee"] == Thing("bee")


@pytest.mark.parametrize("line", ["OTHER = 1", "THING = 'a'", "THING = Thing"])
def test_a_file_without_one_is_told(write: Callable[..., str], line: str) -> None:
    """The file and what it should declare, at the start and not at the first use."""
    package = write(f"bad{abs(hash(line))}", a=line)
    with pytest.raises(
        TypeError, match=rf"{package}\.a declares no THING: every file in {package} "
    ):
        read_shelf(package, Thing, "THING")


def test_a_name_stands_once(write: Callable[..., str]) -> None:
    """Neither file silently replaces the other."""
    package = write("twice", a='THING = Thing("x")', b='THING = Thing("x")')
    with pytest.raises(TypeError, match=rf"{package}\.b and {package}\.a both declare Thing 'x'"):
        read_shelf(package, Thing, "THING")


def test_one_module(write: Callable[..., str]) -> None:
    """A thing may be taken from a module that stands on no shelf."""
    module = ModuleType("lonely")
    with pytest.raises(TypeError, match="lonely declares no THING"):
        take_from(module, Thing, "THING")
    module.THING = Thing("x")  # type: ignore[attr-defined]
    assert take_from(module, Thing, "THING") == Thing("x")


@pytest.mark.parametrize("load", SHELVES, ids=lambda load: load.__name__)
def test_the_shelves_of_the_house(load: Callable[[], dict[str, Thing]]) -> None:
    """Each has things, and calls them by their own names."""
    shelf = load()
    assert shelf
    assert all(thing.name == name for name, thing in shelf.items())


def test_only_what_is_asked_for_is_read(write: Callable[..., str]) -> None:
    """A file that is called as its thing is read alone; another name, or all of them, reads all."""
    package = write("lazy", a='THING = Thing("a")', b='THING = Thing("bee")', broken="OTHER = 1")
    shelf = LazyShelf(package, Thing, "THING")
    assert "" not in shelf
    assert shelf["a"] == Thing("a")
    assert f"{package}.b" not in sys.modules
    for ask in (lambda: "b" in shelf, lambda: "broken" in shelf, lambda: list(shelf)):
        with pytest.raises(TypeError, match="broken declares no THING"):
            ask()
    whole = LazyShelf(
        write("whole", a='THING = Thing("a")', b='THING = Thing("bee")'), Thing, "THING"
    )
    assert whole["bee"] == Thing("bee")
    assert "b" not in whole
    assert "../a" not in whole
    assert dict(whole) == {"a": Thing("a"), "bee": Thing("bee")}


def test_what_a_file_raises_is_raised(write: Callable[..., str]) -> None:
    """A file that lacks a library is no file that is not there."""
    shelf = LazyShelf(write("lacks", a="import no_such_library"), Thing, "THING")
    with pytest.raises(ModuleNotFoundError, match="no_such_library"):
        assert shelf["a"]
