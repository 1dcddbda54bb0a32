"""One command: what it raises becomes a message with its remedy, and an exit code."""

from __future__ import annotations

import argparse
import importlib
import io
import json
import os
import sys
from contextlib import suppress
from typing import Any, TextIO

from sentinel.errors import SentinelError


def call(arguments: argparse.Namespace) -> int:
    """Carry a command out; its exit code, also when nobody reads its output to the end."""
    _outlive_readers()
    try:
        module, _, name = arguments.call.partition(".")
        commands = importlib.import_module(f"sentinel.cli.{module}")
        code = int(getattr(commands, name)(arguments))
        sys.stdout.flush()
    except SentinelError as error:
        return _fail(arguments, error.message, error.guidance, error.exit_code)
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        # Any of a hundred files can be out of reach, most often because another user runs the
        # daemon.
        where = f"{error.filename}: " if error.filename else ""
        return _fail(
            arguments,
            f"{where}{error.strerror or repr(error)}",
            "look at its rights: is it another user's?",
            78,
        )
    return code


def _fail(arguments: argparse.Namespace, message: str, guidance: str, code: int) -> int:
    """Say what is wrong for people, and with --json for programs, too."""
    remedy = f"\n  remedy: {guidance}" if guidance else ""
    shown = (char if char.isprintable() or char == "\n" else " " for char in message + remedy)
    print(f"sentinel: {''.join(shown)}", file=sys.stderr)
    if getattr(arguments, "json", False):
        document = {"error": message, "remedy": guidance, "exit_code": code}
        with suppress(OSError):
            print(json.dumps(document, indent=2, ensure_ascii=False))
    return code


# -- who reads may stop reading -------------------------------------------------------------------


def _outlive_readers() -> None:
    """`sentinel status | head` ends with the status of the platform, and without a complaint."""
    if sys.stdout is sys.__stdout__ and sys.stdout is not None and not sys.stdout.isatty():
        sys.stdout = _outlive(sys.stdout)
    if sys.stderr is sys.__stderr__ and sys.stderr is not None and not sys.stderr.isatty():
        sys.stderr = _outlive(sys.stderr)


def _outlive(stream: TextIO) -> TextIO:
    """The same stream, which swallows what nobody reads any more."""
    raw = _Outliving(stream.fileno(), "wb", closefd=False)
    is_error = stream is sys.__stderr__
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=is_error,
        write_through=is_error,
    )


class _Outliving(io.FileIO):
    """A pipe whose reader may go."""

    def write(self, data: Any, /) -> int:
        """As many bytes as there are, when nobody is there to take them."""
        try:
            return super().write(data)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())
            return len(data)
