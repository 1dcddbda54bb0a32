"""A runbook and the values a person gave → the exact steps. Values become whole arguments, never
program text.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from sentinel.errors import UsageError
from sentinel.runbook.book import (
    Act,
    Action,
    Argv,
    BookStep,
    LookAt,
    Parameter,
    RedisCommand,
    Runbook,
    RunCheck,
    Sql,
)
from sentinel.runbook.steps import PLACEHOLDER

NO_NAMES: Mapping[str, Collection[str]] = {}
NO_VALUES: Mapping[str, str] = {}
_NAMES_IN_SQL = {"table", "column"}


@dataclass(frozen=True, slots=True)
class BookPlan:
    """The steps as they will run, with every value in its place."""

    book: Runbook
    parameters: Mapping[str, str]
    steps: tuple[BookStep, ...]


def make_plan(
    book: Runbook,
    parameters: Mapping[str, str],
    known: Mapping[str, Collection[str]] = NO_NAMES,
    found: Mapping[str, str] = NO_VALUES,
) -> BookPlan:
    """The plan of a runbook.

    `known` may have the existing names by parameter type ("component", "check", …): a name that is
    given must be one of them. `found` are values that the platform's configuration gives for what
    nobody gave. Raises UsageError with every problem of the values at once.
    """
    values, problems = _check_values(book, parameters, known, found)
    problems = problems or _find_options(book, values)
    if problems:
        listed = "; ".join(problems)
        raise UsageError(
            f"{book.name}: {listed}", f"`sentinel runbook show {book.name}` lists the parameters"
        )
    kinds = {parameter.name: parameter.type for parameter in book.parameters}
    return BookPlan(book, values, tuple(_fill_step(step, values, kinds) for step in book.steps))


def _check_values(
    book: Runbook,
    given: Mapping[str, str],
    known: Mapping[str, Collection[str]],
    found: Mapping[str, str],
) -> tuple[dict[str, str], list[str]]:
    declared = {parameter.name for parameter in book.parameters}
    problems = [f"there is no parameter {name!r}" for name in given if name not in declared]
    values: dict[str, str] = {}
    for parameter in book.parameters:
        value = given.get(parameter.name, found.get(parameter.name, parameter.default))
        if value is None:
            problems.append(f"{parameter.name} ({parameter.type}) is required")
            continue
        optional = value == "" and parameter.name not in given
        problem = (
            ""
            if optional
            else _refuse_value(parameter, value, known if parameter.name in given else NO_NAMES)
        )
        if problem:
            problems.append(problem)
        values[parameter.name] = value
    return values, problems


def _refuse_value(parameter: Parameter, value: str, known: Mapping[str, Collection[str]]) -> str:
    if not value.isprintable():
        return f"{parameter.name}: control characters are not allowed"
    if parameter.type == "int" and re.fullmatch(r"-?[0-9]{1,18}", value, re.ASCII) is None:
        return f"{parameter.name}: {value!r} is no whole number"
    if re.fullmatch(parameter.pattern, value) is None:
        return f"{parameter.name}: {value!r} does not match {parameter.pattern}"
    names = known.get(parameter.type)
    if names is not None and value not in names:
        return f"{parameter.name}: there is no {parameter.type} {value!r}"
    return ""


def _find_options(book: Runbook, values: Mapping[str, str]) -> list[str]:
    """Values that a program would take for an option: they begin with - and no `--` stands before
    them.
    """
    acts = [act for step in book.steps for act in (step.run, step.precondition, step.verify)]
    return [
        f"{values[found[1]]!r} would be taken for an option of {act.argv[0]}"
        for act in acts
        if isinstance(act, Argv)
        for n, word in enumerate(act.argv)
        if (found := PLACEHOLDER.match(word))
        and values[found[1]].startswith("-")
        and "--" not in act.argv[:n]
    ]


def _fill_step(step: BookStep, values: Mapping[str, str], kinds: Mapping[str, str]) -> BookStep:
    used = PLACEHOLDER.findall(f"{step.run} {step.precondition} {step.verify}")
    return replace(
        step,
        missing=tuple(dict.fromkeys(name for name in used if values[name] == "")),
        run=_fill(step.run, values, kinds),
        precondition=step.precondition and _fill(step.precondition, values, kinds),
        verify=step.verify and _fill(step.verify, values, kinds),
    )


def _fill(act: Act, values: Mapping[str, str], kinds: Mapping[str, str]) -> Act:
    if isinstance(act, Argv):
        return Argv(tuple(fill_text(word, values) for word in act.argv))
    if isinstance(act, RunCheck):
        return replace(act, check=fill_text(act.check, values))
    if isinstance(act, Sql):
        return Sql(fill_text(act.resource, values), fill_sql(act.text, values, kinds))
    if isinstance(act, RedisCommand):
        return RedisCommand(
            fill_text(act.resource, values), tuple(fill_text(word, values) for word in act.argv)
        )
    if isinstance(act, LookAt):
        return LookAt(act.view, fill_text(act.subject, values))
    return Action(act.name, {key: fill_text(text, values) for key, text in act.args.items()})


def fill_text(text: str, values: Mapping[str, str]) -> str:
    """The text with `{name}` replaced, once: a value that looks like a placeholder is not looked at
    again.
    """
    return PLACEHOLDER.sub(lambda found: values[found[1]], text)


def fill_sql(text: str, values: Mapping[str, str], kinds: Mapping[str, str]) -> str:
    """The statement with each `{name}` put in: whole numbers bare, tables and columns quoted, texts
    as literals.
    """

    def literal(found: re.Match[str]) -> str:
        value = values[found[1]]
        if kinds[found[1]] in _NAMES_IN_SQL:
            parts = (part.replace('"', '""') for part in value.split("."))
            return ".".join(f'"{part}"' for part in parts)
        return value if kinds[found[1]] == "int" else "'" + value.replace("'", "''") + "'"

    return PLACEHOLDER.sub(literal, text)
