"""What the daemon itself is told: address, folders, reports, objectives, the environment's word."""

from __future__ import annotations

import stat
from pathlib import Path

from pydantic import ValidationError

from sentinel.config.calendar import is_on_calendar
from sentinel.config.model import Overrides, PlatformSettings
from sentinel.config.written import Written
from sentinel.reports import load_reports
from sentinel.strict.file import UnreadableFile, find_file, show_path

LOOPBACK = {"127.0.0.1", "::1", "localhost"}


def read_listen(written: Written, settings: PlatformSettings) -> tuple[str, int]:
    """Host and port to listen on: the environment's, else the file's."""
    address = written.environment.get("SENTINEL_LISTEN", settings.listen)
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    if not host or not (port.isascii() and port.isdigit()) or int(port[:6]) > 65535:
        message = f"{address!r} is no address to listen on"
        _note_listen(written, message, "write host:port, such as 127.0.0.1:9130")
        return "127.0.0.1", 0
    if host not in LOOPBACK:
        message = (
            f"{host} is not loopback, and sentinel has no TLS and no authentication of its own"
        )
        remedy = "listen on 127.0.0.1 and put a proxy with TLS and authentication before it"
        _note_listen(written, message, remedy)
    return host, int(port)


def _note_listen(written: Written, message: str, remedy: str) -> None:
    if "SENTINEL_LISTEN" in written.environment:
        written.note("environment", message, remedy, key="SENTINEL_LISTEN")
    else:
        written.at("listen").note(message, remedy)


def read_overrides(written: Written) -> Overrides:
    """What the environment says of the daemon."""
    try:
        return Overrides()
    except ValidationError as error:
        for item in error.errors(include_url=False):
            name = f"SENTINEL_{str(item['loc'][0]).upper()}"
            written.note("environment", item["msg"], f"correct or unset {name}", key=name)
        return Overrides.model_construct()


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


def check_objectives(written: Written, settings: PlatformSettings) -> None:
    """Each objective has a name of its own and a check that measures it."""
    seen: set[str] = set()
    checks = [name for name in written.check_keys("name") if isinstance(name, str)]
    for i, objective in enumerate(settings.objectives):
        place = written.at("objectives", i)
        if objective.name in seen:
            message = f"objective `{objective.name}` is given twice"
            (place / "name").note(message, "keep one of them")
        seen.add(objective.name)
        if objective.check not in checks:
            written.unknown(place / "check", "check", objective.check, checks)
