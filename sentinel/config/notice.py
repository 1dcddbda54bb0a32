"""Channels, routes and maintenance windows of the configuration: every key checked, every name that
is used given.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, time
from typing import Any

from pydantic import BaseModel, SecretStr, ValidationError

from sentinel.config.calendar import is_on_calendar
from sentinel.config.day import parse_instant
from sentinel.config.model import PlatformSettings
from sentinel.config.notice_model import (
    ChannelSettings,
    HoursSettings,
    MaintenanceSettings,
    RouteSettings,
)
from sentinel.config.secret import read_secret
from sentinel.config.value import ConfiguredChannel, NoticeSetup
from sentinel.config.written import Written
from sentinel.core.fault import Severity
from sentinel.core.moment.zone import find_zone
from sentinel.core.notice import LABELS
from sentinel.core.notice.maintenance import MaintenanceWindow
from sentinel.core.notice.route import ALL_DAYS, DayHours, EscalationStep, NoticeRoute
from sentinel.core.notice.storm import StormLimit
from sentinel.core.schedule.crontab import read_crontab
from sentinel.notify import UNREAD, Channel, load_channels
from sentinel.strict.attempt import attempt
from sentinel.strict.explain import explain, unknown_message
from sentinel.strict.place import Place

LOG = "log"
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_FILE = "_file"
_WILD = frozenset("*?[")
_PAGE = re.compile(r"https?://[^\s/?#@]+(/[^\s?#]*)?")
"""Links are written behind it."""
_IN_THE_OPEN = (
    "is a secret, and stands in the file",
    'write "${VARIABLE}", or name a file of mode 600',
)

_EMPTY = (
    "is an empty secret: its variable is set, and has no value",
    "give the variable its value",
)


def read_notices(written: Written, settings: PlatformSettings) -> NoticeSetup:
    """Who is told of what; what is wrong is noted at its place."""
    shelf = load_channels()
    found = [
        attempt(place, _read_channel, written, name, place, item, shelf)
        for name, item in settings.channels.items()
        for place in [written.at("channels", name)]
    ]
    channels = [each for each in found if each is not None]
    if LOG not in settings.channels:
        options = shelf[LOG].options()
        channels.append(ConfiguredChannel(LOG, LOG, options, StormLimit()))
    names = [LOG, *settings.channels]
    for i, report in enumerate(settings.reports):
        _check_names(written, written.at("reports", i, "to"), report.to, names)
    routes = tuple(_read_routes(written, settings.routes, names))
    windows = tuple(_read_windows(written, settings.maintenance))
    return NoticeSetup(tuple(channels), routes, windows, _read_page(written, settings))


def _read_page(written: Written, settings: PlatformSettings) -> str:
    page = settings.page_address
    if page and _PAGE.fullmatch(page) is None:
        remedy = "write https://host/, without user, query and fragment"
        written.at("page_address").note(f"{page[:60]!r} is no web address", remedy)
    return page


# -- channels -------------------------------------------------------------------------------------


def _read_channel(
    written: Written,
    name: str,
    place: Place,
    item: ChannelSettings,
    shelf: Mapping[str, Channel],
) -> ConfiguredChannel | None:
    kind = shelf.get(item.kind)
    if kind is None:
        (place / "kind").note(*unknown_message("kind", item.kind, shelf, "`sentinel kinds`"))
        return None
    for key in ("most", "within"):
        if kind.keeps and key in item.model_fields_set:
            (place / key).note(f"a channel of kind {kind.name} hears of everything", "remove it")
    values = _fill_secrets(written, place, kind.options, item.model_extra or {})
    try:
        options = kind.options.model_validate(values)
    except ValidationError as error:
        for found in error.errors(include_url=False):
            at = place.at(*found["loc"])
            at.document.take(explain(at, found, kind.options, ChannelSettings.model_fields))
        return None
    return ConfiguredChannel(name, kind.name, options, StormLimit(item.most, item.within))


def list_secrets(options: type[BaseModel]) -> list[str]:
    """Options that are secrets."""
    return [name for name, field in options.model_fields.items() if field.annotation is SecretStr]


def _fill_secrets(
    written: Written, place: Place, options: type[BaseModel], given: Mapping[str, Any]
) -> dict[str, Any]:
    """The values of a channel, its secrets from the environment or from files; none stands in a
    configuration.
    """
    values = dict(given)
    for name in list_secrets(options):
        file = values.pop(name + _FILE, None)
        at = place / (name + _FILE)
        if name in values:
            if file is not None:
                at.note(f"{name} and {name}{_FILE} exclude each other", "keep one of them")
            elif not (place / name).document.references.get((place / name).path):
                (place / name).note(*_IN_THE_OPEN)
            if isinstance(values[name], str):
                if not values[name].strip() and options.model_fields[name].is_required():
                    (place / name).note(*_EMPTY)
                values[name] = SecretStr(values[name])
        elif isinstance(file, str):
            secret = read_secret(at, file, written.relative(file))
            values[name] = secret or SecretStr(UNREAD)  # a problem was noted
        elif file is not None:
            at.note("is no path", "write the name of a file")
    return values


# -- routes ---------------------------------------------------------------------------------------


def _read_routes(
    written: Written, routes: list[RouteSettings], names: list[str]
) -> Iterator[NoticeRoute]:
    for i, route in enumerate(routes):
        place = written.at("routes", i)
        _check_names(written, place / "channels", route.channels, names)
        for n, step in enumerate(route.escalate):
            _check_names(written, place.at("escalate", n, "channels"), step.channels, names)
        _check_components(written, place / "component", route.component)
        yield make_route(route)


def _check_names(written: Written, place: Place, channels: list[str], names: list[str]) -> None:
    given = written.names("channels")
    for i, name in enumerate(channels):
        if name not in names and name not in given:
            (place / i).note(*unknown_message("channel", name, names))


def _check_components(written: Written, place: Place, patterns: list[str]) -> None:
    """A name without wildcards is that of a component; a pattern may be of those to come."""
    given = written.names("components")
    for i, name in enumerate(patterns):
        if not _WILD.intersection(name) and name not in given:
            (place / i).note(*unknown_message("component", name, list(given)))


def make_route(route: RouteSettings) -> NoticeRoute:
    """A route as a value."""
    matchers = {
        label: tuple(patterns) for label in LABELS if (patterns := getattr(route, label, None))
    }
    return NoticeRoute(
        channels=tuple(route.channels),
        matchers=matchers,
        hours=_make_hours(route.hours),
        also=route.also,
        escalate=tuple(EscalationStep(e.after, tuple(e.channels)) for e in route.escalate),
        remind=route.remind or 0.0,
        quiet=_make_hours(route.quiet),
        loud=Severity(route.loud),
        tell_close=route.tell_close,
    )


def _make_hours(hours: HoursSettings | None) -> DayHours | None:
    if hours is None:
        return None
    days = frozenset(_DAYS.index(day) for day in hours.days) or ALL_DAYS
    zone = find_zone(hours.timezone) or UTC
    return DayHours(time.fromisoformat(hours.begins), time.fromisoformat(hours.ends), zone, days)


# -- maintenance ----------------------------------------------------------------------------------


def _read_windows(
    written: Written, windows: list[MaintenanceSettings]
) -> Iterator[MaintenanceWindow]:
    seen: set[str] = set()
    for i, item in enumerate(windows):
        place = written.at("maintenance", i)
        if item.name in seen:
            (place / "name").note(f"window `{item.name}` is given twice", "keep one of them")
        seen.add(item.name)
        _check_components(written, place / "components", item.components)
        window = _read_window(place, item)
        if window is not None:
            yield window


def _read_window(place: Place, item: MaintenanceSettings) -> MaintenanceWindow | None:
    once = item.begins is not None or item.ends is not None
    if once == (item.cron is not None or item.lasts is not None):
        message = "needs either from and until, or cron and for"
        place.note(message, 'write `cron: "0 2 * * *"` and `for: 1h`')
        return None
    if once:
        return _read_once(place, item)
    if item.cron is None or item.lasts is None:
        place.note("cron and for belong together", "write both")
        return None
    if not is_on_calendar(place, item.cron, item.timezone, "0 2 * * *"):
        return None
    return MaintenanceWindow(
        item.name,
        tuple(item.components),
        item.reason,
        cron=read_crontab(item.cron),
        zone=find_zone(item.timezone),
        lasts=item.lasts,
    )


def _read_once(place: Place, item: MaintenanceSettings) -> MaintenanceWindow | None:
    begins = _read_instant(place / "from", item.begins)
    ends = _read_instant(place / "until", item.ends)
    if begins is None or ends is None:
        return None
    if ends <= begins:
        (place / "until").note("ends before it begins", "correct one of them")
        return None
    return MaintenanceWindow(item.name, tuple(item.components), item.reason, begins, ends)


def _read_instant(place: Place, text: str | None) -> datetime | None:
    remedy = "write an instant with its zone, such as 2099-01-31T02:00Z"
    if text is None:
        place.note("is missing", remedy)
        return None
    at = parse_instant(text)
    if at is None:
        place.note(f"{text[:60]!r} is no instant with a zone", remedy)
    return at
