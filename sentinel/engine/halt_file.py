"""The file HALT, looked at by a thread: a disk that does not answer must not stop the loop."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

PATIENCE = 0.2
"""Seconds that a look may take; then nobody knows, which counts as halted."""
YOUNG, OLD = 0.25, 1.0
"""Seconds for which an answer serves who only shows it, or is asked again before the act: when it is
no longer young the next one is on its way, and when it is old nobody knows.
"""


@dataclass(slots=True)
class HaltFile:
    """While one look hangs no other is begun: each would leave a thread behind."""

    _looking: threading.Thread | None = None
    _answer: tuple[float, bool] = field(default=(float("-inf"), True))
    """When it was asked for, and what it was."""

    def is_there(self, path: Path, *, now: bool) -> bool:
        """Anything but a certain "no such file" counts as there. `now`: as it is in this moment."""
        asked, (at, found) = time.monotonic(), self._answer
        if not now and asked - at < YOUNG:
            return found
        looking, patience = self._looking, 0.0
        if looking is None or not looking.is_alive():
            looking = threading.Thread(target=self._look, args=(path,), name="halt", daemon=True)
            self._looking, patience = looking, PATIENCE
            looking.start()
        if not now and asked - at < OLD:
            return found
        looking.join(patience)
        at, found = self._answer
        return found if at >= asked else True

    def _look(self, path: Path) -> None:
        asked = time.monotonic()
        try:
            path.lstat()  # a link that leads nowhere is there, too
        except FileNotFoundError:
            self._answer = asked, False
        except OSError:
            self._answer = asked, True
        else:
            self._answer = asked, True
