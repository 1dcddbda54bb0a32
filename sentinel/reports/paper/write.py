"""Reports as files: collect, render, write, remember."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sentinel.errors import StateError
from sentinel.reports import ReportRequest
from sentinel.reports.paper.collect import collect
from sentinel.reports.paper.render import EVERY_FORMAT, FORMATS, Rendered, render
from sentinel.store import Store

_FILE = re.compile(
    rf"\.?[a-z][\w-]*-(\d{{8}}T\d{{6}}Z)(-\d+)?\.({'|'.join(EVERY_FORMAT)})(\.draft)?", re.ASCII
)


def write_report(
    store: Store,
    name: str,
    now: datetime,
    folder: Path,
    request: ReportRequest | None = None,
    *,
    formats: Sequence[str] = FORMATS,
    templates: Path | None = None,
) -> tuple[list[Path], Rendered]:
    """Collect, render, write, remember; the paths, and what was rendered: its `problems` tell which
    templates are broken. Raises UsageError (unknown report or incident).
    """
    facts = collect(store, name, now, request)
    rendered = render(name, facts, formats, templates)
    return keep_report(store, name, now, folder, facts, rendered.documents), rendered


def keep_report(
    store: Store,
    kind: str,
    now: datetime,
    folder: Path,
    facts: dict[str, Any],
    texts: Mapping[str, str | bytes],
) -> list[Path]:
    """Write `<folder>/<kind>-<UTC stamp>.{md,html,json,pdf}` and remember them in the store; the paths.

    A report never replaces another one: a second one in the same second gets a number. Raises
    StateError when the folder can't be written; then nothing is remembered.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        paths = _write(texts, folder, f"{kind}-{now.astimezone(UTC):%Y%m%dT%H%M%SZ}")
    except OSError as error:
        raise StateError(
            f"the report folder {folder} can't be written: {error.strerror}",
            "make it writable, or name another one",
        ) from error
    store.add_report(kind, now, [str(path) for path in paths], facts)
    return paths


def forget_reports(folder: Path, before: datetime, most: int = 100) -> int:
    """Remove report files of `folder` that were written before an instant, as their names say; at
    most so many, how many. What has another name is not ours.
    """
    limit, removed = f"{before.astimezone(UTC):%Y%m%dT%H%M%SZ}", 0
    if not folder.is_dir():
        return 0
    with os.scandir(folder) as entries:
        for entry in entries:
            match = _FILE.fullmatch(entry.name)
            if match and match[1] < limit and entry.is_file(follow_symlinks=False):
                (folder / entry.name).unlink(missing_ok=True)
                removed += 1
                if removed >= most:
                    break
    return removed


def _write(texts: Mapping[str, str | bytes], folder: Path, stem: str) -> list[Path]:
    """Whole files or none under a name that is free: a reader never sees half a report."""
    number, name = 1, stem
    while not _take_name(folder, name, list(texts)):
        number += 1
        name = f"{stem}-{number}"
    paths = []
    for form, text in texts.items():
        path = folder / f"{name}.{form}"
        draft = folder / f".{path.name}.draft"
        draft.write_bytes(text.encode() if isinstance(text, str) else text)
        draft.rename(path)
        paths.append(path)
    return paths


def _take_name(folder: Path, name: str, forms: Sequence[str]) -> bool:
    """Whether a name is ours: another process may write a report in the same second. The draft that
    is renamed last holds it until then.
    """
    draft = folder / f".{name}.{forms[-1]}.draft"
    try:
        draft.touch(exist_ok=False)
    except FileExistsError:
        return False
    if any((folder / f"{name}.{form}").exists() for form in forms):
        draft.unlink()
        return False
    return True
