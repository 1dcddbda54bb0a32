"""SMTP: one mail over one connection, within a deadline.

smtplib talks in a thread of its own: it is the library that everybody's servers were tried with,
and it costs no dependency. What it lacks is a deadline over everything: a server that gives one
byte a second never runs into a timeout of its socket. So the socket is shut from outside when the
time is over, and the thread ends. Names are resolved before, by the house's resolver.
"""

from __future__ import annotations

import asyncio
import io
import smtplib
import socket
import ssl
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, cast

from sentinel.adapters.network.resolver import Address, Resolver
from sentinel.adapters.network.tls import find_trust, judge_certificate
from sentinel.core.model import ErrorClass
from sentinel.errors import NotDelivered, TargetError
from sentinel.strict.file import UnreadableFile

STARTTLS, IMPLICIT, NONE = "starttls", "implicit", "none"
MAX_SAID = 256 * 1024
"""Bytes that a server may say in one conversation: enough for a reply to each of 500 recipients."""
_SHOWN = 160


@dataclass(frozen=True, slots=True)
class MailServer:
    """Where mails are handed over, and as whom. `tls` is one of `starttls`, `implicit`, `none`."""

    host: str
    port: int
    tls: str = STARTTLS
    user: str = ""
    password: str = ""
    ca_file: str = ""


@dataclass(slots=True)
class _Talk:
    """What is known of one conversation from outside."""

    connection: socket.socket | None = None
    handed_over: bool = False
    """Whether the mail itself went out: then it may have arrived."""
    refused: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    ended: bool = False

    def end(self) -> None:
        """Have the thread end, wherever it waits."""
        self.ended = True
        if self.connection is not None:
            with suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)


class _Replies:
    """What a server says in one conversation, up to MAX_SAID bytes."""

    def __init__(self, file: io.BufferedReader) -> None:
        self._file, self._left = file, MAX_SAID

    def readline(self, limit: int) -> bytes:
        """The next line."""
        line = self._file.readline(limit)
        self._left -= len(line)
        if self._left < 0:
            raise smtplib.SMTPServerDisconnected("it says too much")
        return line

    def close(self) -> None:
        """Let go of the socket."""
        self._file.close()


class _Smtp(smtplib.SMTP):
    """To addresses that are resolved already, and with a socket that can be shut from outside."""

    def __init__(
        self, server: MailServer, addresses: Sequence[Address], talk: _Talk, patience: float
    ):
        # Without a name of its own smtplib asks the DNS for one, and waits for it.
        super().__init__(local_hostname=_own_name(), timeout=patience)
        self._server, self._addresses, self._talk = server, addresses, talk
        self._host = server.host  # whose certificate STARTTLS looks at

    def _get_socket(self, _host: str, _port: int, timeout: float) -> Any:
        errors: list[OSError] = []
        for family, address, port in self._addresses:
            connection = socket.socket(family, socket.SOCK_STREAM)
            connection.settimeout(timeout / len(self._addresses))
            self._talk.connection = connection
            try:
                connection.connect((address, port))
                connection.settimeout(timeout)
                return self._wrap(connection)
            except OSError as error:
                connection.close()
                errors.append(error)
            if self._talk.ended:
                break
        raise errors[-1] if errors else OSError("no address")

    def _wrap(self, connection: socket.socket) -> socket.socket:
        if self._server.tls != IMPLICIT:
            return connection
        context = find_trust(self._server.ca_file)
        wrapped = context.wrap_socket(connection, server_hostname=self._server.host)
        self._talk.connection = wrapped
        return wrapped

    def getreply(self) -> tuple[int, bytes]:
        """smtplib takes a reply of any number of lines."""
        if self.file is None and self.sock is not None:
            self.file = cast(Any, _Replies(self.sock.makefile("rb")))
        return super().getreply()

    def data(self, msg: Any) -> Any:
        self._talk.handed_over = True
        return super().data(msg)


def _own_name() -> str:
    name = "".join(c for c in socket.gethostname() if c.isascii() and (c.isalnum() or c in "-."))
    return name or "localhost"


class MailClient:
    """One mail server. Raises NotDelivered only."""

    def __init__(self, server: MailServer, resolver: Resolver | None = None) -> None:
        self.server = server
        self._resolver = resolver or Resolver()

    async def send(
        self,
        sender: str,
        recipients: Sequence[str],
        mail: bytes,
        timeout: float,  # noqa: ASYNC109 - ours to keep
    ) -> dict[str, tuple[int, bytes]]:
        """Hand one mail over; the recipients that were refused while others were taken, with code
        and reply.
        """

        def work(smtp: smtplib.SMTP, talk: _Talk) -> None:
            talk.refused = smtp.sendmail(sender, list(recipients), mail)

        talk = await self._within(timeout, work)
        return talk.refused

    async def prove(self, timeout: float) -> None:  # noqa: ASYNC109 - as above
        """See that the server answers, without a mail."""
        await self._within(timeout, lambda smtp, _talk: smtp.noop())

    async def _within(self, seconds: float, work: Any) -> _Talk:
        talk = _Talk()
        try:
            async with asyncio.timeout(seconds):
                addresses = await self._resolver.addresses(self.server.host, self.server.port)
                await _in_thread(lambda: self._talk(addresses, talk, seconds, work))
        except TimeoutError as error:
            raise NotDelivered(
                f"the mail server did not end within {seconds:g} s", arrived=talk.handed_over
            ) from error
        except smtplib.SMTPException as error:
            raise _translate(error, arrived=talk.handed_over) from error
        except TargetError as error:
            raise NotDelivered(error.message, error.guidance) from error
        except ssl.SSLCertVerificationError as error:
            ours = judge_certificate(error)
            raise NotDelivered(ours.message, ours.guidance, error_class=ErrorClass.OURS) from error
        except UnreadableFile as error:
            raise NotDelivered(
                error.message, error.guidance, error_class=ErrorClass.OURS
            ) from error
        except OSError as error:
            text = f"unreachable: {error.strerror or error}"
            raise NotDelivered(text, arrived=talk.handed_over) from error
        finally:
            talk.end()
        return talk

    def _talk(self, addresses: Sequence[Address], talk: _Talk, patience: float, work: Any) -> None:
        """In the thread."""
        server = self.server
        smtp = _Smtp(server, addresses, talk, patience)
        try:
            smtp.connect(server.host, server.port)
            if server.tls == STARTTLS:
                smtp.starttls(context=find_trust(server.ca_file))
                talk.connection = smtp.sock
            if server.user:
                smtp.login(server.user, server.password)
            work(smtp, talk)
            with suppress(smtplib.SMTPException, OSError):
                smtp.quit()  # the mail is handed over: how the server ends is its own matter
        finally:
            smtp.close()


async def _in_thread(work: Any) -> None:
    """In a daemon thread of its own: the loop's pool is for what ends, and nobody waits for this
    one when sentinel does.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def tell(error: BaseException | None) -> None:
        if done.done():
            return
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)

    def run() -> None:
        caught: BaseException | None = None
        try:
            work()
        except Exception as error:  # noqa: BLE001 - it is raised where it is awaited
            caught = error
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(tell, caught)

    threading.Thread(target=run, name="mail", daemon=True).start()
    await done


def _translate(error: smtplib.SMTPException, *, arrived: bool) -> NotDelivered:
    """By code: 4xx may pass, 5xx stays (RFC 5321 §4.2.1); what a server says of our password, and
    what it can't do, a person mends.
    """
    guidance = "look at host, port, tls, user and password of this channel"
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        codes = [code for code, _ in error.recipients.values()]
        kind = ErrorClass.PERMANENT if min(codes) >= 500 else ErrorClass.TEMPORARY
        said = _show(next(iter(error.recipients.values()))[1])
        text = f"every recipient was refused: {min(codes)} {said}"
        return NotDelivered(text, "look at the recipients of this channel", error_class=kind)
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return NotDelivered(
            "the mail server does not offer what is configured",
            guidance,
            error_class=ErrorClass.OURS,
        )
    if isinstance(error, smtplib.SMTPServerDisconnected):
        return NotDelivered("the mail server hung up", arrived=arrived)
    if isinstance(error, smtplib.SMTPResponseException):
        text = f"answered {error.smtp_code} {_show(error.smtp_error)}".rstrip()
        if isinstance(error, smtplib.SMTPAuthenticationError) and error.smtp_code >= 500:
            return NotDelivered(text, guidance, error_class=ErrorClass.OURS)
        kind = ErrorClass.PERMANENT if error.smtp_code >= 500 else ErrorClass.TEMPORARY
        return NotDelivered(text, error_class=kind)
    return NotDelivered(f"the mail server: {type(error).__name__}", guidance)


def _show(said: bytes | str) -> str:
    text = said.decode(errors="replace") if isinstance(said, bytes) else said
    return ascii(" ".join(text.split())[:_SHOWN])[1:-1]
