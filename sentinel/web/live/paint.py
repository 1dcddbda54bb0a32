"""Pieces as HTML, by the macros of one template, everything in them escaped."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from jinja2 import Environment

from sentinel.core.access import NOBODY, Caller
from sentinel.store.document import read_instant
from sentinel.web.live.board import PageModel
from sentinel.web.live.line import show_age
from sentinel.web.live.piece import Piece

_OF_LIST = {"checks": "check", "components": "component", "incidents": "card"}
_ALONE = {"incident-count": "count"}
"""Macros that are not called as their piece is."""


def teach_ages(environment: Environment) -> None:
    """What the template says of time: `age`, `between`, `instant`, `moment`, `stamp`."""
    environment.filters["age"] = lambda at, now: show_age((now - at).total_seconds())
    environment.filters["between"] = lambda at, end: show_age((end - at).total_seconds())
    environment.filters["instant"] = show_instant
    environment.filters["moment"] = read_instant
    environment.filters["stamp"] = lambda at: int(at.timestamp() * 1000)


def show_instant(at: datetime) -> str:
    """As a browser reads it, to the second, in UTC."""
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


def make_painter(environment: Environment) -> Callable[[Piece, datetime], str]:
    """`paint(piece, now)`: the HTML of a piece."""
    module = environment.get_template("live.html.j2").module

    def paint(piece: Piece, now: datetime) -> str:
        macro = _OF_LIST.get(piece.home) or _ALONE.get(piece.id, piece.id)
        return str(getattr(module, macro)(piece.model, now)).strip()

    return paint


def paint_page(
    environment: Environment, page: PageModel, mark: str, now: datetime, may: Caller = NOBODY
) -> bytes:
    """The whole page for who asks; `mark` is what its changes can be followed by."""
    template = environment.get_template("status.html.j2")
    return template.render(page=page, mark=mark, now=now, here="/", may=may).encode()
