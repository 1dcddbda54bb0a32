"""The components of a configuration: what they need, what drives them, in dependency order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from pathlib import Path

from sentinel.config.build import make_component
from sentinel.config.driver import read_options
from sentinel.config.model import ComponentSettings
from sentinel.config.role import Casting
from sentinel.core.model import Component
from sentinel.remediation import DriverKind, DriverOptions
from sentinel.strict.attempt import attempt
from sentinel.strict.file import UnreadableFile, find_file, show_path
from sentinel.strict.place import Place


@dataclass(slots=True)
class ComponentReader:
    """Reads every component, and knows afterwards which of them their driver observes."""

    casting: Casting
    drivers: Mapping[str, DriverKind]
    _unobserved: set[str] = field(default_factory=set)

    @property
    def _known(self) -> Mapping[str, ComponentSettings]:
        return self.casting.settings.components

    def _place(self, name: str) -> Place:
        return self.casting.written.at("components", name)

    def read(self) -> tuple[Component, ...]:
        """Every component, those first that others need; what is wrong is noted."""
        for name, item in self._known.items():
            self._check_names(name, item)
        options = {
            name: attempt(self._place(name), self._read_driver, name, item)
            for name, item in self._known.items()
        }
        watched = {
            name: attempt(self._place(name) / "watch", self._read_watch, name, item) or ()
            for name, item in self._known.items()
        }
        return tuple(
            make_component(name, self._known[name], options[name], watched[name])
            for name in self._dependency_order()
        )

    def _check_names(self, name: str, item: ComponentSettings) -> None:
        written, place = self.casting.written, self._place(name)
        if item.resource and item.resource not in written.names("resources"):
            known = self.casting.settings.resources
            written.unknown(place / "resource", "resource", item.resource, known)
        for i, dependency in enumerate(item.depends_on):
            if dependency not in written.names("components"):
                at = place.at("depends_on", i)
                written.unknown(at, "component", dependency, self._known)

    def _read_watch(self, name: str, item: ComponentSettings) -> tuple[str, ...]:
        """Paths whose change has the component reload or restart; relative to the configuration."""
        place = self._place(name) / "watch"
        if item.watch and not item.driver:
            place.note("a watch needs a driver", "add `driver: process` or another one")
        paths = [self.casting.written.relative(path) for path in item.watch]
        found = [self._is_there(place / i, path) for i, path in enumerate(paths)]
        return tuple(str(path.resolve()) for path in paths) if all(found) else ()

    @staticmethod
    def _is_there(place: Place, path: Path) -> bool:
        """Whether there is something to watch; a path that can't even be looked at is refused."""
        try:
            if find_file(path) is not None:
                return True
            place.note(
                f"there is no file or folder {show_path(path)}", "make it, or correct the path"
            )
        except UnreadableFile as error:
            place.note(f"{show_path(path)} {error.message}", error.guidance)
        return False

    def _read_driver(self, name: str, item: ComponentSettings) -> DriverOptions | None:
        """What the component's driver is told, with the resources that it is to use."""
        place = self._place(name)
        options = read_options(place, item, self.drivers)
        if options is None:
            return None
        kind = self.drivers[item.driver]
        if not kind.observes(options):
            self._unobserved.add(name)
        roles = self.casting.cast(place, kind, item.model_extra or {}, name)
        return options.model_copy(update=roles) if roles else options

    def _dependency_order(self) -> list[str]:
        known = self._known
        graph = {name: [d for d in item.depends_on if d in known] for name, item in known.items()}
        order: list[str] = []
        while graph and not order:
            try:
                order = list(TopologicalSorter(graph).static_order())
            except CycleError as error:
                # Its edges are taken out, so that the next cycle is told in the same run.
                names = error.args[1]
                message = f"dependency cycle: {' → '.join(reversed(names))}"
                (self._place(names[0]) / "depends_on").note(message, "remove one of these edges")
                for needed, name in pairwise(names):
                    graph[name] = [d for d in graph[name] if d != needed]
        return order

    def is_observed(self, name: str) -> bool:
        """Whether the component has a check by itself: its driver asks."""
        return bool(self._known[name].driver) and name not in self._unobserved

    def check_needed(self) -> None:
        """A dependency that nobody checks is never proven healthy: what needs it would never be
        restarted.
        """
        judged = set(filter(_is_text, self.casting.written.check_keys("component")))
        judged |= {name for name in self._known if self.is_observed(name)}
        for name, item in self._known.items():
            if not item.driver:
                continue
            if name not in judged:
                message = (
                    f"driver {item.driver} can't tell whether {name} runs: it would never be"
                    " restarted"
                )
                remedy = f"give its driver a status, or add a check of {name}"
                (self._place(name) / "driver").note(message, remedy)
            for i, needed in enumerate(item.depends_on):
                if needed in self._known and needed not in judged:
                    message = (
                        f"no check says whether `{needed}` is healthy: {name} would never be"
                        " restarted"
                    )
                    place = self._place(name).at("depends_on", i)
                    place.note(message, f"add a check of {needed}")


def _is_text(value: object) -> bool:
    return isinstance(value, str)
