"""What changes, told in memory in the moment in which it does: who shows it waits for no disk and
asks nobody.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from sentinel.store import Changes

Hear = Callable[[Callable[[], Changes] | None, bool], None]
"""`hear(make, patient)`: `make()` gives what changed, from values that do not change any more; None:
others are watched than before. Patient is what says the same as before with other figures.
"""


@dataclass(slots=True)
class Hub:
    """Tells all who listen, in the loop, one after the other. While nobody listens it costs nothing
    and keeps nothing.
    """

    _listeners: list[Hear] = field(default_factory=list)

    def listen(self, hear: Hear) -> Callable[[], None]:
        """Hear of everything from now on, until what is returned is called. `hear` must be quick:
        the turn of a check waits for it.
        """
        self._listeners.append(hear)

        def leave() -> None:
            if hear in self._listeners:
                self._listeners.remove(hear)

        return leave

    def tell(self, make: Callable[[], Changes], *, patient: bool = False) -> None:
        """Something has changed."""
        for hear in tuple(self._listeners):
            hear(make, patient)

    def tell_anew(self) -> None:
        """What is watched has changed: whoever keeps something of it begins anew."""
        for hear in tuple(self._listeners):
            hear(None, False)
