"""What a daemon tells of its files: which ones are in force, and what became of the last reload.

It stands in the store, so that who reads it there needs neither the daemon nor a configuration that
can be read.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sentinel.core.bus.housekeeping import Chore

FILES_KEY = "files"
"""Under this word the daemon remembers it."""
MAX_PROBLEMS = 20
_SHOWN = ("name", "kind", "every", "cron", "dry_run", "max_per_hour")
"""Of a chore."""


@dataclass(slots=True)
class Following:
    """The files that are in force, by their digest, and those that were refused. Times are texts:
    aware UTC, ISO.

    `checks`: how many of them are configured there, 0 where nobody told. `chores`: each of them, by
    what a listing shows.
    `began`: a reload runs since then; `waits`: for what, "" while the files are read.
    """

    path: str = ""
    digest: str = ""
    since: str = ""
    pid: int = 0
    began: str = ""
    waits: str = ""
    refused: str = ""
    refused_at: str = ""
    problems: list[str] = field(default_factory=list)
    checks: int = 0
    chores: list[dict[str, Any]] = field(default_factory=list)

    def begin(self, now: datetime) -> None:
        """A reload was asked for."""
        self.began, self.waits = _write(now), ""

    def take(
        self, digest: str, now: datetime, checks: int = 0, chores: Sequence[Chore] = ()
    ) -> None:
        """Files are in force, with so many checks, and with these chores."""
        self.digest, self.since, self.checks = digest, _write(now), checks
        self.chores = [{name: getattr(each, name) for name in _SHOWN} for each in chores]
        self.began, self.waits, self.refused, self.refused_at = "", "", "", ""
        self.problems = []

    def refuse(self, digest: str, now: datetime, problems: Sequence[str]) -> None:
        """Files were refused: those of before stay in force."""
        self.began, self.waits = "", ""
        self.refused, self.refused_at = digest, _write(now)
        self.problems = [each[:500] for each in problems[:MAX_PROBLEMS]]

    def read_chores(self) -> list[Chore]:
        """The chores that are in force, without what they do it with."""
        from sentinel.core.bus.housekeeping import Chore  # noqa: PLC0415 - seldom needed

        return [Chore(**each, resource="", options=None) for each in self.chores]

    def dump(self) -> str:
        """For the store."""
        return json.dumps(asdict(self))


def read_following(text: str | None) -> Following | None:
    """What the store has; None when no daemon has told yet, or none that can be understood."""
    try:
        document = json.loads(text or "null")
    except ValueError:
        return None
    if not isinstance(document, dict):
        return None
    known = {each.name for each in fields(Following)}
    return Following(**{name: value for name, value in document.items() if name in known})


def _write(now: datetime) -> str:
    return now.isoformat(timespec="seconds")
