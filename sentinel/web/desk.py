"""What the page may ask of the daemon. It carries nothing out: each is an order, as on the command
line, and stands in the audit log before its effect.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from aiohttp import web

from sentinel.core.order import Answer


class Desk(Protocol):
    """Takes orders from callers who may give them. `by` goes into the audit log, times are seconds.

    None is the answer to what was not done within a few seconds: the daemon is still at it. Raises
    UsageError for what makes no sense, UnknownName for what names nothing, StateError when nothing
    can be written.
    """

    async def acknowledge(self, incident: str, by: str, reason: str) -> Answer | None:
        """Somebody sees to an incident."""
        ...

    async def note(self, incident: str, by: str, text: str) -> Answer | None:
        """What somebody did, or saw."""
        ...

    async def silence(
        self, matchers: Mapping[str, Sequence[str]], seconds: float, by: str, reason: str
    ) -> Answer | None:
        """Nobody is told of what fits."""
        ...

    async def end_silence(self, name: str, by: str) -> Answer | None:
        """People are told again."""
        ...

    async def maintain(
        self, name: str, components: Sequence[str], seconds: float, by: str, reason: str
    ) -> Answer | None:
        """People work on components from now on."""
        ...

    async def end_maintenance(self, name: str, by: str) -> Answer | None:
        """They are done."""
        ...

    async def halt(self, by: str, reason: str) -> Answer | None:
        """No automatic action any more."""
        ...

    async def resume(self, by: str, reason: str) -> Answer | None:
        """Automatic actions again."""
        ...

    async def restart(self, component: str, by: str, reason: str) -> Answer | None:
        """Restart a component."""
        ...

    async def close_breaker(self, by: str, reason: str) -> Answer | None:
        """Let automation act again after it switched itself off."""
        ...

    async def reload(self, by: str, reason: str) -> Answer | None:
        """Read the configuration anew."""
        ...


DESK: web.AppKey[Desk] = web.AppKey("desk", Desk)
