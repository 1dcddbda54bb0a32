"""One file per driver: how a component is started, stopped and watched."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an action: `done`, or `failed` with the reason; `start_id` of what was started."""

    done: bool
    detail: str
    start_id: str = ""


class Driver(Protocol):
    """Starts and stops one component. `start` and `stop` never raise: every ending is an Outcome."""

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        ...

    @property
    def start_id(self) -> str:
        """Names the running incarnation for ever; "" when there is none."""
        ...

    def watch(self, on_end: Callable[[str], None]) -> None:
        """Call `on_end(how)` when the component ends without being asked to."""
        ...

    def adopt(self, start_id: str) -> bool:
        """Take over what a former sentinel started; False when it no longer runs."""
        ...

    async def start(self) -> Outcome:
        """Start it."""
        ...

    async def stop(self) -> Outcome:
        """Stop it and wait; never kills unless the component is marked `kill_safe`."""
        ...

    def close(self) -> None:
        """Let go of it; the component goes on."""
        ...
