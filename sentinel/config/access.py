"""Who may read the page: beyond loopback only by TLS, or through a proxy that is trusted."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from urllib.parse import urlsplit

from sentinel.adapters.network.served_tls import ServedCertificate, UnusableCertificate
from sentinel.config.model import PlatformSettings
from sentinel.config.secret import find_open_fault
from sentinel.config.value import PageAccess
from sentinel.config.written import Written
from sentinel.core.access import AccessRules, AccessScope, Network
from sentinel.core.foreign.host import is_loopback, is_unspecified
from sentinel.strict.file import UnreadableFile, read_regular_file, show_path
from sentinel.strict.place import Place

MAX_FILE = 1 << 20
_BOTH = (
    "give `access: {certificate_file: …, key_file: …}`, or the `trusted_proxies` that connect to it;"
    " or listen on 127.0.0.1"
)


def read_access(
    written: Written, settings: PlatformSettings, listen: tuple[str, int]
) -> PageAccess:
    """The rules, and the files of TLS, each tried as it will be used."""
    keys, place = settings.access, written.at("access")
    certificate, key = _read_files(written, settings, place)
    exposed = not is_loopback(listen[0])
    proxies = _read_proxies(written, settings)
    if (
        exposed
        and certificate is None
        and not settings.trusted_proxies
        and not keys.certificate_file
    ):
        note_listen(written, f"{listen[0]} is not loopback, and there is no TLS", _BOTH)
    if is_unspecified(listen[0]) and not settings.page_address:
        remedy = (
            "add `page_address: https://…`: links in notices begin with it, and its name is served"
        )
        note_listen(written, f"{listen[0]} tells nobody where to open the page", remedy)
    rules = AccessRules(
        exposed=exposed,
        encrypted=certificate is not None,
        loopback=AccessScope(keys.loopback_scope),
        proxies=proxies,
        user_header=keys.user_header,
        user_scope=AccessScope(keys.user_scope),
    )
    _refuse_idle(place, settings, exposed=exposed)
    return PageAccess(rules, certificate, key, str(place))


def note_listen(written: Written, message: str, remedy: str) -> None:
    """Note what is wrong with the address to listen on, where it was given."""
    if written.environment.get("SENTINEL_LISTEN"):
        written.note("environment", message, remedy, key="SENTINEL_LISTEN")
    else:
        written.at("listen").note(message, remedy)


def find_page_host(settings: PlatformSettings) -> str:
    """The host under which people open the page, as they write it; "" when nobody says."""
    try:
        return urlsplit(settings.page_address).netloc.rpartition("@")[2]
    except ValueError:
        return ""


def _refuse_idle(place: Place, settings: PlatformSettings, *, exposed: bool) -> None:
    """A key that has no effect is a mistake."""
    given = settings.access.model_fields_set
    if not settings.trusted_proxies:
        for key in sorted({"user_header", "user_scope"} & given):
            (place / key).note("counts only with `trusted_proxies`", "name them, or remove it")
    if exposed and "loopback_scope" in given:
        remedy = "remove it: beyond loopback everybody needs a token"
        (place / "loopback_scope").note("counts only where `listen` is loopback", remedy)


def _read_proxies(written: Written, settings: PlatformSettings) -> tuple[Network, ...]:
    found: dict[Network, None] = {}
    for i, text in enumerate(settings.trusted_proxies):
        place = written.at("trusted_proxies", i)
        try:
            network = ipaddress.ip_network(text)
        except ValueError:
            remedy = "write an address or a network whose host bits are zero, such as 10.1.0.0/24"
            place.note(f"{text!r} is no address and no network", remedy)
            continue
        if network.prefixlen < 8:
            place.note(f"{text!r} is half the world", "name the proxies, or their network")
        elif network in found:
            place.note(f"{text!r} is given twice", "keep one of them")
        found.setdefault(network)
    return tuple(found)


def _read_files(
    written: Written, settings: PlatformSettings, place: Place
) -> tuple[Path | None, Path | None]:
    keys = settings.access
    if not keys.certificate_file:
        if keys.key_file:
            remedy = "name the certificate, too"
            (place / "key_file").note("key_file needs a certificate_file", remedy)
        return None, None
    names = {"certificate_file": keys.certificate_file}
    names |= {"key_file": keys.key_file} if keys.key_file else {}
    paths = {key: written.relative(name) for key, name in names.items()}
    secret = "key_file" if keys.key_file else "certificate_file"
    read = [_look_at(place / key, path, secret=key == secret) for key, path in paths.items()]
    if all(read):
        _try(place / "certificate_file", paths)
    return paths["certificate_file"], paths.get("key_file")


def _look_at(place: Place, path: Path, *, secret: bool) -> bool:
    """Whether a file can be used; the one with the key is for its owner only."""
    try:
        content = read_regular_file(path, MAX_FILE)
    except UnreadableFile as error:
        place.note(f"{show_path(path)} {error.message}", error.guidance)
        return False
    fault = find_open_fault(content) if secret else ""
    if fault:
        place.note(f"{show_path(path)} {fault}", f"chmod 600 {show_path(path)}")
    return not fault


def _try(place: Place, paths: dict[str, Path]) -> None:
    try:
        ServedCertificate(str(paths["certificate_file"]), str(paths.get("key_file", "")))
    except UnusableCertificate as error:
        place.note(error.message, error.guidance)
