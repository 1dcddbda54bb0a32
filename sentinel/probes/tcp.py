"""Kind `tcp`: does somebody accept connections, in time, and say what is expected?"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pydantic import Field, field_validator, model_validator

from sentinel.adapters.network.resolver import Resolver
from sentinel.adapters.network.tcp import converse
from sentinel.core.fault import FaultKind, Severity, headline, judge
from sentinel.core.model import Finding, Measurement, Row
from sentinel.core.quantity import format_duration
from sentinel.core.servers.tcp import TcpLimits, judge_conversation
from sentinel.errors import TargetUnreachable
from sentinel.probes import Context, Kind, Options, faults_of_target
from sentinel.strict.field import Duration


class TcpOptions(Options):
    """Options of `tcp`."""

    address: str = Field(
        description="host:port, an IPv6 address in brackets: [::1]:5432",
        examples=['"127.0.0.1:5432"'],
    )
    send: str = Field("", description='text to send after connecting, such as "PING\\r\\n"')
    expect: str = Field("", description="text that the answer must contain")
    max_connect: Duration | None = Field(
        None, description="a connection that takes longer is degraded"
    )
    deadline: Duration | None = Field(
        None, description="time for all of it; default: the check's timeout"
    )

    @field_validator("address")
    @classmethod
    def _is_address(cls, address: str) -> str:
        _split(address)
        return address

    @model_validator(mode="after")
    def _asks_for_an_answer(self) -> TcpOptions:
        if self.send and not self.expect:
            raise ValueError(
                "`send` without `expect` proves nothing: add what the answer must contain"
            )
        return self


def _split(address: str) -> tuple[str, int]:
    host, colon, port = address.rpartition(":")
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not (colon and host and port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise ValueError(f"{address!r} is no address: write host:port, such as 127.0.0.1:5432")
    return host, int(port)


class TcpState:
    """The resolver, so that a name that hangs costs one thread and not one per run."""

    __slots__ = ("resolver",)

    def __init__(self, _document: Any = None) -> None:
        self.resolver = Resolver()

    def dump(self) -> Any:
        """Nothing has to survive a restart."""

    async def close(self) -> None:
        """Nothing is held."""


async def run(options: TcpOptions, context: Context) -> Finding:
    """Connect, talk, judge."""
    target = {"target": options.address, "target_type": "tcp"}
    place = f"{context.component} at {options.address}"
    host, port = _split(options.address)
    try:
        talk = await converse(
            host,
            port,
            deadline=options.deadline or 0.95 * context.timeout,
            resolver=context.state.resolver,
            send=options.send.encode(),
            until=options.expect.encode(),
            monotonic=context.monotonic,
        )
    except TargetUnreachable as error:
        fault = replace(error.as_fault(), text=f"{place}: {error.message}")
        rows = [Row(target, {"target_up": 0.0})]
        return Finding(fault.status, fault.text, rows, guidance=fault.guidance, faults=[fault])
    limits = TcpLimits(options.expect, options.max_connect)
    faults = [*judge_conversation(place, talk.connected, talk.answer, limits)]
    took = format_duration(talk.connected)
    rows = [
        Row({}, {"connect_seconds": talk.connected}),
        Row(target, {"target_up": 1.0}),
    ]
    return Finding(
        judge(faults),
        headline(faults) or f"connected in {took}",
        rows,
        guidance=faults[0].guidance if faults else "",
        key=("connect", took),
        faults=faults,
    )


KIND = Kind(
    name="tcp",
    summary="A TCP address: accepts connections, in time, and answers as expected",
    options=TcpOptions,
    run=run,
    faults=(
        *faults_of_target("port-unreachable"),
        FaultKind("wrong_answer", Severity.PAGE, "port-unreachable", "it says something else"),
        FaultKind("slow", Severity.TICKET, "port-unreachable", "it accepts, and slowly"),
    ),
    load_state=TcpState,
    patient=True,
    measurements=(
        Measurement(
            "connect_seconds",
            "Time to connect",
            "sentinel_tcp_connect_seconds",
            unit="seconds",
        ),
        Measurement(
            "target_up",
            "Whether the target answers at all",
            "sentinel_target_up",
            labels=("target", "target_type"),
        ),
    ),
)
