"""What a text tells a person to type, to set or to open is there: every command, key, option and path
that any text of the product names is collected from its files and resolved. What a server must judge is
tried in `tests/integration/test_said_on_servers.py`.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import pytest

from sentinel import __version__
from sentinel.cli import build_parser
from sentinel.config import shipped_folder
from sentinel.demo.chaos import load_scenarios
from sentinel.housekeeping import load_chores
from sentinel.probes import load_kinds
from sentinel.reports import load_reports
from sentinel.runbook.read import read_runbooks
from tests.said import (
    MAKE,
    OPTION,
    PIP,
    ROOT,
    SENTINEL,
    SHELL,
    YAML,
    Said,
    classify,
    list_texts,
    list_words,
)

NOTATION = {
    "formulas, diagrams and intervals": {
        "(incident, n)", "EA − length + 1", "M < F", "[0, n]", "[a, b)", "[low, high]", "3 to 7",
        "acknowledged = published − waiting − pending − lost − dropped", "up to 7",
        "good = size − waiting − pending − lost − dropped", "removed = EA − length",
        "checks/*.yaml → config → Check", "name → ..data → …", "{stream, group}",
        '{"agent": …}', '{"stream": …}', "[its name, its clock in ns]",
    },
    "lines of Python, in guides for those who write it": {
        "BOARD = Board(…)", "CHANNEL = Channel(…)", "DRIVER = DriverKind(…)", "KIND = ChoreKind(…)", "KIND = Kind(…)",
        "REPORT = Report(…)", "async run(options, context) -> Finding",
        "claim_attempt(attempt, shard, policy)",
    },
    "rules of an ACL, arguments of XADD, a cron line, a header": {
        "%R~agent_messages:* %R~agents:*", "(~agent_messages:agent-1 -@all +xadd)", "MAXLEN ~ 1000",
        "+@read +@connection +info", "+xadd ~sentinel:canary:reply:*", "* * * * 1",
        "default-src 'none'", "grant usage on sequence",
    },
    "a line of nginx, one of systemd": {
        "proxy_set_header Host $host", "ExecReload=/bin/kill -HUP $MAINPID",
    },
    "what a message holds, or a finding says": {
        '"{\\"a\\": 1}"', "{'a': 1}", "<Task object at 0x…>", "[object Object]", "group … lost",
        "no counters", "no group …", "planner (agent-7)",
    },
    "rules of Prometheus, tried by promtool": {
        'sum by (check) (rate(sentinel_bus_settled_total{outcome="acked"}[5m])) / sum by (check)'
        " (rate(sentinel_bus_settled_total[5m]))",
        'sum by (check) (rate(sentinel_task_assignment_settled_total{outcome="in_deadline"}[5m])) / sum'
        " by (check) (rate(sentinel_task_assignment_settled_total[5m]))",
    },
}  # fmt: skip
"""Words of several words that nobody types, by why."""
NAMING = ("CHANGELOG.md", "docs/")
"""Here a command is named, without what it needs; elsewhere somebody is told to type it."""


def list_of(kind: str) -> Iterator[Said]:
    """Every word of a kind, those that no backticks mark among them."""
    return iter(_sort_words().get(kind, ()))


@cache
def _sort_words() -> dict[str, list[Said]]:
    found: dict[str, list[Said]] = {}
    for said in (*list_words(), *list_bare()):
        found.setdefault(classify(said.text), []).append(said)
    return found


@cache
def make_parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    return build_parser()


@cache
def list_subcommands() -> dict[str, argparse.ArgumentParser]:
    """Parser by command, `clean plan` as well as `clean`."""

    def walk(parser: argparse.ArgumentParser, name: str) -> Iterator[tuple[str, Any]]:
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                for word, each in action.choices.items():
                    yield f"{name} {word}".strip(), each
                    yield from walk(each, f"{name} {word}".strip())

    return dict(walk(make_parser(), ""))


_BARE = re.compile(
    r"(?<![`\w./-])(?:sentinel (?:{})\b[^.;,)\n<\"]*|pip install [^;\n]*)".format(
        "|".join(name for name in list_subcommands() if " " not in name)
    )
)


def list_bare() -> Iterator[Said]:
    """Commands that stand in a text without any mark."""
    for said in list_texts():
        if "sentinel " not in said.text and "pip " not in said.text:
            continue
        text = re.sub(r"```.*?```|`[^`]*`", "§", said.text, flags=re.DOTALL)
        for found in _BARE.finditer(text):
            joined = " NAME" if text[found.end() :].startswith('" +') else ""
            yield Said(said.place, f"{found[0].strip()}{joined}", code=said.code)


# -- what nobody knows -----------------------------------------------------------------------------


def is_subcommand(word: str) -> bool:
    """`clean plan NAME`, as tables of commands have it."""
    return any(word == name or word.startswith(f"{name} ") for name in list_subcommands())


def find_unknown(words: Iterator[Said]) -> list[str]:
    """Words of several words of which nobody knows what they are."""
    known = {word for words in NOTATION.values() for word in words}
    return [
        f"{said.place}: {said.text}"
        for said in words
        if " " in said.text and not classify(said.text)
        if said.text not in known and not is_subcommand(said.text)
        if not (said.typed and said.place.startswith("docs/"))  # diagrams
    ]


def test_nothing_that_is_typed_goes_unseen() -> None:
    """Each word of several words is of a kind that a test tries, or stands in a list with its reason."""
    assert find_unknown(list_words()) == []


def test_a_new_shape_is_seen() -> None:
    """Who writes of a program that nobody has tried is told."""
    assert find_unknown(iter([Said("a.md:1", "kubectl delete pod x")])) == [
        "a.md:1: kubectl delete pod x"
    ]


def test_the_collector_collects() -> None:
    """The search itself works: of each kind there are many."""
    counted = {
        kind: len(list(list_of(kind))) for kind in (SENTINEL, MAKE, PIP, SHELL, YAML, OPTION)
    }
    assert all(
        counted[kind] >= least
        for kind, least in (
            (SENTINEL, 120), (MAKE, 15), (PIP, 4), (SHELL, 30), (YAML, 40), (OPTION, 5),
        )
    ), counted  # fmt: skip


# -- sentinel ------------------------------------------------------------------------------------


def fill_in(text: str) -> list[str]:
    """A command with names for its marks; with what `[…]` marks as optional, and without."""
    text = re.sub(
        r"\{\{.*?\}\}|\{\{.*$|\{[^}]*\}|\"? \+ \w.*", "NAME", re.split(r" #| \\?\| | > ", text)[0]
    )
    if "[" not in text:
        return [text]
    return [re.sub(r"\[([^]]*)\]", r"\1", text), re.sub(r"\s*\[[^]]*\]", "", text)]


def refuse_command(text: str) -> str:
    """Why a command of sentinel fails as it is printed; "" when it does not."""
    problems = [_refuse(shlex.split(each)[1:]) for each in fill_in(text)]
    return next(filter(None, problems), "")


def _refuse(argv: list[str]) -> str:
    shown = io.StringIO()
    with contextlib.redirect_stderr(shown), contextlib.redirect_stdout(shown):
        try:
            given = make_parser().parse_args(argv)
        except SystemExit as end:
            return "" if end.code == 0 else shown.getvalue().splitlines()[-1]
    if not hasattr(given, "call"):
        return "it only shows the help"
    return _refuse_names(given)


def _refuse_names(given: argparse.Namespace) -> str:
    """Names that sentinel itself gives must exist; those of a platform are written as marks."""
    call = given.call.rpartition(".")[2]
    name = getattr(given, "name", None) or getattr(given, "kind", None)
    known = {
        "kinds": set(load_kinds()),
        "report": {*load_reports(), "outages"},  # outages: the example of CONTRIBUTING.md
        "clean_kinds": set(load_chores()),
        "runbook_show": set(read_books()),
        "runbook_run": set(read_books()),
    }.get(call)
    if known is not None and name and not is_mark(name) and name not in known:
        return f"there is no {name}"
    if call.startswith("token_"):  # whose it is: an example is as good as any
        return ""
    if known is None and name and not is_mark(name):
        return f"{name} is a name of one platform only"
    if call == "show_faults" and given.words[:1] == ["accept"]:
        if len(given.words) != 3 or not given.reason:
            return "accept needs CHECK FAULT and --reason"
        return "" if is_mark(given.words[2]) or given.words[2] in list_faults() else "no such fault"
    if call == "demo" and set(given.chaos) - set(load_scenarios()):
        return "no such scenario"
    return ""


def is_mark(word: str) -> bool:
    """Whether a word stands for a name."""
    return word.isupper() or word == "…" or "." in word


@cache
def read_books() -> Mapping[str, Any]:
    """The shipped runbooks."""
    return read_runbooks(shipped_folder("runbooks"))


@cache
def list_faults() -> frozenset[str]:
    """Keys of all faults."""
    return frozenset(each.key for kind in load_kinds().values() for each in kind.faults)


def test_every_command_of_sentinel_works() -> None:
    """With everything that it needs: `sentinel reset X` without its reason is no command."""
    bad = {
        f"{said.place}: {said.text}": problem
        for said in list_of(SENTINEL)
        if not (said.place.startswith(NAMING) and is_named(said.text))
        if (problem := refuse_command(said.text))
    }
    assert bad == {}


def is_named(text: str) -> bool:
    """Whether it is the bare name of a command that exists."""
    name = text.removeprefix("sentinel ")
    return name in list_subcommands() or name == "faults accept"


@pytest.mark.parametrize(
    "command",
    [
        "sentinel reset NAME",
        "sentinel breaker close",
        "sentinel halt",
        "sentinel runbook run nothing",
        "sentinel check run bus-server",
        "sentinel faults accept CHECK lost",
        "sentinel faults accept CHECK lots --reason known",
        "sentinel kinds bus_deliveries",
        "sentinel breaker",
    ],
)
def test_what_fails_is_seen(command: str) -> None:
    """A required option is missing, or a name that is none."""
    assert refuse_command(command)


def test_commands_of_the_tables_exist() -> None:
    """`clean plan NAME` without its first word: each has a help of its own."""
    short = [said.text for said in list_words() if is_subcommand(said.text) and " " in said.text]
    assert len(short) >= 15


# -- make, pip, options ----------------------------------------------------------------------------


def test_every_target_of_make_exists() -> None:
    """And the arguments for the demo parse."""
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for said in list_of(MAKE):
        words = shlex.split(said.text.split(" #")[0])[1:]
        target, values = words[0], dict(word.split("=", 1) for word in words[1:])
        assert target in targets, said
        if target == "run":
            assert not _refuse(["demo", *shlex.split(values.get("ARGS", ""))]), said


def test_what_is_installed_is_ours() -> None:
    """Each `pip install`, and each extra that a text names, is of the distribution that we are."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = set(project["optional-dependencies"])
    texts = " ".join(said.text for said in list_texts())
    named = re.findall(r"\b([a-z][a-z-]*)\[([a-z]+)\](?=[`'])", texts)
    assert {name for name, _ in named} == {project["name"]} == {"sentinel-sre"}
    assert {extra for _, extra in named} == extras & {"demo", "docker", "notify", "pdf", "systemd"}
    for said in list_of(PIP):
        assert re.match(rf"pip install (?:'{project['name']}(?:\[\w+\])?'|\.)$", said.text), said


def test_the_version_stands_in_one_place() -> None:
    """The build reads it where the package has it, under whatever name that is installed."""
    document = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert document["project"]["dynamic"] == ["version"]
    source = ROOT / document["tool"]["hatch"]["version"]["path"]
    assert f'__version__ = "{__version__}"' in source.read_text()


def test_every_option_exists() -> None:
    """`--x` alone is an option of some command."""
    known = {option for parser in (make_parser(), *list_subcommands().values())
             for action in parser._actions for option in action.option_strings}  # fmt: skip
    for said in list_of(OPTION):
        assert re.split(r"[ =]", said.text)[0] in known, said


# -- programs of a shell -----------------------------------------------------------------------------


def test_every_shell_command_is_one() -> None:
    """A shell reads each of them."""
    for said in list_of(SHELL):
        command = said.text.split("  #")[0].replace("\\|", "|").replace("PID", "1")
        done = subprocess.run(
            ["bash", "-n", "-c", command], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, (said, done.stderr)


def test_harmless_ones_run() -> None:
    """Those that only look, with names put in, on this machine."""
    fill = {"PID": "1", "ID": "1700000000000", "NAME": "localhost", "{pid}": "1"}
    looks = ("ps -", "free", "ulimit", "date", "mount", "ss -", "getent")
    commands = {said.text for said in list_of(SHELL) if said.text.startswith(looks)}
    script = ""
    for command in sorted(commands - {"ps -ef", "ss -ltnp"}):
        filled = re.sub(r"\b(?:PID|ID|NAME)\b|\{pid\}", lambda word: fill[word[0]], command)
        script += f'said=$( ({filled}) 2>&1 >/dev/null); [ -z "$said" ] || echo "$said" >&2\n'
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert done.stderr == "", done.stderr
