"""What a certificate that was refused says of its server, and what only of us."""

from __future__ import annotations

import asyncio
import hashlib
import os
import ssl
import threading
import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sentinel.core.fault import Status
from sentinel.errors import NotMeasurable, TargetError, TargetRejected
from sentinel.strict.file import UnreadableFile, read_regular_file, show_path

MAX_FILE = 4 << 20
"""Bytes of a file of certificates; the issuers of a whole system have a quarter of a megabyte."""
_PATIENCE = 2.0

# OpenSSL's X509_V_ERR_ codes: what they mean for a user of the target, and whether any client would
# go on.
_VERIFY = {
    10: ("expired", "renew the certificate", "TLS_EXPIRED"),
    9: (
        "not yet valid",
        "look at the certificate, and at the clock of this machine",
        "TLS_NOT_YET",
    ),
    62: ("for another host", "get a certificate for this name, or correct the address", "TLS_HOST"),
    64: ("for another host", "get a certificate for this address, or use its name", "TLS_HOST"),
    18: (
        "self-signed",
        "name it in ca_file of this resource, or get one from a known issuer",
        "TLS_SELF_SIGNED",
    ),
    19: (
        "signed by an issuer of its own",
        "name the issuer in ca_file of this resource",
        "TLS_SELF_SIGNED",
    ),
    20: (
        "of an issuer that this machine does not know",
        "name the issuer in ca_file of this resource",
        "TLS_ISSUER",
    ),
}


def judge_certificate(error: BaseException, option: str = "ca_file") -> TargetError:
    """Expired or for another host: every client fails, so it is down. Unknown issuer: perhaps our
    own trust store, whose `option` names more.
    """
    number = getattr(error, "verify_code", 0)
    word, guidance, code = _VERIFY.get(
        number, (f"refused: {error}", "look at the certificate", "TLS")
    )
    guidance = guidance.replace("ca_file", option)
    message = f"TLS certificate {word}"
    if code in {"TLS_EXPIRED", "TLS_NOT_YET", "TLS_HOST"}:
        ours = TargetRejected(message, guidance, code=code)
        ours.status = Status.DOWN
        return ours
    return NotMeasurable(message, guidance, code=code)


def read_pem(name: str) -> bytes:
    """A file of certificates or keys. Raises UnreadableFile, which names it: OpenSSL by itself would
    wait for a pipe and read a device without end.
    """
    try:
        return read_regular_file(Path(name), MAX_FILE, _PATIENCE).data
    except UnreadableFile as error:
        raise UnreadableFile(f"{show_path(name)} {error.message}", error.guidance) from error


async def check_files(names: Iterable[str]) -> None:
    """See that files can be read which a library is going to read by itself. Raises as `read_pem`;
    one that is missing is left to the library, which may not need it.
    """
    for name in names:
        try:
            await asyncio.to_thread(read_pem, name)
        except UnreadableFile as error:
            if error.__cause__ is None or not isinstance(
                error.__cause__.__cause__, FileNotFoundError
            ):
                raise


_TRUSTS: weakref.WeakValueDictionary[bytes, ssl.SSLContext] = weakref.WeakValueDictionary()
"""One context for the same files: it costs 20 ms and half a megabyte, and a thousand resources have
the same trust store.
"""
_MAKING = threading.Lock()


def find_trust(ca_file: str = "", certificate_file: str = "", key_file: str = "") -> ssl.SSLContext:
    """Whom we trust, and who we are: one context for all who name files of the same content. Raises
    UnreadableFile, OSError for what is no certificate. To be called by a thread: it reads files.
    """
    issuers = read_pem(ca_file) if ca_file else b""
    own = read_pem(certificate_file) if certificate_file else b""
    own += b"\n" + read_pem(key_file) if own and key_file else b""
    key = hashlib.sha256(issuers).digest() + hashlib.sha256(own).digest()
    with _MAKING:
        found = _TRUSTS.get(key)
        if found is None:
            found = _TRUSTS[key] = _trust(issuers, own)
    return found


def _trust(issuers: bytes, own: bytes) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if issuers:
        context.load_verify_locations(cadata=issuers.decode("ascii", "ignore"))
    if own:
        load_certificate(context, own)
    return context


def load_certificate(context: ssl.SSLContext, own: bytes) -> None:
    """Have a context show a certificate, with its key, as PEM. Raises OSError.

    OpenSSL takes a name only: that of a copy in memory, which nobody can replace meanwhile.
    """
    copy = os.memfd_create("sentinel-certificate", os.MFD_CLOEXEC)
    try:
        with os.fdopen(os.dup(copy), "wb") as file:
            file.write(own)
        # An empty password: OpenSSL would ask the terminal for one.
        context.load_cert_chain(f"/proc/self/fd/{copy}", password="")
    finally:
        os.close(copy)


class GoingOn:
    """A context that goes on with a TLS session (RFC 8446 §2.2), for one connection."""

    __slots__ = ("_context", "_session")

    def __init__(self, context: ssl.SSLContext, session: ssl.SSLSession) -> None:
        self._context = context
        self._session = session

    def wrap_bio(
        self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, **options: Any
    ) -> ssl.SSLObject:
        """As `ssl.SSLContext`: all that asyncio asks of one."""
        return self._context.wrap_bio(incoming, outgoing, session=self._session, **options)
