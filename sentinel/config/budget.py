"""Does a resource's budget of requests last for all that ask of it, as often as they do?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from sentinel.config.component import ComponentReader
from sentinel.config.value import Resource
from sentinel.config.written import Written
from sentinel.core.model import Check, Component
from sentinel.core.quantity import format_duration
from sentinel.core.servers.pace import Asker, RequestBudget
from sentinel.probes import Kind
from sentinel.remediation import LOOK_EVERY
from sentinel.strict.place import Place


def share_budgets(
    written: Written,
    resources: Mapping[str, Resource],
    reader: ComponentReader,
    components: Sequence[Component],
    checks: Sequence[Check],
    kinds: Mapping[str, Kind],
) -> dict[str, Resource]:
    """The same resources, each budget spread over those who ask; one that can't last is noted."""
    shared = dict(resources)
    for name, resource in resources.items():
        budget = resource.options.get("budget")
        if budget is not None:
            askers = [*_find_checks(name, checks, kinds), *_find_looks(name, reader, components)]
            _compare(written.at("resources", name, "budget"), budget, askers)
            options = {**resource.options, "budget": budget.share(askers)}
            shared[name] = replace(resource, options=options)
    return shared


def _find_checks(
    resource: str, checks: Sequence[Check], kinds: Mapping[str, Kind]
) -> Iterator[Asker]:
    for check in checks:
        if resource in check.resources.values():
            requests = kinds[check.kind].requests(check.options)
            if requests:
                yield Asker(check.name, requests, check.every)


def _find_looks(
    resource: str, reader: ComponentReader, components: Sequence[Component]
) -> Iterator[Asker]:
    """Drivers that ask their manager whether a component runs."""
    for component in components:
        kind = reader.drivers.get(component.driver)
        if kind is None or not reader.is_observed(component.name):
            continue
        used = {getattr(component.options, role, None) for role in kind.resources}
        if resource in used:
            yield Asker(f"{_LOOK}{component.name}", 1, LOOK_EVERY)


def _compare(place: Place, budget: RequestBudget, askers: Sequence[Asker]) -> None:
    needed = sum(each.need(budget.window) for each in askers)
    if needed <= budget.requests:
        return
    window = format_duration(budget.window)
    named = ", ".join(_describe(each) for each in askers[:_SHOWN])
    more = f" and {len(askers) - _SHOWN} more" if len(askers) > _SHOWN else ""
    text = f"up to {needed} requests in {window} are asked of it, and it has {budget.requests}: "
    remedy = f"write at least `budget: {needed}/{_write(budget.window)}`"
    if interval := _find_interval(budget, askers):
        remedy += f", or at least `every: {interval}s` for each check"
    place.note(text + named + more, remedy)


def _find_interval(budget: RequestBudget, askers: Sequence[Asker]) -> int | None:
    """How often each check may ask, beside the drivers, who ask as often as they do."""
    looks = sum(each.need(budget.window) for each in askers if each.name.startswith(_LOOK))
    left = RequestBudget(max(budget.requests - looks, 0), budget.window)
    return left.find_interval([each for each in askers if not each.name.startswith(_LOOK)])


def _write(window: float) -> str:
    """As YAML takes it."""
    for unit, size in (("h", 3600), ("m", 60), ("s", 1)):
        if window % size == 0:
            return f"{window / size:.0f}{unit}"
    return f"{window * 1000:g}ms"


def _describe(asker: Asker) -> str:
    times = f"{asker.requests} " if asker.requests > 1 else ""
    return f"{asker.name} {times}every {format_duration(asker.every)}"


_SHOWN = 5
_LOOK = "driver of "
"""No check is called so: a name has no blanks."""
