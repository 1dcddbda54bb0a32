"""A canary in the product's own envelope, through the product's own handlers and back
(measurement.md §2.1).

What a handler owes for a ping: its own step `[name, wall clock in ns]` at the end of the JSON list
in the field
`hops`, one entry with all fields to the stream that the ping names (`reply_to`), and then, unless
it is the last hop, the message passed on. So each hop reports to sentinel's own stream, and the
first hop that did not is the failing one.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sentinel.core.canary.letter import VECTORS, Arrival, is_same, read_sequence

PING = "sentinel.ping"
HANDLER = "handler"
"""The only leg through the product when no hops are named."""
ENVELOPE: Mapping[str, str] = {
    "type": PING,
    "id": "{id}",
    "reply_to": "{reply_to}",
    "traceparent": "{traceparent}",
    "body": "{body}",
}
PLACEHOLDERS = ("id", "uuid", "reply_to", "traceparent", "instant", "body")
_PLACE = re.compile(r"\{(" + "|".join(PLACEHOLDERS) + r")\}")
_VARIES = re.compile(r"\{(traceparent|instant)\}")
_COMPARED = re.compile(r"\{(id|body)\}")
MAX_HOPS = 100


def find_id_field(envelope: Mapping[str, str]) -> str:
    """The field that is the ping's id and nothing else; "" when there is none."""
    return next((name for name, template in envelope.items() if template == "{id}"), "")


def find_faults(envelope: Mapping[str, str]) -> list[str]:
    """What keeps an envelope from being answered, in words."""
    faults = []
    if not find_id_field(envelope):
        faults.append('one field must be "{id}" and nothing else: sentinel knows the answer by it')
    if not any("{reply_to}" in template for template in envelope.values()):
        faults.append('a field must contain "{reply_to}": the handler answers there')
    return faults


def body_of(seq: str) -> str:
    """What the handler's codec must carry unchanged, as JSON."""
    return json.dumps(
        {"seq": seq, "vectors": VECTORS}, ensure_ascii=False, separators=(",", ":"), sort_keys=True
    )


def uuid_of(seq: str) -> str:
    """A UUID that belongs to this ping, for envelopes whose ids must be UUIDs."""
    return str(uuid.UUID(bytes=hashlib.blake2b(seq.encode(), digest_size=16).digest(), version=4))


@dataclass(frozen=True, slots=True)
class PingLetter:
    """Pings by a template. `steps`: hops that report, in order; none: any answer is the final one."""

    envelope: tuple[tuple[str, str], ...]
    reply_to: str
    steps: tuple[str, ...] = ()
    hops_field: str = "hops"

    @property
    def hops(self) -> tuple[str, ...]:
        """The legs through the product."""
        return self.steps or (HANDLER,)

    def write(self, seq: str, traceparent: str, instant: str) -> list[bytes]:
        """Stream fields (name, value, …)."""
        values = self._values(seq) | {"traceparent": traceparent, "instant": instant}
        return [
            part.encode()
            for name, template in self.envelope
            for part in (name, _fill(template, values))
        ]

    def read(self, fields: Sequence[bytes]) -> Arrival | None:
        """What an answer says; None when it carries no id of ours, or a hop that nobody named."""
        values = dict(zip(fields[::2], fields[1::2], strict=False))
        seq = read_sequence(values.get(find_id_field(dict(self.envelope)).encode(), b""))
        if seq is None:
            return None
        passed = read_hops(values.get(self.hops_field.encode(), b""))
        if not self.steps:
            return Arrival(seq, self._is_intact(seq, values), passed=passed)
        if not passed or passed[-1][0] not in self.steps:
            return None
        return Arrival(seq, self._is_intact(seq, values), passed[-1][0] == self.steps[-1], passed)

    def _values(self, seq: str) -> dict[str, str]:
        return {"id": seq, "uuid": uuid_of(seq), "reply_to": self.reply_to, "body": body_of(seq)}

    def _is_intact(self, seq: str, values: Mapping[bytes, bytes]) -> bool:
        """Whether every field that carries the id or the body came back: byte for byte, or as equal
        JSON.
        """
        known = self._values(seq)
        compared = [
            (n, t) for n, t in self.envelope if _COMPARED.search(t) and not _VARIES.search(t)
        ]
        return all(
            _is_equal(values.get(name.encode()), _fill(template, known))
            for name, template in compared
        )


def _fill(template: str, values: Mapping[str, str]) -> str:
    return _PLACE.sub(lambda match: values[match[1]], template)


def _is_equal(came: bytes | None, sent: str) -> bool:
    if came is None or came == sent.encode():
        return came is not None
    try:
        return is_same(json.loads(came), json.loads(sent))
    except (ValueError, RecursionError):
        return False


def read_hops(text: bytes) -> tuple[tuple[str, int], ...]:
    """(hop, wall clock in ns) in order, from a JSON list of pairs; none of anything else."""
    try:
        steps: Any = json.loads(text)
        return tuple((str(name), int(ns)) for name, ns, *_ in steps[-MAX_HOPS:])
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return ()


def find_failing_hop(hops: Sequence[str], passed: Sequence[str]) -> str:
    """The first hop of which nothing was heard; the last one when all were heard of."""
    return next((hop for hop in hops if hop not in passed), hops[-1])


def measure_legs(hops: Sequence[str], begun: int, reports: Mapping[str, int]) -> dict[str, float]:
    """Seconds of each hop, from entry ids in milliseconds of the server's clock: since the hop
    before reported.

    A leg whose beginning or end was not reported is left out.
    """
    marks: list[int | None] = [begun, *(reports.get(hop) for hop in hops)]
    return {
        hop: max(0, end - start) / 1000
        for hop, start, end in zip(hops, marks, marks[1:], strict=False)
        if start is not None and end is not None
    }
