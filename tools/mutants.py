"""`python -m tools.mutants`: random guards of core and engine are broken; does a unit test notice?

Each mutant is one change of one guard (`tools/mutation.py`), made in a copy of the repository and
given to the unit tests that concern its file (`tools/concern.py`): the nearest ones, and when they
notice nothing those one import further. A test that fails, raises while it is imported or never
ends has killed it. Same seed and same sources: same mutants.

Exit status: 0 enough were killed, 1 too many survived, 2 an option cannot be used, 69 the tests
cannot be run, so that nothing is known. Tests that fail without a mutant are named and left out.
"""

from __future__ import annotations

import argparse
import difflib
import math
import os
import queue
import random
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tools.concern import Imports
from tools.mutation import Mutation, find_mutations

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("sentinel/core", "sentinel/engine")
COUNT, SHARE, JOBS = 40, 0.9, 2
"""Of 40 mutants 36 must die; two at a time leave a small machine usable."""
_PATIENCE = 2.0
"""A mutant's tests may take so many times what all tests took without a mutant, and a minute."""
_TEST_TIMEOUT = 30
"""Seconds for one test: those of the units take three at most."""
_LEFT_OUT = (".venv*", ".git", "var", "__pycache__", ".*_cache", ".hypothesis", "dist")
_PYTEST = ("-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider", "-p", "no:xdist")
_PASSED, _FAILED, _BROKEN, _NONE = 0, 1, 2, 5
"""What pytest's exit statuses mean: 2 a module that cannot be imported, 5 that there is no test."""


class NothingKnown(Exception):
    """The tests gave no verdict: the sentence says why."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """A change of the file at `path`, whose whole text was `text`."""

    path: str
    text: str
    mutation: Mutation

    def __str__(self) -> str:
        return f"{self.path}:{self.mutation.line}  {self.mutation.kind}"

    @property
    def diff(self) -> str:
        """What was changed, one line of text around it."""
        lines = (self.text.splitlines(), self.mutation.apply(self.text).splitlines())
        return "\n".join(list(difflib.unified_diff(*lines, n=1, lineterm=""))[2:])


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of a mutant; `how` is empty for one that survived."""

    mutant: Mutant
    how: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Workshop:
    """A copy of the repository in which one mutant at a time is tried; `deadline` in seconds.

    Tests in `red` are left out: they fail without a mutant.
    """

    folder: Path
    seed: int
    deadline: float
    red: tuple[str, ...] = ()

    def try_mutant(self, mutant: Mutant, rings: Sequence[Sequence[str]]) -> Fate:
        """Change the file, run the rings of tests until one notices, put the file back."""
        started = time.monotonic()
        path = self.folder / mutant.path
        path.write_text(mutant.mutation.apply(mutant.text), encoding="utf-8")
        try:
            found = (self._verdict(ring) for ring in rings)
            how = next((verdict for verdict in found if verdict), "")
        finally:
            path.write_text(mutant.text, encoding="utf-8")
        return Fate(mutant, how, time.monotonic() - started)

    def run(self, tests: Sequence[str]) -> tuple[int | None, str]:
        """Exit status of pytest, None when it did not end in time, and the end of what it said."""
        options = [f"--hypothesis-seed={self.seed}", f"--timeout={_TEST_TIMEOUT}"]
        argv = [sys.executable, *_PYTEST, *options, *tests]
        with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said:
            status = _run(argv, self.folder, said.fileno(), self.deadline)
            said.seek(0)
            return status, said.read()[-20_000:]

    def _verdict(self, tests: Sequence[str]) -> str:
        """Which test noticed, in a few words; empty when all passed."""
        left_out = (f"--deselect={test}" for test in self.red)
        status, said = self.run(["-x", *left_out, *tests])
        if status is None:
            return "no end"
        if status in {_PASSED, _NONE}:
            return ""
        if status in {_FAILED, _BROKEN}:
            return next(iter(find_failed(said)), "failed")
        raise NothingKnown(f"pytest ended with {status}:\n{said}")


def find_failed(said: str) -> list[str]:
    """Names of the tests that failed, from the summary at the end of what pytest said."""
    lines = (line.partition(" - ")[0].split(" ", 1) for line in said.splitlines())
    return [line[1] for line in lines if len(line) == 2 and line[0] in {"FAILED", "ERROR"}]


def choose(texts: dict[str, str], count: int, seed: int) -> list[Mutant]:
    """`count` guards on lines of their own, one change each; fewer if there are no more."""
    dice = random.Random(seed)
    guards: dict[tuple[str, int], list[Mutant]] = {}
    for path, text in sorted(texts.items()):
        for mutation in find_mutations(text):
            guards.setdefault((path, mutation.line), []).append(Mutant(path, text, mutation))
    chosen = []
    for guard in dice.sample(sorted(guards), len(guards)):
        mutant = dice.choice(guards[guard])
        if mutant.mutation.is_another(mutant.text):
            chosen.append(mutant)
        if len(chosen) == count:
            break
    return chosen


@contextmanager
def open_workshops(
    root: Path,
    jobs: int,
    tests: Sequence[str],
    seed: int,
) -> Iterator[list[Workshop]]:
    """Copies of the repository in which the tests pass; they are gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="mutants-") as name:
        folders = [Path(name) / f"copy-{number}" for number in range(jobs)]
        for folder in folders:
            shutil.copytree(root, folder, ignore=shutil.ignore_patterns(*_LEFT_OUT), symlinks=True)
            _check_copy(folder)
        started = time.monotonic()
        status, said = Workshop(folders[0], seed, 1800.0).run(tests)
        if status not in {_PASSED, _FAILED}:
            raise NothingKnown(f"without a mutant pytest ended with {status}:\n{said}")
        red = tuple(find_failed(said))
        for test in red:
            print(f"left out, it fails without a mutant: {test}", flush=True)
        deadline = 60.0 + _PATIENCE * (time.monotonic() - started)
        yield [Workshop(folder, seed, deadline, red) for folder in folders]


def try_all(
    mutants: Sequence[Mutant],
    rings: dict[str, list[list[str]]],
    benches: Sequence[Workshop],
) -> list[Fate]:
    """Every mutant's fate, told as it is known; as many at a time as there are workshops."""
    free: queue.SimpleQueue[Workshop] = queue.SimpleQueue()
    for bench in benches:
        free.put(bench)

    def try_one(mutant: Mutant) -> Fate:
        bench = free.get()
        try:
            fate = bench.try_mutant(mutant, rings[mutant.path])
        finally:
            free.put(bench)
        print(f"{fate.seconds:6.1f} s  {mutant}  {fate.how or 'SURVIVED'}", flush=True)
        return fate

    with ThreadPoolExecutor(len(benches)) as hands:
        return list(hands.map(try_one, mutants))


def main(argv: Sequence[str] | None = None) -> int:
    """Break, try, tell; 1 when fewer than nine of ten were noticed."""
    options = _read_options(argv)
    seed = secrets.randbelow(1_000_000) if options.seed is None else options.seed
    root = options.root.resolve()
    imports = Imports.read(root)
    folders = tuple(options.only or FOLDERS)
    texts = {path: text for path, text in imports.texts.items() if path.startswith(folders)}
    mutants = choose(texts, options.count, seed)
    if not mutants:
        print(f"mutants: no guard in {', '.join(folders)}", file=sys.stderr)
        return 69
    print(f"{len(mutants)} mutants, seed {seed}", flush=True)
    rings = {path: imports.rings(path) for path in {mutant.path for mutant in mutants}}
    tests = sorted({test for near in rings.values() for ring in near for test in ring})
    try:
        with open_workshops(root, options.jobs, tests, seed) as benches:
            return tell(try_all(mutants, rings, benches), seed)
    except NothingKnown as reason:
        print(f"mutants: {reason}", file=sys.stderr)
        return 69


def tell(fates: Sequence[Fate], seed: int) -> int:
    """Print the survivors and the verdict; its exit status."""
    survivors = [fate.mutant for fate in fates if not fate.how]
    for mutant in survivors:
        print(f"\nSURVIVED {mutant}\n{mutant.diff}")
    killed, needed = len(fates) - len(survivors), math.ceil(SHARE * len(fates))
    verdict = "met" if killed >= needed else "MISSED"
    print(f"\n{killed} of {len(fates)} killed, goal ≥ {needed}: {verdict} (seed {seed})")
    return int(killed < needed)


def _read_options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tools.mutants", description="Break guards.")
    parser.add_argument("--count", type=_positive, default=COUNT, help=f"default {COUNT}")
    parser.add_argument("--seed", type=int, help="which mutants; default: another one each time")
    parser.add_argument("--jobs", type=_positive, default=JOBS, help=f"at a time; default {JOBS}")
    parser.add_argument("--only", action="append", help="a file or folder, in place of all")
    parser.add_argument("--root", type=Path, default=ROOT, help="the repository")
    return parser.parse_args(argv)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def _check_copy(folder: Path) -> None:
    """Python must find the copy, not the tree that was installed for editing."""
    argv = [sys.executable, "-c", "import sentinel; print(sentinel.__file__)"]
    said = subprocess.check_output(argv, cwd=folder, env=_environment(folder), text=True)
    if not said.startswith(str(folder)):
        raise NothingKnown(f"python imports {said.strip()}, not the copy")


def _environment(folder: Path) -> dict[str, str]:
    """Of a child that imports from `folder`, before all paths that the interpreter knows.

    Compiled files are not written: that of a mutant could outlive it.
    """
    return os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}


def _run(argv: Sequence[str], folder: Path, out: int, deadline: float) -> int | None:
    """Exit status; None when the deadline ended it, with all its children."""
    child = subprocess.Popen(
        argv,
        cwd=folder,
        env=_environment(folder),
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=out,
        start_new_session=True,
    )
    try:
        return child.wait(deadline)
    except subprocess.TimeoutExpired:
        return None
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()


if __name__ == "__main__":
    sys.exit(main())
