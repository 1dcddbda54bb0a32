"""The program that runs a product's codec on fidelity vectors, in the product's own interpreter.

Started as a file by another Python: standard library only, no import of sentinel, Python 3.8 or
newer. It takes one JSON request on its input and answers with one JSON line per case, so that a
codec that hangs, dies or prints spoils no answer that was given before. The vectors are those of
measurement.md §2.3.
"""

from __future__ import annotations

import base64
import datetime as dt
import importlib
import json
import math
import os
import sys
import uuid
from decimal import Decimal
from typing import Any, Callable, Dict, List, Tuple  # noqa: UP035 - evaluated by Python 3.8

_DAY = (2024, 2, 29, 23, 59, 59, 123456)


def _nest(depth: int) -> Any:
    return {"depth": depth, "inner": [_nest(depth - 1)] if depth else []}


VECTORS: Dict[str, Callable[[], Any]] = {  # noqa: UP006 - as above
    "nested": lambda: _nest(5),
    "empty_values": lambda: {"dict": {}, "list": [], "text": ""},
    "none_inside": lambda: {"dict": {"x": None}, "list": [None, 1, None]},
    "unicode_bmp": lambda: "Grüße, Ελληνικά, 日本語",
    "unicode_astral": lambda: "\U0001f680\U0001d49c",
    "line_separators": lambda: "a\u2028b\u2029c",
    "combining": lambda: "e\u0301 is not \u00e9",
    "control_characters": lambda: "".join(map(chr, range(32))) + "\x7f",
    "bytes": lambda: b"\xff\xfe\x00\x80",
    "float_sum": lambda: 0.1 + 0.2,
    "negative_zero": lambda: -0.0,
    "large_float": lambda: 1e308,
    "beyond_double": lambda: 2**53 + 1,
    "beyond_int64": lambda: 2**63,
    "booleans": lambda: [True, 1, False, 0],
    "aware_datetime": lambda: dt.datetime(
        *_DAY, tzinfo=dt.timezone(dt.timedelta(hours=5, minutes=30))
    ),
    "naive_datetime": lambda: dt.datetime(*_DAY),  # noqa: DTZ001 - the point of this vector
    "uuid": lambda: uuid.UUID("12345678-1234-4678-9234-567812345678"),
    "decimal": lambda: Decimal("1.10"),
    "int_keys": lambda: {1: "one", 2: "two"},
    "long_text": lambda: "0123456789abcdef" * 4096,
}
"""Value by case; each travels inside {"case": …, "value": …}, because a message is a mapping."""


def envelop(case: str) -> Dict[str, Any]:  # noqa: UP006 - as above
    """The message of a case."""
    return {"case": case, "value": VECTORS[case]()}


def find_difference(sent: Any, got: Any, path: str = "$") -> str:
    """Where and how two values differ, types included; "" when they don't."""
    if type(sent) is not type(got):
        return f"{path}: {type(sent).__name__} came back as {type(got).__name__}"
    if isinstance(sent, dict):
        return _compare_keys(sent, got, path) or _first(
            find_difference(sent[key], got[key], f"{path}.{key}") for key in sent
        )
    if isinstance(sent, (list, tuple)):
        if len(sent) != len(got):
            return f"{path}: {len(sent)} elements came back as {len(got)}"
        return _first(
            find_difference(a, b, f"{path}[{n}]")
            for n, (a, b) in enumerate(zip(sent, got))  # noqa: B905
        )
    return "" if _is_same(sent, got) else f"{path}: another {type(sent).__name__}"


def _compare_keys(sent: Dict[Any, Any], got: Dict[Any, Any], path: str) -> str:  # noqa: UP006 - as above
    mine, theirs = ({(type(key), key) for key in each} for each in (sent, got))
    if mine == theirs:
        return ""
    kinds = " and ".join(sorted({kind.__name__ for kind, _ in theirs})) or "none"
    return f"{path}: other keys, of type {kinds}"


def _first(found: Any) -> str:
    return next((each for each in found if each), "")


def _is_same(sent: Any, got: Any) -> bool:
    if isinstance(sent, float):
        return sent == got and math.copysign(1, sent) == math.copysign(1, got)
    if isinstance(sent, dt.datetime):
        return bool(sent == got) and sent.utcoffset() == got.utcoffset()
    return bool(sent == got) and str(sent) == str(got)


# --- the product's side -------------------------------------------------------------------------

Field = Tuple[bytes, bytes]  # noqa: UP006 - as above


def load(place: str, default: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The function at `package.module:name`, or the default when no place is given."""
    if not place:
        return default
    module, _, names = place.partition(":")
    found: Any = importlib.import_module(module)
    for name in names.split("."):
        found = getattr(found, name)
    if not callable(found):
        raise TypeError(f"{place} can't be called")
    return found  # type: ignore[no-any-return]


def to_fields(encoded: Any, field: str) -> List[Field]:  # noqa: UP006 - as above
    """What the product's Redis client would send; like redis-py it refuses what is no text, bytes
    or number.
    """
    pairs = encoded.items() if isinstance(encoded, dict) else [(field, encoded)]
    fields = [(_to_bytes(key), _to_bytes(value)) for key, value in pairs]
    if not fields:
        raise ValueError("an entry without fields")
    return fields


def _to_bytes(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise TypeError(f"the Redis client refuses a value of type {type(value).__name__}")
    return value.encode() if isinstance(value, str) else repr(value).encode()


def from_fields(fields: List[Field], *, single: bool, text: bool) -> Any:  # noqa: UP006 - as above
    """What the product's Redis client would hand to `decode`: a mapping, or the only value."""
    pairs: List[Any] = [(k.decode(), v.decode()) for k, v in fields] if text else list(fields)  # noqa: UP006
    return pairs[0][1] if single else dict(pairs)


def encode_case(case: str, encode: Callable[[Any], Any], request: Dict[str, Any]) -> Dict[str, Any]:  # noqa: UP006
    """One case encoded: {"fields": pairs in base64, "single": …}."""
    encoded = encode(envelop(case))
    fields = [[_pack(part) for part in pair] for pair in to_fields(encoded, request["field"])]
    return {"fields": fields, "single": not isinstance(encoded, dict)}


def decode_case(case: str, decode: Callable[[Any], Any], request: Dict[str, Any]) -> Dict[str, Any]:  # noqa: UP006
    """One case decoded and compared: {"difference": …}."""
    entry = request["entries"][case]
    fields = [(base64.b64decode(key), base64.b64decode(value)) for key, value in entry["fields"]]
    got = decode(from_fields(fields, single=entry["single"], text=request["text"]))
    return {"difference": find_difference(envelop(case), got)[:200]}


Work = Callable[[str, Callable[[Any], Any], Dict[str, Any]], Dict[str, Any]]  # noqa: UP006 - as above


def _pack(part: bytes) -> str:
    return base64.b64encode(part).decode()


def main() -> None:
    """Answer one request. What the codec prints goes nowhere near the answers."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    request = json.load(sys.stdin)
    sys.path[:0] = request["path"]
    encoding = request["phase"] == "encode"
    work: Work = encode_case if encoding else decode_case
    try:
        function = load(request[request["phase"]], json.dumps if encoding else json.loads)
    except BaseException as error:  # noqa: BLE001 - a product's import may end in anything, SystemExit included
        _answer(answers, {"broken": describe(error)})
        return
    for case in request["cases"]:
        _answer(answers, {"case": case, "begun": True})
        try:
            answer = work(case, function, request)
        except BaseException as error:  # noqa: BLE001 - as above
            answer = {"error": describe(error)}
        _answer(answers, {"case": case, **answer})


def describe(error: BaseException) -> str:
    """Type and text, short: it is about vectors, never about the product's data."""
    return f"{type(error).__name__}: {error}"[:200]


def _answer(answers: Any, answer: Dict[str, Any]) -> None:  # noqa: UP006 - as above
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
