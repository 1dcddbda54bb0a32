"""The composition root: the only place that wires configuration, engine, store and web together."""

from sentinel.app.calendar import REPORTS
from sentinel.app.daemon import HALT_FILE, Daemon, Signals, serve
from sentinel.app.hands import OperatorHands
from sentinel.app.once import run_once

__all__ = ["HALT_FILE", "REPORTS", "Daemon", "OperatorHands", "Signals", "run_once", "serve"]
