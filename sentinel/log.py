"""Logs: an event name with keys and values, a trace id, and no secret ever."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable
from typing import Any, TextIO

import structlog

from sentinel.redaction import Redaction


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
    as_text = form == "console" or (form == "auto" and out.isatty())
    renderer: Any = (
        structlog.dev.ConsoleRenderer() if as_text else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            Redaction(secrets),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.WriteLoggerFactory(file=out),
        cache_logger_on_first_use=False,
    )
