"""The composition root: the only place that wires configuration, engine, store and web together."""

from sentinel.app.calendar import REPORTS
from sentinel.app.daemon import Daemon
from sentinel.app.once import run_once
from sentinel.app.runbooks.hands import OperatorHands
from sentinel.app.serving import Signals, serve
from sentinel.engine.automation import HALT_FILE

__all__ = ["HALT_FILE", "REPORTS", "Daemon", "OperatorHands", "Signals", "run_once", "serve"]
