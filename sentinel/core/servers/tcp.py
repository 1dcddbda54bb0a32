"""Judging a conversation over TCP. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sentinel.core.fault import Fault, Status
from sentinel.core.quantity import format_duration


@dataclass(frozen=True, slots=True)
class TcpLimits:
    """What a good conversation is: text in the answer, seconds to connect; "" and None ask for
    nothing.
    """

    expect: str = ""
    connect: float | None = None


def judge_conversation(
    place: str, connected: float, answer: bytes, limits: TcpLimits
) -> Iterator[Fault]:
    """What is wrong with a place that accepted after `connected` seconds and said `answer`."""
    if limits.expect.encode() not in answer:
        said = ascii(answer[:80].decode(errors="replace")) if answer else "nothing"
        text = f"{place}: answered {said}, expected {limits.expect!a}"
        guidance = "is it the right service that answers?"
        yield Fault("wrong_answer", {}, Status.DOWN, text, guidance=guidance)
    elif limits.connect is not None and connected > limits.connect:
        text = (
            f"{place}: connected in {format_duration(connected)},"
            f" more than {format_duration(limits.connect)}"
        )
        guidance = "look at the network and the target's load"
        yield Fault("slow", {}, Status.DEGRADED, text, guidance=guidance)
