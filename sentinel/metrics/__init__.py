"""What sentinel exports: every figure of its own, the latest rows of every check, and the text
that is made of them.

Each series keeps its line of text; a change marks it, and a scrape writes the marked lines anew and
joins all. So a scrape costs what changed, and it comes in pieces between which the event loop
serves others. `prometheus_client` is the oracle of the tests: its parser reads the same from both.
"""

from sentinel.metrics.cap import MAX_SERIES
from sentinel.metrics.figure import Metrics
from sentinel.metrics.text import MAX_LABEL, safe_label

__all__ = ["MAX_LABEL", "MAX_SERIES", "Metrics", "safe_label"]
