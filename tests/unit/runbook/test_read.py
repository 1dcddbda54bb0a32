"""Reading runbooks: strict, every problem at once, with the right lines."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sentinel.errors import ConfigurationError
from sentinel.runbook.book import SECTIONS, Action, Argv, RedisCommand, RunCheck, Sql
from sentinel.runbook.read import read_runbook, read_runbooks
from sentinel.runbook.safety import shows_command_lines

Write = Callable[..., Path]
SHIPPED = Path(__file__).parents[3] / "runbooks"


def problems_of(path: Path) -> list[tuple[int, str, str]]:
    with pytest.raises(ConfigurationError) as caught:
        read_runbook(path)
    assert caught.value.exit_code == 78
    assert all(problem.file == str(path) for problem in caught.value.problems)
    return [(problem.line, problem.key, problem.message) for problem in caught.value.problems]


def test_shipped_runbooks_are_valid() -> None:
    """The shipped runbooks read without a problem, and each has every section."""
    books = read_runbooks(SHIPPED)
    assert len(books) > 20
    for book in books.values():
        assert set(SECTIONS) <= set(book.sections)
        assert book.title


def test_whole_runbook(write_book: Write) -> None:
    """Every shape of a step is read into its value."""
    path = write_book(
        """
  - {name: a, run: [df, -h], changes: false, timeout: 2s}
  - {name: b, run: {check: "{who}-process", is: [up, degraded]}}
  - {name: c, run: {sql: "SELECT 1", resource: db}}
  - {name: d, run: {redis: [XINFO, STREAM, "s"], resource: bus}}
  - name: e
    run: {action: restart, args: {component: "{who}"}}
    precondition: {check: x, is: [down]}
    verify: [test, -e, /tmp]""",
        "  - {name: who, type: component}",
    )
    book = read_runbook(path)
    assert [type(step.run) for step in book.steps] == [Argv, RunCheck, Sql, RedisCommand, Action]
    assert [step.changes for step in book.steps] == [False, False, False, False, True]
    assert book.steps[0].timeout == 2.0
    assert book.steps[4].precondition == RunCheck("x", ("down",))
    assert book.steps[1].line == 9
    assert book.parameters[0].required


def test_all_problems_at_once_with_their_lines(tmp_path: Path) -> None:
    """One message per mistake, each at its line, none hides another."""
    path = tmp_path / "bad.md"
    path.write_text(
        "\n".join(
            [
                "---",  # 1
                "name: Bad Name",
                "titel: typo",  # 3: unknown; title is missing
                "parameters:",
                "  - {name: n, type: float}",  # 5: no such type
                "  - {name: o, type: str, required: false}",  # 6: no default
                "steps:",
                "  - name: one",  # 8: changes is missing
                "    run: [rm, '{n}']",  # 9: no -- before it
                "  - name: two",
                "    run: df -h",  # 11: a text
                "  - name: three",
                "    run: {sql: DELETE FROM t, resource: db}",  # 13
                "    timeout: 10",  # 14: no unit
                "  - name: four",
                "    run: {redis: [FLUSHALL], resource: bus}",  # 16
                "    changes: maybe",  # 17
                "  - name: five",
                "    run: {action: explode}",  # 19
                "  - name: six",
                "    run: {check: '{unknown}', is: [fine]}",  # 21: twice
                "    verify: {action: halt}",  # 22
                "---",
                "# Bad",
                "",
                "## Meaning",  # 26: empty
                "",
                "## Impact",
                "text",
            ]
        )
    )
    found = problems_of(path)
    assert {(line, key) for line, key, _ in found} >= {
        (2, "name"), (2, "title"), (3, "titel"), (5, "parameters[0].type"), (6, "parameters[1].default"),
        (8, "steps[0].changes"), (9, "steps[0].run[1]"), (11, "steps[1].run"), (13, "steps[2].run.sql"),
        (14, "steps[2].timeout"), (16, "steps[3].run.redis"), (17, "steps[3].changes"), (19, "steps[4].run.action"),
        (21, "steps[5].run.check"), (21, "steps[5].run.is[0]"), (22, "steps[5].verify"), (26, "## Meaning"),
        (29, "## Diagnosis"), (29, "## Escalation"), (29, "## Mitigation"), (29, "## Verify"),
    }  # fmt: skip
    assert len(found) == 21


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        ("# no front matter", 1, "no front matter"),
        ("---\nname: x\n", 1, "no front matter"),
        ("---\nname: x\nsteps: [x\n---\n", 3, "is not YAML"),
        ("---\n- a\n---\n", 1, "the front matter is no mapping"),
        ("---\nname: &a x\ntitle: *a\n---\n", 2, "anchors and aliases"),
        ("---\nname: x\nname: y\ntitle: t\nsteps: []\n---\n", 3, "given twice"),
        ("---\nname: x\ntitle: t\nsteps: []\n---\n", 4, "no step"),
        ("---\nname: 12\ntitle: t\nsteps: []\n---\n", 2, "must be text, found int '12'"),
        (
            "---\nname: x\ntitle: !!python/object:os.system t\nsteps: []\n---\n",
            3,
            "the tag tag:yaml.org,2002:python/object:os.system is not allowed",
        ),
        ("---\n" + "[" * 60_000 + "\n---\n", 2, "nested more than"),
        ("---\nx: " + "y" * 70_000 + "\n---\n", 1, "longer than"),
        ("z" * 300_000, 0, "is larger than 256 KiB"),
    ],
)
def test_broken_files(tmp_path: Path, content: str, line: int, message: str) -> None:
    """A file that is broken as a whole gives a specific problem, never a traceback."""
    path = tmp_path / "x.md"
    path.write_text(content)
    assert any(where == line and message in text for where, _, text in problems_of(path))


def test_not_utf8(tmp_path: Path) -> None:
    """A file that is not UTF-8, or can't be read, is a problem of its own."""
    path = tmp_path / "x.md"
    path.write_bytes(b"---\n\xff\n---\n")
    assert "UTF-8" in problems_of(path)[0][2]
    assert "can't be read" in problems_of(tmp_path / "gone.md")[0][2]


def test_problems_of_all_files(write_book: Write, tmp_path: Path) -> None:
    """A folder is judged as a whole: problems of every file, and names that are used twice."""
    step = "  - {name: a, run: {check: c}}"
    write_book(step, name="good")
    (tmp_path / "copy.md").write_text((tmp_path / "good.md").read_text())
    write_book("  - {name: a, run: [x]}", name="bad")
    with pytest.raises(ConfigurationError) as caught:
        read_runbooks(tmp_path)
    assert sorted(Path(problem.file).name for problem in caught.value.problems) == [
        "bad.md",
        "copy.md",
        "good.md",
    ]


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM t", "SELECT 1; DELETE FROM t", "WITH x AS (DELETE FROM t RETURNING 1) SELECT * FROM x",
        "SELECT pg_terminate_backend(1)", "SELECT set_config('a', 'b', false)", "SELECT 1 -- x", "SELECT /* */ 1",
        "SELECT $$a$$", "SELECT $x$ ' $x$", "SELECT E'\\\\' ; DELETE FROM t; --'", "SELECT * INTO u FROM t",
        "EXPLAIN ANALYZE DELETE FROM t", "COPY t TO PROGRAM 'sh'", "SET ROLE postgres", "SELECT nextval('s')",
        "SELECT '{who}'", "SELECT x{who}", "SELECT E{who}", "",
    ],
)  # fmt: skip
def test_sql_that_may_write_is_refused(write_book: Write, sql: str) -> None:
    """Only one statement that reads, with placeholders as whole literals."""
    path = write_book(
        f'  - {{name: a, run: {{sql: "{sql}", resource: db}}}}', "  - {name: who, type: str}"
    )
    assert any(key == "steps[0].run.sql" for _, key, _ in problems_of(path))


@pytest.mark.parametrize(
    "command",
    [
        "[SET, a, b]", "[XADD, a, '*', b, c]", "[CONFIG, SET, a, b]", "[CONFIG]", "[EVAL, x, '0']", "[xack, a]", "[]",
        "[CLIENT, KILL, x]", "[MEMORY, PURGE]", "[XINFO, HELP]", "['INFO\n']",
    ],
)  # fmt: skip
def test_redis_command_that_may_write_is_refused(write_book: Write, command: str) -> None:
    """Only commands of the reading list, containers only with their reading subcommands."""
    path = write_book(f"  - {{name: a, run: {{redis: {command}, resource: bus}}}}")
    assert any(key == "steps[0].run.redis" for _, key, _ in problems_of(path))


@pytest.mark.parametrize(
    ("step", "key"),
    [
        ("{name: a, run: ['{who}'], changes: false}", "steps[0].run[0]"),
        ("{name: a, run: [ls, '{who}'], changes: false}", "steps[0].run[1]"),
        ("{name: a, run: [sh, -c, 'echo {who}'], changes: false}", "steps[0].run[2]"),
        ("{name: a, run: [/bin/bash, -lc, --, 'ls {who}'], changes: false}", "steps[0].run[3]"),
        ("{name: a, run: [env, python3, -c, 'x {who}'], changes: false}", "steps[0].run[3]"),
        ("{name: a, run: [psql, '--command', 'x {who}'], changes: false}", "steps[0].run[2]"),
        ("{name: a, run: {sql: \"SELECT 'a {who} b'\", resource: r}}", "steps[0].run.sql"),
        ("{name: a, run: {action: restart}}", "steps[0].run.args"),
        ("{name: a, run: {action: reset, args: {}}}", "steps[0].run.args.component"),
        ("{name: a, run: {action: halt, args: {component: x}}}", "steps[0].run.args.component"),
        ("{name: a, run: {action: halt}, changes: false}", "steps[0].changes"),
        ("{name: a, run: {check: c}, changes: true}", "steps[0].changes"),
        ("{name: a, run: {check: c, sql: SELECT 1, resource: r}}", "steps[0].run"),
        ("{name: a, run: {check: c}, timeout: 2h}", "steps[0].timeout"),
        ("{name: a, run: {check: c}, precondition: {action: halt}}", "steps[0].precondition"),
        ("{name: a, run: {check: c}, extra: 1}", "steps[0].extra"),
        ("{name: a, run: {look: nothing}}", "steps[0].run.look"),
        ("{name: a, run: {look: log, component: '{nobody}'}}", "steps[0].run.component"),
        ("{name: a, run: {look: gaps}, changes: true}", "steps[0].changes"),
        ("{name: a, run: {redis: [PING], resource: '{nobody}'}}", "steps[0].run.resource"),
    ],
)
def test_steps_that_are_refused(write_book: Write, step: str, key: str) -> None:
    """Each mistake in a step is named by its key."""
    path = write_book(f"  - {step}", "  - {name: who, type: str}")
    assert [found for _, found, _ in problems_of(path)] == [key]


def test_double_dash_and_numbers_are_fine(write_book: Write) -> None:
    """A text after `--`, or inside an argument, and a whole number anywhere, can't become an
    option.
    """
    steps = "  - {name: a, run: [kill, '{n}', '--x={who}', --, '{who}'], changes: true}"
    book = read_runbook(write_book(steps, "  - {name: who, type: str}\n  - {name: n, type: int}"))
    assert len(book.steps) == 1


def test_a_value_behind_the_text_of_a_shell_is_only_given_to_it(write_book: Write) -> None:
    """As "$1", or to a program whose -c is something else."""
    steps = """  - {name: a, run: [sh, -c, 'ls -- "$1"', sh, --, '{who}'], changes: false}
  - {name: b, run: [tail, -c, 'x{who}'], changes: false}"""
    book = read_runbook(write_book(steps, "  - {name: who, type: str}"))
    assert len(book.steps) == 2


def test_what_it_is_for(tmp_path: Path, write_book: Write) -> None:
    """Conditions and sources are words that sentinel knows; `diagnose` is true, false, or left out."""
    path = write_book(
        "  - {name: a, run: {check: c}}", "  - {name: p, type: check, default: x, from: [kind.tcp]}"
    )
    assert read_runbook(path).diagnose is None
    assert read_runbook(path).parameters[0].sources == ("kind.tcp",)
    good = path.read_text()
    path.write_text(
        good.replace(
            "title: X",
            "title: X\ndiagnose: false\napplies_to: {conditions: [halted], faults: [tcp/*]}",
        )
    )
    book = read_runbook(path)
    assert (book.diagnose, book.applies_to.conditions) == (False, ("halted",))
    assert (book.applies_to.faults, book.applies_to.line) == (("tcp/*",), 5)
    path.write_text(
        good.replace("kind.tcp", "magic.tcp").replace(
            "title: X", "title: X\napplies_to: {conditions: [tired]}"
        )
    )
    assert {key for _, key, _ in problems_of(path)} == {
        "parameters[0].from[0]",
        "applies_to.conditions[0]",
    }


def test_an_empty_default_is_no_value(write_book: Write) -> None:
    """A parameter with the default "" is optional, and its steps are skipped without it."""
    book = read_runbook(
        write_book("  - {name: a, run: {check: '{p}'}}", '  - {name: p, type: check, default: ""}')
    )
    assert (book.parameters[0].required, book.parameters[0].default) == (False, "")


@pytest.mark.parametrize(
    ("argv", "shows"),
    [
        ("ps aux", True),
        ("ps -ef", True),
        ("ps -eF", True),
        ("ps -opid,args", True),
        ("ps -eo pid,cmd", True),
        ("ps -e -o pid -o command=C", True),
        ("ps axo pid,comm", True),
        ("ps --format=pid,args", True),
        ("ps --format args", True),
        ("sudo /usr/bin/ps -f", True),
        ("pgrep -a python", True),
        ("cat /proc/1/cmdline", True),
        ("cat /proc/self/environ", True),
        ("systemctl status shop", True),
        ("docker ps", True),
        ("top -bc", True),
        ("ps", False),
        ("ps -e", False),
        ("ps -o pid,comm", False),
        ("ps --ppid 2 -p 2 --deselect -o pid,stat,wchan:24,comm --sort -time", False),
        ("ps -C valkey-server -o pid,comm", False),
        ("pgrep -l python", False),
        ("cat /proc/1/status", False),
        ("systemctl is-active shop", False),
        ("ss -ltnp", False),
    ],
)
def test_programs_that_show_command_lines(argv: str, shows: bool) -> None:
    """G1: the arguments of every process of the host are nobody's to publish."""
    assert shows_command_lines(argv.split()) is shows


def test_command_lines_only_where_a_book_says_so(write_book: Write) -> None:
    """Refused with the way out; allowed by a key of the step."""
    step = "{name: a, run: [ps, -ef], changes: false"
    ((_, key, message),) = problems_of(write_book(f"  - {step}}}"))
    assert (key, message.split(",")[0]) == ("steps[0].run", "shows command lines")
    (allowed,) = read_runbook(write_book(f"  - {step}, command_lines: true}}")).steps
    assert allowed.command_lines
