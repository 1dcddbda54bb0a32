"""The composition root: the only place that wires configuration, engine, store and web together.

What it offers is read when it is asked for: most commands of the command line need none of it, and
a person waits for each of them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sentinel.app.calendar import REPORTS
    from sentinel.app.daemon import Daemon
    from sentinel.app.once import run_once
    from sentinel.app.runbooks.hands import OperatorHands
    from sentinel.app.serving import Signals, serve
    from sentinel.store import HALT_FILE

__all__ = ["HALT_FILE", "REPORTS", "Daemon", "OperatorHands", "Signals", "run_once", "serve"]

_HOMES = {
    "HALT_FILE": "sentinel.store",
    "REPORTS": "sentinel.app.calendar",
    "Daemon": "sentinel.app.daemon",
    "OperatorHands": "sentinel.app.runbooks.hands",
    "Signals": "sentinel.app.serving",
    "run_once": "sentinel.app.once",
    "serve": "sentinel.app.serving",
}


def __getattr__(name: str) -> Any:
    """What somebody imports from here, from its home."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
