"""sentinel on a wall clock that somebody has set: `python set_clock.py FILE COMMAND…`.

FILE holds the seconds by which the date was set, and is read at each look. Several commands stand
in one JSON list of lists; their exit codes and outputs are printed as one.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sentinel import clock

file, *words = sys.argv[1:]
real = time.time


def read_step() -> float:
    return float(Path(file).read_text() or 0)


clock.utcnow = lambda: datetime.now(UTC) + timedelta(seconds=read_step())
time.time = lambda: real() + read_step()

from sentinel.cli import main  # noqa: E402 - it takes the clock along


def run(command: list[str]) -> tuple[int, str]:
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        code = main(command)
    return code, output.getvalue()


if words[0].startswith("[["):
    sys.stdout.write(json.dumps([run(command) for command in json.loads(words[0])]))
    sys.exit(0)
sys.exit(main(words))
