"""What is ordered, and what became of it, as values: nobody parses a first word."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Order:
    """Something to be done by the dispatcher: `notify` or `restart`; `key` makes it idempotent."""

    kind: str
    key: str
    subject: str
    payload: Mapping[str, Any] = field(default_factory=dict)
