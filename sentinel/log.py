"""Logs: an event name with keys and values, a trace id, and no secret ever."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterable, MutableMapping
from typing import Any, TextIO

import structlog

_URL = re.compile(r"(://[^:/@\s]*:)[^/\s]+@")
_BEARER = re.compile(r"(?i)(bearer\s+)[A-Za-z0-9._~+/=-]+")
_KEYED = re.compile(
    r"(?i)\b(password|passwd|secret|token|api_key)(['\"]?\s*[=:]\s*['\"]?)[^\s'\",}]+"
)
_NAMES = ("password", "secret", "token", "authorization")


class Redaction:
    """Scrubs known secrets, `://user:password@`, bearer tokens and `password=` from every value of
    an event.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets: list[str] = []
        self.learn(secrets)

    def learn(self, secrets: Iterable[str]) -> None:
        """Hide these too, from now on: a reload brings new ones, and the old ones may still come in
        old texts.
        """
        known = {*self._secrets, *(secret for secret in secrets if len(secret) >= 4)}
        self._secrets = sorted(known, key=len, reverse=True)

    def __call__(
        self, _logger: Any, _method: str, event: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        """A structlog processor."""
        for key, value in event.items():
            event[key] = self._scrub_item(key, value)
        return event

    def _scrub_item(self, key: Any, value: Any) -> Any:
        hidden = any(name in str(key).lower() for name in _NAMES)
        return (
            "***"
            if hidden and value is not None and not isinstance(value, bool)
            else self.scrub(value)
        )

    def scrub(self, value: Any) -> Any:
        """The value without secrets; containers are scrubbed inside."""
        if isinstance(value, dict):
            return {key: self._scrub_item(key, item) for key, item in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self.scrub(item) for item in value]
        if isinstance(value, bytes):
            return self.scrub(value.decode(errors="backslashreplace"))
        if not isinstance(value, str):
            return (
                value
                if value is None or isinstance(value, bool | int | float)
                else self.scrub(str(value))
            )
        for secret in self._secrets:
            value = value.replace(secret, "***")
        value = _BEARER.sub(r"\1***", _URL.sub(r"\1***@", value))
        return _KEYED.sub(r"\1\2***", value)


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
