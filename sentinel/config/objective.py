"""Objectives: each for a check that exists, by an SLI that its kind has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sentinel.config.component import ComponentReader
from sentinel.config.model import ObjectiveSettings
from sentinel.config.written import Written
from sentinel.core.objective import LOOK_SLIS, Objective
from sentinel.probes import Kind
from sentinel.strict.explain import unknown_message, validate
from sentinel.strict.place import Place


@dataclass(frozen=True, slots=True)
class _Measured:
    """What an objective needs to know of a check; `slis` is None where its kind is not known, and
    a check that a driver brings along has a kind that nobody writes.
    """

    component: str
    kind: str
    slis: Mapping[str, str] | None


def read_objectives(
    written: Written,
    objectives: Sequence[Any],
    components: ComponentReader,
    kinds: Mapping[str, Kind],
) -> tuple[Objective, ...]:
    """Every objective that is right; what is wrong with the others is noted, all at once."""
    checks = _find_checks(written, components, kinds)
    seen, found = set[str](), list[Objective]()
    for i, raw in enumerate(objectives):
        place = written.at("objectives", i)
        item = validate(place, ObjectiveSettings, raw)
        given = raw if isinstance(raw, dict) else {}
        name = given.get("name")
        if isinstance(name, str):
            if name in seen:
                (place / "name").note(f"objective `{name}` is given twice", "keep one of them")
            seen.add(name)
        check = _find_check(place, given, checks)
        if item is not None and check is not None:
            aim = Objective(component=check.component, **item.model_dump(), origin=str(place))
            found.append(aim)
    return tuple(found)


def _find_check(
    place: Place, given: Mapping[str, Any], checks: Mapping[str, _Measured]
) -> _Measured | None:
    """The check of an objective, when it has the SLI; nothing is said of an SLI where the kind is
    wrong, and of what is no text: that was refused already.
    """
    name, sli = given.get("check"), given.get("sli")
    if not isinstance(name, str):
        return None
    check = checks.get(name)
    if check is None:
        (place / "check").note(*unknown_message("check", name, checks))
    elif isinstance(sli, str) and check.slis is not None and sli not in check.slis:
        where = f"`sentinel kinds {check.kind}`" if check.kind else ""
        (place / "sli").note(*unknown_message("SLI", sli, check.slis, where))
    return check


def _find_checks(
    written: Written, components: ComponentReader, kinds: Mapping[str, Kind]
) -> dict[str, _Measured]:
    """Every check by name, those that drivers bring along among them."""
    own = {
        f"{name}.process": _Measured(name, "", LOOK_SLIS)
        for name in components.casting.settings.components
        if components.is_observed(name)
    }
    measure = _Measures(kinds)
    given = {
        raw["name"]: measure(raw)
        for _, raw in written.checks
        if isinstance(raw, dict) and isinstance(raw.get("name"), str)
    }
    return own | given


@dataclass(slots=True)
class _Measures:
    """What checks of each kind measure: looked up once a kind."""

    kinds: Mapping[str, Kind]
    _slis: dict[str, Mapping[str, str] | None] = field(default_factory=dict)

    def __call__(self, raw: Mapping[str, Any]) -> _Measured:
        name = str(raw.get("kind"))
        if name not in self._slis:
            kind = self.kinds.get(name)
            self._slis[name] = kind.sli_meanings if kind else None
        return _Measured(str(raw.get("component")), name, self._slis[name])
