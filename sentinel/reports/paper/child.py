"""The program that renders a template of somebody's own, and the hand that holds it.

It is a process of its own, so that a template that loops, swells or hangs is ended from outside,
whatever it does, and takes nothing of the daemon along. It gets a request as JSON on its input and
prints the document; its environment has no secrets.
"""

from __future__ import annotations

import json
import math
import os
import resource
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sentinel.reports.paper.templates import LOOP, ReportSheet, TemplateBroken, generate

MAX_MEMORY = 512 * 1024 * 1024
"""Address space of the child: the interpreter, the facts and the document."""
BROKEN = 65
"""Exit code of a child that found its template broken; the reason is a JSON line on stderr."""
_PACKAGE = Path(__file__).parents[3]
_PROGRAM = (sys.executable, "-B", "-m", __name__)


def generate_apart(sheet: ReportSheet, facts: Mapping[str, Any], seconds: float) -> str:
    """The document, made by a child that is killed after so many seconds.

    Raises TemplateBroken with file, line and remedy; also for one that does not end.
    """
    request = {
        "report": sheet.report,
        "form": sheet.form,
        "shipped": str(sheet.shipped),
        "own": str(sheet.own.absolute()) if sheet.own is not None else "",
        "seconds": seconds,
        "facts": facts,
    }
    try:
        done = subprocess.run(
            _PROGRAM,
            input=json.dumps(request).encode(),
            capture_output=True,
            timeout=max(seconds, 0.0),
            cwd="/",
            env={"PYTHONPATH": str(_PACKAGE), "LC_ALL": "C.UTF-8"},
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        ended = f"{sheet.file} does not end within its time"
        raise TemplateBroken(ended, LOOP) from error
    if done.returncode != 0:
        raise _read_failure(sheet, done.returncode, done.stderr)
    return done.stdout.decode()


def _read_failure(sheet: ReportSheet, code: int, told: bytes) -> TemplateBroken:
    """What the child says of its template; when it died without a word, that."""
    if code == BROKEN:
        message, guidance = json.loads(told)
        return TemplateBroken(message, guidance)
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    died = f"{sheet.file}: the program that renders it ended with {how}"
    return TemplateBroken(died, "does it need too much memory or time?")


def _limit(seconds: float) -> None:
    """What the system holds us to: memory, processor time, and no files to write."""
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    processor = math.ceil(seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (processor, processor))
    for nothing in (resource.RLIMIT_FSIZE, resource.RLIMIT_CORE):
        resource.setrlimit(nothing, (0, 0))


def main() -> int:
    """Render what the request on the input asks for."""
    request = json.load(sys.stdin.buffer)
    _limit(request["seconds"])
    own, shipped = Path(request["own"]), Path(request["shipped"])
    try:
        sheet = ReportSheet(request["report"], request["form"], shipped, own)
        text = generate(sheet, request["facts"])
    except TemplateBroken as error:
        os.write(2, json.dumps([error.message, error.guidance]).encode())
        return BROKEN
    sys.stdout.buffer.write(text.encode(errors="backslashreplace"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
