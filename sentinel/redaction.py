"""Hides secrets in texts: those that are known in every encoding in which they travel, and those
that nobody told us by the company they keep (`password=`, `://user:…@`, `Authorization:`). Pure.

Known secrets are found raw, percent-encoded, JSON-escaped, HTML-escaped, as Python writes them
(`repr`), in hexadecimal, and in base64 or base64url, alone or inside of something longer such as
`user:password`.
"""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

SHORTEST = 4
"""Shorter "secrets" are parts of words: to hide them would blacken half of every text."""
HIDDEN = "***"
_CUT_LENGTH, _CUT_DEPTH, _CUT_LEAST = 60, 64, 5
"""From this length on a text may have been cut in the middle of a secret; by so many signs of it,
at most and at least, that is recognized.
"""
_REMEMBERED, _REMEMBERED_LENGTH = 8192, 160
_TELLING = (
    r"pass(?:word|wd|phrase)?|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key"
    r"|credentials?|signature|requirepass|masterauth"
)
_GLUED = r"[a-z0-9]{1,20}(?:password|passwd|passphrase|secret|token)|(?:db|pg|smtp|user|root)(?:pass|pwd)"
"""Words that tell also behind others: `PGPASSWORD`, `sslpassword`. `pass` may end a plain word."""
_TELLING_NAME = re.compile(rf"(?i)(?<![a-z])(?:{_TELLING}|{_GLUED}|sig|auth|cookie)s?(?![a-z])")
_NAMES = ("password", "passwd", "secret", "token", "authorization", "cookie", "api_key", "api-key")
_WORD = r"[^\s'\",}&;<>]+"
_BRACKET = r"(?![\[{]+(?:['\"\s\]}]|\Z))"
"""Not the bracket of a list or an object: without it a document can't be read any more."""
_SHAPES = (
    (
        ("://",),
        re.compile(r"(://[^:/@\s]*:)(?!\d{1,5}(?:/|\Z|\s))[^\s'\"<>]{0,1024}@"),
        r"\1***@",
    ),
    (("://",), re.compile(r"(://[^:/@\s]*:)[^/\s]+@"), r"\1***@"),
    (
        ("sentinel_",),  # a token of our own page; names of metrics have no capitals
        re.compile(r"\bsentinel_(?=[a-z0-9_-]{0,42}[A-Z])[A-Za-z0-9_-]{43}(?![\w-])"),
        "***",
    ),
    (("bearer",), re.compile(r"(?i)\b(bearer\s+)[A-Za-z0-9._~+/=-]+"), r"\1***"),
    (
        ("basic",),
        re.compile(r"(?i)\b(basic\s+)(?=[A-Za-z+/_-]*[0-9=])[A-Za-z0-9+/_=-]{6,}"),
        r"\1***",
    ),
    (
        ("authorization",),
        re.compile(
            r"(?i)\b((?:proxy-)?authorization['\"]?\s*[=:]\s*['\"]?(?:(?:bearer|basic|token)\s+)?)"
            rf"(?!\*|bearer\b|basic\b){_WORD}"
        ),
        r"\1***",
    ),
    (
        ("cookie",),
        re.compile(r"(?i)\b((?:set-)?cookie['\"]?\s*:\s*['\"]?)(?!\*)[^\r\n'\"]+"),
        r"\1***",
    ),
    (
        ("=", ":"),
        re.compile(
            rf"(?i)\b((?:\w+[_-])?(?:{_TELLING}|{_GLUED})['\"]?\s*[=:]\s*['\"]?)"
            rf"{_BRACKET}{_WORD}"
        ),
        r"\1***",
    ),
    (
        (" -", "\n-"),
        re.compile(rf"(?i)((?<![\w-])--?[\w-]{{0,64}}?(?:{_TELLING})\s+)(?!-)\S+"),
        r"\1***",
    ),
)
"""What a text must hold, in small letters, to be worth a closer look; the shape; what is left."""
# Every repetition that foreign text can draw out has an end: time stays linear in the text.
_QUERY = re.compile(
    r"(?i)\b((?:https?|wss?|rediss?|postgres(?:ql)?)://[^\s?'\"<>]{0,2048}\?)([^\s'\"<>]+)"
)
_VALUE = re.compile(r"=[^&;#]*")


class Redaction:
    """Scrubs values of any shape; what it learned stays hidden as long as it lives."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets: frozenset[str] = frozenset()
        self._plain = self._encoded = self._cut = re.compile(r"(?!)")
        self._seen: dict[str, str] = {}
        self.learn(secrets)

    def learn(self, secrets: Iterable[str]) -> None:
        """Hide these too, from now on: a reload brings new ones, and the old ones may still come in
        old texts.
        """
        known = self._secrets | {secret for secret in secrets if len(secret) >= SHORTEST}
        if known == self._secrets:
            return
        self._secrets, self._seen = known, {}
        ordered = sorted(known, key=lambda secret: (-len(secret), secret))
        hexed = [word for secret in ordered for word in _hexadecimal(secret)]
        self._plain = re.compile("|".join((*map(_escaped, ordered), *hexed)))
        inner = sorted({part for secret in ordered for part in _base64_parts(secret)})
        tail = r"(?:[A-Za-z0-9+/_=-]|%2[BbFf]|%3[Dd])*"
        self._encoded = re.compile(f"(?:{'|'.join(map(_escaped, inner))}){tail}")
        begun = "|".join(map(_begun, (*ordered, *inner, *hexed)))
        self._cut = re.compile(rf"(?:{begun})(?:[\\%&][\\%&#;\w]{{0,15}})?(?=…|\\+u2026|\Z)")

    def __call__(self, _logger: Any, _method: str, event: Any) -> Any:
        """A structlog processor."""
        for key, value in event.items():
            event[key] = self._scrub_item(key, value)
        return event

    def _scrub_item(self, key: Any, value: Any) -> Any:
        hidden = any(name in str(key).lower() for name in _NAMES)
        if hidden and value is not None and not isinstance(value, bool):
            return HIDDEN
        return self.scrub(value)

    def scrub(self, value: Any) -> Any:
        """The value without secrets; containers are scrubbed inside."""
        if isinstance(value, Mapping):
            return {
                self.scrub(key) if isinstance(key, str) else key: self._scrub_item(key, item)
                for key, item in value.items()
            }
        if isinstance(value, list | tuple | set | frozenset):
            return [self.scrub(item) for item in value]
        if isinstance(value, bytes):
            return self.scrub(value.decode(errors="backslashreplace"))
        if isinstance(value, str):
            return self._scrub_text(value)
        plain = value is None or isinstance(value, bool | int | float)
        return value if plain else self.scrub(str(value))

    def _scrub_text(self, text: str) -> str:
        """Names and words come again at every look: the short ones are remembered."""
        if len(text) > _REMEMBERED_LENGTH:
            return hide_shapes(self._hide_known(text))
        clean = self._seen.get(text)
        if clean is None:
            clean = hide_shapes(self._hide_known(text))
            if len(self._seen) >= _REMEMBERED:
                self._seen.clear()
            self._seen[text] = clean
        return clean

    def _hide_known(self, text: str) -> str:
        if not self._secrets:
            return text
        text, end, kept = self._plain.sub(HIDDEN, text), 0, []
        for found in self._encoded.finditer(text):
            start = found.start()
            while start > end and _is_base64(text[start - 1]):
                start -= 1
            kept += [text[end:start], HIDDEN]
            end = found.end()
        text = "".join([*kept, text[end:]])
        is_cut = len(text) >= _CUT_LENGTH or "…" in text or "u2026" in text
        return self._cut.sub(HIDDEN, text) if is_cut else text


def hide_shapes(text: str) -> str:
    """The text without what looks like a secret: passwords in addresses, values of a URL's query,
    bearer tokens, cookies, `password=…`, `--token …`.
    """
    small = f" {text.lower()}"
    for signs, pattern, replacement in _SHAPES:
        if any(sign in small for sign in signs):
            text = pattern.sub(replacement, text)
    if "://" not in text:
        return text
    return _QUERY.sub(lambda found: found[1] + _VALUE.sub(f"={HIDDEN}", found[2]), text)


def tells_secret(name: str) -> bool:
    """Whether what bears this name is a secret: `API_TOKEN`, `password`, `x-api-key`."""
    return _TELLING_NAME.search(name) is not None


def _is_base64(sign: str) -> bool:
    return sign.isascii() and (sign.isalnum() or sign in "+/_-")


def _escaped(secret: str) -> str:
    """An expression for the secret with each sign as it is, or as any of the encodings writes it."""
    return "".join(map(_sign, secret))


def _begun(secret: str) -> str:
    """An expression for the beginning of a secret: foreign texts are cut before they come here."""
    signs = [_sign(sign) for sign in secret[:_CUT_DEPTH]]
    begun = "".join(f"(?:{sign}" for sign in signs[_CUT_LEAST:])
    return "".join(signs[:_CUT_LEAST]) + begun + ")?" * len(signs[_CUT_LEAST:])


def _sign(sign: str) -> str:
    """Letters and digits stay as they are in every encoding; the others have several faces."""
    if sign.isascii() and sign.isalnum():
        return sign
    return f"(?:{'|'.join(dict.fromkeys(_faces(sign)))})"


def _faces(sign: str) -> Iterator[str]:
    """The ways to write one sign, the longest first; what is escaped may be escaped again."""
    raw = sign.encode("utf-8", "surrogatepass")
    yield "".join(f"%(?:25){{0,4}}(?i:{byte:02x})" for byte in raw)
    yield rf"&(?:amp;){{0,4}}#(?:0{{0,6}}{ord(sign)}|[xX]0{{0,6}}(?i:{ord(sign):x}));"
    name = html.escape(sign)
    if name != sign:
        yield f"&(?:amp;){{0,4}}{name[1:]}"
    units = sign.encode("utf-16-be", "surrogatepass")
    pairs = [units[n : n + 2].hex() for n in range(0, len(units), 2)]
    yield "".join(rf"\\{{1,8}}u(?i:{pair})" for pair in pairs)
    yield rf"\\{{1,8}}U(?i:{ord(sign):08x})"
    yield "".join(rf"\\{{1,8}}x(?i:{byte:02x})" for byte in raw)
    if ord(sign) < 256:
        yield rf"\\{{1,8}}x(?i:{ord(sign):02x})"
    if sign in "\n\r\t":
        yield rf"\\{{1,8}}{dict(zip(chr(10) + chr(13) + chr(9), 'nrt', strict=True))[sign]}"
    if sign == " ":
        yield r"\+"
    yield r"\\{1,8}" if sign == "\\" else rf"\\{{0,8}}{re.escape(sign)}"


def _hexadecimal(secret: str) -> tuple[str, str]:
    digits = secret.encode("utf-8", "surrogatepass").hex()
    return digits, digits.upper()


def _base64_parts(secret: str) -> Iterator[str]:
    """What base64 makes of the secret at each of the three places where it can begin inside of
    something longer: only signs that its neighbours have no part in.
    """
    raw = secret.encode("utf-8", "surrogatepass")
    for before in range(3):
        first, last = -(-before * 8 // 6), (before + len(raw)) * 8 // 6
        text = base64.b64encode(bytes(before) + raw).decode()[first:last]
        yield text
        yield text.translate(str.maketrans("+/", "-_"))
