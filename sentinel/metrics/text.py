"""The text exposition format: labels, numbers, heads of families. Pure.

https://prometheus.io/docs/instrumenting/exposition_formats/ (0.0.4) and OpenMetrics 1.0; a line of
a sample is the same in both.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

MAX_LABEL = 200
END = b"# EOF\n"
"""The last line of OpenMetrics."""
_METRIC = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*", re.ASCII)
_LABEL = re.compile(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*", re.ASCII)


def safe_label(value: str) -> str:
    """Any text as a label value: no lone surrogates, no control characters, at most 200 characters.

    What had to be changed ends with `~` and a digest of the original, so that two hostile names
    never become one series.
    """
    if value.isprintable() and value.isascii() and len(value) <= MAX_LABEL:
        return value
    clean = value.encode("utf-8", "backslashreplace").decode()
    clean = "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in clean
    )
    if clean == value and len(clean) <= MAX_LABEL:
        return clean
    original = value.encode("utf-8", "surrogatepass")
    digest = hashlib.blake2b(original, digest_size=4).hexdigest()
    return f"{clean[: MAX_LABEL - len(digest) - 1]}~{digest}"


def are_names_valid(metric: str, labels: Sequence[str]) -> bool:
    """Whether a family can be written at all: any other name would end the scrape at its reader."""
    distinct = len({*labels}) == len(labels)
    return bool(_METRIC.fullmatch(metric)) and distinct and all(map(_LABEL.fullmatch, labels))


def list_sample_names(metric: str, kind: str) -> frozenset[str]:
    """What lines and the head of a family begin with: two families must not share any."""
    name = metric.removesuffix("_total") if kind == "counter" else metric
    suffixes = {"counter": ("", "_total"), "histogram": ("", "_bucket", "_count", "_sum")}
    return frozenset(name + suffix for suffix in suffixes.get(kind, ("",)))


def write_label(name: str, value: str) -> str:
    """One label, its value made safe and escaped."""
    safe = safe_label(value)
    if "\\" in safe or '"' in safe:
        safe = safe.replace("\\", r"\\").replace('"', r"\"")
    return f'{name}="{safe}"'


def write_number(value: float) -> str:
    """A figure as both formats take it: the shortest text that is read back as the same number."""
    text = repr(value)
    if text[-1] not in "nf":
        return text
    return "NaN" if text == "nan" else "-Inf" if text[0] == "-" else "+Inf"


def write_head(name: str, kind: str, about: str, *, openmetrics: bool) -> bytes:
    """HELP and TYPE of a family. OpenMetrics names a counter without its `_total`, and escapes
    quotation marks.
    """
    about = about.replace("\\", r"\\").replace("\n", r"\n")
    if openmetrics:
        about = about.replace('"', r"\"")
    elif kind == "counter":
        name += "_total"
    return f"# HELP {name} {about}\n# TYPE {name} {kind}\n".encode("utf-8", "backslashreplace")
