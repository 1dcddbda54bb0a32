"""A look at the files of a configuration, without building anything from them.

A person who asks what is the matter is answered at once, and also while a file is broken or gone.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sentinel.errors import Problem
from sentinel.strict.file import UnreadableFile, read_regular_file
from sentinel.strict.folder import digest_file, digest_folder, list_files
from sentinel.strict.place import Document, Place

MAX_SIZE = 4 << 20
DEFAULT_STATE = "./var"
"""As the configuration has it when nobody says where the state is; a test compares."""
_STATE = re.compile(r"^state[ \t]*:[ \t]*(.*)$", re.MULTILINE)
_PLAIN = re.compile(r"([\w./~@+-]+)[ \t]*(#.*)?\r?")


@dataclass(slots=True)
class Glance:
    """What stands in the files of a folder, or in one file. `trouble`: why nothing could be read."""

    path: Path
    contents: dict[Path, bytes] = field(default_factory=dict)
    trouble: str = ""
    _documents: list[Document] | None = None

    @property
    def digest(self) -> str:
        """One word for all of it, the same as that of the configuration that is made of it."""
        return digest_folder({path.name: digest_file(d) for path, d in self.contents.items()})

    def find_state(self, environment: Mapping[str, str]) -> str | None:
        """What it says of the state folder, also where another line is broken; None when nothing
        does.
        """
        for data in self.contents.values():
            text = data.decode("utf-8", "replace")
            found = _STATE.search(text)
            if found is not None:
                return _read_scalar(found[0], found[1], environment)
            if text.lstrip().startswith("{"):
                value = _read_text(text, environment).value
                state = value.get("state") if isinstance(value, dict) else None
                if isinstance(state, str):
                    return state
        return None

    def read(self, environment: Mapping[str, str]) -> list[Document]:
        """Every file as plain values."""
        if self._documents is None:
            self._documents = [
                _read_text(data.decode("utf-8", "replace"), environment, str(path))
                for path, data in self.contents.items()
            ]
        return self._documents

    def find_problems(self, environment: Mapping[str, str]) -> list[Problem]:
        """What can't be read; what is read and wrong is not looked for."""
        return [each for document in self.read(environment) for each in document.problems]

    def find_checks(self, environment: Mapping[str, str]) -> Iterator[tuple[Place, dict[str, Any]]]:
        """Every check as it is written, with its place."""
        for document in self.read(environment):
            value, place = document.value, document.at()
            if isinstance(value, dict):
                value, place = value.get("checks"), document.at("checks")
            for i, item in enumerate(value if isinstance(value, list) else []):
                if isinstance(item, dict) and isinstance(item.get("name"), str):
                    yield place / i, item


def glance_at(path: Path) -> Glance:
    """Look at a folder or a file. Never raises for what is there, or is not."""
    glance = Glance(path)
    try:
        files = list_files(path)
        if not files:
            glance.trouble = "has no *.yaml file"
        for file in files:
            glance.contents[file] = read_regular_file(file, MAX_SIZE).data
    except UnreadableFile as error:
        glance.trouble = error.message
    except (FileNotFoundError, NotADirectoryError):
        glance.trouble = "is missing"
    except (OSError, ValueError) as error:
        glance.trouble = f"can't be read: {getattr(error, 'strerror', None) or error}"
    return glance


def _read_scalar(line: str, written: str, environment: Mapping[str, str]) -> str | None:
    plain = _PLAIN.fullmatch(written)
    if plain is not None:
        return plain[1]
    value = _read_text(line, environment).value
    state = value.get("state") if isinstance(value, dict) else None
    return state if isinstance(state, str) else None


def _read_text(text: str, environment: Mapping[str, str], name: str = "") -> Document:
    from sentinel.strict.read import read_yaml  # noqa: PLC0415 - seldom needed, and takes its time

    document = Document(name)
    read_yaml(text, document, environment)
    return document


# -- a daemon whose files are gone ----------------------------------------------------------------


def find_running_states(proc: Path = Path("/proc")) -> Iterator[Path]:
    """State folders that daemons of this machine hold, as far as this user may see."""
    for process in proc.iterdir():
        if not process.name.isdigit():
            continue
        try:
            if b"sentinel" in (process / "cmdline").read_bytes():
                yield from _find_locks(process / "fd")
        except OSError:
            continue


def _find_locks(descriptors: Path) -> Iterator[Path]:
    for each in descriptors.iterdir():
        target = os.readlink(each)  # noqa: PTH115 - a text, not a path that has to be there
        if target.endswith("/lock") and (Path(target).parent / "sentinel.db").exists():
            yield Path(target).parent
