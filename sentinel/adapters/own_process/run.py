"""Whose run is under way in this task: what lines of the log are named after."""

from __future__ import annotations

from contextvars import ContextVar

RUN: ContextVar[tuple[str, str] | None] = ContextVar("run", default=None)
"""The check and the trace id: read when a line is written, so that a run which writes none pays
next to nothing.
"""
