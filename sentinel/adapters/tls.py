"""What a certificate that was refused says of its server, and what only of us."""

from __future__ import annotations

from sentinel.core.fault import Status
from sentinel.errors import NotMeasurable, TargetError, TargetRejected

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
