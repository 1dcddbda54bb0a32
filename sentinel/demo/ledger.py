"""The ledger: what a process intended and did, line by line, true even when SIGKILL ends it
anywhere.

One append-only JSONL file per process incarnation; a line is one `write` to an O_APPEND file, so
it is there whole or was never there (a torn last line counts as never written). An act that others
can see is framed by two lines: the intent before it, the confirmation after it. Missing intent: the
act did not happen. Confirmation: it did. Intent alone: in doubt, and `truth` decides it by what
only the act can have left behind: every publish carries its own `publication`
(`incarnation#number`) as a field of the entry, so consumers' ledgers and the stream itself name it;
an acknowledgement leaves the pending list; a task row is in the database or not.

Events and their fields (`t` is the wall clock in epoch seconds, `incarnation` and `component` are
on all):

    started           pid
    publish_intent    stream, publications: [[publication, message id], …]
    published         stream, entries: [[publication, stream id], …]
    publish_refused   publication                  the server answered with an error: nothing was
    added
    received          stream, group, entries: [[stream id, publication], …]
    processed         stream, id, publication, message_id, outcome:
    done|skipped|dead_letter|payload_gone
    ack_intent        stream, group, id, publication
    acked             stream, group, id, publication, removed: 0|1
    task_intent       tasks: [task id, …]
    task_created      tasks: [[task id, created µs], …]
    assign_intent     tasks: [[task id, created µs, assigned µs], …]
    assigned          tasks: the same
    group_recreated   stream, group
    lost, dropped     stream, publications: […]    by the chaos action that did it
    chaos             scenario, phase: begin|end|skip, and what the action tells
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

Record = dict[str, Any]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Ledger:
    """The ledger of this incarnation of `component`, in `folder`/ledgers."""

    def __init__(self, folder: Path, component: str) -> None:
        self.component = component
        self.incarnation = f"{component}.{os.getpid()}.{time.time_ns()}"
        place = folder / "ledgers"
        place.mkdir(parents=True, exist_ok=True)
        self._file = os.open(
            place / f"{self.incarnation}.jsonl", os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o644
        )
        self._publications = 0
        self.write("started", pid=os.getpid())

    def write(self, event: str, **facts: Any) -> None:
        """Append one line. A line that can't be written whole is an OSError: then the act must not
        happen.
        """
        record = {"event": event, "t": time.time(), "component": self.component, **facts}
        line = json.dumps(record, separators=(",", ":")).encode() + b"\n"
        if os.write(self._file, line) != len(line):
            raise OSError(f"{self.incarnation}: ledger line was cut short")

    def next_publication(self) -> str:
        """A name for one publish, unique for ever; each further try gets a new one."""
        self._publications += 1
        return f"{self.incarnation}#{self._publications}"

    def close(self) -> None:
        """Close the file; the ledger ends here."""
        os.close(self._file)


def read_ledgers(folder: Path, component: str = "*") -> list[Record]:
    """Every record of every incarnation (of a component) under `folder`/ledgers, in file order,
    `incarnation` added.
    """
    found = (folder / "ledgers").glob(f"{component}.*.jsonl")
    files = sorted(found, key=lambda path: int(path.name.split(".")[-2]))
    return [record for path in files for record in _read(path)]


def microseconds(instant: datetime) -> int:
    """Microseconds since the epoch, exactly as PostgreSQL stores an instant."""
    return (instant - _EPOCH) // timedelta(microseconds=1)


def _read(path: Path) -> Iterator[Record]:
    for line in path.read_bytes().splitlines(keepends=True):
        if line.endswith(b"\n"):
            yield {**json.loads(line), "incarnation": path.name.removesuffix(".jsonl")}
