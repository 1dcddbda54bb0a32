"""Where a command reads and how it answers: the state folder, the store, one document or one line."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from sentinel.app import opening
from sentinel.app.following import FILES_KEY, read_following
from sentinel.app.glance import DEFAULT_STATE, Glance, find_running_states, glance_at
from sentinel.core.foreign.visible import make_visible
from sentinel.errors import ActionRefused, ConfigurationError, Problem, SentinelError, StateError
from sentinel.store import Store

Arguments = argparse.Namespace


def state_folder(arguments: Arguments) -> Path:
    """--state, else SENTINEL_STATE, else what the files of the configuration say, also where another
    line of them is broken; where they say nothing, that of a daemon that runs on them.
    """
    if arguments.state is not None:
        return Path(arguments.state)
    glance = glance_at(arguments.config)
    said = glance.find_state(os.environ)
    if said is not None:
        return Path(said)
    if not glance.trouble and not glance.find_problems(os.environ):
        return Path(DEFAULT_STATE)
    return _find_running(arguments.config) or _default_state(glance)


def _find_running(path: Path) -> Path | None:
    """The state of a daemon that was started on these very files."""
    wanted = str(path.resolve())
    for folder in find_running_states():
        try:
            store = opening.open_store(folder, writable=False)
        except SentinelError:
            continue
        following = read_following(store.meta(FILES_KEY))
        store.close()
        if following is not None and following.path == wanted:
            return folder
    return None


def _default_state(glance: Glance) -> Path:
    folder = Path(DEFAULT_STATE)
    if (folder / "sentinel.db").exists():
        return folder
    place = str(glance.path)
    problems = [Problem(place, 0, "", glance.trouble)] if glance.trouble else []
    error = ConfigurationError(problems or glance.find_problems(os.environ))
    error.guidance = "name the folder of the files with --config, or that of the state with --state"
    raise error


def open_store(arguments: Arguments, *, writable: bool = False) -> tuple[Path, Store]:
    """The state folder and its store. Raises StateError when nothing is there."""
    folder = find_state(arguments) if writable else state_folder(arguments)
    return folder, opening.open_store(folder, writable=writable)


def find_state(arguments: Arguments) -> Path:
    """The state folder, which has to be there. Raises StateError."""
    folder = state_folder(arguments)
    if not folder.is_dir():
        raise StateError(f"there is no state folder {folder}", "name it with --state DIR")
    return folder


def say(arguments: Arguments, document: dict[str, Any]) -> int:
    """The outcome as a line, or the whole document with --json."""
    if arguments.json:
        return print_json(document)
    print(make_visible(str(document["outcome"])))
    return 0


def print_json(document: Any) -> int:
    """One JSON document on stdout."""
    print(json.dumps(document, indent=2, ensure_ascii=False))
    return 0


def confirm(arguments: Arguments, question: str) -> None:
    """Ask before something that can hurt, unless --yes was given. ActionRefused: no, or nobody is
    there to ask.
    """
    if arguments.yes:
        return
    if not sys.stdin.isatty():
        raise ActionRefused(f"{question} nobody is there to ask", "add --yes")
    if input(f"{question} [y/N] ").strip().lower() not in {"y", "yes"}:
        raise ActionRefused("not confirmed: nothing was done")
