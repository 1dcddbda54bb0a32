"""Arguments → one call each. What a command needs is read when it is known which one it is, so
that `--help` is instant.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from sentinel.cli.parser import build_parser, parse

__all__ = ["build_parser", "main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of the `sentinel` command; the exit code."""
    parser = build_parser()
    arguments = parse(parser, argv)
    if not hasattr(arguments, "call"):
        parser.print_help()
        return 64
    if arguments.call == "running.run":  # before all that takes time: no signal is lost
        arguments.bell = importlib.import_module("sentinel.adapters.own_process.bell").Bell()
    return int(importlib.import_module("sentinel.cli.calling").call(arguments))
