"""The table of commands as argparse has it. Only argparse is imported until a command is known, so
that `--help` is instant.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from sentinel import __version__
from sentinel.cli.commands import COMMANDS, TOPICS, Command, Heading

EXIT_CODES = """exit codes:
  0 ok · 1 degraded · 2 failed · 3 unknown · 64 usage · 69 a needed service or port is not available
  75 refused by a guard, try again · 78 invalid configuration or unusable state"""

EPILOG = f"""where things are:
  --config  folder of YAML files (default: SENTINEL_CONFIG, else ./checks)
  --state   state folder of the daemon to read or command (default: SENTINEL_STATE, else `state:` of the configuration)
  SENTINEL_…: a variable that is empty counts as not set

{EXIT_CODES}"""


def _folder(text: str) -> Path:
    """The folder in which one happens to stand is no state, though a path of nothing means it."""
    if not text:
        raise argparse.ArgumentTypeError("names no folder")
    return Path(text)


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
        default=Path(os.environ.get("SENTINEL_CONFIG") or "checks"),
        metavar="PATH",
    )
    state = os.environ.get("SENTINEL_STATE")
    parser.add_argument(
        "--state", type=_folder, default=Path(state) if state else None, metavar="DIR"
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", parser_class=_Parser)
    _add_commands(commands)
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


def _add_commands(commands: _Commands[_Parser]) -> None:
    """All of the table; a topic is made when its first command comes."""
    topics: dict[str, _Commands[_Parser]] = {}
    for command in COMMANDS:
        topic, _, word = command.words.rpartition(" ")
        if topic and topic not in topics:
            topics[topic] = _add_topic(commands, topic)
        _add(topics[topic] if topic else commands, word, command)


def _add_topic(commands: _Commands[_Parser], topic: str) -> _Commands[_Parser]:
    words = [each.words.split() for each in COMMANDS]
    second = "|".join(word for first, *rest in words if first == topic for word in rest)
    parser = commands.add_parser(topic, help=TOPICS[topic])
    return parser.add_subparsers(metavar=second, required=True, parser_class=_Parser)


def _add(commands: _Commands[_Parser], word: str, command: Command) -> None:
    text = command.text
    parser = commands.add_parser(
        word, help=text, description=text[0].upper() + text[1:] + ".", epilog=EXIT_CODES
    )
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.set_defaults(call=command.call, parser=parser)
    for each in command.arguments:
        if isinstance(each, Heading):
            group = parser.add_argument_group(each.title, each.text)
            for argument in each.arguments:
                group.add_argument(*argument.names, **argument.settings)
        else:
            parser.add_argument(*each.names, **each.settings)
