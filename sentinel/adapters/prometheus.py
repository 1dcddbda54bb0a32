"""Prometheus: one number of an expression, by its HTTP API."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

from sentinel.adapters.http.client import HttpClient
from sentinel.core.foreign.document import read_foreign_json
from sentinel.errors import SubjectError

MAX_BODY = 65_536


async def ask_number(client: HttpClient, query: str, seconds: float) -> float:
    """The one number of an expression now. Raises TargetError: nobody answers, the expression is
    wrong, or it gives no number, or several.
    """
    path = f"/api/v1/query?{urlencode({'query': query})}"
    response = await client.request("GET", path, timeout=seconds, max_body=MAX_BODY)
    try:
        document = read_foreign_json(response.body)
    except ValueError as error:
        raise SubjectError(
            f"what answers is no Prometheus: {error}", "name its address as the resource"
        ) from error
    if not isinstance(document, dict) or document.get("status") != "success":
        told = str(document.get("error", "") if isinstance(document, dict) else "")[:300]
        raise SubjectError(
            f"it refuses the expression ({response.status}): {told}", "correct the expression"
        )
    return _read_number(document.get("data"))


def _read_number(data: Any) -> float:
    found = list(_values(data)) if isinstance(data, dict) else []
    if len(found) != 1:
        many = f"{len(found)} series" if found else "no series"
        raise SubjectError(f"the expression gives {many}", "write one that gives one number")
    try:
        number = float(found[0][1])
    except (TypeError, ValueError, LookupError) as error:
        raise SubjectError("the expression gives no number", "write one that does") from error
    if not math.isfinite(number):
        raise SubjectError(f"the expression gives {number}", "nothing was there to count")
    return number


def _values(data: Mapping[str, Any]) -> Iterator[Any]:
    """[instant, value] of a scalar, or of every series."""
    result = data.get("result")
    if data.get("resultType") == "scalar":
        yield result
    elif isinstance(result, list):
        yield from (each.get("value") for each in result if isinstance(each, dict))
