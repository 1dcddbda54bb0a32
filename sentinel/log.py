"""Logs: an event name with keys and values, a trace id, and no secret ever. Nobody who logs waits
for whoever takes the lines.
"""

from __future__ import annotations

import atexit
import logging
import sys
import threading
from collections.abc import Iterable, MutableMapping
from types import TracebackType
from typing import Any, TextIO, cast

import structlog

from sentinel.adapters.own_process.outlet import Outlet
from sentinel.adapters.own_process.run import RUN
from sentinel.redaction import Redaction

LAST_WORDS = 1.0
"""Seconds that the lines which still wait may take at the end of the process."""

log = structlog.get_logger()


class _Lines:
    """Where the lines of this process go now."""

    def __init__(self) -> None:
        self.outlet: Outlet | None = None

    def direct(self, stream: TextIO | None) -> TextIO | Outlet:
        """To a stream: by a thread when it has a descriptor, that may take nothing."""
        if self.outlet is not None:
            self.outlet.close(LAST_WORDS)
        self.outlet = None
        if stream is None:  # who was started with a closed stderr
            return cast("TextIO", _Nowhere())
        try:
            self.outlet = Outlet(stream.fileno(), _tell_loss)
        except (OSError, ValueError, AttributeError):  # it is in memory, or closed
            return stream
        return self.outlet


class _Nowhere:
    """Takes everything, keeps nothing."""

    def write(self, _text: str) -> None:
        """Of `TextIO`."""

    def flush(self) -> None:
        """Of `TextIO`."""


LINES = _Lines()


def learn_secrets(secrets: Iterable[str]) -> None:
    """Have the log of this process hide these too."""
    for processor in structlog.get_config()["processors"]:
        if isinstance(processor, Redaction):
            processor.learn(secrets)


def configure_logging(
    *,
    level: str = "info",
    form: str = "auto",
    secrets: Iterable[str] = (),
    stream: TextIO | None = None,
) -> None:
    """Set up structlog for the process: JSON lines, or coloured text when a person looks at a
    terminal.
    """
    out = stream or sys.stderr
    as_text = form == "console" or (form == "auto" and out is not None and out.isatty())
    renderer: Any = (
        structlog.dev.ConsoleRenderer() if as_text else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            _name_run,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            Redaction(secrets),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.WriteLoggerFactory(file=cast("TextIO", LINES.direct(out))),
        cache_logger_on_first_use=False,
    )


def _name_run(
    _logger: object, _method: str, line: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Whose run it was that wrote the line."""
    run = RUN.get()
    if run is not None:
        line.setdefault("check", run[0])
        line.setdefault("trace_id", run[1])
    return line


def say(text: str) -> None:
    """A line for people beside the log, and by the same way."""
    stream = LINES.outlet or sys.stderr
    if stream is not None:
        stream.write(text + "\n")


def count_dropped() -> int:
    """Lines that were dropped since the start, because nobody took them."""
    return LINES.outlet.dropped if LINES.outlet is not None else 0


def stuck_for() -> float:
    """Seconds for which nobody has taken a line; 0 while they flow."""
    return LINES.outlet.stuck_for() if LINES.outlet is not None else 0.0


def finish_logging(seconds: float = LAST_WORDS) -> None:
    """Have everything written that was logged until now, not longer than that."""
    if LINES.outlet is not None:
        LINES.outlet.drain(seconds)


def catch_strays() -> None:
    """What libraries log, and what is raised where nobody waits, goes the way of every line: else
    Python writes it to stderr by itself, unhidden, and waits until it is taken.
    """
    root = logging.getLogger()
    for handler in [each for each in root.handlers if isinstance(each, _Forward)]:
        root.removeHandler(handler)
    root.addHandler(_Forward(logging.WARNING))
    threading.excepthook = _tell_thread
    sys.unraisablehook = _tell_unraisable
    atexit.register(finish_logging)


class _Forward(logging.Handler):
    """Lines of libraries."""

    def emit(self, record: logging.LogRecord) -> None:
        log.log(
            record.levelno,
            "library",
            library=record.name,
            message=record.getMessage(),
            **({"exc_info": record.exc_info} if record.exc_info else {}),
        )


def _tell_loss(lines: int, seconds: float) -> None:
    log.warning(
        "log_lines_dropped",
        lines=lines,
        seconds=round(seconds, 1),
        guidance="what takes the lines of stderr stood still, or its disk was full",
    )


def _tell_thread(arguments: threading.ExceptHookArgs) -> None:
    thread = arguments.thread.name if arguments.thread is not None else ""
    _tell_stray(f"thread {thread}", arguments.exc_value, arguments.exc_traceback)


def _tell_unraisable(raised: Any) -> None:
    _tell_stray(str(raised.err_msg or "a finalizer"), raised.exc_value, raised.exc_traceback)


def _tell_stray(where: str, error: BaseException | None, traceback: TracebackType | None) -> None:
    if error is not None:
        log.error("raised_unseen", where=where, exc_info=(type(error), error, traceback))
