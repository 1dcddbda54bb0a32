"""Which state this is, and how far it had come: noted beside the database, so that one which
vanished, shrank, was replaced or came back older is not taken for a new one.

The database holds a name and a generation, which grows with every act; the file has both, too.
While they do not agree nothing is done, until the right file is back or a person says that this one
counts (`sentinel state accept`). What neither sees: a folder that was brought back as a whole.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import sqlite3
from dataclasses import dataclass, replace
from pathlib import Path

from sentinel.errors import StateError, StateUnwritable
from sentinel.store import table
from sentinel.store.audit import HEADS
from sentinel.store.place import CURE as CURE_PLACE
from sentinel.strict.file import open_at_once

BESIDE = "identity"
NAME, GENERATION, DOUBT = "identity", "generation", "doubt"
CURE = "bring the right file back and start sentinel anew, or `sentinel state accept --reason …`"
CURE_ABSENT = (
    "bring the right file back; or `sentinel run` begins a new one, and does nothing before"
    " `sentinel state accept --reason …`"
)
_LINE = re.compile(r"([0-9a-f]{16}) +(\d{1,15}) +schema (\d{1,4})\s*", re.ASCII)
_WIDTH = 64
_OTHER = "the database is not the one that was here"


@dataclass(frozen=True, slots=True)
class StateMark:
    """Name, generation and schema of a state."""

    name: str
    generation: int
    schema: int


class Identity:
    """The note beside the database."""

    def __init__(self, path: Path) -> None:
        self.path, self.beside = path, path.with_name(BESIDE)
        self.name = ""
        """The name of the database that is open; "" before a daemon gave it one."""
        self.generation = 0
        """How many acts it had journaled when that was seen last."""
        self._absent = ""
        """What was there in place of the database, although there had been one."""

    # -- the note ---------------------------------------------------------------------------------

    @property
    def is_noted(self) -> bool:
        """Whether anything stands beside the database, readable or not."""
        return os.path.lexists(self.beside)

    def read(self) -> StateMark | None:
        """What is noted; None: nothing, or nothing that can be read."""
        try:
            with open(self.beside, "rb", buffering=0, opener=open_at_once) as file:
                content = file.read(4 * _WIDTH) or b""
            match = _LINE.fullmatch(content.decode("ascii", "replace"))
        except OSError:
            return None
        return StateMark(match[1], int(match[2]), int(match[3])) if match else None

    def _note(self, mark: StateMark, *, further: bool = False) -> None:
        """Write it in place: that needs no room on a full disk. `further`: only beyond what is
        noted of the same state. Raises StateError.
        """
        line = f"{mark.name} {mark.generation:>15} schema {mark.schema}".ljust(_WIDTH - 1) + "\n"
        try:
            create, is_new = (0 if further else os.O_CREAT), not self.is_noted
            handle = os.open(self.beside, os.O_RDWR | os.O_CLOEXEC | create, 0o600)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX)
                known = self.read()
                if further and not (known and replace(known, generation=0) == _origin(mark)):
                    return  # it names another one: that is for a person to judge
                if not further or (known and known.generation < mark.generation):
                    os.pwrite(handle, line.encode(), 0)
                    os.ftruncate(handle, _WIDTH)
            finally:
                os.close(handle)
        except FileNotFoundError:
            return
        except OSError as error:
            if is_new and not further:  # one without a word would tell of a state that never was
                self.beside.unlink(missing_ok=True)
            raise StateUnwritable(
                f"{self.beside} can't be written: {error.strerror}",
                "look at the disk and the rights of the state folder",
            ) from error

    # -- at the start -----------------------------------------------------------------------------

    def approach(self, *, writable: bool, owner: bool, schema: int) -> None:
        """Before the database is opened: a command makes no new one where there was one. Raises
        StateError.
        """
        size = _size_of(self.path)
        if size is None and not writable and not self._has_history():
            raise StateError(
                f"no sentinel has run on {self.path.parent.absolute()} yet",
                "start one with `sentinel run`, or name its folder with --state DIR: a relative"
                " `state:` begins where a command is started",
            )
        if size:
            return
        what = "is empty" if size == 0 else "is not there"
        mark = self.read()
        is_first = mark is not None and mark.generation == 0
        if self._has_history() or (size == 0 and not is_first):
            self._absent = f"the database {what}, although one was written here"
        if self._absent and not owner:
            raise StateError(f"{self.path}: {self._absent}", CURE_ABSENT)
        if owner and not self._absent and mark is None:
            self._note(StateMark(secrets.token_hex(8), 0, schema))

    def _has_history(self) -> bool:
        """Whether anything says that something was journaled in this folder."""
        mark = self.read()
        if mark is not None:
            return mark.generation > 0
        return self.is_noted or (self.path.parent / HEADS).exists()

    def meet(self, db: sqlite3.Connection, *, owner: bool) -> None:
        """See which database was opened; the daemon names one that has no name."""
        self.name, self.generation = _word(db, NAME), _number(db)
        if not owner:
            return
        mark, is_known = self.read(), self.is_noted
        is_new, story = not self.name, self._judge(mark, _word(db, DOUBT))
        if is_new or story:
            # Under its old name it would by acts to come catch up with the generation that is noted.
            first = not story and mark is not None and mark.generation == 0
            self._rename(db, mark.name if first and mark else secrets.token_hex(8), story)
        if not story and ((is_new and not is_known) or (mark and mark.name == self.name)):
            self._note(StateMark(self.name, self.generation, _schema(db)))

    def _judge(self, mark: StateMark | None, said: str) -> str:
        """Why a database that was opened is not the one that is noted; "" also when that was `said`
        at an earlier start.
        """
        if self._absent:
            return self._absent
        if mark is None:
            return self._miss_note() if self.name and not said else ""
        if not self.name:
            return "" if mark.generation == 0 else _OTHER
        if mark.name == self.name and self.generation < mark.generation:
            return (
                "the database is older than the one that was here: it lacks"
                f" {mark.generation - self.generation} journaled steps"
            )
        return ""

    def _rename(self, db: sqlite3.Connection, name: str, story: str) -> None:
        self.name = name
        db.execute("BEGIN IMMEDIATE")
        words = (NAME, name), (GENERATION, str(self.generation)), (DOUBT, story)
        table.replace(db, "meta", *words)
        db.execute("COMMIT")

    # -- while it is open -------------------------------------------------------------------------

    def check(self, db: sqlite3.Connection) -> int:
        """In a transaction: the generation. Raises StateError when it went back, or is another's."""
        present, name = _number(db), _word(db, NAME)
        if present < self.generation or name != self.name:
            what = "went back to an older copy" if name == self.name else "became another one"
            text = f"{self.path} {what} beside the running sentinel"
            raise StateError(text, CURE_PLACE)
        return present

    def count(self, db: sqlite3.Connection) -> int:
        """In the transaction of an act: its generation. Raises StateError as `check` does."""
        present = self.check(db)
        table.replace(db, "meta", (GENERATION, str(present + 1)))
        return present + 1

    def advance(self, db: sqlite3.Connection, generation: int) -> None:
        """After the act was committed. Raises StateError: then it must not be done."""
        self.generation = max(self.generation, generation)
        self._note(StateMark(self.name, generation, _schema(db)), further=True)

    def find_doubt(self, story: str) -> str:
        """Why this state is not certainly the one that was here, or "". `story` is what was found
        when it was opened.
        """
        mark = self.read()
        if not self.name or (mark is not None and mark.name == self.name):
            return ""
        if story:
            return story
        return self._miss_note() if mark is None else _OTHER

    def _miss_note(self) -> str:
        what = "can't be read" if self.is_noted else "is not there"
        return f"the file `{BESIDE}`, which tells which state this is, {what}"

    def accept(self, db: sqlite3.Connection) -> None:
        """From now on this one counts."""
        table.replace(db, "meta", (DOUBT, ""))
        self._note(StateMark(self.name, _number(db), _schema(db)))


def _origin(mark: StateMark) -> StateMark:
    return replace(mark, generation=0)


def _size_of(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None


def _word(db: sqlite3.Connection, key: str) -> str:
    row = db.execute("SELECT seal, value FROM meta WHERE key = ?", (key,)).fetchone()
    whole = row is not None and table.is_sealed("meta", row[0], (key, row[1]))
    return str(row[1]) if whole else ""


def _number(db: sqlite3.Connection) -> int:
    word = _word(db, GENERATION)
    return int(word) if word.isascii() and word.isdigit() else 0


def _schema(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])
