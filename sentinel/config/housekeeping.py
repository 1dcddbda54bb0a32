"""The chores of the configuration: every key checked by the chore itself or by its kind, with place
and remedy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sentinel.config.calendar import is_on_calendar
from sentinel.config.model import ChoreSettings
from sentinel.config.value import Resource
from sentinel.config.written import Written
from sentinel.core.bus.housekeeping import Chore
from sentinel.housekeeping import ChoreKind, load_chores
from sentinel.strict.explain import one_of, unknown_message, validate
from sentinel.strict.place import Place

SECTION = "housekeeping"
OWN = ChoreSettings.model_fields
"""Keys of every chore; all others belong to its kind."""


def read_chores(
    written: Written, items: Sequence[Any], resources: Mapping[str, Resource]
) -> tuple[Chore, ...]:
    """Every chore that is right; what is wrong with the others is noted at its place."""
    return tuple(_read_all(written.at(SECTION), items, resources, load_chores()))


def _read_all(
    section: Place,
    items: Sequence[Any],
    resources: Mapping[str, Resource],
    kinds: Mapping[str, ChoreKind],
) -> Iterator[Chore]:
    names: set[str] = set()
    for i, item in enumerate(items):
        place = section / i
        if not isinstance(item, dict):
            remedy = "write `- name: …`, `kind: …`, and the keys of the kind"
            place.note("is no chore", remedy)
            continue
        name = item.get("name")
        if isinstance(name, str) and name in names:
            (place / "name").note(f"chore `{name}` is given twice", "keep one of them")
        names.add(str(name))
        chore = _read(place, item, resources, kinds)
        if chore is not None:
            yield chore


def _read(
    place: Place,
    item: Mapping[str, Any],
    resources: Mapping[str, Resource],
    kinds: Mapping[str, ChoreKind],
) -> Chore | None:
    own = {key: value for key, value in item.items() if key in OWN}
    rest = {key: value for key, value in item.items() if key not in OWN}
    base = validate(place, ChoreSettings, own)
    kind = kinds.get(str(item.get("kind")))
    if kind is None and item.get("kind") is not None:
        message = unknown_message("kind", str(item["kind"]), kinds, "`sentinel clean kinds`")
        (place / "kind").note(*message)
    options = validate(place, kind.options, rest, beside=OWN) if kind else None
    if base is None or kind is None:
        return None
    resource = _find_resource(place, base.resource, resources)
    fits = _check_calendar(place, base, kind)
    if options is None or not resource or not fits:
        return None
    values = base.model_dump(exclude={"resource"})
    return Chore(**values, resource=resource, options=options, settings=rest)


def _find_resource(place: Place, wanted: str, resources: Mapping[str, Resource]) -> str:
    fitting = [name for name, resource in resources.items() if resource.type == "redis"]
    name = wanted or (fitting[0] if len(fitting) == 1 else "")
    if name in fitting:
        return name
    if name:
        (place / "resource").note(*unknown_message("resource of type redis", name, fitting))
    else:
        message = "a chore needs a redis resource, and it is not clear which"
        place.note(message, f"add `resource: name`; {one_of(fitting)}")
    return ""


def _check_calendar(place: Place, base: ChoreSettings, kind: ChoreKind) -> bool:
    """At most one of `every` and `cron`, a cron line that is one, and neither for what only people
    may start.
    """
    if base.every is not None and base.cron is not None:
        (place / "cron").note("every and cron exclude each other", "keep one of them")
        return False
    if kind.by_hand and (base.every is not None or base.cron is not None):
        key = "cron" if base.cron is not None else "every"
        remedy = f"remove it; `sentinel clean plan {base.name}`"
        (place / key).note(f"{kind.name} is done by hand only", remedy)
        return False
    return is_on_calendar(place, base.cron, base.timezone, "*/15 * * * *")
