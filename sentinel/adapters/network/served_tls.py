"""TLS that we serve: made from files, and made anew when they change."""

from __future__ import annotations

import hashlib
import ssl

from sentinel.adapters.network.tls import load_certificate, read_pem
from sentinel.errors import SentinelError

PROTOCOLS = ("http/1.1",)


class UnusableCertificate(SentinelError):
    """Certificate and key can't be served: the message says which, the guidance what helps."""

    exit_code = 78


class ServedCertificate:
    """The context for newcomers. Who is in goes on with the one before."""

    def __init__(self, certificate_file: str, key_file: str) -> None:
        self.names = (certificate_file, key_file)
        self._digest = b""
        self.context: ssl.SSLContext = self._make(self._read())

    def follow(self, certificate_file: str, key_file: str) -> bool:
        """Look at the files again, or at others; whether there is another certificate now. To be
        called by a thread: it reads files. Raises UnusableCertificate, and keeps what it has.
        """
        self.names = (certificate_file, key_file)
        content = self._read()
        if hashlib.sha256(content).digest() == self._digest:
            return False
        self.context = self._make(content)
        return True

    def _read(self) -> bytes:
        try:
            return b"\n".join(read_pem(name) for name in self.names if name)
        except SentinelError as error:
            raise UnusableCertificate(error.message, error.guidance) from error

    def _make(self, content: bytes) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(PROTOCOLS)
        try:
            load_certificate(context, content)
        except (OSError, ValueError) as error:
            raise UnusableCertificate(*_explain(error)) from error
        self._digest = hashlib.sha256(content).digest()
        return context


def _explain(error: Exception) -> tuple[str, str]:
    reason = getattr(error, "reason", "") or ""
    if reason == "KEY_VALUES_MISMATCH":
        return "the key is not that of the certificate", "name the two that belong together"
    if reason in {"NO_START_LINE", "PEM_LIB", ""} or "PEM" in reason:
        message = "there is no certificate with a key that can be read without a password"
        return message, "write both as PEM, the certificate of the page before those of its issuers"
    return f"TLS refuses the certificate: {reason.lower().replace('_', ' ')}", "renew it"
