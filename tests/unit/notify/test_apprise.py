"""Apprise, really sending to receivers on this machine: what each target has, and why one has not."""

from __future__ import annotations

import asyncio
import json
import socket

import pytest
from aiohttp import web
from pydantic import SecretStr, ValidationError

from sentinel.adapters import apprise_worker
from sentinel.config.secrecy import find_secrets
from sentinel.config.value import ConfiguredChannel
from sentinel.core.fault import Severity
from sentinel.core.model import ErrorClass
from sentinel.core.notice import Tidings
from sentinel.core.notice.storm import StormLimit
from sentinel.errors import NotDelivered
from sentinel.notify import ChannelRoom, apprise
from sentinel.redaction import Redaction
from tests.unit.notify.rig import HOSTILE, HttpSink, http_sink, mail_sink, make_notice


@pytest.fixture
async def sink():
    """An HTTP receiver."""
    async with http_sink() as made:
        yield made


@pytest.fixture
def room() -> ChannelRoom:
    """Where the channel works."""
    return ChannelRoom("team", patience=5.0)


def at(sink: HttpSink, path: str = "hook", query: str = "") -> str:
    """A receiver's address as Apprise writes it."""
    return f"json://{sink.url.removeprefix('http://')}/{path}{query}"


def to(*addresses: str, **more) -> apprise.AppriseOptions:
    """Options with these addresses, as they were read."""
    given = {"deadline": 30.0, "addresses": SecretStr(" ".join(addresses)), **more}
    return apprise.AppriseOptions.model_construct(**given)


def read(*addresses: str) -> apprise.AppriseOptions:
    """Options, when they are read."""
    given = {"addresses": SecretStr(" ".join(addresses))}
    return apprise.AppriseOptions.model_validate(given)


async def fail(options, room, notice=None) -> NotDelivered:
    """The error of one try."""
    with pytest.raises(NotDelivered) as caught:
        await apprise.send(options, room, notice or make_notice())
    return caught.value


async def test_a_notice_by_web_and_mail(sink, room) -> None:
    """Each has it once, with title, runbook and link; lines stay lines."""
    async with mail_sink() as post:
        mail = (
            f"mailto://127.0.0.1:{post.port}?from=s@example.org&to=oncall@example.org&mode=insecure"
        )
        await apprise.send(to(at(sink), mail), room, make_notice())
    document = json.loads(sink.posts[0])
    assert (document["title"], document["type"]) == ("[trial] bus is down", "failure")
    link = "http://127.0.0.1:9130/incident/i-1"
    assert document["message"].splitlines() == ["bus is down", "runbook: port-unreachable", link]
    ((_, got),) = post.mails
    assert got["Subject"] == "[trial] bus is down"
    text = got.get_body(("plain", "html")).get_content()
    assert "runbook: port-unreachable" in text
    assert link in text
    assert len(sink.posts) == 1


@pytest.mark.parametrize(
    ("told", "severity", "said"),
    [
        (Tidings.RECOVERED, Severity.PAGE, "success"),
        (Tidings.OPENED, Severity.TICKET, "warning"),
        (Tidings.OPENED, Severity.INFO, "info"),
    ],
)
def test_what_it_is_shows_in_its_type(told, severity, said) -> None:
    """Services colour by it."""
    assert apprise.write_message(make_notice(told, severity=severity))["type"] == said


def test_no_markup_is_found_in_what_others_wrote() -> None:
    """Whatever the markup of the service: no tag, no mention, no link behind other words."""
    text = apprise.make_inert(f"{HOSTILE} @everyone <b>x</b> [bank](http://evil)")
    assert not {"<", ">", "@"} & set(text)
    assert "](" not in text


async def test_who_has_it_does_not_get_it_again(sink, room) -> None:
    """Retries of its own are off, also where an address asks for them; the other one gets it later."""
    status = {"/bad": 503}
    sink.answer = lambda request: web.Response(status=status.get(request.path, 200))
    options = to(at(sink, "good"), at(sink, "bad", "?retry=5&wait=0.1"))
    error = await fail(options, room)
    assert error.message == "address 2 of 2 (json) answered 503"
    assert error.error_class is ErrorClass.TEMPORARY
    assert sorted(path for _, path, _, _ in sink.got) == ["/bad", "/good"]
    status.clear()
    await apprise.send(options, room, make_notice())
    assert [path for _, path, _, _ in sink.got].count("/good") == 1
    assert room.reached == {}


async def test_a_service_is_judged_by_its_code(sink, room) -> None:
    """As a channel of our own is; a redirect takes no notice elsewhere."""
    said = {
        "/429": web.Response(status=429, headers={"Retry-After": "120"}, text="all is well"),
        "/400": web.Response(status=400),
        "/302": web.Response(status=302, headers={"Location": "/elsewhere"}),
    }
    sink.answer = lambda request: said[request.path]
    options = to(*(at(sink, path[1:], "?redirect=yes") for path in said))
    error = await fail(options, room)
    assert error.message == (
        "address 1 of 3 (json) answered 429; address 2 of 3 (json) answered 400;"
        " address 3 of 3 (json) answered 302"
    )
    assert (error.error_class, error.retry_after, error.arrived) == (
        ErrorClass.TEMPORARY, 120.0, False,
    )  # fmt: skip
    assert len(sink.got) == 3


@pytest.mark.parametrize(
    ("classes", "summed_up"),
    [
        ([ErrorClass.PERMANENT, ErrorClass.OURS], ErrorClass.OURS),
        ([ErrorClass.OURS, ErrorClass.TEMPORARY], ErrorClass.TEMPORARY),
        ([ErrorClass.PERMANENT], ErrorClass.PERMANENT),
    ],
)
def test_one_that_may_take_it_later_decides(classes, summed_up) -> None:
    """Nobody loses it because another one refuses it."""
    errors = {str(each): NotDelivered("x", error_class=each) for each in classes}
    assert apprise._sum_up(errors).error_class is summed_up


async def test_what_may_have_arrived_is_told_from_what_was_never_sent(sink, room) -> None:
    """No connection: never. A connection and no answer: it may have; the process is ended."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    addresses = (f"json://127.0.0.1:{port}/", "json://no-such-host.invalid/")
    error = await fail(to(*addresses), room)
    assert (error.message, error.arrived) == (
        "address 1 of 2 (json) can't be reached; address 2 of 2 (json) can't be reached", False,
    )  # fmt: skip

    async def trickle(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(status=200)
        await answer.prepare(request)
        while True:  # each byte is in time, and the whole never is
            await answer.write(b"x")
            await asyncio.sleep(0.1)

    answers = {"/never": lambda _: asyncio.sleep(60), "/slowly": trickle}
    sink.answer = lambda request: answers[request.path](request)
    options = to(at(sink, "never"), at(sink, "slowly"), deadline=6.0)
    error = await fail(options, ChannelRoom("team", patience=0.3))
    assert (error.message, error.arrived) == (
        "address 1 of 2 (json) did not answer; address 2 of 2 (json) was not taken", True,
    )  # fmt: skip


@pytest.mark.nightly
async def test_an_answer_without_an_end_takes_no_memory_of_ours(sink, room) -> None:
    """Apprise reads it whole: its process has a limit, long before its deadline."""
    sent: list[int] = []

    async def flood(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(status=200)
        await answer.prepare(request)
        while True:
            await answer.write(b"x" * 2**20)
            sent.append(2**20)

    sink.answer = flood
    error = await fail(to(at(sink), deadline=120.0), room)
    assert (error.message, error.arrived) == ("address 1 of 1 (json) was not taken", True)
    assert sum(sent) < 2 * apprise_worker.MAX_MEMORY


# -- at validate ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("addresses", "said"),
    [
        ([], "holds 0 addresses"),
        (["json://127.0.0.1/"] * 21, "holds 21 addresses"),
        (["json://127.0.0.1/", "nosuch://s3cret/x"], r"address 2 of 2 \(nosuch\) is no address"),
        (["mailto://u:s3cret@h.org?to=a@x.org,b@x.org"], r"\(mailto\) has 2 recipients"),
    ],
)
def test_an_address_that_is_none_is_refused(addresses, said) -> None:
    """By its number; what it holds is not shown."""
    with pytest.raises(ValidationError, match=said) as caught:
        read(*addresses)
    assert "s3cret" not in str(caught.value)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of what Apprise reads
def test_one_message_stays_one_and_is_tried_once() -> None:
    """A message in two parts, of which one arrives, would be sent again as a whole; retries of its
    own count as recipients there.
    """
    discord = (
        "discord://123456789012345678/abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOP?overflow=split"
    )
    (service, other) = apprise_worker.load([discord, "json://127.0.0.1/?retry=5&redirect=yes"])
    calls = service._build_send_calls(body="x" * 5000, title="t", body_format="text")
    assert len(list(calls)) == 1
    assert (len(other), other.retry, other.redirects) == (1, 0, False)


def test_without_the_extra_one_error_says_how_to_get_it(monkeypatch, tmp_path) -> None:
    """When the configuration is read; nothing of sentinel needs it."""
    worker = tmp_path / "worker.py"
    source = apprise_worker.__file__
    worker.write_text(f"import sys\nsys.modules['apprise'] = None\nexec(open({source!r}).read())\n")
    monkeypatch.setattr(apprise_worker, "__file__", str(worker))
    with pytest.raises(ValidationError) as caught:
        read("json://127.0.0.1:7/without")
    (found,) = caught.value.errors()
    assert found["msg"] == "needs Apprise, which is not there"
    assert found["ctx"]["remedy"] == "install its library: pip install 'sentinel-sre[notify]'"


def test_what_is_secret_in_an_address_is_hidden_wherever_it_stands() -> None:
    """Whole, in parts, and decoded; hosts and plain words stay readable."""
    options = to(
        "tgram://123456789:ABCdefghIJKLmnopQRSTuvwxyz123456789/-1001234567890/",
        "json://someone:pass%40word@hooks.example.org/services/T0k3nT0k3n?-X-Key=k3yk3yk3y",
    )
    channel = ConfiguredChannel("all", "apprise", options, StormLimit())
    scrub = Redaction(find_secrets((), (), channels=[channel])).scrub
    secrets = ("ABCdefghIJKLmnopQRSTuvwxyz123456789", "pass@word", "T0k3nT0k3n", "k3yk3yk3y")
    for secret in secrets:
        assert secret not in scrub(f"POST /x/{secret}/y failed")
    assert scrub("hooks.example.org: services") == "hooks.example.org: services"
    assert "s3cret" not in repr(to("json://u:s3cret@127.0.0.1/"))
