"""The checks of a configuration: common keys, the kind's own options, resources, thresholds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sentinel.config.acceptance import read_acceptances
from sentinel.config.build import make_check, make_level
from sentinel.config.component import ComponentReader
from sentinel.config.model import CheckSettings
from sentinel.config.role import Casting
from sentinel.core.model import Check, Threshold
from sentinel.probes import Kind, Options
from sentinel.strict.attempt import attempt
from sentinel.strict.explain import unknown_message, validate
from sentinel.strict.place import Place

OWN = CheckSettings.model_fields
"""Keys of every check; all others belong to its kind."""


@dataclass(frozen=True, slots=True)
class CheckReader:
    """Reads every check; `now` is the instant that an acceptance must outlive."""

    casting: Casting
    components: ComponentReader
    kinds: Mapping[str, Kind]
    now: datetime
    _known: dict[tuple[str, str], Options] = field(default_factory=dict)

    def read(self) -> tuple[Check, ...]:
        """Every check that is right; what is wrong with the others is noted."""
        found = [
            attempt(place, self._read, place, raw) for place, raw in self.casting.written.checks
        ]
        return tuple(check for check in found if check is not None)

    def _read(self, place: Place, raw: Any) -> Check | None:
        if not isinstance(raw, dict):
            place.note("is no check", "write `- name: …`, `kind: …`, `component: …`")
            return None
        kind = self._find_kind(place / "kind", raw.get("kind"))
        own, rest = _split(raw)
        base = validate(place, CheckSettings, own)
        options = self._read_options(place, kind, rest) if kind else None
        accept = read_acceptances(place / "accept", raw.get("accept"), kind, self.now)
        if kind is not None and "keep_losses" in own:
            _check_losses(place / "keep_losses", kind)
        is_new = self._check_names(place, raw)
        if base is None or kind is None or not is_new:
            return None
        roles = self.casting.cast(place, kind, rest, base.component)
        thresholds = _read_thresholds(place / "thresholds", kind, base)
        if options is None:
            return None
        return make_check(base, kind, options, roles, thresholds, accept, str(place))

    def _read_options(self, place: Place, kind: Kind, rest: dict[str, Any]) -> Options | None:
        """The options of a kind; those who say the same have the same value."""
        said = (kind.name, repr(sorted(rest.items())))
        known = self._known.get(said)
        if known is None:
            known = validate(place, kind.options, rest, beside=OWN)
            if known is not None:
                self._known[said] = known
        return known

    def _find_kind(self, place: Place, name: Any) -> Kind | None:
        kind = self.kinds.get(name) if isinstance(name, str) else None
        if kind is not None or name is None:
            return kind
        moved = [each for each in self.kinds.values() if str(name) in each.formerly]
        if moved:
            place.note(f"the kind {name} is now {moved[0].name}", moved[0].formerly[str(name)])
        else:
            place.note(*unknown_message("kind", str(name), self.kinds, "`sentinel kinds`"))
        return None

    def _check_names(self, place: Place, raw: dict[str, Any]) -> bool:
        """The name is new and free, and the component exists; said even when other keys of the
        check are wrong.
        """
        written, known = self.casting.written, self.casting.settings.components
        name, component = raw.get("name"), raw.get("component")
        if isinstance(component, str) and component not in written.names("components"):
            written.unknown(place / "component", "component", component, known)
        if not isinstance(name, str):
            return False
        self._check_free(place / "name", name)
        return written.is_new("check", name, place / "name")

    def _check_free(self, place: Place, name: str) -> None:
        """The check that a component has by its driver owns its name."""
        component = name.removesuffix(".process")
        known = self.casting.settings.components
        if component != name and component in known and self.components.is_observed(component):
            message = (
                f"the name `{name}` belongs to the check that the driver of {component} brings"
                " along"
            )
            place.note(message, "choose another name")


def _split(raw: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The keys that every check has, and those of its kind."""
    own: dict[str, Any] = {}
    rest: dict[str, Any] = {}
    for key, value in raw.items():
        (own if key in OWN else rest)[key] = value
    return own, rest


def _check_losses(place: Place, kind: Kind) -> None:
    """A key that has no effect is a mistake."""
    if not any(each.lasting for each in kind.faults):
        place.note(f"kind {kind.name} finds nothing that is lost for good", "remove the key")


def _read_thresholds(place: Place, kind: Kind, base: CheckSettings) -> tuple[Threshold, ...]:
    if not base.thresholds:
        return ()
    known = {measurement.name for measurement in kind.measurements}
    for name in base.thresholds:
        if name not in known:
            (place / name).note(*unknown_message("measurement", name, known))
    return tuple(
        Threshold(name, make_level(item.degraded), make_level(item.down))
        for name, item in base.thresholds.items()
    )
