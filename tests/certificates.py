"""Certificates for servers of tests, made with openssl: each signed by itself, and so its own issuer."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.conftest import require_tool


def make_certificate(folder: Path, name: str = "page", days: int = 2) -> tuple[Path, Path]:
    """The files of a certificate for loopback and of its key, which is its owner's alone."""
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    command = [
        require_tool("openssl"),
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-nodes",
        "-days",
        str(days),
    ]
    command += ["-pkeyopt", "ec_paramgen_curve:prime256v1", "-subj", f"/CN={name}"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]
    subprocess.run(
        [*command, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True
    )
    key.chmod(0o600)
    return certificate, key
