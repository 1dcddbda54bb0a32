"""A runbook and the values a person gave → the exact steps. Values become whole arguments, never
program text.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from sentinel.core.foreign.expression import compile_expression
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
_NEED_A_DRIVER = {"restart", "reset"}


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
    *,
    supervised: Collection[str] | None = None,
    partial: bool = False,
) -> BookPlan:
    """The plan of a runbook.

    `known` may have the existing names by parameter type ("component", "check", …): a name that is
    given must be one of them. `found` are values that fault and configuration tell of what nobody
    gave. Steps that need what nobody told are skipped, and so are those that act on a component
    which is not one of `supervised` (None: not known) or ask a check that is none of the known.
    Raises UsageError with every problem of the values at once; with `partial`, a required one that
    is missing skips its steps, too.
    """
    values, problems = _check_values(book, parameters, known, found)
    if not partial:
        problems += [
            f"{each.name} ({each.type}) is required: say which"
            for each in book.parameters
            if each.name not in values
        ]
    values |= {each.name: "" for each in book.parameters if each.name not in values}
    problems = problems or _find_options(book, values)
    if problems:
        listed = "; ".join(problems)
        raise UsageError(
            f"{book.name}: {listed}", f"`sentinel runbook show {book.name}` lists the parameters"
        )
    kinds = {parameter.name: parameter.type for parameter in book.parameters}
    choices = _list_choices(known, supervised)
    steps = tuple(_plan_step(step, values, kinds, choices) for step in book.steps)
    return BookPlan(book, values, steps)


def _check_values(
    book: Runbook,
    given: Mapping[str, str],
    known: Mapping[str, Collection[str]],
    found: Mapping[str, str],
) -> tuple[dict[str, str], list[str]]:
    """The values that there are, and what is wrong with them."""
    declared = {parameter.name for parameter in book.parameters}
    problems = [f"there is no parameter {name!r}" for name in given if name not in declared]
    values: dict[str, str] = {}
    for parameter in book.parameters:
        value = given.get(parameter.name, found.get(parameter.name, parameter.default))
        if value is None:
            continue
        values[parameter.name] = value
        is_given = parameter.name in given
        if value or is_given:
            refusal = refuse_value(parameter, value, known if is_given else NO_NAMES)
            problems += [refusal] if refusal else []
    return values, problems


def refuse_value(
    parameter: Parameter, value: str, known: Mapping[str, Collection[str]] = NO_NAMES
) -> str:
    """Why a value may not be taken for a parameter; "" when it may."""
    if not value.isprintable():
        return f"{parameter.name}: control characters are not allowed"
    if parameter.type == "int" and re.fullmatch(r"-?[0-9]{1,18}", value, re.ASCII) is None:
        return f"{parameter.name}: {value!r} is no whole number"
    if not compile_expression(parameter.pattern).covers(value):
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


def _plan_step(
    step: BookStep,
    values: Mapping[str, str],
    kinds: Mapping[str, str],
    choices: Mapping[str, Collection[str]],
) -> BookStep:
    used = PLACEHOLDER.findall(f"{step.run} {step.precondition} {step.verify}")
    missing = list(dict.fromkeys(name for name in used if values[name] == ""))
    shown = {**values, **{name: f"{{{name}}}" for name in missing}}
    filled = replace(
        step,
        run=_fill(step.run, shown, kinds),
        precondition=step.precondition and _fill(step.precondition, shown, kinds),
        verify=step.verify and _fill(step.verify, shown, kinds),
    )
    acts = [act for act in (filled.run, filled.precondition, filled.verify) if act is not None]
    if not missing:
        return replace(filled, skip=next(filter(None, (_refuse(act, choices) for act in acts)), ""))
    types = {**kinds, **dict.fromkeys(_name_acted_on(step.run), _SUPERVISED)}
    return replace(filled, skip=_explain_missing({name: types[name] for name in missing}, choices))


_SUPERVISED = "supervised"
"""A component that sentinel can act on, as if it were a type."""


def _list_choices(
    known: Mapping[str, Collection[str]], supervised: Collection[str] | None
) -> Mapping[str, Collection[str]]:
    """Known names by type."""
    return known if supervised is None else {**known, _SUPERVISED: sorted(supervised)}


def _name_acted_on(act: Act) -> list[str]:
    """The parameter whose component an action needs a driver of."""
    needs = isinstance(act, Action) and act.name in _NEED_A_DRIVER
    return PLACEHOLDER.findall(act.args["component"]) if isinstance(act, Action) and needs else []


def _explain_missing(missing: Mapping[str, str], choices: Mapping[str, Collection[str]]) -> str:
    """What was not told, by its type, and what may be given."""
    given = " ".join(f"{name}=…" for name in missing)
    text = f"nobody told {' and '.join(missing)}: give {given}"
    names = [name for kind in missing.values() for name in choices.get(kind, ())]
    if len(missing) > 1 or not names:
        return text
    more = f" and {len(names) - _CHOICES} more" if len(names) > _CHOICES else ""
    return f"{text}, one of {', '.join(names[:_CHOICES])}{more}"


_CHOICES = 6


def _refuse(act: Act, choices: Mapping[str, Collection[str]]) -> str:
    """Why an action can't be done to its component, or a check not be asked; "" when it can.

    Which checks there are by themselves depends on the platform: only what has a driver has
    `NAME.process`.
    """
    if isinstance(act, RunCheck) and act.check not in choices.get("check", [act.check]):
        component, dot, _ = act.check.rpartition(".")
        if dot and component in choices.get("component", ()):
            return f"{component} has no driver: there is no check {act.check}"
        return f"there is no check {act.check} here"
    if _SUPERVISED not in choices or not isinstance(act, Action) or act.name not in _NEED_A_DRIVER:
        return ""
    component = act.args["component"]
    if component in choices[_SUPERVISED]:
        return ""
    return f"{component} has no driver: sentinel only watches it"


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
    as literals. Tables and columns are read as checks read them: `schema.name`, or a name in
    `public`; a column, or `column->key->key` for a text inside of its JSON.
    """

    def put_in(found: re.Match[str]) -> str:
        value, kind = values[found[1]], kinds[found[1]]
        if kind == "table":
            schema, _, name = (value if "." in value else f"public.{value}").partition(".")
            return f"{_quote(schema)}.{_quote(name)}"
        if kind == "column":
            return _quote_column(*value.split("->"))
        return value if kind == "int" else _literal(value)

    return PLACEHOLDER.sub(put_in, text)


def _quote_column(column: str, *path: str) -> str:
    if not path:
        return _quote(column)
    keys = ", ".join(map(_literal, path))
    return f"({_quote(column)}::text::jsonb #>> ARRAY[{keys}])"


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
