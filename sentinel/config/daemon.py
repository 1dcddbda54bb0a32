"""What the daemon itself is told: address, folders, reports, the environment's word."""

from __future__ import annotations

import stat
from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError

from sentinel.config.access import find_page_host, note_listen
from sentinel.config.calendar import is_on_calendar
from sentinel.config.model import Overrides, PlatformSettings
from sentinel.config.value import AlertLinks
from sentinel.config.written import Written
from sentinel.core.foreign.host import HostName, NoHost, is_unspecified, read_host
from sentinel.reports import load_reports
from sentinel.strict.file import UnreadableFile, find_file, show_path

DEFAULT_LISTEN = ("127.0.0.1", 0)


def read_listen(written: Written, settings: PlatformSettings) -> tuple[str, int]:
    """Host and port to listen on: the environment's, else the file's. Port 0: any that is free."""
    address = written.environment.get("SENTINEL_LISTEN") or settings.listen
    name, _, port = address.rpartition(":")
    try:
        host = read_host(f"[{name}]" if ":" in name and "[" not in name else name)
    except NoHost:
        host = HostName("", 0)
    if host.port is not None or not (port.isascii() and port.isdigit()) or int(port[:6]) > 65535:
        message = f"{address!r} is no address to listen on"
        note_listen(written, message, "write host:port, such as 127.0.0.1:9130")
        return DEFAULT_LISTEN
    return host.name, int(port)


def read_trusted_hosts(written: Written, settings: PlatformSettings) -> tuple[HostName, ...]:
    """The names under which people open the page, each in its one spelling: also that of
    `page_address`.
    """
    found: dict[HostName, int] = {}
    for i, text in enumerate(settings.trusted_hosts):
        place = written.at("trusted_hosts", i)
        try:
            host = read_host(text)
        except NoHost as error:
            place.note(f"{text!r} {error.message}", error.remedy)
            continue
        if is_unspecified(host.name):
            place.note(f"{text!r} names no host", "write the name that people open")
        elif host in found:
            place.note(f"{text!r} is given twice", "keep one of them")
        found.setdefault(host, i)
    with suppress(NoHost):  # what is wrong with that address is said at its own line
        found.setdefault(read_host(find_page_host(settings)), -1)
    return tuple(found)


def read_overrides(written: Written) -> Overrides:
    """What the environment says of the daemon."""
    try:
        return Overrides()
    except ValidationError as error:
        for item in error.errors(include_url=False):
            name = f"SENTINEL_{str(item['loc'][0]).upper()}"
            written.note("environment", item["msg"], f"correct or unset {name}", key=name)
        return Overrides.model_construct()


def read_links(
    written: Written, settings: PlatformSettings, listen: tuple[str, int], *, encrypted: bool
) -> AlertLinks:
    """Addresses for alerts; where none of runbooks is given, they are on our own page."""
    links = settings.links
    for key in ("runbooks", "dashboards"):
        address = getattr(links, key)
        if address and not address.startswith(("http://", "https://")):
            message = f"{address[:60]!r} is no address of a page"
            written.at("links", key).note(message, "write http://… or https://…")
    host, port = listen
    scheme = "https" if encrypted else "http"
    own = settings.page_address or f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"
    runbooks = links.runbooks or f"{own.rstrip('/')}/runbooks"
    return AlertLinks(runbooks.rstrip("/"), links.dashboards.rstrip("/"))


def check_places(written: Written, settings: PlatformSettings) -> None:
    """Folders that sentinel is to use: a state folder has a name, and templates are there."""
    if not settings.state or "\0" in settings.state:
        message = f"{settings.state!r} is no folder"
        written.at("state").note(message, "write a path, such as ./var")
    if settings.report_templates:
        _check_templates(written, written.relative(settings.report_templates))


def _check_templates(written: Written, folder: Path) -> None:
    place = written.at("report_templates")
    try:
        found = find_file(folder)
    except UnreadableFile as error:
        place.note(f"{show_path(folder)} {error.message}", error.guidance)
        return
    if found is None or not stat.S_ISDIR(found.st_mode):
        place.note(f"there is no folder {show_path(folder)}", "make it, or leave the key out")


def check_reports(written: Written, settings: PlatformSettings) -> None:
    """Each report is on the shelf, and has a calendar that can be kept."""
    shelf = load_reports()
    for i, report in enumerate(settings.reports):
        if report.kind not in shelf:
            message = f"there is no report {report.kind!r}"
            written.at("reports", i, "kind").note(message, f"write one of {', '.join(shelf)}")
        is_on_calendar(written.at("reports", i), report.cron, report.timezone, "0 8,20 * * *")
