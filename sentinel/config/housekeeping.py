"""The chores of the configuration: every key checked by the chore itself or by its kind, with place
and remedy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from apscheduler.triggers.cron import CronTrigger
from pydantic import BaseModel, ValidationError

from sentinel.config.document import Document, Path_
from sentinel.config.explain import one_of, problem_of, unknown_message
from sentinel.config.model import ChoreSettings, Resource
from sentinel.core.bus.housekeeping import Chore
from sentinel.housekeeping import ChoreKind, load_kinds

SECTION = "housekeeping"
M = TypeVar("M", bound=BaseModel)
Place = Callable[[Path_], tuple[Document, Path_]]


def read_chores(
    items: Sequence[Any], place: Place, resources: Mapping[str, Resource]
) -> tuple[Chore, ...]:
    """Every chore that is right; what is wrong with the others is noted at its place."""
    kinds, names = load_kinds(), set[str]()
    return tuple(_read_all(items, place, resources, kinds, names))


def _read_all(
    items: Sequence[Any],
    place: Place,
    resources: Mapping[str, Resource],
    kinds: Mapping[str, ChoreKind],
    names: set[str],
) -> Iterator[Chore]:
    for i, item in enumerate(items):
        document, path = place((SECTION, i))
        if not isinstance(item, dict):
            document.add(
                path, "is no chore", "write `- name: …`, `kind: …`, and the keys of the kind"
            )
            continue
        name = item.get("name")
        if isinstance(name, str) and name in names:
            document.add((*path, "name"), f"chore `{name}` is given twice", "keep one of them")
        names.add(str(name))
        chore = _read(document, path, item, resources, kinds)
        if chore is not None:
            yield chore


def _read(
    document: Document,
    path: Path_,
    item: Mapping[str, Any],
    resources: Mapping[str, Resource],
    kinds: Mapping[str, ChoreKind],
) -> Chore | None:
    own = {key: value for key, value in item.items() if key in ChoreSettings.model_fields}
    rest = {key: value for key, value in item.items() if key not in ChoreSettings.model_fields}
    base = _validate(document, path, ChoreSettings, own)
    kind = kinds.get(str(item.get("kind")))
    if kind is None and item.get("kind") is not None:
        message = unknown_message("kind", str(item["kind"]), kinds, "`sentinel clean kinds`")
        document.add((*path, "kind"), *message)
    options = _validate(document, path, kind.options, rest) if kind else None
    if base is None or kind is None:
        return None
    resource = _find_resource(document, path, base.resource, resources)
    fits = _check_calendar(document, path, base, kind)
    if options is None or not resource or not fits:
        return None
    values = base.model_dump(exclude={"resource"})
    return Chore(**values, resource=resource, options=options, settings=rest)


def _validate(
    document: Document, path: Path_, model: type[M], value: Mapping[str, Any]
) -> M | None:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        for item in error.errors(include_url=False):
            document.take(problem_of(document, (*path, *item["loc"]), item, model))
    return None


def _find_resource(
    document: Document, path: Path_, wanted: str, resources: Mapping[str, Resource]
) -> str:
    fitting = [name for name, resource in resources.items() if resource.type == "redis"]
    name = wanted or (fitting[0] if len(fitting) == 1 else "")
    if name in fitting:
        return name
    if name:
        document.add((*path, "resource"), *unknown_message("resource of type redis", name, fitting))
    else:
        document.add(
            path,
            "a chore needs a redis resource, and it is not clear which",
            f"add `resource: name`; {one_of(fitting)}",
        )
    return ""


def _check_calendar(document: Document, path: Path_, base: ChoreSettings, kind: ChoreKind) -> bool:
    """At most one of `every` and `cron`, a cron line that is one, and neither for what only people
    may start.
    """
    if base.every is not None and base.cron is not None:
        document.add((*path, "cron"), "every and cron exclude each other", "keep one of them")
        return False
    if kind.by_hand and (base.every is not None or base.cron is not None):
        key = "cron" if base.cron is not None else "every"
        document.add(
            (*path, key),
            f"{kind.name} is done by hand only",
            f"remove it; `sentinel clean plan {base.name}`",
        )
        return False
    try:
        zone = ZoneInfo(base.timezone)
    except (ValueError, OSError, KeyError):
        document.add(
            (*path, "timezone"), f"unknown time zone {base.timezone!r}", "such as Europe/Berlin"
        )
        return False
    try:
        if base.cron is not None:
            CronTrigger.from_crontab(base.cron, timezone=zone).get_next_fire_time(
                None, datetime.now(UTC)
            )
    except ValueError as error:
        document.add(
            (*path, "cron"), f"{base.cron!r} is no cron line: {error}", 'such as "*/15 * * * *"'
        )
        return False
    return True
