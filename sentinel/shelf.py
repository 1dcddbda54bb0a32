"""Shelves: packages in which each file is one thing of a kind, declared as one value.

A new file is a new thing; nothing else is edited.
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType
from typing import Protocol, TypeVar


class Named(Protocol):
    """What stands on a shelf: people call it by its name."""

    @property
    def name(self) -> str:
        """Its name, once on its shelf."""
        ...


ThingT = TypeVar("ThingT", bound=Named)


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
