"""Whatever Apprise knows, a hundred and fifty services: for what has no channel of its own here.

It sends in a process of its own (`adapters/apprise_worker.py`), once: trying again is sentinel's. An
address has one recipient, so what one of them has got is not sent again because another one fails.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr, field_validator

from sentinel.adapters import apprise_worker
from sentinel.adapters.http.client import HttpResponse, read_retry_after
from sentinel.adapters.process.conversation import converse
from sentinel.core.fault import Severity
from sentinel.core.model import ErrorClass
from sentinel.core.notice import Notice, Tidings
from sentinel.errors import NotDelivered
from sentinel.notify import UNREAD, Channel, ChannelOptions, ChannelRoom, judge_answer
from sentinel.strict.field import Duration, refusal

REMEDY = "install its library: pip install 'sentinel-sre[notify]'"
MOST_TARGETS, MAX_OUTPUT = 20, 256 * 1024
CHECKING = 60.0
"""Seconds for a look at the addresses, on a busy machine."""
_ENV = {"LC_ALL": "C.UTF-8", "HOME": "/nonexistent"}
_SCHEME = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]{0,19})://")
_TYPES = {Severity.PAGE: "failure", Severity.TICKET: "warning", Severity.INFO: "info"}
_INERT = str.maketrans({"<": "‹", ">": "›", "@": "＠"})
"""Each service has a markup of its own: what begins a tag or a mention in any of them is written
with a sign that looks like it.
"""


class AppriseOptions(ChannelOptions):
    """Whose addresses; each may hold a secret, so all are one."""

    addresses: SecretStr = Field(
        description="a blank between two, each of one recipient, from the environment; or"
        " addresses_file",
        examples=['"${APPRISE_ADDRESSES}"'],
    )
    deadline: Duration = Field(30.0, gt=0, le=300, description="time for one notice")

    @field_validator("addresses")
    @classmethod
    def _are_known(cls, given: SecretStr) -> SecretStr:
        if given.get_secret_value() != UNREAD:
            check_addresses(tuple(given.get_secret_value().split()))
        return given


@lru_cache(maxsize=16)
def check_addresses(addresses: Sequence[str]) -> None:
    """Raises a refusal for what Apprise does not know, and names no address; also without it."""
    if not 0 < len(addresses) <= MOST_TARGETS:
        raise refusal(
            f"holds {len(addresses)} addresses",
            f"give 1 to {MOST_TARGETS}, with a blank between two",
        )
    for number, seen in _read(_ask_now(addresses), len(addresses)).items():
        name = name_target(number, addresses)
        if not seen.ended:
            raise refusal(f"Apprise ended at {name}", "leave this address out")
        if not seen.delivered:
            remedy = "write it as the documentation of Apprise does for this service"
            raise refusal(f"{name} is no address that Apprise knows", remedy)
        if seen.recipients != 1:
            message = f"{name} has {seen.recipients} recipients"
            raise refusal(message, "give each of them an address of its own")


def _ask_now(addresses: Sequence[str]) -> bytes:
    try:
        done = subprocess.run(
            _argv(), input=_request(addresses, check=True), timeout=CHECKING, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=_ENV, cwd="/",
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        message = f"Apprise did not look at the addresses within {CHECKING:g} s"
        raise refusal(message, "try again when the machine is less busy") from None
    if b'"missing"' in done.stdout:
        raise refusal("needs Apprise, which is not there", REMEDY)
    return done.stdout


def _argv() -> list[str]:
    return [sys.executable, "-I", "-B", str(Path(apprise_worker.__file__))]


def _request(addresses: Sequence[str], *, check: bool, **more: Any) -> bytes:
    return json.dumps({"addresses": list(addresses), "check": check, **more}).encode()


def name_target(number: int, addresses: Sequence[str]) -> str:
    """`address 2 of 3 (ntfy)`: what stands behind the scheme may be a secret."""
    scheme = _SCHEME.match(addresses[number])
    return f"address {number + 1} of {len(addresses)} ({scheme[1].lower() if scheme else '?'})"


# -- what was seen of each target -----------------------------------------------------------------


@dataclass(slots=True)
class _Seen:
    ended: bool = False
    delivered: bool = False
    recipients: int = 0
    latest: Mapping[str, Any] = field(default_factory=dict)


def _read(output: bytes, number: int) -> dict[int, _Seen]:
    """By target; of a target of which nothing was seen, nothing."""
    seen = {n: _Seen() for n in range(number)}
    for line in output.split(b"\n")[:-1]:
        facts = json.loads(line)
        target = seen.get(facts["target"], _Seen())
        if "ok" in facts:
            target.ended, target.delivered = True, facts["ok"]
            target.recipients = facts.get("recipients", 0)
        elif "seen" in facts:
            target.latest = facts
    return seen


def _judge(seen: _Seen) -> NotDelivered | None:
    """None when it was delivered; else by the latest that was seen of it."""
    if seen.delivered:
        return None
    what = seen.latest.get("seen", "")
    if what == "status" and not 200 <= seen.latest["status"] < 300:
        return _judge_status(seen.latest["status"], seen.latest["wait"])
    if what == "unreached":
        return NotDelivered("can't be reached")
    if not what and seen.ended:
        guidance = "look at this address: Apprise did not even try it"
        return NotDelivered("was not sent", guidance, error_class=ErrorClass.OURS)
    if not what:
        return NotDelivered("was not sent in time")
    return NotDelivered("did not answer" if what == "connected" else "was not taken", arrived=True)


def _judge_status(status: int, wait: str) -> NotDelivered:
    answer = HttpResponse(status, {}, b"", 0.0, False, read_retry_after(status, wait))
    try:
        judge_answer(answer)
    except NotDelivered as error:
        return error
    raise ValueError(status)


# -- one notice -----------------------------------------------------------------------------------


def write_message(notice: Notice) -> dict[str, str]:
    """Title and plain text, in which nothing is markup, and the link."""
    good = notice.is_over or notice.told is Tidings.ACKNOWLEDGED
    link = f"\n{notice.link}" if notice.link else ""
    return {
        "title": make_inert(" ".join(notice.title.split())),
        "body": f"{make_inert(notice.text)}{link}",
        "type": "success" if good else _TYPES[notice.severity],
    }


def make_inert(text: str) -> str:
    """No tag, no mention, no link behind other words, in whatever markup."""
    return text.translate(_INERT).replace("](", "] (")


async def send(options: AppriseOptions, room: ChannelRoom, notice: Notice) -> None:
    """To each address that has not got it yet. Raises NotDelivered with the first that failed."""
    addresses = options.addresses.get_secret_value().split()
    reached = room.reached.setdefault(notice.key, set())
    wanted = [n for n in range(len(addresses)) if str(n) not in reached]
    request = _request(
        [addresses[n] for n in wanted], check=False,
        patience=min(room.patience, options.deadline), **write_message(notice),
    )  # fmt: skip
    try:
        output, _ = await converse(_argv(), request, _ENV, options.deadline, MAX_OUTPUT)
    except OSError as error:
        raise NotDelivered(f"Apprise can't be started: {error.strerror}") from error
    if b'"missing"' in output:
        message = "needs Apprise, which is not there"
        raise NotDelivered(message, REMEDY, error_class=ErrorClass.OURS)
    errors: dict[str, NotDelivered] = {}
    for n, seen in zip(wanted, _read(output, len(wanted)).values(), strict=True):
        missed = _judge(seen)
        if missed is None:
            reached.add(str(n))
        else:
            errors[name_target(n, addresses)] = missed
    if not any(each.error_class is not ErrorClass.PERMANENT for each in errors.values()):
        del room.reached[notice.key]
    if errors:
        raise _sum_up(errors)


def _sum_up(errors: Mapping[str, NotDelivered]) -> NotDelivered:
    """One error: of a class that lets those be tried again who may take it later."""
    ranked = [ErrorClass.TEMPORARY, ErrorClass.OURS, ErrorClass.PERMANENT]
    worst = min(errors.values(), key=lambda each: ranked.index(each.error_class))
    rests = [each.retry_after for each in errors.values() if each.retry_after is not None]
    return NotDelivered(
        "; ".join(f"{name} {error.message}" for name, error in errors.items()),
        worst.guidance,
        error_class=worst.error_class,
        retry_after=max(rests, default=None),
        arrived=any(each.arrived for each in errors.values()),
    )


CHANNEL = Channel("apprise", "Any service that Apprise knows", AppriseOptions, send)
