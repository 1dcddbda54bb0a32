"""Runbook files → values, strictly: every problem of every file at once, with file, line, key and
remedy.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection
from pathlib import Path

import yaml

from sentinel.core.fault import Status
from sentinel.errors import ConfigurationError, Problem
from sentinel.runbook import nodes
from sentinel.runbook.book import (
    ACTIONS,
    CONDITIONS,
    PARAMETER_TYPES,
    SECTIONS,
    VIEWS,
    Act,
    Action,
    AppliesTo,
    Argv,
    Look,
    Parameter,
    RedisCommand,
    Runbook,
    RunCheck,
    Sql,
    Step,
)
from sentinel.runbook.nodes import Notes
from sentinel.runbook.safety import refuse_redis, refuse_sql

DEFAULT_TIMEOUT = 10.0
MAX_TIMEOUT = 3600.0
MAX_FILE = 256 * 1024
PLACEHOLDER = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_NAME = re.compile(r"[a-z0-9][a-z0-9-]*")
_PARAMETER_NAME = re.compile(r"[a-z][a-z0-9_]*")
_PATTERNS = {
    "str": r"[A-Za-z0-9][A-Za-z0-9._:@/-]{0,199}",
    "int": r"[0-9]{1,18}",
    "component": r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}",
    "incident": r"[A-Za-z0-9][A-Za-z0-9._:-]{0,199}",
    "check": r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,99}",
    "resource": r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,99}",
    "table": r"[A-Za-z_][A-Za-z0-9_$]{0,62}(\.[A-Za-z_][A-Za-z0-9_$]{0,62})?",
    "column": r"[A-Za-z_][A-Za-z0-9_$]{0,62}",
}
_SOURCE = re.compile(
    r"incident\.component|(component|kind|resource)\.[a-z_]+|option(\.[a-z_]+){2,4}"
)
_ACTION_ARGS = {
    "reset": {"component", "reason"},
    "restart": {"component", "reason"},
    "halt": {"reason"},
    "resume": {"reason"},
}
_STEP_KEYS = ("timeout", "changes", "precondition", "verify")


def read_runbooks(folder: Path) -> dict[str, Runbook]:
    """Every `*.md` of a folder by name. Raises ConfigurationError with the problems of all files."""
    books: list[Runbook] = []
    problems: list[Problem] = []
    for path in sorted(folder.glob("*.md")):
        try:
            books.append(read_runbook(path))
        except ConfigurationError as error:
            problems += error.problems
    counted = Counter(book.name for book in books)
    problems += [
        Problem(
            book.source,
            1,
            "name",
            f"{book.name!r} is the name of several runbooks",
            "name each differently",
        )
        for book in books
        if counted[book.name] > 1
    ]
    if problems:
        raise ConfigurationError(problems)
    return {book.name: book for book in books}


def read_runbook(path: Path) -> Runbook:
    """One file. Raises ConfigurationError with every problem in it."""
    notes = Notes(str(path))
    try:
        source = path.read_bytes()
        content = source.decode() if len(source) <= MAX_FILE else ""
    except OSError as error:
        raise ConfigurationError(
            [Problem(str(path), 0, "", f"can't be read: {error.strerror}")]
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(
            [Problem(str(path), 0, "", "is not UTF-8", "save it as UTF-8")]
        ) from error
    if len(source) > MAX_FILE:
        raise ConfigurationError(
            [Problem(str(path), 0, "", f"is longer than {MAX_FILE // 1024} KiB")]
        )
    book = _read(content, path, notes)
    if book is None or notes.problems:
        raise ConfigurationError(notes.problems)
    return book


def _read(content: str, path: Path, notes: Notes) -> Runbook | None:
    lines = content.splitlines()
    ends = [number for number, line in enumerate(lines) if number and line.rstrip() == "---"]
    if not lines or lines[0].rstrip() != "---" or not ends:
        notes.add(1, "", "no front matter", "begin the file with YAML between two lines of ---")
        return None
    sections = _read_sections(lines, ends[0] + 1, notes)
    node = nodes.compose("\n".join(lines[1 : ends[0]]), notes)
    return None if node is None else _read_book(node, sections, path, notes)


def _read_sections(lines: list[str], start: int, notes: Notes) -> dict[str, str]:
    sections: dict[str, list[str]] = {}
    places: dict[str, int] = {}
    heading = ""
    for number, line in enumerate(lines[start:], start + 1):
        if line.startswith("## "):
            heading = line[3:].strip()
            places[heading] = number
            sections[heading] = []
        elif heading:
            sections[heading].append(line)
    texts = {name: "\n".join(body).strip() for name, body in sections.items()}
    for name in SECTIONS:
        if name not in texts:
            notes.add(
                len(lines),
                f"## {name}",
                "section is missing",
                f"add it: {', '.join(SECTIONS)} are required",
            )
        elif not texts[name]:
            notes.add(
                places[name],
                f"## {name}",
                "section is empty",
                "a tired person will read it at night: fill it",
            )
    return texts


def _read_book(
    node: yaml.MappingNode, sections: dict[str, str], path: Path, notes: Notes
) -> Runbook:
    optional = ("applies_to", "parameters", "diagnose")
    keys = nodes.mapping(node, "", notes, required=("name", "title", "steps"), optional=optional)
    name = nodes.text(keys.get("name"), "name", notes)
    if name and _NAME.fullmatch(name) is None:
        notes.add(keys["name"], "name", f"{name!r} is no name", "use a-z, 0-9 and -")
    parameters = _read_parameters(keys.get("parameters"), notes)
    known = {parameter.name: parameter for parameter in parameters}
    steps = [
        _read_step(item, f"steps[{n}]", known, notes)
        for n, item in enumerate(nodes.sequence(keys.get("steps"), "steps", notes))
    ]
    if "steps" in keys and not steps:
        notes.add(
            keys["steps"],
            "steps",
            "there is no step",
            "a runbook without steps is a page of a wiki",
        )
    title = nodes.text(keys.get("title"), "title", notes)
    applies_to = _read_applies_to(keys.get("applies_to"), notes)
    diagnose = nodes.truth(keys["diagnose"], "diagnose", notes) if "diagnose" in keys else None
    return Runbook(
        name, title, applies_to, tuple(parameters), tuple(steps), sections, str(path), diagnose
    )


def _read_applies_to(node: yaml.Node | None, notes: Notes) -> AppliesTo:
    if node is None:
        return AppliesTo()
    names = ("kinds", "components", "conditions", "alerts", "findings")
    keys = nodes.mapping(node, "applies_to", notes, optional=names)
    lists = {name: nodes.texts(keys.get(name), f"applies_to.{name}", notes) for name in names}
    for condition in lists["conditions"]:
        if condition not in CONDITIONS:
            remedy = f"choose of {', '.join(CONDITIONS)}"
            notes.add(
                keys["conditions"],
                "applies_to.conditions",
                f"{condition!r} is no condition",
                remedy,
            )
    return AppliesTo(**lists)


# -- parameters -----------------------------------------------------------------------------------


def _read_parameters(node: yaml.Node | None, notes: Notes) -> list[Parameter]:
    parameters: list[Parameter] = []
    for n, item in enumerate(nodes.sequence(node, "parameters", notes)):
        parameter = _read_parameter(item, f"parameters[{n}]", notes)
        if parameter.name in {earlier.name for earlier in parameters}:
            notes.add(
                item, f"parameters[{n}].name", f"{parameter.name!r} is given twice", "remove one"
            )
        parameters.append(parameter)
    return parameters


def _read_parameter(node: yaml.Node, where: str, notes: Notes) -> Parameter:
    optional = ("pattern", "required", "default", "description", "from")
    keys = nodes.mapping(node, where, notes, required=("name", "type"), optional=optional)
    name = nodes.text(keys.get("name"), f"{where}.name", notes)
    if name and _PARAMETER_NAME.fullmatch(name) is None:
        notes.add(keys["name"], f"{where}.name", f"{name!r} is no name", "use a-z, 0-9 and _")
    kind = nodes.text(keys.get("type"), f"{where}.type", notes, default="str")
    if kind not in PARAMETER_TYPES:
        remedy = f"choose one of {', '.join(PARAMETER_TYPES)}"
        notes.add(keys["type"], f"{where}.type", f"{kind!r} is no parameter type", remedy)
        kind = "str"
    pattern = _read_pattern(keys.get("pattern"), f"{where}.pattern", _PATTERNS[kind], notes)
    default = nodes.scalar(keys.get("default"), f"{where}.default", notes)
    if default and re.fullmatch(pattern, default) is None:
        notes.add(
            keys["default"], f"{where}.default", f"{default!r} does not match the pattern {pattern}"
        )
    required = nodes.truth(
        keys.get("required"), f"{where}.required", notes, default=default is None
    )
    if not required and default is None:
        notes.add(node, f"{where}.default", "is missing", "an optional parameter needs a default")
    description = nodes.text(keys.get("description"), f"{where}.description", notes)
    return Parameter(
        name,
        kind,
        pattern,
        required,
        default,
        description,
        _read_sources(keys.get("from"), where, notes),
    )


def _read_sources(node: yaml.Node | None, where: str, notes: Notes) -> tuple[str, ...]:
    found = nodes.texts(node, f"{where}.from", notes)
    for source in found:
        if node is not None and _SOURCE.fullmatch(source) is None:
            remedy = (
                "write incident.component, component.KIND, kind.KIND, resource.TYPE or"
                " option.KIND.OPTION"
            )
            notes.add(node, f"{where}.from", f"{source!r} is no source of a value", remedy)
    return found


def _read_pattern(node: yaml.Node | None, where: str, default: str, notes: Notes) -> str:
    pattern = nodes.text(node, where, notes, default=default)
    try:
        re.compile(pattern)
    except re.error as error:
        notes.add(node or 1, where, f"is no regular expression: {error}")
        return default
    return pattern


# -- steps ----------------------------------------------------------------------------------------


def _read_step(node: yaml.Node, where: str, known: dict[str, Parameter], notes: Notes) -> Step:
    keys = nodes.mapping(node, where, notes, required=("name", "run"), optional=_STEP_KEYS)
    run = _read_act(keys["run"], f"{where}.run", known, notes) if "run" in keys else RunCheck("")
    timeout = nodes.duration(keys.get("timeout"), f"{where}.timeout", notes, DEFAULT_TIMEOUT)
    if not 0 < timeout <= MAX_TIMEOUT:
        notes.add(keys["timeout"], f"{where}.timeout", "must be above 0 and at most 1h")
    changes = nodes.truth(
        keys.get("changes"), f"{where}.changes", notes, default=isinstance(run, Action)
    )
    _check_changes(node, keys, run, changes=changes, where=where, notes=notes)
    return Step(
        name=nodes.text(keys.get("name"), f"{where}.name", notes),
        run=run,
        timeout=timeout,
        changes=changes,
        precondition=_read_condition(
            keys.get("precondition"), f"{where}.precondition", known, notes
        ),
        verify=_read_condition(keys.get("verify"), f"{where}.verify", known, notes),
        line=notes.line(node),
    )


def _check_changes(
    node: yaml.Node,
    keys: dict[str, yaml.Node],
    run: Act,
    *,
    changes: bool,
    where: str,
    notes: Notes,
) -> None:
    place = keys.get("changes", node)
    if isinstance(run, Argv) and "changes" not in keys:
        notes.add(
            node,
            f"{where}.changes",
            "is missing",
            "say whether this program changes anything: true or false",
        )
    elif isinstance(run, Action) and not changes:
        notes.add(place, f"{where}.changes", "an action changes something", "write `changes: true`")
    elif isinstance(run, RunCheck | Sql | RedisCommand | Look) and changes:
        notes.add(
            place,
            f"{where}.changes",
            "check, sql, redis and look only read",
            "write `changes: false`",
        )


def _read_condition(
    node: yaml.Node | None, where: str, known: dict[str, Parameter], notes: Notes
) -> Act | None:
    if node is None:
        return None
    act = _read_act(node, where, known, notes)
    if isinstance(act, Action):
        notes.add(
            node,
            where,
            "a condition must not act",
            "use a check, sql, redis or a program that only looks",
        )
    return act


def _read_act(node: yaml.Node, where: str, known: dict[str, Parameter], notes: Notes) -> Act:
    if isinstance(node, yaml.SequenceNode):
        return _read_argv(node, where, known, notes)
    if isinstance(node, yaml.ScalarNode):
        notes.add(
            node, where, "is one text, and no shell will split it", "write a list: [df, -h, /]"
        )
        return RunCheck("")
    builtins = {
        "check": _read_check,
        "sql": _read_sql,
        "redis": _read_redis,
        "look": _read_look,
        "action": _read_action,
    }
    found = [str(key.value) for key, _ in node.value if str(key.value) in builtins]
    if len(found) != 1:
        notes.add(
            node,
            where,
            "must have exactly one of check, sql, redis, look, action, or be a list of arguments",
        )
        return RunCheck("")
    return builtins[found[0]](node, where, known, notes)


def _read_argv(node: yaml.Node, where: str, known: dict[str, Parameter], notes: Notes) -> Argv:
    items = nodes.sequence(node, where, notes)
    argv = nodes.texts(node, where, notes)
    if not argv:
        notes.add(node, where, "is empty", "name the program")
    for n, (item, word) in enumerate(zip(items, argv, strict=True)):
        _check_placeholders(item, f"{where}[{n}]", word, known, notes)
        begins = PLACEHOLDER.match(word)
        if n == 0 and PLACEHOLDER.search(word):
            notes.add(item, f"{where}[0]", "the program itself can't be a parameter")
        elif begins and known.get(begins[1], _ANY).type != "int" and "--" not in argv[:n]:
            notes.add(
                item,
                f"{where}[{n}]",
                f"{{{begins[1]}}} could be taken for an option",
                'put "--" before it',
            )
    return Argv(argv)


_ANY = Parameter("", "str", "", required=False)


def _read_check(node: yaml.Node, where: str, known: dict[str, Parameter], notes: Notes) -> Act:
    keys = nodes.mapping(node, where, notes, required=("check",), optional=("is",))
    name = nodes.text(keys.get("check"), f"{where}.check", notes)
    _check_placeholders(node, f"{where}.check", name, known, notes)
    statuses = nodes.texts(keys.get("is"), f"{where}.is", notes)
    for status in statuses:
        if status not in Status.__members__.values():
            notes.add(
                keys["is"],
                f"{where}.is",
                f"{status!r} is no status",
                f"choose of {', '.join(Status)}",
            )
    return RunCheck(name, statuses or ("up",))


def _read_sql(node: yaml.Node, where: str, known: dict[str, Parameter], notes: Notes) -> Act:
    keys = nodes.mapping(node, where, notes, required=("sql", "resource"))
    statement = nodes.text(keys.get("sql"), f"{where}.sql", notes)
    place = keys.get("sql", node)
    _check_placeholders(place, f"{where}.sql", statement, known, notes)
    refusal = refuse_sql(statement) if statement else ""
    if refusal:
        notes.add(
            place, f"{where}.sql", refusal, "steps that change something are actions or programs"
        )
    if re.search(r"[\w'\"$]\{[a-z]|\{[a-z][a-z0-9_]*\}[\w'\"]", statement):
        notes.add(
            place,
            f"{where}.sql",
            "a placeholder is put in as a whole literal",
            "remove what touches it",
        )
    return Sql(_read_resource(keys.get("resource"), where, known, notes), statement)


def _read_redis(node: yaml.Node, where: str, known: dict[str, Parameter], notes: Notes) -> Act:
    keys = nodes.mapping(node, where, notes, required=("redis", "resource"))
    argv = nodes.texts(keys.get("redis"), f"{where}.redis", notes)
    place = keys.get("redis", node)
    for word in argv:
        _check_placeholders(place, f"{where}.redis", word, known, notes)
    refusal = refuse_redis(argv) if "redis" in keys else ""
    if refusal:
        notes.add(
            place, f"{where}.redis", refusal, "steps that change something are actions or programs"
        )
    return RedisCommand(_read_resource(keys.get("resource"), where, known, notes), argv)


def _read_resource(
    node: yaml.Node | None, where: str, known: dict[str, Parameter], notes: Notes
) -> str:
    name = nodes.text(node, f"{where}.resource", notes)
    if node is not None:
        _check_placeholders(node, f"{where}.resource", name, known, notes)
    return name


def _read_look(node: yaml.Node, where: str, known: dict[str, Parameter], notes: Notes) -> Act:
    keys = nodes.mapping(node, where, notes, required=("look",), optional=("component",))
    view = nodes.text(keys.get("look"), f"{where}.look", notes)
    if view not in VIEWS:
        notes.add(
            keys.get("look", node),
            f"{where}.look",
            f"{view!r} is no view",
            f"choose of {', '.join(VIEWS)}",
        )
    if "component" not in keys:
        return Look(view)
    subject = nodes.text(keys["component"], f"{where}.component", notes)
    _check_placeholders(keys["component"], f"{where}.component", subject, known, notes)
    return Look(view, subject)


def _read_action(node: yaml.Node, where: str, known: dict[str, Parameter], notes: Notes) -> Act:
    keys = nodes.mapping(node, where, notes, required=("action",), optional=("args",))
    name = nodes.text(keys.get("action"), f"{where}.action", notes)
    if name not in ACTIONS:
        notes.add(
            keys.get("action", node),
            f"{where}.action",
            f"{name!r} is no action",
            f"choose of {', '.join(ACTIONS)}",
        )
        return Action(name)
    needed: Collection[str] = {"component"} if name in {"reset", "restart"} else set()
    if "args" not in keys:
        if needed:
            notes.add(node, f"{where}.args", "is missing", "name the component: {component: …}")
        return Action(name)
    args = nodes.mapping(
        keys["args"],
        f"{where}.args",
        notes,
        required=needed,
        optional=_ACTION_ARGS[name] - set(needed),
    )
    values = {key: nodes.text(value, f"{where}.args.{key}", notes) for key, value in args.items()}
    for key, value in values.items():
        _check_placeholders(args[key], f"{where}.args.{key}", value, known, notes)
    return Action(name, values)


def _check_placeholders(
    node: yaml.Node, where: str, text: str, known: dict[str, Parameter], notes: Notes
) -> None:
    for name in PLACEHOLDER.findall(text):
        if name not in known:
            remedy = f"declare it under parameters; there: {', '.join(known) or 'none'}"
            notes.add(node, where, f"{{{name}}} is no parameter", remedy)
