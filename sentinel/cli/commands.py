"""Every command, as a table: its words, the function that it calls, its help, its arguments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sentinel.cli.line import legible, one_line, some


class Argument:
    """One argument of a command, as `add_argument` takes it."""

    def __init__(self, *names: str, **settings: Any) -> None:
        self.names, self.settings = names, settings
        if "action" not in settings:
            settings.setdefault("type", legible)


class Heading:
    """Arguments that the help shows under a heading of their own."""

    def __init__(self, title: str, text: str, *arguments: Argument) -> None:
        self.title, self.text, self.arguments = title, text, arguments


class Command:
    """One command of one word or two. `call`: module of `sentinel.cli` and function in it.

    `json`: whether it can give one JSON document instead of text.
    """

    def __init__(
        self, words: str, call: str, text: str, *arguments: Argument | Heading, json: bool = True
    ) -> None:
        self.words, self.call, self.text = words, call, text
        self.arguments = (_JSON, *arguments) if json else arguments


_JSON = Argument("--json", action="store_true", help="one JSON document instead of text")
_NAME = Argument("name")
_ONE_KIND = Argument("name", nargs="?", help="show this kind in full")
_BELOW = Argument(
    "prefix", nargs="?", default="", help="only what is below it, such as actions.limits"
)
_FULL = Argument("--full", action="store_true", help="end with the whole transcript")
_YES = Argument("--yes", action="store_true", help="do not ask")
_AUDITED = Argument("--reason", type=one_line, required=True, help="goes into the audit log")
_BY_HAND = Argument(
    "--reason", type=one_line, default="by hand", help="goes into the incident and the audit log"
)
_WHO = Argument(
    "--by", type=one_line, default="", metavar="NAME", help="who does it (default: you)"
)
_LENGTH = Argument(
    "--for", dest="length", required=True, metavar="TIME", help="how long, such as 30m or 2h"
)
_MOVE = (
    Argument("component", nargs="?", default="", help="default: all that sentinel can act upon"),
    _BY_HAND,
    Argument("--yes", action="store_true", help="do not ask before the whole platform is moved"),
)

TOPICS = {
    "config": "show the configuration, or every key that it may have",
    "check": "list the configured checks, or run one once",
    "incident": "list incidents, show one with its timeline, acknowledge one, or note what a person did",
    "silence": "hold notices back for a time: add one, list, end",
    "maintenance": "times in which people work on components: add one, list, end",
    "notify": "channels on which people are told: list them, or test one",
    "runbook": "list, show, run or resume a runbook",
    "breaker": "the breaker of automation",
    "clean": "housekeeping: list the chores, plan one, apply a plan",
    "token": "who may read the page from elsewhere, and who may act on it: add one, list, revoke",
    "audit": "who did what: list it, or prove that it is whole",
    "state": "the state on disk: what is wrong with it, and that it counts all the same",
}
"""The first words of commands of two, with their help."""

COMMANDS = (
    # -- run --
    Command(
        "run",
        "running.run",
        "run the daemon on the configuration (SIGHUP reloads, SIGTERM ends; components go on)",
        json=False,
    ),
    Command(
        "demo",
        "demo.demo",
        "start the demo platform and watch it; Ctrl-C stops everything",
        Argument(
            "--for",
            dest="seconds",
            metavar="TIME",
            help="end by itself after this time, such as 60s",
        ),
        Argument(
            "--chaos",
            action="append",
            default=[],
            metavar="NAME",
            help="inject a scenario, NAME:70s@20s for 70 s and after 20 s; may be repeated",
        ),
        Argument(
            "--nemesis",
            type=int,
            metavar="SEED",
            help=(
                "inject random faults all the time, and judge afterwards whether every promise was"
                " kept; needs --for"
            ),
        ),
        Argument(
            "--list-chaos",
            action="store_true",
            help="list the scenarios and what a monitor must report",
        ),
        Argument(
            "--rate", type=float, default=20.0, metavar="N", help="tasks a second (default 20)"
        ),
        Argument(
            "--listen",
            metavar="HOST:PORT",
            help="address of /metrics and the page (default 127.0.0.1:9130, or a free port)",
        ),
        Argument(
            "--folder",
            type=Path,
            default=Path("var/demo"),
            metavar="DIR",
            help="state, reports and ledgers (default var/demo)",
        ),
    ),
    # -- read --
    Command(
        "validate",
        "configuring.validate",
        "check the configuration and list every problem at once",
    ),
    Command(
        "kinds",
        "kinds.kinds",
        "list check kinds, drivers, chores, reports, channels; or show one's options in full",
        _ONE_KIND,
    ),
    Command(
        "config show",
        "configuring.config_show",
        "show every value as it is read, and where it comes from; secrets as ***",
        _BELOW,
    ),
    Command(
        "config keys",
        "configuring.config_keys",
        "list every key with type, default, meaning and example",
        _BELOW,
    ),
    Command("check list", "listing.check_list", "list the configured checks"),
    Command("check run", "checking.check_run", "run one check once, now, beside the daemon", _NAME),
    Command(
        "status",
        "status.status",
        "show components, checks and open incidents of the running daemon",
    ),
    Command(
        "faults",
        "faults.show_faults",
        "show every fault with its subject, and what cures it; or accept what was lost for good",
        Argument(
            "words",
            nargs="*",
            metavar="CHECK | accept CHECK FAULT",
            help="only those of this check; or: accept what it found lost for good",
        ),
        Argument(
            "--component", metavar="NAME", help="only those of this component, by whichever check"
        ),
        Heading(
            "accept",
            "what was lost stands until somebody accepts it",
            Argument(
                "--subject",
                action="append",
                default=[],
                metavar="KEY=VALUE",
                help="whose loss, such as stream=orders; may be repeated, and may be a pattern",
            ),
            Argument(
                "--reason",
                type=one_line,
                default="",
                help="goes into the timeline and the audit log",
            ),
            Argument(
                "--by", type=one_line, default="", metavar="NAME", help="who accepts (default: you)"
            ),
            Argument(
                "--yes",
                action="store_true",
                help="do not ask; refused all the same when more was lost meanwhile",
            ),
        ),
    ),
    Command(
        "objectives",
        "objectives.show_objectives",
        "show each objective: what was kept, the error budget that is left, how fast it burns",
    ),
    Command(
        "rules",
        "ruling.rules",
        "write rules for Prometheus and Alertmanager: an alert for each fault, component, objective",
        Argument("--output", type=Path, metavar="DIR", help="folder below which the files go"),
        Argument(
            "--check",
            action="store_true",
            help="write nothing; exit code 1 when a file is not as it would be written",
        ),
    ),
    Command(
        "report",
        "reporting.report",
        "make a report (recovery, progress, readiness, shift, daily, tenants) from what the daemon recorded",
        Argument(
            "kind",
            metavar="NAME",
            help="recovery, progress, shift, daily, tenants, or readiness (0: go, 2: no-go)",
        ),
        Argument(
            "--incident",
            metavar="ID",
            help="the incident of a recovery report (default: the cause of the last one)",
        ),
        Argument(
            "--from",
            dest="begin",
            metavar="TIME",
            help="a period over the whole platform: since 2026-03-01T08:00 (UTC), or since 8h ago",
        ),
        Argument("--to", dest="end", metavar="TIME", help="its end (default: now)"),
        Argument("--pdf", action="store_true", help="PDF, too: needs the extra `pdf`"),
        Argument(
            "--output",
            type=Path,
            metavar="DIR",
            help="where the files go (default: reports/ in the state folder)",
        ),
        Argument(
            "--templates",
            type=Path,
            metavar="DIR",
            help="a folder of *.j2 that override ours by name",
        ),
    ),
    Command(
        "incident list",
        "incidents.incident_list",
        "list incidents, newest first",
        Argument("--open", action="store_true", help="only those that are not closed"),
    ),
    Command(
        "incident show",
        "incidents.incident_show",
        "show an incident: timeline, attempts, evidence",
        Argument("id", nargs="?", help="default: the last one"),
    ),
    Command(
        "incident note",
        "noting.incident_note",
        "write what a person did or saw into an incident: it is in its timeline and its report",
        Argument("id", help="the incident, as `sentinel incident list` lists it"),
        Argument("text", nargs="+", help="one sentence"),
        Argument(
            "--by", type=one_line, default="", metavar="NAME", help="who did it (default: you)"
        ),
    ),
    # -- who is told --
    Command(
        "incident ack",
        "telling.incident_ack",
        "acknowledge an incident: it is not escalated any further, and nobody is reminded",
        Argument("id", help="the incident, as `sentinel incident list` shows it"),
        Argument(
            "--reason", type=one_line, default="", help="goes into the timeline and the audit log"
        ),
        _WHO,
    ),
    Command(
        "silence add",
        "telling.silence_add",
        "tell nobody of what fits, for a time; recovery of what was told before is told",
        Argument(
            "matchers",
            type=one_line,
            nargs="+",
            metavar="LABEL=PATTERN",
            help="component, severity, fault, check, status, kind or platform; all have to fit",
        ),
        _LENGTH,
        _AUDITED,
        _WHO,
    ),
    Command("silence list", "telling.silence_list", "list the silences that are not over"),
    Command(
        "silence end",
        "telling.silence_end",
        "end a silence; what still stands is told",
        Argument("id", help="the silence, as `sentinel silence list` shows it"),
        _WHO,
    ),
    Command(
        "maintenance add",
        "telling.maintenance_add",
        "begin maintenance of components now; the first checks after it decide",
        Argument(
            "components",
            type=one_line,
            nargs="+",
            metavar="COMPONENT",
            help="names or patterns",
        ),
        _LENGTH,
        Argument(
            "--name", type=one_line, default="", help="name of the window (default: from the time)"
        ),
        _AUDITED,
        _WHO,
    ),
    Command(
        "maintenance list",
        "telling.maintenance_list",
        "list maintenance that is on or was, newest first",
        Argument("--limit", type=some, default=50, metavar="N", help="so many rows (default 50)"),
    ),
    Command(
        "maintenance end",
        "telling.maintenance_end",
        "end maintenance that was begun by hand",
        Argument("name", help="the window, as `sentinel maintenance list` shows it"),
        _WHO,
    ),
    Command("notify list", "telling.notify_list", "list the channels, and how each delivered last"),
    Command(
        "notify test",
        "telling.notify_test",
        "send a test on a channel, now",
        Argument("channel", help="name of the channel, as `channels:` has it"),
    ),
    # -- act --
    Command("runbook list", "runbooks.runbook_list", "list the runbooks and what they apply to"),
    Command("runbook show", "runbooks.runbook_show", "show a runbook", _NAME),
    Command(
        "runbook run",
        "runbooks.runbook_run",
        "show a runbook's plan (dry run); --execute runs it",
        _NAME,
        Argument("parameters", nargs="*", metavar="name=value"),
        Argument(
            "--execute",
            action="store_true",
            help="run the steps: what it finds, then what it would change, then one question",
        ),
        _YES,
        _FULL,
        Argument(
            "--incident",
            metavar="ID",
            help="the incident that it is for (default: the open one that fits the runbook)",
        ),
    ),
    Command(
        "runbook runs",
        "runbooks.runbook_runs",
        "list runs of runbooks, the interrupted ones among them",
    ),
    Command(
        "runbook resume",
        "runbooks.runbook_resume",
        "go on with a run after its last finished step",
        Argument("id", help="the run, as `sentinel runbook runs` lists it"),
        _FULL,
        Argument(
            "--yes", action="store_true", help="do not ask before changes that were not begun"
        ),
        Argument(
            "--repeat",
            action="store_true",
            help="do not ask before a change that was begun and whose outcome is unknown",
        ),
    ),
    Command(
        "reset",
        "acting.reset",
        "give a component a full restart budget again, after its repair",
        Argument("component"),
        Argument(
            "--reason",
            type=one_line,
            required=True,
            help="goes into the incident and the audit log",
        ),
        Argument(
            "--yes",
            action="store_true",
            help="do not ask; refused all the same when something has changed",
        ),
    ),
    # -- move --
    Command(
        "start",
        "moving.start",
        "start the platform in dependency order, or one component; waits until it is healthy",
        *_MOVE,
    ),
    Command(
        "stop",
        "moving.stop",
        "stop the platform, dependents first, or one component; it stays stopped until it"
        " is started",
        *_MOVE,
    ),
    Command(
        "restart",
        "moving.restart",
        "restart one component, or stop and start the platform; no failure, no budget",
        *_MOVE,
    ),
    Command(
        "reload",
        "moving.reload",
        "have a component read its configuration again",
        Argument("component"),
        _BY_HAND,
    ),
    Command(
        "breaker close",
        "moving.close_breaker",
        "let automation act again after it switched itself off",
        _AUDITED,
    ),
    Command("halt", "acting.halt", "stop every automatic action at once", _AUDITED),
    Command(
        "resume",
        "acting.resume",
        "allow automatic actions again",
        Argument("--reason", type=one_line, default="", help="goes into the audit log"),
    ),
    # -- clean, and who did what --
    Command(
        "token add",
        "tokens.token_add",
        "make a token for the page and its API; its secret is shown once",
        Argument("name", help="whose it is, such as prometheus: it stands in the audit log"),
        Argument(
            "--scope",
            required=True,
            choices=("read", "ack", "act", "admin"),
            help="what it is for; each covers those before it",
        ),
        Argument(
            "--for",
            dest="length",
            metavar="TIME",
            help="how long it counts, such as 90d (for ever)",
        ),
    ),
    Command("token list", "tokens.token_list", "list the tokens, and when each was used last"),
    Command(
        "token revoke",
        "tokens.token_revoke",
        "take a token away: within a second nobody enters with it",
        _NAME,
    ),
    Command("clean list", "cleaning.clean_list", "list the chores, and how each ran last"),
    Command(
        "clean kinds",
        "cleaning.clean_kinds",
        "list the kinds of chores, or show one's options",
        _ONE_KIND,
    ),
    Command(
        "clean plan",
        "cleaning.clean_plan",
        "show what a chore would do now; nothing is changed",
        _NAME,
        Argument(
            "parameters", nargs="*", metavar="name=value", help="options that `clean kinds` marks"
        ),
    ),
    Command(
        "clean apply",
        "cleaning.clean_apply",
        "do what a plan of the last minute showed, or nothing",
        Argument("id"),
    ),
    Command(
        "audit list",
        "auditing.audit_list",
        "list the audit log, newest first",
        Argument("--limit", type=some, default=100, metavar="N", help="so many rows (default 100)"),
    ),
    Command(
        "audit verify",
        "auditing.audit_verify",
        "walk the hash chain; the first broken row is named",
        Argument(
            "--head", metavar="NUMBER:HASH", help="a head that was noted before must be in the log"
        ),
    ),
    # -- the state on disk --
    Command(
        "state show",
        "keeping.state_show",
        "show whether it is the state that was here, and rows that were damaged",
    ),
    Command(
        "state accept",
        "keeping.state_accept",
        "let a state count that is not certainly the one that was here, or was damaged",
        _AUDITED,
        _YES,
    ),
)
"""In the order of the help."""
