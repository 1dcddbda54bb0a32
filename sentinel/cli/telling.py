"""Commands about who is told: acknowledge an incident, silences, maintenance, channels."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from datetime import datetime
from typing import Any

from sentinel.app import notice_ordering
from sentinel.app.ordering import actor
from sentinel.app.presence import is_running
from sentinel.cli import tables
from sentinel.cli.columns import show
from sentinel.cli.place import Arguments, open_store, print_json, say
from sentinel.clock import read_moment_now
from sentinel.config import load
from sentinel.core.order import Answer
from sentinel.core.quantity import parse_duration
from sentinel.errors import ActionRefused, StateError, UsageError
from sentinel.store import show_time
from sentinel.store.document import read_instant, to_json
from sentinel.store.notices import read_channels, read_maintenance, read_silences


def incident_ack(arguments: Arguments) -> int:
    """`sentinel incident ack`"""
    _, store = open_store(arguments, writable=True)
    work = notice_ordering.acknowledge(store, arguments.id, _by(arguments), arguments.reason)
    return _do(arguments, work)


def silence_add(arguments: Arguments) -> int:
    """`sentinel silence add`"""
    matchers: dict[str, list[str]] = {}
    for text in arguments.matchers:
        label, mark, pattern = text.partition("=")
        if not (label and mark and pattern):
            raise UsageError(
                f"{text!r} is no matcher", "write LABEL=PATTERN, such as component=bus"
            )
        matchers.setdefault(label, []).append(pattern)
    _, store = open_store(arguments, writable=True)
    seconds = _read_length(arguments.length)
    work = notice_ordering.add_silence(store, matchers, seconds, _by(arguments), arguments.reason)
    return _do(arguments, work)


def silence_end(arguments: Arguments) -> int:
    """`sentinel silence end`"""
    _, store = open_store(arguments, writable=True)
    return _do(arguments, notice_ordering.end_silence(store, arguments.id, _by(arguments)))


def silence_list(arguments: Arguments) -> int:
    """`sentinel silence list`"""
    _, store = open_store(arguments)
    now = show_time(store, read_moment_now())
    silences = [each for each in read_silences(store) if now < each.ends]
    if arguments.json:
        return print_json([to_json(each) for each in silences])
    rows = [
        {
            "id": each.id,
            "what": ", ".join(f"{k}={'|'.join(v)}" for k, v in each.matchers.items()),
            "until (UTC)": f"{each.ends:%Y-%m-%d %H:%M:%S}",
            "by": each.by,
            "reason": each.reason,
        }
        for each in silences
    ]
    columns = ("id", "what", "until (UTC)", "by", "reason")
    show(tables.mapping_table(rows, *columns) if rows else "nothing is silenced")
    return 0


def maintenance_add(arguments: Arguments) -> int:
    """`sentinel maintenance add`"""
    _, store = open_store(arguments, writable=True)
    seconds, by = _read_length(arguments.length), _by(arguments)
    work = notice_ordering.add_window(
        store, arguments.name, arguments.components, seconds, by, arguments.reason
    )
    return _do(arguments, work)


def maintenance_end(arguments: Arguments) -> int:
    """`sentinel maintenance end`"""
    _, store = open_store(arguments, writable=True)
    return _do(arguments, notice_ordering.end_window(store, arguments.name, _by(arguments)))


def maintenance_list(arguments: Arguments) -> int:
    """`sentinel maintenance list`: newest first."""
    _, store = open_store(arguments)
    times = sorted(read_maintenance(store), key=lambda each: each.began, reverse=True)
    if arguments.json:
        return print_json([to_json(each) for each in times])
    rows = [
        {
            "window": each.window,
            "components": ", ".join(each.components),
            "from (UTC)": f"{each.began:%Y-%m-%d %H:%M:%S}",
            "until (UTC)": f"{each.span[1]:%Y-%m-%d %H:%M:%S}",
            "state": "over" if each.ended is not None else "on",
            "reason": each.reason,
        }
        for each in times[: arguments.limit]
    ]
    columns = ("window", "components", "from (UTC)", "until (UTC)", "state", "reason")
    show(tables.mapping_table(rows, *columns) if rows else "no maintenance yet")
    return 0


def notify_list(arguments: Arguments) -> int:
    """`sentinel notify list`: exits 1 when a channel did not deliver what it tried last."""
    _, store = open_store(arguments)
    now = show_time(store, read_moment_now())
    channels = read_channels(store)
    code = 1 if any(each["error"] for each in channels) else 0
    if arguments.json:
        print_json(list(channels))
        return code
    rows = [
        {
            "channel": each["name"],
            "kind": each["kind"],
            "waiting": each["waiting"],
            "last": f"{each['outcome']} {_ago(each['at'], now)}" if each["at"] else "–",
            "error": each["error"],
        }
        for each in channels
    ]
    columns = ("channel", "kind", "waiting", "last", "error")
    show(tables.mapping_table(rows, *columns) if rows else "no channel is known yet")
    return code


def notify_test(arguments: Arguments) -> int:
    """`sentinel notify test`"""
    store, configuration = None, None
    with suppress(StateError):  # where no daemon has run yet a channel can be tried all the same
        _, store = open_store(arguments, writable=True)
    if store is None or not is_running(store):
        configuration = load(arguments.config)
    return _do(arguments, notice_ordering.send_test(configuration, store, arguments.channel))


def _ago(at: str, now: datetime) -> str:
    return tables.age(read_instant(at), now)


def _by(arguments: Arguments) -> str:
    return (arguments.by or "").strip() or actor()


def _read_length(text: str) -> float:
    try:
        return float(parse_duration(text))
    except ValueError as error:
        raise UsageError(f"--for {text!r}: {error}", "such as 30m or 2h") from error


def _do(arguments: Arguments, work: Coroutine[Any, Any, Answer]) -> int:
    answer = asyncio.run(work)
    if not answer.is_done:
        raise ActionRefused(answer.text)
    return say(arguments, {"outcome": answer.line})
