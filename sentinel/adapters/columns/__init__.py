"""Columns of the configured tables by the catalog: are they there, are times times, and by which
clock are they written?
"""

from sentinel.adapters.columns.clocks import as_instant, as_wall, find_clocks
from sentinel.adapters.columns.proof import prove_columns

__all__ = ["as_instant", "as_wall", "find_clocks", "prove_columns"]
