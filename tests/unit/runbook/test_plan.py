"""Planning: values become whole arguments or literals, and wrong ones are refused together."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sentinel.adapters.relation import Relation
from sentinel.errors import UsageError
from sentinel.runbook.book import Argv, Sql
from sentinel.runbook.plan import make_plan
from sentinel.runbook.read import read_runbook
from sentinel.runbook.safety import refuse_sql

Write = Callable[..., Path]
PARAMETERS = """
  - {name: who, type: str, pattern: ".{1,80}"}
  - {name: count, type: int, default: 5}
  - {name: part, type: component, default: api}"""


def plan_of(write_book: Write, step: str, **values: str) -> Argv | Sql:
    book = read_runbook(write_book(f"  - {step}", PARAMETERS))
    act = make_plan(book, values).steps[0].run
    assert isinstance(act, Argv | Sql)
    return act


@pytest.mark.parametrize(
    "value", ["a b", "$(reboot)", "; rm -rf /", "{count}", "`id`", "'", '"', "-rf", "*", "../.."]
)
def test_a_value_is_one_argument(write_book: Write, value: str) -> None:
    """Whatever a value holds, it stays one argument, unexpanded."""
    act = plan_of(
        write_book, "{name: a, run: [echo, --, '{who}', 'x={who}'], changes: false}", who=value
    )
    assert act == Argv(("echo", "--", value, f"x={value}"))


@pytest.mark.parametrize(
    ("value", "literal"),
    [("a", "'a'"), ("a'b", "'a''b'"), ("'; DROP TABLE t; --", "'''; DROP TABLE t; --'")],
)
def test_a_value_is_one_literal(write_book: Write, value: str, literal: str) -> None:
    """In SQL a text is a quoted literal and a whole number stands bare."""
    act = plan_of(
        write_book,
        '{name: a, run: {sql: "SELECT * FROM t WHERE a = {who} AND n = {count}", resource: r}}',
        who=value,
    )
    assert isinstance(act, Sql)
    assert act.text == f"SELECT * FROM t WHERE a = {literal} AND n = 5"


def test_all_wrong_values_at_once(write_book: Write) -> None:
    """Missing, unknown and wrong values are told together."""
    book = read_runbook(write_book("  - {name: a, run: {check: c}}", PARAMETERS))
    with pytest.raises(UsageError) as caught:
        make_plan(book, {"count": "5; x", "part": "--all", "nope": "1"})
    for word in ("who (str) is required", "count: '5; x'", "part: '--all'", "no parameter 'nope'"):
        assert word in caught.value.message


def test_known_names(write_book: Write) -> None:
    """A component that does not exist is refused when it is given and the names are known."""
    book = read_runbook(write_book("  - {name: a, run: {check: c}}", PARAMETERS))
    with pytest.raises(UsageError, match="no component 'api'"):
        make_plan(book, {"who": "x", "part": "api"}, {"component": ["bus"]})
    assert (
        make_plan(book, {"who": "x", "part": "api"}, {"component": ["api"]}).parameters["part"]
        == "api"
    )


@pytest.mark.parametrize("value", ["a\nb", "a\x00b", "\x1b[2J", "a\u202eb"])
def test_control_characters_are_refused(write_book: Write, value: str) -> None:
    """No control or direction character gets into a plan."""
    with pytest.raises(UsageError, match="control characters"):
        plan_of(write_book, "{name: a, run: [echo, --, '{who}'], changes: false}", who=value)


def test_a_value_never_becomes_an_option(write_book: Write) -> None:
    """A whole number whose pattern allows a sign is refused where a program would read it as an
    option.
    """
    parameters = "  - {name: pid, type: int, pattern: '-?[0-9]+'}"
    book = read_runbook(
        write_book("  - {name: a, run: [kill, '{pid}'], changes: true}", parameters)
    )
    assert make_plan(book, {"pid": "1"}).steps[0].run == Argv(("kill", "1"))
    with pytest.raises(UsageError, match="'-1' would be taken for an option of kill"):
        make_plan(book, {"pid": "-1"})


NAMES = """
  - {name: t, type: table, default: watch.tasks}
  - {name: c, type: column, default: created_at}
  - {name: r, type: resource, default: db}"""


def test_tables_and_columns_are_quoted_names(write_book: Write) -> None:
    """A table or column is put in as a quoted name, a resource as the name of the resource."""
    book = read_runbook(
        write_book('  - {name: a, run: {sql: "SELECT {c} FROM {t}", resource: "{r}"}}', NAMES)
    )
    assert make_plan(book, {}).steps[0].run == Sql("db", 'SELECT "created_at" FROM "watch"."tasks"')
    assert make_plan(book, {}, found={"t": "Work", "r": "pg"}).steps[0].run == Sql(
        "pg", 'SELECT "created_at" FROM "public"."Work"'
    )


@pytest.mark.parametrize(
    ("value", "quoted"),
    [
        ('a"b', '"public"."a""b"'),
        ("a.b.c", '"a"."b.c"'),
        ("a; DROP TABLE t", '"public"."a; DROP TABLE t"'),
        ("Ops-1.wörk $1", '"Ops-1"."wörk $1"'),
        ("a--", '"public"."a--"'),
    ],
)
def test_a_table_is_the_one_that_the_check_reads(
    write_book: Write, value: str, quoted: str
) -> None:
    """Whatever a check takes for a table is one name, in quotes, read as the check reads it."""
    book = read_runbook(
        write_book('  - {name: a, run: {sql: "SELECT {c} FROM {t}", resource: "{r}"}}', NAMES)
    )
    (step,) = make_plan(book, {"t": value}).steps
    assert step.run == Sql("db", f'SELECT "created_at" FROM {quoted}')
    assert refuse_sql(step.run.text) == ""
    schema, _, name = quoted.partition('"."')
    assert str(Relation.of(value)) == f'{schema}"."{name}'.replace("%", "%%")


def test_a_column_may_be_inside_of_json(write_book: Write) -> None:
    """As checks name it: `column->key`."""
    book = read_runbook(
        write_book('  - {name: a, run: {sql: "SELECT {c} FROM {t}", resource: "{r}"}}', NAMES)
    )
    (step,) = make_plan(book, {"c": "data->who's->id"}).steps
    inside = """("data"::text::jsonb #>> ARRAY['who''s', 'id'])"""
    assert step.run == Sql("db", f'SELECT {inside} FROM "watch"."tasks"')


@pytest.mark.parametrize("value", ["", "a\\b", "a\nb", "a" * 201])
def test_no_name_breaks_out(write_book: Write, value: str) -> None:
    """What no statement of a step may hold is refused, and a name that is none."""
    book = read_runbook(
        write_book('  - {name: a, run: {sql: "SELECT {c} FROM {t}", resource: "{r}"}}', NAMES)
    )
    with pytest.raises(UsageError):
        make_plan(book, {"t": value})


def test_a_wide_pattern_lets_no_name_break_out(write_book: Write) -> None:
    """A name comes from the platform, and an own pattern may be anything."""
    parameters = "  - {name: t, type: table, pattern: '.*'}"
    step = '  - {name: a, run: {sql: "SELECT 1 FROM {t}", resource: r}}'
    book = read_runbook(write_book(step, parameters))
    act = make_plan(book, {"t": 'x" , pg_sleep(9) "y'}).steps[0].run
    assert act == Sql("r", 'SELECT 1 FROM "public"."x"" , pg_sleep(9) ""y"')


def test_found_values_are_checked_and_given_ones_win(write_book: Write) -> None:
    """What the configuration gives comes after what a person gives, and has to fit the pattern,
    too.
    """
    book = read_runbook(write_book("  - {name: a, run: {check: '{r}'}}", NAMES))
    assert make_plan(book, {"r": "mine"}, found={"r": "theirs"}).parameters["r"] == "mine"
    with pytest.raises(UsageError, match="does not match"):
        make_plan(book, {}, found={"r": "; x"})
