"""Which tests concern a module: read from the imports of the sources, nothing is run.

Nearest are the test file at the mirrored path (`sentinel/core/x.py`, `tests/unit/core/test_x.py`)
and those that import the module, themselves or through the support files and `conftest.py` of the
tests. Next are those that import a module which imports it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

_CODE, _TESTS = "sentinel", "tests"
_UNIT = "tests/unit/"


def name_module(path: str) -> str:
    """`sentinel/core/x.py` → `sentinel.core.x`; a package goes by the name of its folder."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def mirror(path: str) -> str:
    """Where the unit tests of a file of sentinel have their place."""
    folder, _, name = path.removeprefix(f"{_CODE}/").rpartition("/")
    return f"{_UNIT}{folder}/test_{name}" if folder else f"{_UNIT}test_{name}"


@dataclass(frozen=True)
class Imports:
    """The files of a repository by path, each with its text: who imports whom."""

    texts: dict[str, str]

    @classmethod
    def read(cls, root: Path) -> Imports:
        """From the sources of sentinel and its tests below `root`."""
        paths = [*(root / _CODE).rglob("*.py"), *(root / _TESTS).rglob("*.py")]
        return cls({str(p.relative_to(root)): p.read_text(encoding="utf-8") for p in sorted(paths)})

    def rings(self, path: str) -> list[list[str]]:
        """Test files that concern the file at `path`: the nearest, then the next; none empty."""
        nearest = self._tests_of({path})
        own = mirror(path)
        if own in self.texts:
            nearest = [own, *(test for test in nearest if test != own)]
        known = set(nearest)
        further = [test for test in self._tests_of(self._importers(path)) if test not in known]
        return [ring for ring in (nearest, further) if ring]

    def _tests_of(self, paths: set[str]) -> list[str]:
        """Test files of tests/unit that reach one of the paths, by path."""
        return [test for test, reached in self._reach.items() if reached & paths]

    def _importers(self, path: str) -> set[str]:
        files = self._direct.items()
        return {file for file, into in files if path in into and file.startswith(f"{_CODE}/")}

    @cached_property
    def _paths(self) -> dict[str, str]:
        return {name_module(path): path for path in self.texts}

    @cached_property
    def _direct(self) -> dict[str, set[str]]:
        """What each file imports: a package also stands for what its `__init__` hands on."""
        return {path: set(self._read(path, text)) for path, text in self.texts.items()}

    @cached_property
    def _reach(self) -> dict[str, set[str]]:
        """Files of sentinel that each unit test file imports, itself or through tests."""
        tests = (path for path in sorted(self.texts) if path.startswith(_UNIT))
        return {test: self._follow(test) for test in tests if "/test_" in test}

    def _follow(self, test: str) -> set[str]:
        reached: set[str] = set()
        waiting, seen = [test, *self._conftests(test)], set[str]()
        while waiting:
            path = waiting.pop()
            if path in seen:
                continue
            seen.add(path)
            for target in self._direct[path]:
                if target.startswith(f"{_TESTS}/") or target.endswith("__init__.py"):
                    waiting.append(target)
                if target.startswith(f"{_CODE}/"):
                    reached.add(target)
        return reached

    def _conftests(self, test: str) -> Iterator[str]:
        for folder in Path(test).parents:
            if (path := str(folder / "conftest.py")) in self.texts:
                yield path

    def _read(self, path: str, text: str) -> Iterator[str]:
        for node in ast.walk(ast.parse(text, path)):
            for name in _names(node):
                if name in self._paths:
                    yield self._paths[name]


def _names(node: ast.AST) -> Iterator[str]:
    """Modules that a statement may import; the house has no relative imports."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    if isinstance(node, ast.ImportFrom) and node.module:
        yield node.module
        yield from (f"{node.module}.{alias.name}" for alias in node.names)
