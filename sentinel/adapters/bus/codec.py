"""A product's codec in a short-lived process of its own: it may hang, raise, print or die, and
hurts nobody.

Neither sentinel's environment nor its open files reach the process; it has a deadline and a limit
of output.
"""

from __future__ import annotations

import base64
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

from sentinel.adapters.process.conversation import converse
from sentinel.adapters.redis import Command, RedisClient
from sentinel.errors import NotMeasurable, TargetError

MAX_OUTPUT = 32 * 2**20
KEEP = 3600
"""Seconds after which the last run's entries vanish by themselves."""
GROUP, CONSUMER = "sentinel", "sentinel"
_WORKER = Path(__file__).with_name("codec_worker.py")
_INHERITED = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR")

Fields = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class Codec:
    """The product's functions as `package.module:name` ("" is JSON), and where its Python and its
    code are.
    """

    encode: str = ""
    decode: str = ""
    python: str = ""
    path: Sequence[str] = ()
    field: str = "payload"
    text: bool = True
    deadline: float = 3.0


@dataclass(frozen=True, slots=True)
class CodecEntry:
    """What the codec made of a case. `single`: one value, which goes into one field."""

    fields: Fields
    single: bool


@dataclass(slots=True)
class Answers:
    """What the process said. `errors` by case; `hung`: the case it never came back from; `unasked`:
    those after it.
    """

    entries: dict[str, CodecEntry] = field(default_factory=dict)
    differences: dict[str, str] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    hung: str = ""
    unasked: tuple[str, ...] = ()


async def encode(codec: Codec, cases: Sequence[str]) -> Answers:
    """Encode the vectors. Raises NotMeasurable when the codec can't be loaded."""
    return await _run(codec, {"phase": "encode", "cases": list(cases)})


async def decode(codec: Codec, entries: Mapping[str, CodecEntry]) -> Answers:
    """Decode entries and compare them with their vectors. Raises NotMeasurable when the codec can't
    be loaded.
    """
    packed = {
        case: {
            "fields": [[_pack(part) for part in pair] for pair in entry.fields],
            "single": entry.single,
        }
        for case, entry in entries.items()
    }
    return await _run(codec, {"phase": "decode", "cases": list(entries), "entries": packed})


async def _run(codec: Codec, request: dict[str, Any]) -> Answers:
    settings = {
        "encode": codec.encode,
        "decode": codec.decode,
        "field": codec.field,
        "text": codec.text,
    }
    document = json.dumps({**settings, "path": list(codec.path), **request})
    output, in_time = await _talk(codec, document.encode())
    return _read(request["cases"], output, codec.deadline, in_time=in_time)


async def _talk(codec: Codec, document: bytes) -> tuple[bytes, bool]:
    """(what the process wrote, whether it ended in time). It and its children are gone afterwards."""
    env = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    argv = [codec.python or sys.executable, "-I", "-B", str(_WORKER)]
    try:
        return await converse(argv, document, env, codec.deadline, MAX_OUTPUT)
    except OSError as error:
        raise NotMeasurable(
            f"the codec's Python can't be started: {argv[0]}: {error.strerror}", _REMEDY
        ) from error


_REMEDY = (
    "correct `encode` and `decode`, set `python` to the product's interpreter, `path` to its folder"
)


def _read(cases: Sequence[str], output: bytes, deadline: float, *, in_time: bool) -> Answers:
    answers, begun = Answers(), False
    for line in output.split(b"\n")[:-1]:
        answer = json.loads(line)
        if "broken" in answer:
            raise NotMeasurable(f"the codec can't be loaded: {answer['broken']}", _REMEDY)
        begun = True
        _take(answers, answer)
    known = {*answers.entries, *answers.differences, *answers.errors}
    missing = [case for case in cases if case not in known]
    how = (
        "ended its process, or wrote too much"
        if in_time
        else f"gave no answer within {deadline:g} s"
    )
    if missing and not begun:
        raise NotMeasurable(f"the codec {how} while it was loaded", _REMEDY)
    if missing:
        answers.hung, answers.unasked = missing[0], tuple(missing[1:])
        answers.errors[missing[0]] = f"the codec {how}"
    return answers


def _take(answers: Answers, answer: Mapping[str, Any]) -> None:
    case = answer["case"]
    if "error" in answer:
        answers.errors[case] = answer["error"]
    elif "difference" in answer:
        answers.differences[case] = answer["difference"]
    elif "fields" in answer:
        fields = tuple(
            (base64.b64decode(key), base64.b64decode(value)) for key, value in answer["fields"]
        )
        answers.entries[case] = CodecEntry(fields, answer["single"])


def _pack(part: bytes) -> str:
    return base64.b64encode(part).decode()


# --- through the bus ----------------------------------------------------------------------------


async def carry(
    client: RedisClient, stream: str, entries: Mapping[str, Fields]
) -> dict[str, Fields]:
    """Publish entries and read them back through a group, in one transaction on our own key; by
    case.

    The read takes no part in a pending list, the key expires by itself. Raises the first
    TargetError.
    """
    commands: list[Command] = [("XGROUP", "CREATE", stream, GROUP, "$", "MKSTREAM")]
    commands += [
        ("XADD", stream, "MAXLEN", "~", 1000, "*", *(part for pair in fields for part in pair))
        for fields in entries.values()
    ]
    read = ("XREADGROUP", "GROUP", GROUP, CONSUMER, "COUNT", 1000, "NOACK", "STREAMS", stream, ">")
    created, *replies = await client.transaction([*commands, read, ("EXPIRE", stream, KEEP)])
    if isinstance(created, TargetError) and created.code != "BUSYGROUP":
        raise created
    for reply in replies:
        if isinstance(reply, TargetError):
            raise reply
    ids = dict(zip(replies[: len(entries)], entries, strict=True))
    rows = replies[-2][0][1] if replies[-2] else []
    return {
        ids[row[0]]: tuple(zip(row[1][::2], row[1][1::2], strict=True))
        for row in rows
        if row[0] in ids
    }


def fingerprint(fields: Fields) -> str:
    """blake2b over names and values in order, with their lengths."""
    digest = blake2b(digest_size=16)
    for part in (part for pair in fields for part in pair):
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()
