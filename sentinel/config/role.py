"""Which resource serves each role of a kind or driver."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sentinel.config.model import PlatformSettings
from sentinel.config.value import Resource
from sentinel.config.written import Written
from sentinel.probes import Kind
from sentinel.remediation import DriverKind
from sentinel.strict.explain import one_of, unknown_message
from sentinel.strict.place import Place


@dataclass(frozen=True, slots=True)
class Casting:
    """Gives the roles of kinds and drivers to the resources that there are."""

    written: Written
    settings: PlatformSettings
    resources: Mapping[str, Resource]
    _fitting: dict[str, list[str]] = field(init=False)
    """Names of resources by type: to look for them anew for each of 10,000 checks takes a minute."""
    _known: dict[tuple[tuple[str, str], ...], dict[str, str]] = field(default_factory=dict)
    """What was given before: who has the same roles has the same value."""

    def __post_init__(self) -> None:
        fitting = defaultdict[str, list[str]](list)
        for name, each in self.resources.items():
            fitting[each.type].append(name)
        object.__setattr__(self, "_fitting", fitting)

    def cast(
        self, place: Place, kind: Kind | DriverKind, options: Mapping[str, Any], component: str
    ) -> dict[str, str]:
        """Role → resource: the one named, the component's, or the only one of its type."""
        roles: dict[str, str] = {}
        for role, wanted in kind.resources.items():
            named = options.get(role)
            if named is not None and not isinstance(named, str):
                continue  # the kind's options have refused it already
            type_, optional = wanted.removesuffix("?"), wanted.endswith("?")
            name = named or self._usual(component, type_)
            if name in self.resources and self.resources[name].type == type_:
                roles[role] = name
            elif named:
                self._refuse(place / role, named, type_, self._fitting[type_])
            elif not optional and not self._is_broken(type_):
                word = "kind" if isinstance(kind, Kind) else "driver"
                message = f"{word} {kind.name} needs a {type_} resource, and it is not clear which"
                place.note(message, f"add `{role}: name`; {one_of(self._fitting[type_])}")
        return self._known.setdefault(tuple(roles.items()), roles)

    def _usual(self, component: str, type_: str) -> str:
        known, fitting = self.settings.components.get(component), self._fitting[type_]
        own = self.resources.get(known.resource) if known is not None else None
        if own is not None and own.type == type_:
            return own.name
        return fitting[0] if len(fitting) == 1 else ""

    def _refuse(self, place: Place, named: str, type_: str, fitting: list[str]) -> None:
        if named in self.resources:
            found = self.resources[named].type
            place.note(f"resource {named} is of type {found}, not {type_}", one_of(fitting))
        elif named not in self.written.names("resources"):
            place.note(*unknown_message("resource", named, fitting))

    def _is_broken(self, type_: str) -> bool:
        """Whether a resource of this type has a problem itself: then that is the one to mend."""
        given = self.written.settings.get("resources")
        items = given.items() if isinstance(given, dict) else ()
        return any(
            name not in self.resources and isinstance(item, dict) and type_ in item
            for name, item in items
        )
