"""What every channel sends, to receivers that are there: forms, answers by code, hostile texts."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import socket
import ssl
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
import structlog
from aiohttp import web
from aiosmtpd.smtp import AuthResult
from pydantic import SecretStr, ValidationError
from structlog.testing import capture_logs

from sentinel.core.fault import Severity
from sentinel.core.model import ErrorClass
from sentinel.core.notice import Tidings
from sentinel.errors import NotDelivered
from sentinel.notify import ChannelRoom, load_channels
from tests.conftest import require_tool
from tests.unit.notify.rig import HOSTILE, T0, http_sink, mail_sink, make_notice

SHELF = load_channels()


@pytest.fixture
async def room():
    """Where a channel works."""
    made = ChannelRoom("team", lambda: T0, patience=5.0)
    yield made
    await made.close()


@pytest.fixture
async def sink():
    """An HTTP receiver."""
    async with http_sink() as made:
        yield made


def options(kind: str, **given):
    """The options of a kind."""
    return SHELF[kind].options.model_validate(given)


async def send(kind: str, given, room, notice=None) -> None:
    """One notice on a channel."""
    await SHELF[kind].send(given, room, notice or make_notice())


async def test_the_log_tells(room) -> None:
    """One warning with the key, the subject and the text."""
    structlog.reset_defaults()
    with capture_logs() as lines:
        await send("log", options("log"), room)
    (line,) = lines
    assert (line["event"], line["log_level"]) == ("notification", "warning")
    assert (line["key"], line["subject"]) == ("i-1/opened/1@team", "bus")


async def test_a_webhook_is_signed(room, sink) -> None:
    """Over the time and the very bytes; its key tells a repetition."""
    secret = "s3cret-of-both"
    given = options("webhook", address=f"{sink.url}/hook?a=b", secret=SecretStr(secret))
    await send("webhook", given, room, make_notice(key="ä/\r\nX: y", text=HOSTILE))
    ((method, path, headers, body),) = sink.got
    assert (method, path) == ("POST", "/hook?a=b")
    moment, _, signature = headers["x-sentinel-signature"].partition(",v1=")
    signed = f"{moment.removeprefix('t=')}.".encode() + body
    assert hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest() == signature
    assert moment == f"t={int(T0.timestamp())}"
    assert headers["idempotency-key"] == "\\xe4/  X: y"
    assert "x" not in headers
    document = json.loads(body)
    assert document["text"] == HOSTILE
    assert (document["event"], document["severity"], document["over"]) == ("opened", "page", False)


async def test_slack_finds_no_markup_in_what_others_wrote(room, sink) -> None:
    """No mention, no link, no channel; the title is what a phone shows."""
    given = options("slack", address=SecretStr(f"{sink.url}/services/T/B/x"))
    await send("slack", given, room, make_notice(title="<!channel> & <@U1>", text=HOSTILE))
    document = json.loads(sink.posts[0])
    assert document["text"] == "&lt;!channel&gt; &amp; &lt;@U1&gt;"
    (attachment,) = document["attachments"]
    said, _, link = attachment["text"].rpartition("\n")
    assert "<" not in said
    assert ">" not in said
    assert link == "<http://127.0.0.1:9130/incident/i-1|open it>"
    assert (document["mrkdwn"], attachment["mrkdwn_in"]) == (False, [])
    await send("slack", given, room, make_notice(link="http://h/a|b><!here>"))
    text = json.loads(sink.posts[1])["attachments"][0]["text"]
    assert text.endswith("\n<http://h/a%7Cb%3E%3C!here%3E|open it>")


@pytest.mark.parametrize(
    ("told", "action"),
    [
        (Tidings.OPENED, "trigger"),
        (Tidings.WORSE, "trigger"),
        (Tidings.EXHAUSTED, "trigger"),
        (Tidings.ACKNOWLEDGED, "acknowledge"),
        (Tidings.RECOVERED, "resolve"),
        (Tidings.CLOSED, "resolve"),
    ],
)
async def test_pagerduty_hears_of_one_affair(room, sink, told, action) -> None:
    """Under one key, whatever is told of it."""
    given = options("pagerduty", routing_key=SecretStr("R" * 32), address=f"{sink.url}/v2/enqueue")
    await send("pagerduty", given, room, make_notice(told, text=HOSTILE))
    event = json.loads(sink.posts[0])
    assert (event["event_action"], event["dedup_key"]) == (action, "i-1")
    assert event["routing_key"] == "R" * 32
    if action == "trigger":
        assert event["payload"]["severity"] == "critical"
        assert event["payload"]["summary"] == "[trial] bus is down"
        assert event["payload"]["custom_details"]["text"] == HOSTILE
    else:
        assert "payload" not in event


async def test_a_long_name_of_an_affair_is_one_key(room, sink) -> None:
    """255 bytes are all that PagerDuty takes."""
    given = options("pagerduty", routing_key=SecretStr("R" * 32), address=sink.url)
    for told in (Tidings.OPENED, Tidings.RECOVERED):
        await send("pagerduty", given, room, make_notice(told, affair="ä" * 200))
    keys = {json.loads(body)["dedup_key"] for body in sink.posts}
    assert [len(key) for key in keys] == [64]


@pytest.mark.parametrize("told", [Tidings.TEST, Tidings.REPORT])
async def test_what_does_not_last_leaves_nothing_open_at_pagerduty(room, sink, told) -> None:
    """It is resolved at once."""
    given = options("pagerduty", routing_key=SecretStr("R" * 32), address=sink.url)
    await send("pagerduty", given, room, make_notice(told, severity=Severity.INFO))
    actions = [json.loads(body)["event_action"] for body in sink.posts]
    assert actions == ["trigger", "resolve"]


async def test_a_ping_is_a_call_and_a_notice_a_line(room, sink) -> None:
    """In the style of Healthchecks."""
    given = options("ping", address=SecretStr(f"{sink.url}/uuid/"))
    await SHELF["ping"].beat(given, room)
    await send("ping", given, room)
    assert [(path, body) for _, path, _, body in sink.got] == [
        ("/uuid", b""),
        ("/uuid/log", b"[trial] bus is down\nbus is down\nrunbook: port-unreachable"),
    ]


@pytest.mark.parametrize(
    ("status", "headers", "error_class", "retry_after", "arrived"),
    [
        (429, {"Retry-After": "120"}, ErrorClass.TEMPORARY, 120.0, False),
        (429, {}, ErrorClass.TEMPORARY, 30.0, False),
        (503, {"Retry-After": "5"}, ErrorClass.TEMPORARY, 5.0, False),
        (500, {}, ErrorClass.TEMPORARY, None, False),
        (504, {}, ErrorClass.TEMPORARY, None, True),
        (408, {}, ErrorClass.TEMPORARY, None, False),
        (400, {}, ErrorClass.PERMANENT, None, False),
        (413, {}, ErrorClass.PERMANENT, None, False),
        (401, {}, ErrorClass.OURS, None, False),
        (404, {}, ErrorClass.OURS, None, False),
        (302, {"Location": "http://127.0.0.1:1/"}, ErrorClass.OURS, None, False),
    ],
)
async def test_answers_are_judged_by_their_code(
    room, sink, status, headers, error_class, retry_after, arrived
) -> None:
    """Whatever they say in words; a redirect takes no notice elsewhere."""
    sink.answer = lambda _: web.Response(status=status, headers=headers, text="all is well \x1b[2J")
    given = options("webhook", address=sink.url, secret=SecretStr("x"))
    with pytest.raises(NotDelivered) as caught:
        await send("webhook", given, room)
    found = caught.value
    assert (found.error_class, found.retry_after, found.arrived) == (
        error_class, retry_after, arrived,
    )  # fmt: skip
    assert "\x1b" not in found.message
    assert len(sink.got) == 1


async def test_what_may_have_arrived_is_told_from_what_was_never_sent(sink) -> None:
    """No connection, and none in time: it has not arrived. No answer: it may have."""
    room = ChannelRoom("team", patience=0.3)
    given = options("webhook", address="http://127.0.0.1:1/", secret=SecretStr("x"))
    with pytest.raises(NotDelivered) as refused:
        await send("webhook", given, room)
    assert not refused.value.arrived
    sink.answer = lambda _: asyncio.sleep(60)
    given = options("webhook", address=sink.url, secret=SecretStr("x"))
    with pytest.raises(NotDelivered) as unanswered:
        await send("webhook", given, room)
    assert unanswered.value.arrived
    with socket.socket() as full:  # a backlog that takes nobody any more
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        for each in fillers:
            each.setblocking(False)
            each.connect_ex(("127.0.0.1", port))
        given = options("webhook", address=f"http://127.0.0.1:{port}/", secret=SecretStr("x"))
        with pytest.raises(NotDelivered) as never:
            await send("webhook", given, room)
        for each in fillers:
            each.close()
    assert not never.value.arrived
    await room.close()


async def test_a_proof_sends_no_notice(room, sink) -> None:
    """Any answer will do, a refusal too."""
    sink.answer = lambda _: web.Response(status=405)
    given = options("webhook", address=sink.url, secret=SecretStr("x"))
    await SHELF["webhook"].prove(given, room)
    assert [(method, body) for method, _, _, body in sink.got] == [("HEAD", b"")]


# -- mail -----------------------------------------------------------------------------------------


def mail_options(port: int, **given):
    """To a server on this machine, without TLS."""
    whole = {
        "host": "127.0.0.1", "port": port, "tls": "none", "sender": "sentinel@example.org",
        "to": ["oncall@example.org"], "deadline": "5s", **given,
    }  # fmt: skip
    return options("email", **whole)


async def test_a_mail_arrives(room) -> None:
    """In plain text, with a name that is the same at every repetition."""
    async with mail_sink() as sink:
        for _ in range(2):
            await send("email", mail_options(sink.port), room, make_notice(text="büs\n.\nis down"))
    (to, mail), (_, again) = sink.mails
    assert to == ["oncall@example.org"]
    assert mail["Subject"] == "[trial] bus is down"
    assert mail["Message-ID"] == again["Message-ID"]
    assert mail["Auto-Submitted"] == "auto-generated"
    link = "http://127.0.0.1:9130/incident/i-1"
    assert mail.get_content().replace("\r\n", "\n") == f"büs\n.\nis down\n\n{link}\n"
    assert mail.get_content_type() == "text/plain"


async def test_no_text_becomes_a_header_or_an_end(room) -> None:
    """A line break in a name is a blank; a line with a dot alone ends nothing."""
    hostile = make_notice(title=HOSTILE, text=HOSTILE, key=HOSTILE, affair=HOSTILE)
    async with mail_sink() as sink:
        await send("email", mail_options(sink.port), room, hostile)
    ((to, mail),) = sink.mails
    assert to == ["oncall@example.org"]
    assert mail["Bcc"] is None
    assert "Bcc: evil@x.org" in mail["Subject"]
    assert "Bcc: evil@x.org" in mail.get_content()
    assert mail.get_content().rstrip().endswith("/incident/i-1")


@pytest.mark.parametrize(
    ("answer", "error_class"),
    [
        ("451 4.3.0 later", ErrorClass.TEMPORARY),
        ("421 4.7.0 busy", ErrorClass.TEMPORARY),
        ("554 5.7.1 spam", ErrorClass.PERMANENT),
    ],
)
async def test_a_mail_server_is_judged_by_its_code(room, answer, error_class) -> None:
    """4xx may pass, 5xx stays."""
    async with mail_sink() as sink:
        sink.answer = answer
        with pytest.raises(NotDelivered) as caught:
            await send("email", mail_options(sink.port), room)
    assert caught.value.error_class is error_class
    assert not caught.value.arrived


async def test_who_has_a_mail_does_not_get_it_again(room) -> None:
    """One recipient is to be tried later: the other one has it once."""
    to = ["a@example.org", "b@example.org"]
    async with mail_sink() as sink:
        given = mail_options(sink.port, to=to)
        sink.refuse = {"b@example.org": "450 greylisted"}
        with pytest.raises(NotDelivered) as later:
            await send("email", given, room)
        assert later.value.error_class is ErrorClass.TEMPORARY
        sink.refuse = {}
        await send("email", given, room)
        sink.refuse = {"b@example.org": "550 unknown"}
        with pytest.raises(NotDelivered) as never:
            await send("email", given, room, make_notice(key="k2"))
        assert never.value.error_class is ErrorClass.PERMANENT
    assert [who for who, _ in sink.mails] == [to[:1], to[1:], to[:1]]


async def test_a_mail_server_that_hangs_is_left(room) -> None:
    """Behind the mail it may have it; a server that says nothing at all has nothing."""
    async with mail_sink() as sink:
        sink.hang = True
        with pytest.raises(NotDelivered) as caught:
            await send("email", mail_options(sink.port, deadline="500ms"), room)
        assert caught.value.arrived
    with socket.create_server(("127.0.0.1", 0)) as silent:
        given = mail_options(silent.getsockname()[1], deadline="300ms")
        with pytest.raises(NotDelivered) as nothing:
            await send("email", given, room)
        assert not nothing.value.arrived
    with pytest.raises(NotDelivered, match="unreachable"):
        await send("email", mail_options(1), room)


async def test_a_mail_server_that_never_ends_a_reply_is_left(room) -> None:
    """A reply of lines without end costs no memory: it is cut long before the deadline."""
    said = 0

    async def talk(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal said
        with suppress(ConnectionError):
            while True:
                writer.write(b"220-" + b"x" * 1000 + b"\r\n")
                await writer.drain()
                said += 1000
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        given = mail_options(server.sockets[0].getsockname()[1], deadline="60s")
        with pytest.raises(NotDelivered, match="hung up") as caught:
            await send("email", given, room)
    assert (caught.value.arrived, said < 64_000_000) == (False, True)


async def test_no_mail_goes_out_in_the_open_when_tls_is_wanted(room) -> None:
    """A server without STARTTLS gets nothing: a person mends that."""
    async with mail_sink() as sink:
        with pytest.raises(NotDelivered) as caught:
            await send("email", mail_options(sink.port, tls="starttls"), room)
        assert caught.value.error_class is ErrorClass.OURS
    assert sink.mails == []


@pytest.fixture(scope="module")
def certificate(tmp_path_factory) -> Path:
    """A certificate for 127.0.0.1, and its key, in one file."""
    folder = tmp_path_factory.mktemp("tls")
    words = "req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=x -keyout key.pem -out cert.pem"
    more = ["-addext", "subjectAltName=IP:127.0.0.1"]
    program = require_tool("openssl")
    subprocess.run([program, *words.split(), *more], check=True, capture_output=True, cwd=folder)
    return folder


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
async def test_a_mail_goes_out_encrypted_and_with_a_password(room, certificate, tls) -> None:
    """To a server that its issuer vouches for; another one gets neither mail nor password."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    logins: list[bytes] = []

    def authenticate(_server, _session, _envelope, _mechanism, data) -> AuthResult:
        logins.append(data.password)
        return AuthResult(success=data.password == b"right", handled=False)

    given = {"authenticator": authenticate, "auth_require_tls": tls == "starttls"}
    given |= {"tls_context": context} if tls == "starttls" else {"wrapped": context}
    async with mail_sink(**given) as sink:
        whole = {"tls": tls, "user": "me", "password": SecretStr("right")}
        with pytest.raises(NotDelivered, match="certificate") as stranger:
            await send("email", mail_options(sink.port, **whole), room)
        assert stranger.value.error_class is ErrorClass.OURS
        assert (sink.mails, logins) == ([], [])
        whole["ca_file"] = str(certificate / "cert.pem")
        await send("email", mail_options(sink.port, **whole), room)
        assert (len(sink.mails), logins) == (1, [b"right"])
        whole["password"] = SecretStr("wrong")
        with pytest.raises(NotDelivered, match="535") as refused:
            await send("email", mail_options(sink.port, **whole), room)
        assert refused.value.error_class is ErrorClass.OURS


def test_a_password_does_not_go_over_the_network_readable() -> None:
    """Refused when it is read."""
    with pytest.raises(ValidationError, match="readable for whoever listens"):
        mail_options(25, host="mail.example.org", user="me", password=SecretStr("x"))
    assert mail_options(25, user="me", password=SecretStr("x")).user == "me"


@pytest.mark.parametrize("to", ["a@b\r\nBcc: c@d", "A <a@b>", "a", "a@b,c@d", "a b@c"])
def test_an_address_is_an_address(to) -> None:
    """Nothing that a header would take for more than one."""
    with pytest.raises(ValidationError, match="is no mail address"):
        mail_options(25, to=[to])


# -- Alertmanager ---------------------------------------------------------------------------------


async def test_every_member_is_told_and_one_is_enough(room, sink) -> None:
    """Each alert in a request of its own; what is over by another name is ended first."""
    members = [sink.url, "http://127.0.0.1:1"]
    given = options("alertmanager", members=members, lease="60s", labels={"team": "sre", "e": ""})
    former = {"alertname": "SentinelIncident", "severity": "ticket"}
    await send("alertmanager", given, room, make_notice(former=former))
    (old,), (new,) = (json.loads(body) for body in sink.posts)
    assert old["labels"] == {"alertname": "SentinelIncident", "severity": "ticket", "team": "sre"}
    assert old["endsAt"] == "2026-06-01T12:00:00.000+00:00"
    assert new["labels"]["incident"] == "i-1"
    assert new["endsAt"] == "2026-06-01T12:01:00.000+00:00"
    sink.answer = lambda _: web.Response(status=400)
    with pytest.raises(NotDelivered) as caught:  # the other one may take it later
        await send("alertmanager", given, room)
    assert caught.value.error_class is ErrorClass.TEMPORARY


def test_a_label_that_alertmanager_refuses_is_refused() -> None:
    """It would sink the whole request, every time."""
    with pytest.raises(ValidationError, match="is no name of a label"):
        options("alertmanager", members=["http://h:9093"], labels={"a-b": "x"})
