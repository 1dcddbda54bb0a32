"""Steps and acts of a runbook: strict about what they may do, and to whom."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sentinel.runbook.book import (
    Act,
    Action,
    Argv,
    BookStep,
    LookAt,
    RedisCommand,
    RunCheck,
    Sql,
)
from sentinel.runbook.safety import refuse_redis, refuse_sql, shows_command_lines
from sentinel.runbook.written import (
    WrittenAction,
    WrittenArgv,
    WrittenCheck,
    WrittenLook,
    WrittenRedis,
    WrittenSql,
    WrittenStep,
)
from sentinel.strict.explain import unknown_message, validate
from sentinel.strict.place import Place

PLACEHOLDER = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_TOUCHED = re.compile(r"[\w'\"$]\{[a-z]|\{[a-z][a-z0-9_]*\}[\w'\"]")
_QUOTED = re.compile(r"'[^']*(?:'|\Z)|\"[^\"]*(?:\"|\Z)")
"""Texts and names of SQL: a literal that is put into one would end it. Comments are refused."""
_INTERPRETER = re.compile(
    r"(ba|da|k|z|a|fi)?sh|busybox|(python|pypy|perl|ruby|node|php|lua)[0-9.]*|psql|su|mysql|sqlite3"
)
_TAKES_TEXT = re.compile(r"-[a-zA-Z]*[ceEr]|--(command|eval|execute|run)=?")
_ACTION_ARGS = {
    "reset": {"component", "reason"},
    "restart": {"component", "reason"},
    "halt": {"reason"},
    "resume": {"reason"},
}
_SHOWS = "shows command lines, and whoever put a password into one would find it kept and published"
_SHOW_NAMES = (
    "show names and numbers (ps -o pid,comm); or add `command_lines: true` to the step: its output is"
    " then shown to who runs it, and kept nowhere"
)
_ONLY_READS = "steps that change something are actions or programs"

Types = Mapping[str, str]
"""Type of each declared parameter by its name."""


def read_steps(place: Place, items: list[Any], types: Types) -> tuple[BookStep, ...]:
    """Every step that is right; what is wrong with the others is noted."""
    if not items:
        place.note("there is no step", "a runbook without steps is a page of a wiki")
    steps = [_read_step(place / n, item, types) for n, item in enumerate(items)]
    return tuple(step for step in steps if step is not None)


def _read_step(place: Place, raw: Any, types: Types) -> BookStep | None:
    written = validate(place, WrittenStep, raw)
    if not isinstance(raw, dict):
        return None
    run = _read_act(place / "run", raw["run"], types) if "run" in raw else None
    before = _read_condition(place / "precondition", raw.get("precondition"), types)
    after = _read_condition(place / "verify", raw.get("verify"), types)
    if run is not None:
        _check_changes(place / "changes", run, raw.get("changes"))
    if written is None or run is None:
        return None
    for key, act in {"run": run, "precondition": before, "verify": after}.items():
        if not written.command_lines and isinstance(act, Argv) and shows_command_lines(act.argv):
            (place / key).note(_SHOWS, _SHOW_NAMES)
    changes = isinstance(run, Action) if written.changes is None else written.changes
    timeout, line = written.timeout, place.line
    shows = written.command_lines
    return BookStep(written.name, run, timeout, changes, before, after, line, command_lines=shows)


def _check_changes(place: Place, run: Act, changes: object) -> None:
    if isinstance(run, Argv):
        if changes is None:
            remedy = "say whether this program changes anything: true or false"
            place.note("the key `changes` is missing", remedy)
    elif isinstance(run, Action):
        if changes is False:
            place.note("an action changes something", "write `changes: true`")
    elif changes is True:
        place.note("check, sql, redis and look only read", "write `changes: false`")


def _read_condition(place: Place, raw: Any, types: Types) -> Act | None:
    act = _read_act(place, raw, types) if raw is not None else None
    if isinstance(act, Action):
        remedy = "use a check, sql, redis or a program that only looks"
        place.note("a condition must not act", remedy)
    return act


def _read_act(place: Place, raw: Any, types: Types) -> Act | None:
    """The act that is written there, or None with what is wrong noted."""
    if isinstance(raw, list):
        return _read_argv(place, raw, types)
    if not isinstance(raw, dict):
        message = "is one text, and no shell will split it"
        place.note(message, "write a list: [df, -h, /]")
        return None
    found = [key for key in _READERS if key in raw]
    if len(found) != 1:
        message = "must have exactly one of check, sql, redis, look, action"
        place.note(message, "name one of them, or write a list of arguments")
        return None
    act = _READERS[found[0]](place, raw)
    for at, text in _texts(place, raw):
        _check_placeholders(at, text, types)
    return act


def _texts(place: Place, raw: Any) -> Iterator[tuple[Place, str]]:
    """Every text of an act with its place: each may have placeholders."""
    if isinstance(raw, str):
        yield place, raw
    elif isinstance(raw, dict | list):
        for key, item in raw.items() if isinstance(raw, dict) else enumerate(raw):
            yield from _texts(place / key, item)


def _check_placeholders(place: Place, text: str, types: Types) -> None:
    for name in PLACEHOLDER.findall(text):
        if name not in types:
            remedy = f"declare it under parameters; there: {', '.join(types) or 'none'}"
            place.note(f"{{{name}}} is no parameter", remedy)


def _read_argv(place: Place, raw: list[Any], types: Types) -> Argv | None:
    written = validate(place, WrittenArgv, raw)
    if not raw:
        place.note("is empty", "name the program")
    if written is None:
        return None
    argv = written.root
    for n, word in enumerate(argv):
        _check_placeholders(place / n, word, types)
        begins = PLACEHOLDER.match(word)
        if n == 0 and PLACEHOLDER.search(word):
            place.at(0).note("the program itself can't be a parameter", "write its name")
        elif begins and types.get(begins[1]) != "int" and "--" not in argv[:n]:
            message = f"{{{begins[1]}}} could be taken for an option"
            (place / n).note(message, 'put "--" before it')
        if PLACEHOLDER.search(word) and _is_program_text(argv[:n]):
            message = "a value would become a part of a program's text"
            remedy = 'name it in the text as "$1", and give it as a word of its own behind it'
            (place / n).note(message, remedy)
    return Argv(tuple(argv))


def _is_program_text(before: Sequence[str]) -> bool:
    """Whether a word that follows these is run by an interpreter: `sh -c …`, also behind sudo or
    env. What comes after that text is only given to it.
    """
    starts = [n for n, word in enumerate(before) if _INTERPRETER.fullmatch(Path(word).name)]
    if not starts:
        return False
    options = [word for word in before[starts[0] + 1 :] if word != "--"]
    return bool(options) and _TAKES_TEXT.fullmatch(options[-1]) is not None


def _read_check(place: Place, raw: Any) -> RunCheck | None:
    written = validate(place, WrittenCheck, raw)
    return RunCheck(written.check, tuple(written.statuses) or ("up",)) if written else None


def _read_sql(place: Place, raw: Any) -> Sql | None:
    written = validate(place, WrittenSql, raw)
    statement = raw["sql"]
    if isinstance(statement, str) and statement.strip():
        refusal = refuse_sql(statement)
        if refusal:
            (place / "sql").note(refusal, _ONLY_READS)
        if _TOUCHED.search(statement) or any(map(PLACEHOLDER.search, _QUOTED.findall(statement))):
            message = "a placeholder is put in as a whole literal"
            (place / "sql").note(message, "remove what touches it, and the quotes around it")
    return Sql(written.resource, written.sql) if written else None


def _read_redis(place: Place, raw: Any) -> RedisCommand | None:
    written = validate(place, WrittenRedis, raw)
    if written is None:
        return None
    refusal = refuse_redis(written.redis)
    if refusal:
        (place / "redis").note(refusal, _ONLY_READS)
    return RedisCommand(written.resource, tuple(written.redis))


def _read_look(place: Place, raw: Any) -> LookAt | None:
    written = validate(place, WrittenLook, raw)
    return LookAt(written.look, written.component) if written else None


def _read_action(place: Place, raw: Any) -> Action | None:
    written = validate(place, WrittenAction, raw)
    if written is None:
        return None
    known = _ACTION_ARGS[written.action]
    args = place / "args"
    for key in written.args:
        if key not in known:
            (args / key).note(*unknown_message("key", key, known))
    if "component" in known and "component" not in written.args:
        missing = args / "component" if "args" in raw else args
        missing.note("the component is missing", "name it: {component: …}")
    return Action(written.action, written.args)


_READERS: dict[str, Callable[[Place, Any], Act | None]] = {
    "check": _read_check,
    "sql": _read_sql,
    "redis": _read_redis,
    "look": _read_look,
    "action": _read_action,
}
