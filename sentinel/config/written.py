"""What stands in all files of a configuration together, with the place of each key."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from sentinel.config.model import PlatformSettings
from sentinel.errors import ConfigurationError, Problem
from sentinel.strict.explain import explain, unknown_message
from sentinel.strict.folder import digest_folder, list_files
from sentinel.strict.place import Document, KeyPath, Place
from sentinel.strict.read import read_document

MERGED = frozenset({"resources", "components", "channels", "tracks", "milestones"})
"""Sections that several files may add to."""


class Written:
    """One reading of one folder or file, as plain values. Collects problems, and raises them once.

    `settings` is everything outside of checks, `checks` each check with its place.
    """

    def __init__(self, path: Path, environment: Mapping[str, str]) -> None:
        self.path = path
        self.environment = environment
        self.settings: dict[str, Any] = {}
        self.checks: list[tuple[Place, Any]] = []
        self._documents: list[Document] = []
        self._problems: list[Problem] = []
        self._places: dict[tuple[str, str], Place] = {}

    # -- read ---------------------------------------------------------------------------------

    def read(self) -> None:
        """Read every file; what is given twice names both places."""
        for file in self._files():
            document = read_document(file, self.environment)
            self._documents.append(document)
            self._take(document)
        problems = bool(self._problems) or any(each.problems for each in self._documents)
        if self._watches_nothing() and not problems:
            remedy = "add a file with a list of checks (`sentinel kinds`)"
            self.note(str(self.path), "has no checks", remedy)

    def _watches_nothing(self) -> bool:
        """Neither a check nor a component with a driver, which has one by itself."""
        components = self.settings.get("components")
        each = components.values() if isinstance(components, dict) else ()
        return not self.checks and not any(
            isinstance(item, dict) and item.get("driver") for item in each
        )

    def _files(self) -> list[Path]:
        """The *.yaml of the folder, without hidden ones: an editor's lock or backup is no
        configuration.
        """
        remedy = "name the folder with `--config`, or write one as README shows"
        try:
            files = list_files(self.path)
        except (FileNotFoundError, NotADirectoryError):
            self.note(str(self.path), "is no folder", remedy)
            return []
        except OSError as error:
            message = f"can't be read: {error.strerror}"
            self.note(str(self.path), message, "check the path and its rights")
            return []
        if not files:
            self.note(str(self.path), "has no *.yaml file", remedy)
        return files

    def _take(self, document: Document) -> None:
        if isinstance(document.value, list):
            self._take_checks(document.at(), document.value)
        elif isinstance(document.value, dict):
            self._take_settings(document, document.value)
        elif document.value is not None:
            document.at().note(
                "is neither a list of checks nor a mapping of settings",
                "begin with `- name:` or `key:`",
            )

    def _take_checks(self, place: Place, items: list[Any]) -> None:
        self.checks += [(place / i, item) for i, item in enumerate(items)]

    def _take_settings(self, document: Document, value: dict[str, Any]) -> None:
        for key, item in value.items():
            place = document.at(key)
            if key in MERGED and isinstance(item, dict):
                if isinstance(self.settings.get(key, {}), dict):
                    self._merge(place, key, item)
            elif key == "checks" and isinstance(item, list):
                self._take_checks(place, item)
            elif self.is_new("", key, place):
                self.settings[key] = item

    def _merge(self, place: Place, section: str, items: dict[str, Any]) -> None:
        merged = self.settings.setdefault(section, {})
        self._places.setdefault(("", section), place)
        for name, item in items.items():
            if self.is_new(section, name, place / name):
                merged[name] = item

    def is_new(self, section: str, name: str, place: Place) -> bool:
        """Whether nobody had this name in this section; notes both places otherwise."""
        first = self._places.setdefault((section, name), place)
        if first == place:
            return True
        what = f"{section.removesuffix('s') or 'key'} `{name}`"
        place.note(f"{what} is given twice (first in {first})", "keep one of them")
        return False

    @property
    def digest(self) -> str:
        """One word for all files together: another one when anything in them differs."""
        return digest_folder({Path(each.file).name: each.digest for each in self._documents})

    # -- settings -----------------------------------------------------------------------------

    def validate_settings(self) -> PlatformSettings:
        """Everything outside of checks as a model; what is wrong is noted, and left out."""
        try:
            return PlatformSettings.model_validate(self.settings)
        except ValidationError as error:
            for item in error.errors(include_url=False):
                place = self.at(*item["loc"])
                place.document.take(explain(place, item, PlatformSettings))
        return PlatformSettings.model_validate(self._good_settings())

    def _good_settings(self) -> dict[str, Any]:
        """What is valid by itself, so that the other problems of the same file are found in the
        same run.
        """
        good: dict[str, Any] = {}
        for key, value in self.settings.items():
            if key in MERGED and isinstance(value, dict):
                good[key] = {
                    name: item for name, item in value.items() if _is_good(key, {name: item})
                }
            elif _is_good(key, value):
                good[key] = value
        return good

    # -- places and problems ------------------------------------------------------------------

    def at(self, *path: str | int) -> Place:
        """The place of a setting, in the file that has it."""
        return Place(self._document_of(path), path)

    def _document_of(self, path: KeyPath) -> Document:
        section = ("", str(path[0]) if path else "")
        own = (str(path[0]), str(path[1])) if len(path) > 1 else section
        place = self._places.get(own) or self._places.get(section)
        if place is not None:
            return place.document
        return self._documents[0] if self._documents else Document(str(self.path))

    def names(self, section: str, *beside: str) -> Set[str]:
        """Every name that a section has, those with problems among them: a second complaint would
        not help. `beside`: names that are there without being written.
        """
        given = self.settings.get(section, {})
        if not isinstance(given, dict):
            return _Everything()
        return {*given, *beside} if beside else given.keys()

    def check_keys(self, key: str) -> list[Any]:
        """What every check that is a mapping has for a key, as it is written."""
        return [raw.get(key) for _, raw in self.checks if isinstance(raw, dict)]

    def relative(self, name: str) -> Path:
        """A path of the configuration: relative ones begin at its folder."""
        base = self.path if self.path.is_dir() else self.path.parent
        return base / name

    def unknown(self, place: Place, what: str, name: str, known: Iterable[str]) -> None:
        """Note a name that does not exist."""
        place.note(*unknown_message(what, name, known))

    def note(self, file: str, message: str, remedy: str, key: str = "") -> None:
        """Note what is wrong outside of any file's lines."""
        self._problems.append(Problem(file, 0, key, message, remedy))

    def raise_problems(self) -> None:
        """Raise ConfigurationError with everything that was noted, if anything was wrong."""
        if self.problems:
            raise ConfigurationError(list(dict.fromkeys([*self.problems, *self.lapsed])))

    @property
    def problems(self) -> list[Problem]:
        """Everything that was noted so far."""
        return [*self._problems, *(each for d in self._documents for each in d.problems)]

    @property
    def lapsed(self) -> tuple[Problem, ...]:
        """What was right, and is over by now."""
        return tuple(each for document in self._documents for each in document.lapsed)


def _is_good(key: str, value: Any) -> bool:
    try:
        PlatformSettings.model_validate({key: value})
    except ValidationError:
        return False
    return True


class _Everything(Set[str]):
    """The names of a section that could not be read: any may be in it."""

    def __contains__(self, _name: object) -> bool:
        return True

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0

    def __or__(self, _others: Set[Any]) -> Set[Any]:
        return self
