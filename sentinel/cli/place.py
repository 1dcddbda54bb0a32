"""Where a command reads and how it answers: the state folder, the store, one document or one line."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from sentinel.app import opening
from sentinel.config import load
from sentinel.errors import ActionRefused, ConfigurationError, StateError
from sentinel.store import Store

Arguments = argparse.Namespace


def state_folder(arguments: Arguments) -> Path:
    """--state, else SENTINEL_STATE, else what the configuration says."""
    if arguments.state is not None:
        return Path(arguments.state)
    try:
        return load(arguments.config).state
    except ConfigurationError as error:
        error.guidance = "or name the state folder with --state DIR"
        raise


def open_store(arguments: Arguments, *, writable: bool = False) -> tuple[Path, Store]:
    """The state folder and its store. Raises StateError when nothing is there."""
    folder = state_folder(arguments)
    if writable and not folder.is_dir():
        raise StateError(f"there is no state folder {folder}", "name it with --state DIR")
    return folder, opening.open_store(folder, writable=writable)


def say(arguments: Arguments, document: dict[str, Any]) -> int:
    """The outcome as a line, or the whole document with --json."""
    if arguments.json:
        return print_json(document)
    print(document["outcome"])
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
