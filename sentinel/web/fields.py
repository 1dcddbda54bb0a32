"""What is sent with a POST: a JSON document of a program, or a form of a page; bounded, and text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from sentinel.core.foreign.visible import make_visible
from sentinel.core.quantity import parse_duration
from sentinel.errors import UsageError

MAX_TEXT = 500
MANY = 20
FORM = "application/x-www-form-urlencoded"
_CHARSETS = {"utf-8", "utf8", "us-ascii"}


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields of one request. Raises UsageError for what is missing or is no text."""

    values: Mapping[str, Any]
    is_form: bool

    def text(self, name: str, default: str | None = None, most: int = MAX_TEXT) -> str:
        """One line, with what is invisible in it written out."""
        value = self.values.get(name, default)
        if value is None:
            raise UsageError(f"`{name}` is missing", f"send it as a field `{name}`")
        if not isinstance(value, str):
            raise UsageError(f"`{name}` is no text", "write it in quotes")
        line = " ".join(make_visible(value).split())
        if len(line) > most:
            raise UsageError(f"`{name}` has {len(line)} characters, more than {most}", "shorten it")
        if not line and default is None:
            raise UsageError(f"`{name}` says nothing", "write something")
        return line

    def seconds(self, name: str) -> float:
        """A length of time, such as 30m."""
        try:
            return float(parse_duration(self.text(name)))
        except ValueError as error:
            raise UsageError(f"`{name}`: {error}", "such as 30m or 2h") from error

    def words(self, name: str) -> list[str]:
        """A list of texts; in a form one text, with blanks between them."""
        value = self.values.get(name)
        listed = value.split() if isinstance(value, str) else value
        if not isinstance(listed, list) or not all(isinstance(each, str) for each in listed):
            raise UsageError(f"`{name}` is no list of texts", 'such as ["bus"]')
        if not 0 < len(listed) <= MANY:
            raise UsageError(f"`{name}` has {len(listed)} entries", f"write 1 to {MANY}")
        return [Fields({name: each}, is_form=False).text(name) for each in listed]

    def matchers(self, name: str) -> dict[str, list[str]]:
        """Label to patterns; in a form as on the command line: LABEL=PATTERN, with blanks between."""
        value, found = self.values.get(name), dict[str, list[str]]()
        if isinstance(value, dict):
            return {
                label: Fields({name: each}, is_form=False).words(name)
                for label, each in value.items()
            }
        for text in self.words(name):
            label, mark, pattern = text.partition("=")
            if not (label and mark and pattern):
                raise UsageError(
                    f"{text!r} is no matcher", "write LABEL=PATTERN, such as component=bus"
                )
            found.setdefault(label, []).append(pattern)
        return found


async def read_fields(request: web.Request) -> Fields:
    """The fields of a POST. Raises HTTPException for another type, and for what is too large."""
    if not request.body_exists:
        return Fields({}, is_form=False)
    if request.content_type == FORM:
        form = await _read_form(request)
        return Fields({name: str(value) for name, value in form.items()}, is_form=True)
    if request.content_type != "application/json":
        raise web.HTTPUnsupportedMediaType(text=f"send application/json or {FORM}")
    try:
        document = json.loads(await request.read())
    except (ValueError, RecursionError):
        raise web.HTTPBadRequest(text="the body is no JSON document") from None
    if not isinstance(document, dict):
        raise web.HTTPBadRequest(text="the body is no JSON object")
    return Fields(document, is_form=False)


async def _read_form(request: web.Request) -> Mapping[str, Any]:
    """Browsers send UTF-8. Raises HTTPBadRequest for everything else: Python knows encodings that
    take seconds for a body, and some that are none of text.
    """
    try:
        if (request.charset or "utf-8").lower() in _CHARSETS:
            return await request.post()
    except UnicodeError:
        pass
    raise web.HTTPBadRequest(text="send the form in UTF-8")


def find_next(fields: Fields) -> str:
    """Where a form leads to: a page of our own, whatever it says."""
    wanted = fields.values.get("next")
    if not isinstance(wanted, str) or not wanted.startswith("/") or len(wanted) > MAX_TEXT:
        return "/"
    # A browser takes `//host` and `/\\host` for another site, and ignores what is invisible.
    is_ours = wanted[1:2] not in {"/", "\\"} and wanted.isascii() and wanted.isprintable()
    return wanted if is_ours else "/"
