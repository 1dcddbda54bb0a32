"""`python -m tools.matrix`: unit and integration tests on each Python that sentinel supports.

For each version an interpreter is looked for on PATH and where pyenv and uv keep theirs. With it
`make setup` installs exactly the lock files into `.venv-3.X`, and the tests run there. A version
of which there is no interpreter is said to be not available and fails nothing, except 3.11 in
CI, where every figure is taken. On 3.13 tests on Redis 6.2 are skipped: its wheel is not made
for it.

Exit status: 0 no version failed, 1 one did, or the one that CI needs is not there.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VERSIONS = ("3.11", "3.12", "3.13")
NEEDED = "3.11"
"""The version that CI has to have."""
TESTS = ("tests/unit", "tests/integration")
_PYTEST = ("-m", "pytest", "-n", "2", "--dist", "loadfile", "-q")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a version came to: `word` is passed, failed, not installed or not available."""

    version: str
    word: str
    python: str = ""
    seconds: float = 0.0

    def fails(self, *, in_ci: bool) -> bool:
        """Whether the whole matrix fails with it."""
        if self.word == "not available":
            return in_ci and self.version == NEEDED
        return self.word != "passed"


def list_candidates(version: str, home: Path, environment: Mapping[str, str]) -> Iterator[str]:
    """Where an interpreter of that version may be, the likeliest first; it may not run."""
    if found := shutil.which(f"python{version}", path=environment.get("PATH")):
        yield found
    pyenv = Path(environment.get("PYENV_ROOT") or home / ".pyenv") / "versions"
    uv = Path(environment.get("UV_PYTHON_INSTALL_DIR") or home / ".local/share/uv/python")
    folders = [*pyenv.glob(f"{version}.*"), *uv.glob(f"cpython-{version}.*")]
    for folder in sorted(folders, key=_patch_level, reverse=True):
        yield str(folder / "bin" / f"python{version}")


def find_interpreter(version: str, candidates: Iterable[str]) -> str | None:
    """The first that runs and is of that version: what pyenv puts on PATH may be neither."""
    program = "import sys; print('%d.%d' % sys.version_info[:2])"
    for path in candidates:
        try:
            found = subprocess.run(
                [path, "-c", program], capture_output=True, timeout=30, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            continue
        if found.returncode == 0 and found.stdout.strip() == version.encode():
            return path
    return None


def run_version(version: str, tests: Sequence[str]) -> Outcome:
    """Find, install, test; what it came to."""
    python = find_interpreter(version, list_candidates(version, Path.home(), os.environ))
    if python is None:
        return Outcome(version, "not available")
    started, folder = time.monotonic(), f".venv-{version}"
    print(f"\nPython {version}: {python}", flush=True)
    setup = ["make", "--no-print-directory", "setup", f"VENV={folder}", f"PYTHON={python}"]
    word = "not installed"
    if subprocess.run(setup, cwd=ROOT, check=False).returncode == 0:
        argv = [f"{folder}/bin/python", *_PYTEST, *tests]
        status = subprocess.run(argv, cwd=ROOT, check=False).returncode
        word = "passed" if status == 0 else "failed"
    return Outcome(version, word, python, time.monotonic() - started)


def main(argv: Sequence[str] | None = None) -> int:
    """All versions one after the other, a table at the end."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.matrix", description="Test on each Python."
    )
    parser.add_argument("tests", nargs="*", default=TESTS, help=f"default: {' '.join(TESTS)}")
    parser.add_argument("--version", action="append", choices=VERSIONS, help="only this one")
    options = parser.parse_args(argv)
    outcomes = [run_version(version, options.tests) for version in options.version or VERSIONS]
    print()
    for each in outcomes:
        print(
            f"Python {each.version}  {each.word:14} {each.seconds:6.0f} s  {each.python}".rstrip()
        )
    in_ci = os.environ.get("CI") == "true"
    return int(any(each.fails(in_ci=in_ci) for each in outcomes))


def _patch_level(folder: Path) -> int:
    digits = folder.name.split("-")[1 if folder.name.startswith("cpython") else 0].split(".")[2]
    return int(digits) if digits.isdigit() else -1


if __name__ == "__main__":
    sys.exit(main())
