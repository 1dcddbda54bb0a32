"""What a codec did to test values that nobody accepts: which case, and how it came back. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from sentinel.core.bus.finding import UNJUDGED
from sentinel.core.bus.naming import quote
from sentinel.core.fault import Fault, FaultKind, Severity, Status

LOSSY, ERROR, PASS = "lossy", "error", "pass"
CODEC_KINDS = (
    FaultKind(LOSSY, Severity.TICKET, "bus-codec", "a value comes back changed"),
    FaultKind(ERROR, Severity.TICKET, "bus-codec", "a value is refused by the codec"),
    FaultKind(
        UNJUDGED,
        Severity.INFO,
        "sentinel-blind",
        "a case was not asked, or a stream can't be sampled",
        ("stream",),
    ),
)
_GUIDANCE = (
    "make the codec keep this type (bytes as base64, times as ISO text with offset, Decimal and"
    " UUID as text with a mark of their type), or name the case in {}"
)


@dataclass(frozen=True, slots=True)
class Roundtrip:
    """How one case ended: pass, lossy or error, and what differed."""

    result: str
    detail: str = ""


def list_unexpected(
    results: Mapping[str, Roundtrip], expected: Mapping[str, Collection[str]]
) -> dict[str, Roundtrip]:
    """The cases whose bad result nobody accepts; `expected` are the accepted ones by result."""
    return {
        case: each
        for case, each in results.items()
        if each.result != PASS and case not in expected[each.result]
    }


def find_codec_faults(
    codec: str,
    unexpected: Mapping[str, Roundtrip],
    unasked: Sequence[str],
    unreadable: Mapping[str, str],
) -> list[Fault]:
    """Each bad case, then the cases that were not asked, then streams that can't be sampled (by
    name, with the problem).
    """
    bad = [_make_bad(codec, case, each) for case, each in unexpected.items()]
    open_cases = [_make_unasked(codec, case) for case in unasked]
    return [*bad, *open_cases, *(_make_unreadable(*item) for item in unreadable.items())]


def _make_bad(codec: str, case: str, each: Roundtrip) -> Fault:
    return Fault(
        each.result,
        {"codec": codec, "case": case},
        Status.DEGRADED,
        f"codec {codec}: {case} {each.result}: {each.detail}",
        guidance=_GUIDANCE.format(f"expected_{each.result}"),
    )


def _make_unasked(codec: str, case: str) -> Fault:
    return Fault(
        UNJUDGED,
        {"codec": codec, "case": case},
        Status.UNKNOWN,
        f"codec {codec}: {case} was not asked, the codec hung or died before",
        guidance="mend the case that failed first",
    )


def _make_unreadable(stream: str, problem: str) -> Fault:
    return Fault(
        UNJUDGED,
        {"stream": stream},
        Status.UNKNOWN,
        f"stream {quote(stream)}: its entries can't be sampled: {problem}",
        guidance="correct `streams`, or exclude it",
        parameters={"stream": stream},
    )
