"""Every command with its options. Only argparse is imported until a command is known, so that
`--help` is instant.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from sentinel import __version__

EXIT_CODES = """exit codes:
  0 ok · 1 degraded · 2 failed · 3 unknown · 64 usage · 69 a needed service or port is not available
  75 refused by a guard, try again · 78 invalid configuration or unusable state"""

EPILOG = f"""where things are:
  --config  folder of YAML files (default: SENTINEL_CONFIG, else ./checks)
  --state   state folder of the daemon to read or command (default: SENTINEL_STATE, else `state:` of the configuration)

{EXIT_CODES}"""


class _Parser(argparse.ArgumentParser):
    """Usage errors exit with 64, as sysexits has it; 2 means "failed" here."""

    def error(self, message: str) -> None:  # type: ignore[override]
        self.print_usage(sys.stderr)
        self.exit(64, f"{self.prog}: {message}\n")


def build_parser() -> argparse.ArgumentParser:
    """Every command with its help."""
    parser = _Parser(
        prog="sentinel",
        description=(
            "Watches multi-agent platforms: are messages delivered, tasks assigned, what broke,"
            " what was done?"
        ),
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"sentinel {__version__}")
    parser.add_argument(
        "--config",
        type=Path,
        default=Path(os.environ.get("SENTINEL_CONFIG", "checks")),
        metavar="PATH",
    )
    state = os.environ.get("SENTINEL_STATE")
    parser.add_argument("--state", type=Path, default=Path(state) if state else None, metavar="DIR")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", parser_class=_Parser)
    _add_running(commands)
    _add_reading(commands)
    _add_acting(commands)
    _add_cleaning(commands)
    _add_state(commands)
    return parser


def parse(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> argparse.Namespace:
    """The arguments of a command, in any order: argparse takes words after an option for too many
    (`runbook run NAME --execute component=api`), and they are not.
    """
    arguments, rest = parser.parse_known_args(argv)
    command = getattr(arguments, "parser", parser)
    words = [word for word in rest if not word.startswith("-")]
    open_ended = next(
        (each for each in command._actions if each.nargs in {"*", "?"} and not each.option_strings),
        None,
    )
    if rest and (len(words) < len(rest) or open_ended is None):
        command.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest and open_ended is not None:
        given = getattr(arguments, open_ended.dest)
        if open_ended.nargs == "*":
            setattr(arguments, open_ended.dest, [*given, *rest])
        elif given == open_ended.default and len(rest) == 1:
            setattr(arguments, open_ended.dest, rest[0])
        else:
            command.error(f"unrecognized arguments: {' '.join(rest)}")
    return arguments


_Commands = argparse._SubParsersAction


def _add(
    commands: _Commands[_Parser], name: str, call: str, text: str, *, json: bool = False
) -> _Parser:
    parser = commands.add_parser(
        name, help=text, description=text[0].upper() + text[1:] + ".", epilog=EXIT_CODES
    )
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.set_defaults(call=call, parser=parser)
    if json:
        parser.add_argument("--json", action="store_true", help="one JSON document instead of text")
    return parser


def _add_running(commands: _Commands[_Parser]) -> None:
    _add(
        commands,
        "run",
        "running.run",
        "run the daemon on the configuration (SIGHUP reloads, SIGTERM ends; components go on)",
    )
    demo = _add(
        commands,
        "demo",
        "demo.demo",
        "start the demo platform and watch it; Ctrl-C stops everything",
        json=True,
    )
    demo.add_argument(
        "--for", dest="seconds", metavar="TIME", help="end by itself after this time, such as 60s"
    )
    demo.add_argument(
        "--chaos",
        action="append",
        default=[],
        metavar="NAME",
        help="inject a scenario; may be repeated",
    )
    demo.add_argument(
        "--nemesis",
        type=int,
        metavar="SEED",
        help=(
            "inject random faults all the time, and judge afterwards whether every promise was"
            " kept; needs --for"
        ),
    )
    demo.add_argument(
        "--list-chaos",
        action="store_true",
        help="list the scenarios and what a monitor must report",
    )
    demo.add_argument(
        "--rate", type=float, default=20.0, metavar="N", help="tasks a second (default 20)"
    )
    demo.add_argument(
        "--listen",
        metavar="HOST:PORT",
        help="address of /metrics and the page (default 127.0.0.1:9130, or a free port)",
    )
    demo.add_argument(
        "--folder",
        type=Path,
        default=Path("var/demo"),
        metavar="DIR",
        help="state, reports and ledgers (default var/demo)",
    )


def _add_reading(commands: _Commands[_Parser]) -> None:
    _add(
        commands,
        "validate",
        "configuring.validate",
        "check the configuration and list every problem at once",
        json=True,
    )
    kinds = _add(
        commands,
        "kinds",
        "kinds.kinds",
        "list check kinds, drivers, chores, reports, channels; or show one's options in full",
        json=True,
    )
    kinds.add_argument("name", nargs="?", help="show this kind in full")
    config = commands.add_parser(
        "config", help="show the configuration, or every key that it may have"
    ).add_subparsers(metavar="show|keys", required=True, parser_class=_Parser)
    shown = _add(
        config,
        "show",
        "configuring.config_show",
        "show every value as it is read, and where it comes from; secrets as ***",
        json=True,
    )
    keys = _add(
        config,
        "keys",
        "configuring.config_keys",
        "list every key with type, default, meaning and example",
        json=True,
    )
    for command in (shown, keys):
        command.add_argument(
            "prefix", nargs="?", default="", help="only what is below it, such as actions.limits"
        )
    check = commands.add_parser(
        "check", help="list the configured checks, or run one once"
    ).add_subparsers(metavar="list|run", required=True, parser_class=_Parser)
    _add(check, "list", "listing.check_list", "list the configured checks", json=True)
    once = _add(
        check, "run", "checking.check_run", "run one check once, now, beside the daemon", json=True
    )
    once.add_argument("name")
    _add(
        commands,
        "status",
        "status.status",
        "show components, checks and open incidents of the running daemon",
        json=True,
    )
    faults = _add(
        commands,
        "faults",
        "faults.show_faults",
        "show every fault with its subject, and what cures it; or accept what was lost for good",
        json=True,
    )
    faults.add_argument(
        "words",
        nargs="*",
        metavar="CHECK | accept CHECK FAULT",
        help="only those of this check; or: accept what it found lost for good",
    )
    faults.add_argument(
        "--component", metavar="NAME", help="only those of this component, by whichever check"
    )
    accept = faults.add_argument_group("accept", "what was lost stands until somebody accepts it")
    accept.add_argument(
        "--subject",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="whose loss, such as stream=orders; may be repeated, and may be a pattern",
    )
    accept.add_argument("--reason", default="", help="goes into the timeline and the audit log")
    accept.add_argument("--by", default="", metavar="NAME", help="who accepts (default: you)")
    accept.add_argument(
        "--yes",
        action="store_true",
        help="do not ask; refused all the same when more was lost meanwhile",
    )
    report = _add(
        commands,
        "report",
        "reporting.report",
        "make a report (recovery, progress) from what the daemon recorded",
        json=True,
    )
    report.add_argument("kind", metavar="NAME", help="recovery or progress")
    report.add_argument(
        "--incident",
        metavar="ID",
        help="the incident of a recovery report (default: the cause of the last one)",
    )
    report.add_argument(
        "--output",
        type=Path,
        metavar="DIR",
        help="where the files go (default: reports/ in the state folder)",
    )
    report.add_argument(
        "--templates", type=Path, metavar="DIR", help="a folder of *.j2 that override ours by name"
    )
    incident = commands.add_parser(
        "incident", help="list incidents, or show one with its timeline"
    ).add_subparsers(metavar="list|show", required=True, parser_class=_Parser)
    listed = _add(
        incident, "list", "incidents.incident_list", "list incidents, newest first", json=True
    )
    listed.add_argument("--open", action="store_true", help="only those that are not closed")
    shown = _add(
        incident,
        "show",
        "incidents.incident_show",
        "show an incident: timeline, attempts, evidence",
        json=True,
    )
    shown.add_argument("id", nargs="?", help="default: the last one")


def _add_acting(commands: _Commands[_Parser]) -> None:
    runbook = commands.add_parser(
        "runbook", help="list, show, run or resume a runbook"
    ).add_subparsers(metavar="list|show|run|runs|resume", required=True, parser_class=_Parser)
    _add(
        runbook,
        "list",
        "runbooks.runbook_list",
        "list the runbooks and what they apply to",
        json=True,
    )
    show = _add(runbook, "show", "runbooks.runbook_show", "show a runbook", json=True)
    show.add_argument("name")
    run = _add(
        runbook,
        "run",
        "runbooks.runbook_run",
        "show a runbook's plan (dry run); --execute runs it",
        json=True,
    )
    run.add_argument("name")
    run.add_argument("parameters", nargs="*", metavar="name=value")
    run.add_argument(
        "--execute",
        action="store_true",
        help="run the steps: what it finds, then what it would change, then one question",
    )
    run.add_argument("--yes", action="store_true", help="do not ask")
    run.add_argument("--full", action="store_true", help="end with the whole transcript")
    run.add_argument(
        "--incident",
        metavar="ID",
        help="the incident that it is for (default: the open one that fits the runbook)",
    )
    _add(
        runbook,
        "runs",
        "runbooks.runbook_runs",
        "list runs of runbooks, the interrupted ones among them",
        json=True,
    )
    resume = _add(
        runbook,
        "resume",
        "runbooks.runbook_resume",
        "go on with a run after its last finished step",
        json=True,
    )
    resume.add_argument("id", help="the run, as `sentinel runbook runs` lists it")
    resume.add_argument("--full", action="store_true", help="end with the whole transcript")
    resume.add_argument(
        "--yes", action="store_true", help="do not ask before changes that were not begun"
    )
    resume.add_argument(
        "--repeat",
        action="store_true",
        help="do not ask before a change that was begun and whose outcome is unknown",
    )
    reset = _add(
        commands,
        "reset",
        "acting.reset",
        "give a component a full restart budget again, after its repair",
        json=True,
    )
    reset.add_argument("component")
    reset.add_argument("--reason", required=True, help="goes into the incident and the audit log")
    reset.add_argument(
        "--yes",
        action="store_true",
        help="do not ask; refused all the same when something has changed",
    )
    _add_moving(commands)
    for name, text in (
        ("halt", "stop every automatic action at once"),
        ("resume", "allow automatic actions again"),
    ):
        command = _add(commands, name, f"acting.{name}", text, json=True)
        command.add_argument(
            "--reason", required=name == "halt", default="", help="goes into the audit log"
        )


def _add_moving(commands: _Commands[_Parser]) -> None:
    for name, text in (
        (
            "start",
            "start the platform in dependency order, or one component; waits until it is healthy",
        ),
        (
            "stop",
            (
                "stop the platform, dependents first, or one component; it stays stopped until it"
                " is started"
            ),
        ),
        ("restart", "restart one component, or stop and start the platform; no failure, no budget"),
    ):
        command = _add(commands, name, f"moving.{name}", text, json=True)
        command.add_argument(
            "component", nargs="?", default="", help="default: all that sentinel can act upon"
        )
        command.add_argument(
            "--reason", default="by hand", help="goes into the incident and the audit log"
        )
        command.add_argument(
            "--yes", action="store_true", help="do not ask before the whole platform is moved"
        )
    reload = _add(
        commands,
        "reload",
        "moving.reload",
        "have a component read its configuration again",
        json=True,
    )
    reload.add_argument("component")
    reload.add_argument(
        "--reason", default="by hand", help="goes into the incident and the audit log"
    )
    breaker = commands.add_parser("breaker", help="the breaker of automation").add_subparsers(
        metavar="close", required=True, parser_class=_Parser
    )
    close = _add(
        breaker,
        "close",
        "moving.close_breaker",
        "let automation act again after it switched itself off",
        json=True,
    )
    close.add_argument("--reason", required=True, help="goes into the audit log")


def _add_cleaning(commands: _Commands[_Parser]) -> None:
    clean = commands.add_parser(
        "clean", help="housekeeping: list the chores, plan one, apply a plan"
    ).add_subparsers(metavar="list|kinds|plan|apply", required=True, parser_class=_Parser)
    _add(clean, "list", "cleaning.clean_list", "list the chores, and how each ran last", json=True)
    kinds = _add(
        clean,
        "kinds",
        "cleaning.clean_kinds",
        "list the kinds of chores, or show one's options",
        json=True,
    )
    kinds.add_argument("name", nargs="?", help="show this kind in full")
    plan = _add(
        clean,
        "plan",
        "cleaning.clean_plan",
        "show what a chore would do now; nothing is changed",
        json=True,
    )
    plan.add_argument("name")
    plan.add_argument(
        "parameters", nargs="*", metavar="name=value", help="options that `clean kinds` marks"
    )
    apply = _add(
        clean,
        "apply",
        "cleaning.clean_apply",
        "do what a plan of the last minute showed, or nothing",
        json=True,
    )
    apply.add_argument("id")
    audit = commands.add_parser(
        "audit", help="who did what: list it, or prove that it is whole"
    ).add_subparsers(metavar="list|verify", required=True, parser_class=_Parser)
    listed = _add(
        audit, "list", "auditing.audit_list", "list the audit log, newest first", json=True
    )
    listed.add_argument(
        "--limit", type=int, default=100, metavar="N", help="so many rows (default 100)"
    )
    verify = _add(
        audit,
        "verify",
        "auditing.audit_verify",
        "walk the hash chain; the first broken row is named",
        json=True,
    )
    verify.add_argument(
        "--head", metavar="NUMBER:HASH", help="a head that was noted before must be in the log"
    )


def _add_state(commands: _Commands[_Parser]) -> None:
    state = commands.add_parser(
        "state", help="the state on disk: what is wrong with it, and that it counts all the same"
    ).add_subparsers(metavar="show|accept", required=True, parser_class=_Parser)
    _add(
        state,
        "show",
        "keeping.state_show",
        "show whether it is the state that was here, and rows that were damaged",
        json=True,
    )
    accept = _add(
        state,
        "accept",
        "keeping.state_accept",
        "let a state count that is not certainly the one that was here, or was damaged",
        json=True,
    )
    accept.add_argument("--reason", required=True, help="goes into the audit log")
    accept.add_argument("--yes", action="store_true", help="do not ask")
