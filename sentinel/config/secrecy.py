"""Every value of a configuration that must not be shown, wherever it stands: in an address, a
header, a query, a document to send, the arguments or the environment of a program.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from urllib.parse import unquote, unquote_plus, urlsplit

from pydantic import BaseModel, SecretStr

from sentinel.adapters.postgres.address import find_client_secrets
from sentinel.config.address import find_passwords
from sentinel.config.value import ConfiguredChannel, Resource
from sentinel.core.model import Check, Component
from sentinel.redaction import tells_secret

SHORTEST = 6
"""Shorter values of headers, queries and arguments are words such as "json": hiding them would
blank half of every text.
"""
_OPTION = re.compile(r"-{0,2}([\w.-]+)=(.+)", re.DOTALL)
_PAIR = re.compile(r"([\w.-]{1,64})\s*=\s*(?:'((?:\\.|[^'\\])*)'|([^\s']+))")
"""As in `host=db password=…`, libpq's other form of an address."""
_TELLING = re.compile(r"[=?{\[]|://")
"""Without any of these a text has no name to go by, and nothing that is looked for below."""
_TOKEN = re.compile(r"(?=[^.]*\Z)(?:(?=.*\d).{8,}|.{16,})", re.DOTALL)
"""A part of an address that is no word and no host: long, or not so long and with a digit."""
_USER = re.compile(r"://([^\s'\"<>]*)@")


def find_secrets(
    resources: Iterable[Resource],
    checks: Iterable[Check],
    components: Iterable[Component] = (),
    environment: Mapping[str, str] | None = None,
    channels: Iterable[ConfiguredChannel] = (),
) -> Iterator[str]:
    """Every value that must not be printed: passwords, header values and their last words, secrets
    of checks and of what drives components, what a telling name says is one.
    """
    for resource in resources:
        if resource.password is not None:
            yield resource.password.get_secret_value()
        yield from filter(None, find_passwords(resource.type, resource.address))
        if resource.type == "postgres":
            yield from find_client_secrets(resource.address)
        yield from _hide_header(resource.options.get("headers", {}).values())
    options = [each.options for group in (checks, components, channels) for each in group]
    yield from _hide_header(_secrets_in(options))
    for name, value in (environment or {}).items():
        # PWD is where a shell stands: hidden, no text could name a file below it.
        if name != "PWD" and not name.lower().endswith(("_file", "_path", "_dir")):
            yield from _hide_header(_named(name, value))


def _hide_header(values: Iterable[str]) -> Iterator[str]:
    """`Bearer abc…` is a secret with and without its first word; what is very short is none."""
    return (
        word for value in values for word in {value, *value.split()[-1:]} if len(word) >= SHORTEST
    )


def _secrets_in(value: object) -> Iterator[str]:
    """Every SecretStr inside of options, however deep, and every text there that shows by its form
    or its name that it is one. The names of options are ours, and tell nothing.
    """
    if isinstance(value, SecretStr):
        yield value.get_secret_value()
        yield from _in_addresses(value.get_secret_value())
    elif isinstance(value, BaseModel):
        for item in vars(value).values():  # not dict(value): an option may be called `keys`
            yield from _secrets_in(item)
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from _named(str(name), item)
    elif isinstance(value, list | tuple):
        yield from _arguments(value)
    elif isinstance(value, str):
        yield from _in_text(value)


def _in_addresses(secret: str) -> Iterator[str]:
    """A secret that is an address, or several: each, and what in it looks like a password or a token.
    Errors show parts of addresses, and hosts and plain words must stay readable.
    """
    for address in secret.split() if "://" in secret else ():
        yield address
        yield from _in_text(address)
        rest = address.partition("://")[2]
        for part in re.split("[/:@?&=#,]", rest):
            if _TOKEN.fullmatch(part):
                yield from {part, unquote(part)}


def _named(name: str, value: object) -> Iterator[str]:
    if tells_secret(name) and isinstance(value, str | int) and not isinstance(value, bool):
        yield str(value)
    yield from _secrets_in(value)


def _arguments(words: Sequence[object]) -> Iterator[str]:
    """`--token x`, `--token=x`, `TOKEN=x`, and what a single word holds."""
    before = ""
    for word in words:
        yield from _named(before if before.startswith("-") else "", word)
        before = word if isinstance(word, str) and "=" not in word else ""


def _in_text(text: str) -> Iterator[str]:
    """A word of a command line, an address or path with a query, a JSON document."""
    if _TELLING.search(text) is None:
        return
    option = _OPTION.fullmatch(text)
    if option is not None and tells_secret(option[1]):
        yield option[2]
    for name, quoted, plain in _PAIR.findall(text):
        if tells_secret(name):
            yield re.sub(r"\\(.)", r"\1", quoted or plain)
    for found in _USER.finditer(text):
        password = found[1].partition(":")[2]
        yield from filter(None, (password, unquote(password)))
    if "?" in text:
        yield from _in_query(text)
    if text.lstrip()[:1] in {"{", "["}:
        yield from _in_document(text)


def _in_query(text: str) -> Iterator[str]:
    """Values with a telling name, as written and decoded."""
    try:
        query = urlsplit(text).query
    except ValueError:
        query = text.partition("?")[2]
    for pair in re.split("[&;]", query):
        name, _, value = pair.partition("=")
        if tells_secret(name) and value:
            yield from (value, unquote_plus(value))


def _in_document(text: str) -> Iterator[str]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return
    if not isinstance(document, str):
        yield from _secrets_in(document)
