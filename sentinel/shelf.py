"""Shelves: packages in which each file is one thing of a kind, declared as one value.

A new file is a new thing; nothing else is edited. Who asks for one thing reads its file alone: all
kinds of check together are half of what a start would take.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Generic, Protocol, TypeVar


class Named(Protocol):
    """What stands on a shelf: people call it by its name."""

    @property
    def name(self) -> str:
        """Its name, once on its shelf."""
        ...


ThingT = TypeVar("ThingT", bound=Named)


class LazyShelf(Mapping[str, ThingT], Generic[ThingT]):
    """A shelf by name. A file that is called as its thing is read when that is asked for; all files
    are read by `read_shelf`, and what it raises is raised, when another name is asked for, or all.
    """

    def __init__(self, package: str, type_: type[ThingT], attribute: str) -> None:
        self._place = package, type_, attribute
        self._taken: dict[str, ThingT] = {}
        self._is_whole = False

    def __getitem__(self, name: str) -> ThingT:
        if not name:  # no driver
            raise KeyError(name)
        found = self._taken.get(name) or self._take(name)
        return self._read()[name] if found is None else found

    def __iter__(self) -> Iterator[str]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())

    def _take(self, name: str) -> ThingT | None:
        package, type_, attribute = self._place
        file = f"{package}.{name}"
        if self._is_whole or not name.isidentifier():
            return None
        try:
            thing = take_from(importlib.import_module(file), type_, attribute)
        except ModuleNotFoundError as error:
            if error.name != file:
                raise
            return None
        except TypeError:  # a room of the shelf, or a mistake that is told with all others
            return None
        if thing.name != name:
            return None
        self._taken[name] = thing
        return thing

    def _read(self) -> dict[str, ThingT]:
        if not self._is_whole:
            self._taken = read_shelf(*self._place)
            self._is_whole = True
        return self._taken


def read_shelf(package: str, type_: type[ThingT], attribute: str) -> dict[str, ThingT]:
    """What every file of a package declares as `attribute`, by name, in the order of the files.

    Packages in it are rooms of those that make it, and no things. Raises TypeError for a file that
    declares none, and for a name that two files have.
    """
    shelf: dict[str, ThingT] = {}
    owners: dict[str, str] = {}
    for info in pkgutil.iter_modules(importlib.import_module(package).__path__):
        if info.ispkg:
            continue
        module = importlib.import_module(f"{package}.{info.name}")
        thing = take_from(module, type_, attribute)
        if thing.name in shelf:
            raise TypeError(
                f"{module.__name__} and {owners[thing.name]} both declare"
                f" {type_.__name__} {thing.name!r}: a name stands on its shelf once"
            )
        shelf[thing.name], owners[thing.name] = thing, module.__name__
    return shelf


def take_from(module: ModuleType, type_: type[ThingT], attribute: str) -> ThingT:
    """The value that a module declares; raises TypeError for a file of a shelf without one."""
    thing = getattr(module, attribute, None)
    if not isinstance(thing, type_):
        shelf = module.__name__.rpartition(".")[0] or module.__name__
        raise TypeError(
            f"{module.__name__} declares no {attribute}:"
            f" every file in {shelf} declares one {type_.__name__}"
        )
    return thing
