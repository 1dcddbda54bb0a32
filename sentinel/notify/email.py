"""Mail by SMTP: one a notice, in plain text, with TLS unless it is switched off by a word."""

from __future__ import annotations

import hashlib
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, model_validator

from sentinel.adapters.mail import NONE, MailClient, MailServer
from sentinel.core.model import ErrorClass
from sentinel.core.notice import Notice
from sentinel.errors import NotDelivered
from sentinel.notify import Channel, ChannelOptions, ChannelRoom
from sentinel.strict.field import Duration, refusal, shaped

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
MailAddress = Annotated[
    str,
    shaped(
        r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9.-]{1,255}",
        "mail address",
        "write name@host, without a display name",
    ),
]


class EmailOptions(ChannelOptions):
    """Which server, from whom, to whom."""

    host: str = Field(
        min_length=1, description="name of the mail server", examples=["mail.example.org"]
    )
    port: int = Field(587, ge=1, le=65535, description="587 with starttls, 465 with implicit")
    tls: Literal["starttls", "implicit", "none"] = Field(
        "starttls", description="none sends everything readable for whoever listens"
    )
    user: str = Field("", description="who logs in; without it nobody does")
    password: SecretStr = Field(
        SecretStr(""), description="its password, from the environment; or password_file"
    )
    sender: MailAddress = Field(description="From:", examples=["sentinel@example.org"])
    to: list[MailAddress] = Field(
        min_length=1, description="who gets it", examples=["[oncall@example.org]"]
    )
    deadline: Duration = Field(30.0, gt=0, le=300, description="time for one mail")
    ca_file: str = Field("", description="issuers to trust beside the system's, as PEM")

    @model_validator(mode="after")
    def _keep_password(self) -> Self:
        if self.user and self.tls == NONE and self.host not in LOOPBACK:
            raise refusal(
                "a password goes over the network readable for whoever listens",
                "use tls: starttls or implicit, or leave user out",
            )
        return self


def write_mail(options: EmailOptions, notice: Notice) -> bytes:
    """One mail. Its id is the same at every repetition, and it answers the first of its affair, so
    that mail programs show them together. A header never holds more than one line.
    """
    mail = EmailMessage(policy=SMTP)
    domain = options.sender.rpartition("@")[2]
    mail["From"], mail["To"] = options.sender, ", ".join(options.to)
    mail["Subject"] = " ".join(notice.title.split())
    mail["Date"] = format_datetime(notice.at)
    mail["Message-ID"] = f"<{_name(notice.key)}@{domain}>"
    mail["References"] = f"<{_name(f'{notice.platform}/{notice.affair}')}@{domain}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-Sentinel-Key"] = ascii(" ".join(notice.key.split()))[1:-1]
    mail["X-Sentinel-Severity"] = str(notice.severity)
    link = f"\n\n{notice.link}" if notice.link else ""
    mail.set_content(f"{notice.text}{link}\n", cte="quoted-printable")
    return mail.as_bytes()


def _name(text: str) -> str:
    return hashlib.sha256(text.encode(errors="backslashreplace")).hexdigest()[:40]


def _client(options: EmailOptions) -> MailClient:
    password = options.password.get_secret_value()
    server = MailServer(
        options.host, options.port, options.tls, options.user, password, options.ca_file
    )
    return MailClient(server)


async def send(options: EmailOptions, room: ChannelRoom, notice: Notice) -> None:
    """Hand one mail over. Who has it already does not get it again because others do not."""
    reached = room.reached.setdefault(notice.key, set())
    wanted = [each for each in options.to if each not in reached]
    mail = write_mail(options, notice)
    refused = await _client(options).send(options.sender, wanted, mail, options.deadline)
    reached.update(set(wanted) - refused.keys())
    later = [name for name, (code, _) in refused.items() if code < 500]
    if later:
        raise NotDelivered(f"{len(later)} recipients are to be tried later")
    del room.reached[notice.key]
    if refused:
        text = f"{len(refused)} of {len(options.to)} recipients were refused"
        guidance = "look at the recipients of this channel"
        raise NotDelivered(text, guidance, error_class=ErrorClass.PERMANENT)


async def prove(options: EmailOptions, _room: ChannelRoom) -> None:
    """A greeting and a login, without a mail."""
    await _client(options).prove(options.deadline)


CHANNEL = Channel("email", "Mail by SMTP", EmailOptions, send, prove)
