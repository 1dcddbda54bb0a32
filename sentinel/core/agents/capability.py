"""What agents can do and tasks need: reading it as platforms write it, and what no single live
agent covers.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_NAME_KEYS = ("name", "capability", "id", "type")


@dataclass(frozen=True, slots=True)
class Demand:
    """Tasks that wait for an agent with all of these capabilities: how many, and up to 20 ids."""

    capabilities: frozenset[str]
    count: int
    sample: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """`sql + review`, in order."""
        return " + ".join(sorted(self.capabilities))


@dataclass(frozen=True, slots=True)
class CapabilityGap:
    """A demand that no single live agent covers.

    `missing`: capabilities that no live agent has; none: each is there, but not together in one
    agent.
    `asleep`: agents that would cover it, if they were awake.
    """

    demand: Demand
    missing: frozenset[str]
    asleep: tuple[str, ...] = ()


Offers = Mapping[str, frozenset[str]]
"""Agent → what it can do."""


def find_gaps(demands: Sequence[Demand], awake: Offers, asleep: Offers) -> list[CapabilityGap]:
    """Demands that no single agent of `awake` covers; those for nothing at all are everybody's."""
    offers = set(awake.values())
    here = frozenset().union(*offers)
    return [
        CapabilityGap(demand, demand.capabilities - here, _find_able(demand, asleep))
        for demand in demands
        if demand.capabilities and not any(demand.capabilities <= offer for offer in offers)
    ]


def _find_able(demand: Demand, offers: Offers) -> tuple[str, ...]:
    return tuple(sorted(name for name, offer in offers.items() if demand.capabilities <= offer))


def count_live(names: Iterable[str], awake: Offers) -> dict[str, int]:
    """Live agents per capability."""
    return {name: sum(name in offer for offer in awake.values()) for name in names}


def read_capabilities(value: Any) -> frozenset[str]:
    """Capabilities as platforms write them: list of names, list of objects, object, JSON text, or
    `a, b`.
    """
    if isinstance(value, str):
        return _read_text(value)
    if isinstance(value, Mapping):
        return frozenset(str(key) for key in value)
    if not isinstance(value, list):
        return frozenset()
    return frozenset(name for item in value if (name := _name_of(item)))


def _read_text(text: str) -> frozenset[str]:
    if text.lstrip()[:1] in ("[", "{"):
        try:
            return read_capabilities(json.loads(text))
        except (ValueError, RecursionError):
            pass  # an array of PostgreSQL as text: {a,b}
    return frozenset(part for raw in text.split(",") if (part := raw.strip(' {}[]"')))


def _name_of(item: Any) -> str:
    if isinstance(item, Mapping):
        return next((str(item[key]) for key in _NAME_KEYS if item.get(key)), "")
    return str(item) if item is not None else ""
