"""`sentinel rules`: what Prometheus and Alertmanager are to do, from kinds and objectives."""

from __future__ import annotations

from pathlib import Path

from sentinel.app.ruling import write_rules
from sentinel.cli.place import Arguments, print_json
from sentinel.config import load
from sentinel.errors import StateError, UsageError
from sentinel.strict.file import UnreadableFile, read_regular_file

MAX_FILE = 64 << 20
"""Bytes: rules that are larger are not ours."""

STALE = 1
"""Exit code of `--check` when a file is not as it would be written."""


def rules(arguments: Arguments) -> int:
    """Write the files below --output; with --check only compare. Without --output: their names."""
    files = write_rules(load(arguments.config))
    folder: Path | None = arguments.output
    if folder is None and arguments.check:
        raise UsageError("nothing to compare with", "name the folder of the files with --output")
    differ = [name for name, text in files.items() if _read(folder, name) != text] if folder else []
    if folder is not None and not arguments.check:
        _write(folder, {name: files[name] for name in differ})
    if arguments.json:
        document = {"files": {name: text.count("\n") for name, text in files.items()}}
        print_json({**document, "output": str(folder or ""), "differ": differ})
    else:
        _tell(arguments, folder, list(files), differ)
    return STALE if arguments.check and differ else 0


def _read(folder: Path | None, name: str) -> str | None:
    if folder is None:
        return None
    try:
        return read_regular_file(folder / name, MAX_FILE).data.decode()
    except (UnreadableFile, OSError, UnicodeDecodeError):
        return None


def _write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists() and not path.is_file():  # to open a pipe waits for its reader
                raise StateError(f"{path} is no file", "remove it, or name another folder")
            path.write_text(text)
        except OSError as error:
            message = f"{path} can't be written: {error.strerror}"
            raise StateError(message, "name a folder that can be with --output") from error


def _tell(arguments: Arguments, folder: Path | None, names: list[str], differ: list[str]) -> None:
    if folder is None:
        print("would write below --output: " + ", ".join(names))
        return
    for name in differ:
        print(f"{folder / name}: {'differs' if arguments.check else 'written'}")
    if not differ:
        print(f"{len(names)} files in {folder} are as they should be")
