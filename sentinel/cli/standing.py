"""How the files on disk stand to what the daemon runs: the same, changed, broken, refused, gone."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sentinel.app.following import FILES_KEY, Following, read_following
from sentinel.app.glance import Glance, glance_at
from sentinel.cli.place import Arguments
from sentinel.errors import ActionRefused, SentinelError, StateError, UsageError
from sentinel.store import Reader


@dataclass(frozen=True, slots=True)
class FileStanding:
    """`state` is one of `same`, `waiting` (a reload runs), `changed`, `refused`, `broken`, `missing`,
    `unknown` (no daemon told which files it read); `text` says it with what to do, "" for the same.
    """

    state: str
    text: str = ""


def look_at_files(arguments: Arguments, store: Reader, *, running: bool) -> FileStanding:
    """Compare the files with what the daemon of this store has in force."""
    following = read_following(store.meta(FILES_KEY))
    if following is None:
        return FileStanding("unknown")
    path = Path(following.path)
    here = arguments.config.resolve()
    if path != here and not path.exists():
        # A daemon of a container: its paths mean nothing here.
        return FileStanding("unknown")
    glance = glance_at(path)
    if not glance.trouble and glance.digest == following.digest:
        return _tell_waiting(following) if running else FileStanding("same")
    state, text = _tell_difference(glance, following, running=running)
    return FileStanding(state, text)


def _tell_waiting(following: Following) -> FileStanding:
    if not following.began:
        return FileStanding("same")
    return FileStanding("waiting", describe_reload(following))


def describe_reload(following: Following) -> str:
    """A reload that is under way, and what it waits for."""
    what = f"waits for {following.waits}" if following.waits else "reads the files"
    return f"a reload of {_clock(following.began)} {what}"


def _tell_difference(glance: Glance, following: Following, *, running: bool) -> tuple[str, str]:
    runs = (
        f"the daemon runs the earlier ones, of {_clock(following.since)}"
        if running
        else "the daemon could not be started with them"
    )
    if glance.trouble:
        return "missing", f"the configuration {glance.path} {glance.trouble}: {runs}"
    if running and following.began:
        return "waiting", f"{describe_reload(following)}: {runs}"
    if following.refused and glance.digest == following.refused:
        first = _first_line(following.problems)
        count = len(following.problems)
        more = f" (and {count - 1} more: `sentinel validate`)" if count > 1 else ""
        at = _clock(following.refused_at)
        return "refused", f"the files on disk were refused at {at}: {runs}\n  {first}{more}"
    problems = glance.find_problems(os.environ)
    if problems:
        first = _first_line([str(problems[0])])
        return "broken", f"the files on disk are broken: {runs}\n  {first}"
    since = _clock(following.since)
    if not running:
        return "changed", f"the files were changed since the daemon read them at {since}"
    return "changed", (
        f"the files were changed since the daemon read them at {since}: `sentinel validate`, then"
        f" `kill -HUP {following.pid}` to have them in force"
    )


def _first_line(problems: list[str]) -> str:
    lines = (problems[0] if problems else "").splitlines()
    return "; ".join(" ".join(line.split()) for line in lines)


def _clock(text: str) -> str:
    return f"{text[:10]} {text[11:19]}Z"


def warn_of_files(arguments: Arguments, store: Reader, *, running: bool) -> None:
    """Say on stderr what is the matter with the files, for commands that show something else."""
    tell_of_files(look_at_files(arguments, store, running=running))


def tell_of_files(files: FileStanding) -> None:
    """On stderr, unless nothing is the matter or only a reload is to be asked for."""
    if files.state in {"refused", "broken", "missing", "waiting"}:
        print(f"sentinel: {files.text}", file=sys.stderr)


def count_unrun(store: Reader) -> str:
    """Checks in force without a result yet, in words; "" when there are none."""
    following = read_following(store.meta(FILES_KEY))
    total = following.checks if following is not None else 0
    driven = {f"{each.name}.process" for each in store.components() if each.driver}
    ran = sum(view.name not in driven for view in store.checks())
    if ran >= total:
        return ""
    have = "has" if total - ran == 1 else "have"
    return f"{total - ran} of {total} checks {have} not run yet: `sentinel check list` names them"


def explain_absence(arguments: Arguments, store: Reader, known: Sequence[str]) -> SentinelError:
    """Why the running daemon does not know a check: nobody wrote it, or no reload has brought it
    yet, and what that waits for.
    """
    name = arguments.name
    place = next(
        (
            p
            for p, item in glance_at(arguments.config).find_checks(os.environ)
            if item["name"] == name
        ),
        None,
    )
    if place is None:
        return UsageError(f"there is no check {name!r}", f"known: {', '.join(known)}")
    files = look_at_files(arguments, store, running=True)
    following = read_following(store.meta(FILES_KEY))
    why = files.text or "the daemon has not read these files"
    if files.state in {"refused", "broken"}:
        return StateError(
            f"check {name!r} ({place}) is not loaded yet: {why}",
            "mend what `sentinel validate` lists, then have the daemon reload",
        )
    pid = following.pid if following is not None else 0
    again = "wait for the reload" if files.state == "waiting" else f"`kill -HUP {pid}`"
    return ActionRefused(f"check {name!r} ({place}) is not loaded yet: {why}", again)
