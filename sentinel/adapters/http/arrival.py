"""Whether a request that failed may have reached its target: only then may it have had an effect."""

from __future__ import annotations

from dataclasses import dataclass

from sentinel.errors import TargetError


@dataclass(slots=True)
class Way:
    """How far one request came."""

    connected: bool = False
    """Whether it found a connection: before, nothing can be sent."""


class NeverSent(Exception):
    """No connection came about, or not in time. Its cause says why, where anybody knows."""


def may_have_arrived(error: TargetError) -> bool:
    """Whether the request behind this error may have reached the target.

    What the budget or a back-off held back has no cause; what found no connection was never sent.
    """
    cause = error.__cause__
    return cause is not None and not isinstance(cause, NeverSent)
