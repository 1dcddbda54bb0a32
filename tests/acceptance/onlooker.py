"""Looks at a running demo from outside, as people and Prometheus do, and keeps what it saw."""

from __future__ import annotations

import http.client
import io
import json
import re
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sentinel.cli import main

Document = dict[str, Any]
Series = tuple[str, str, str]
EVERY = 0.5
CLI_AFTER = (1.0, 10.0)
"""Seconds after the first incident at which `sentinel faults` is asked, too."""
_LINE = re.compile(r'sentinel_faults\{check="(.*?)",component="(.*?)",fault="(.*?)"\} (\S+)')
_ONE_SPEAKS = threading.Lock()
"""The command writes to the one standard output that there is."""
_AWAY = (OSError, http.client.HTTPException, ValueError)


@dataclass
class Sightings:
    """`faults`: what `/api/v1/faults` listed, once for each fault and sentence; `incidents`: each
    with each of its headlines; `most`: the highest count of subjects by check, component and fault
    on /metrics; `listed`: answers of `sentinel faults --json`, each with the API's before and after.
    """

    faults: dict[str, Document] = field(default_factory=dict)
    incidents: dict[str, Document] = field(default_factory=dict)
    most: dict[Series, int] = field(default_factory=dict)
    listed: list[tuple[Document, Document, Document]] = field(default_factory=list)


class Onlooker(threading.Thread):
    """Asks a demo at `address` (host:port) twice a second until it is told to stop."""

    def __init__(self, address: str, folder: Path) -> None:
        super().__init__(daemon=True)
        self.seen = Sightings()
        self._address, self._state = address, folder / "latest" / "state"
        self._over = threading.Event()
        self._first = 0.0

    def run(self) -> None:
        """Who does not answer is asked again."""
        while not self._over.wait(EVERY):
            try:
                self._look()
            except _AWAY:
                continue

    def stop(self) -> Sightings:
        """What was seen."""
        self._over.set()
        self.join(timeout=30)
        return self.seen

    def _look(self) -> None:
        self._note_faults(self._get_json("/api/v1/faults"))
        for incident in self._get_json("/api/v1/incidents"):
            self._first = self._first or time.monotonic()
            self.seen.incidents[f"{incident['id']} {incident['summary']}"] = incident
        for series, count in read_counts(self._get("/metrics")):
            self.seen.most[series] = max(count, self.seen.most.get(series, 0))
        if self._is_command_due():
            self._ask_command()

    def _is_command_due(self) -> bool:
        left = CLI_AFTER[len(self.seen.listed) :]
        return bool(self._first and left) and time.monotonic() - self._first > left[0]

    def _ask_command(self) -> None:
        before = self._note_faults(self._get_json("/api/v1/faults"))
        with _ONE_SPEAKS, redirect_stdout(io.StringIO()) as said:
            main(["--state", str(self._state), "faults", "--json"])
        after = self._note_faults(self._get_json("/api/v1/faults"))
        self.seen.listed.append((before, json.loads(said.getvalue()), after))

    def _note_faults(self, document: Document) -> Document:
        for each in document["faults"]:
            self.seen.faults[f"{identify(each)} {each['text']}"] = each
        return document

    def _get_json(self, path: str) -> Any:
        return json.loads(self._get(path))

    def _get(self, path: str) -> str:
        with urllib.request.urlopen(f"http://{self._address}{path}", timeout=5) as answer:
            text: str = answer.read().decode()
        return text


def identify(fault: Document) -> str:
    """Which check says what of whom."""
    return f"{fault['check']} {fault['fault']} {json.dumps(fault['subject'], sort_keys=True)}"


def read_counts(text: str) -> Iterator[tuple[Series, int]]:
    """The series `sentinel_faults` of a page of metrics."""
    for check, component, fault, count in _LINE.findall(text):
        yield (check, component, fault), int(float(count))
