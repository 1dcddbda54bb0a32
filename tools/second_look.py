"""`python -m tools.second_look`: is what failed beside the other tests broken, or was the machine?

Hundreds of tests start real servers at once; on two cores one of thousands may miss a deadline.
What failed last is run again, alone, TIMES times in a row. It counts as passed only when it passes
each time, and it is named, because a test that depends on load is a defect of its own. More than
MANY failures are no coincidence, and are not looked at again; nor is a run that ended without
naming a test.

Exit status: 0 all passed when alone, 1 they did not or were not looked at again.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FAILED = ROOT / ".pytest_cache" / "v" / "cache" / "lastfailed"
MANY = 3
TIMES = 2


def read_failed(path: Path = FAILED) -> list[str]:
    """The tests that failed last, as pytest names them; none when it wrote no such file."""
    try:
        return sorted(json.loads(path.read_text()))
    except FileNotFoundError:
        return []


def look_again(names: Sequence[str], run: Callable[[Sequence[str]], bool]) -> str:
    """Why the run has failed, or "" when each of `names` passes alone, TIMES times in a row."""
    if not names:
        return "a part failed and named no test"
    if len(names) > MANY:
        return f"{len(names)} tests failed: more than {MANY} are no coincidence"
    for time in range(1, TIMES + 1):
        if not run(names):
            return f"failed again alone, at look {time} of {TIMES}"
    return ""


def _run(names: Sequence[str]) -> bool:
    """Whether all pass; what pytest remembers as failed stays for who reads it afterwards."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *names]
    return subprocess.run(command, cwd=ROOT, check=False).returncode == 0


def main() -> int:
    """Look again, and say what came of it."""
    names = read_failed()
    why = look_again(names, _run)
    for name in names:
        print(f"{'FAILED' if why else 'NEEDS MENDING, passes alone'}: {name}")
    if why:
        print(why)
    return 1 if why else 0


if __name__ == "__main__":
    sys.exit(main())
