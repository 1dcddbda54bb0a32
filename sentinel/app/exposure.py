"""A page that others can reach: nobody enters without a token, and its certificate is followed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import structlog

from sentinel.adapters.network.served_tls import ServedCertificate, UnusableCertificate
from sentinel.app.reading import beside
from sentinel.clock import utcnow
from sentinel.config import Configuration, PageAccess
from sentinel.errors import ConfigurationError, Problem, StateError
from sentinel.store.tokens import TOKENS_FILE, read_tokens

log = structlog.get_logger()
LOOK_EVERY = 10.0
"""Seconds between two looks at the files of the certificate."""


def find_exposure(configuration: Configuration, state: Path) -> list[Problem]:
    """What is missing before others may reach the page: somebody who may enter. The tokens are in
    the state folder, so this is asked when that is known.
    """
    if not configuration.access.rules.exposed:
        return []
    file, _, line = configuration.listen_place.rpartition(":")
    place = (file, int(line), "listen")
    try:
        tokens = read_tokens(state)
    except StateError as error:
        return [Problem(*place, error.message, error.guidance)]
    now, host = utcnow(), configuration.listen[0]
    if any(not token.is_over(now) for token in tokens) or configuration.access.rules.proxies:
        return []
    message = f"{host} is not loopback, and there is no token in {state / TOKENS_FILE}"
    return [Problem(*place, message, "make one: `sentinel token add NAME --scope read`")]


def refuse_exposure(configuration: Configuration) -> None:
    """Raises ConfigurationError when others could reach a page that nobody may enter."""
    problems = find_exposure(configuration, configuration.state)
    if problems:
        raise ConfigurationError(problems)


async def load_certificate(access: PageAccess) -> ServedCertificate | None:
    """What the page is to be served with. Raises ConfigurationError."""
    if access.certificate_file is None:
        return None
    names = _name_files(access)
    try:
        return await beside(lambda: ServedCertificate(*names))
    except UnusableCertificate as error:
        file, _, line = access.place.rpartition(":")
        problem = Problem(file, int(line), "access", error.message, error.guidance)
        raise ConfigurationError([problem]) from error


async def follow_certificate(
    certificate: ServedCertificate, access: Callable[[], PageAccess]
) -> None:
    """Take over what was renewed, for ever. What can't be used is told once, and changes nothing."""
    told = ""
    while True:
        await asyncio.sleep(LOOK_EVERY)
        names = certificate.names if access().certificate_file is None else _name_files(access())
        try:
            is_another = await beside(lambda names=names: certificate.follow(*names))  # type: ignore[misc]
        except UnusableCertificate as error:
            if error.message != told:
                log.error("certificate_refused", error=error.message, guidance=error.guidance)
            told = error.message
        else:
            told = ""
            if is_another:
                log.info("certificate_taken")


def _name_files(access: PageAccess) -> tuple[str, str]:
    return str(access.certificate_file), str(access.key_file or "")
