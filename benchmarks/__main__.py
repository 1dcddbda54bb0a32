"""`python -m benchmarks [name …]`: take figures, print them, write RESULTS.md."""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys
from collections.abc import Sequence

import benchmarks
from benchmarks.harness import Benchmark, Others, Report, render, wait_for_calm, write_results

_FRAME = {"__main__", "fleet", "harness", "target"}


def load_benchmarks() -> dict[str, Benchmark]:
    """Every file of this folder that declares BENCHMARK, by name."""
    names = sorted(
        info.name for info in pkgutil.iter_modules(benchmarks.__path__) if info.name not in _FRAME
    )
    return {name: importlib.import_module(f"benchmarks.{name}").BENCHMARK for name in names}


def main(argv: Sequence[str] | None = None) -> int:
    """Run what was asked for, all by default; 1 when a goal was missed."""
    known = load_benchmarks()
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Take figures and write RESULTS.md."
    )
    parser.add_argument(
        "names", nargs="*", metavar="name", help=f"one of {', '.join(known)}; default: all"
    )
    parser.add_argument(
        "--wait", type=float, default=60.0, help="seconds to wait for a calm machine (default 60)"
    )
    parser.add_argument("--dry", action="store_true", help="print only, leave RESULTS.md as it is")
    arguments = parser.parse_args(argv)
    if unknown := set(arguments.names) - known.keys():
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(known)}")
    missed = False
    for name in arguments.names or known:
        report = take(name, known[name], arguments.wait, keep=not arguments.dry)
        missed |= any(figure.met is False for figure in report.figures)
    return int(missed)


def take(name: str, benchmark: Benchmark, wait: float, *, keep: bool) -> Report:
    """One benchmark: wait for calm, run, print, keep."""
    print(f"{name} …", file=sys.stderr, flush=True)
    wait_for_calm(wait)
    report, others = Report(), Others()
    benchmark.run(report)
    section = render(name, benchmark, report, others.share())
    print(section, flush=True)
    if keep:
        write_results({name: section})
    return report


sys.exit(main())
