"""sentinel: observability and SRE toolkit for multi-agent platforms."""

__version__ = "0.1.0"
