"""What the reports of a history must say, computed from the definitions of docs/reports.md alone.

Nothing of sentinel's own arithmetic is used: statuses are counted second by second.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from tests.integration.oracle_history import (
    LENGTH,
    NOW,
    Episode,
    History,
    Life,
    StoodFault,
    instant,
)

DETECTION, RESPONSE, RECOVERY = "detection", "response", "recovery"


def second_of(text: str) -> float:
    """An instant of a document, in seconds of the history."""
    at = datetime.fromisoformat(text.replace(" UTC", "+00:00").replace("Z", "+00:00"))
    return LENGTH + (at - NOW).total_seconds()


def seen_spans(history: History, began: int, ended: int) -> list[tuple[int, int]]:
    """When somebody looked, within a period."""
    first = max(began, history.watched, history.forgotten or 0)
    last = min(ended, history.beat)
    spans, at = [], first
    for low, high in sorted(history.gaps):
        if low > at:
            spans.append((at, min(low, last)))
        at = max(at, high)
    spans.append((at, last))
    return [(low, high) for low, high in spans if low < high]


def find_uptime(history: History, life: Life, began: int, ended: int) -> dict[str, int]:
    """Seconds up, degraded, down, unobserved: they sum up to the period."""
    found = dict.fromkeys(("up", "degraded", "down"), 0)
    worked = _list_worked(history, life, began, ended)
    for low, high in seen_spans(history, began, ended):
        for since, until, status in _list_stretches(life):
            if status in found:
                first, last = max(low, since), min(high, until)
                planned = sum(max(0, min(last, b) - max(first, a)) for a, b in worked)
                found[status] += max(0, last - first) - planned
    found["maintenance"] = sum(b - a for a, b in worked)
    return found | {"unobserved": ended - began - sum(found.values())}


def _list_worked(history: History, life: Life, began: int, ended: int) -> list[tuple[int, int]]:
    """When people worked on it within a period, seen or not; overlapping times as one."""
    found: list[tuple[int, int]] = []
    for low, high in sorted((a, b) for name, a, b in history.worked if name == life.name):
        first, last = max(low, began, found[-1][1] if found else began), min(high, ended)
        if first < last:
            found.append((first, last))
    return found


def _list_stretches(life: Life) -> Iterator[tuple[int, int, str]]:
    end = LENGTH if life.ended is None else life.ended
    for (since, status), until in zip(
        life.statuses, [at for at, _ in life.statuses[1:]] + [end], strict=True
    ):
        yield since, until, status


def find_times(each: Episode) -> dict[str, int | None]:
    """Seconds to detect, to respond, to recover; None for what nobody can say or what never was."""
    return {
        DETECTION: None if each.first_sign is None else each.opened - each.first_sign,
        RESPONSE: each.attempts[0][0] - each.opened if each.attempts else None,
        RECOVERY: None if each.recovered is None else each.recovered - each.opened,
    }


def find_spent(history: History, each: Episode) -> dict[str, int]:
    """How its component was from the opening to the recovery, or until now; of one that was taken
    out of the configuration nobody says it after that.
    """
    until = LENGTH if each.recovered is None else each.recovered
    life = next(life for life in history.lives if life.name == each.component)
    return find_uptime(history, life, each.opened, until)


def find_episodes(history: History, began: int, ended: int) -> list[Episode]:
    """Those that lasted within a period."""
    return [
        each
        for each in kept_episodes(history)
        if each.opened < ended and (each.closed is None or each.closed >= began)
    ]


def kept_episodes(history: History) -> list[Episode]:
    """Those that the retention has left: closed before it they are gone."""
    limit = history.forgotten
    return [
        each
        for each in history.episodes
        if limit is None or each.closed is None or each.closed >= limit
    ]


def find_faults(history: History, began: int, ended: int) -> list[StoodFault]:
    """Those that stood within a period, as far as they are not forgotten."""
    limit = history.forgotten or 0
    return [
        each
        for each in history.faults
        if each.began <= ended
        and (each.ended is None or (each.ended >= began and each.ended >= limit))
    ]


def count_gain(history: History, which: int, low: float, high: float) -> int:
    """What a total (1: certain, 2: possible) gained between two instants; one that went back began
    anew at zero.
    """
    gain, before = 0, None
    for reading in history.counted.readings:
        if before is not None and low < reading[0] <= high:
            gain += reading[which] - before if reading[which] >= before else reading[which]
        before = reading[which]
    return gain


def read_basis(text: str) -> tuple[float, float] | None:
    """From when to when a figure says that it was counted."""
    found = re.fullmatch(
        r"counted from (.+ UTC) to (.+? UTC)(; a counter began anew in it: at least)?", text
    )
    return (second_of(found[1]), second_of(found[2])) if found else None


def complain_of(history: History, facts: dict[str, Any]) -> list[str]:
    """Everything in which a report disagrees with the history."""
    began, ended = (int(second_of(facts["period"][end])) for end in ("began", "ended"))
    return [
        *_complain_of_uptime(history, facts, began, ended),
        *_complain_of_episodes(history, facts, began, ended),
        *_complain_of_actions(history, facts, began, ended),
        *_complain_of_faults(history, facts, began, ended),
        *_complain_of_impact(history, facts, began, ended),
    ]


def _complain_of_uptime(
    history: History, facts: dict[str, Any], began: int, ended: int
) -> Iterator[str]:
    told = {each["component"]: each for each in facts["uptime"]}
    lives = {life.name: life for life in history.lives if life.ended is None}
    if set(told) != set(lives):
        yield f"uptime of {sorted(told)}, not of {sorted(lives)}"
    for name in set(told) & set(lives):
        wanted = find_uptime(history, lives[name], began, ended)
        found = {word: told[name][word] for word in wanted}
        if found != wanted:
            yield f"uptime of {name}: {found}, not {wanted}"
        observed = wanted["up"] + wanted["degraded"] + wanted["down"]
        ratio = wanted["up"] / observed if observed else None
        if told[name]["up_ratio"] != ratio:
            yield f"up_ratio of {name}: {told[name]['up_ratio']}, not {ratio}"
    quiet = {
        name
        for name, life in lives.items()
        if (spent := find_uptime(history, life, began, ended))["up"] > 0
        and not spent["down"] + spent["degraded"] + spent["maintenance"]
    }
    if set(facts["unaffected"]) != quiet:
        yield f"unaffected {facts['unaffected']}, not {sorted(quiet)}"


def _complain_of_episodes(
    history: History, facts: dict[str, Any], began: int, ended: int
) -> Iterator[str]:
    told = {each["id"]: each for each in facts["episodes"]}
    wanted = {each.id: each for each in find_episodes(history, began, ended)}
    if set(told) != set(wanted):
        yield f"incidents {sorted(told)}, not {sorted(wanted)}"
    for name in set(told) & set(wanted):
        for word, seconds in find_times(wanted[name]).items():
            low, high = told[name][word]["low"], told[name][word]["high"]
            if (low, high) != (seconds, seconds):
                yield f"{word} of {name}: [{low}, {high}], not {seconds}"
        spent = find_spent(history, wanted[name])
        found = {word: told[name]["spent"][word] for word in spent}
        if found != spent:
            yield f"{name} spent {found}, not {spent}"


def _complain_of_actions(
    history: History, facts: dict[str, Any], began: int, ended: int
) -> Iterator[str]:
    told = sorted((each["incident"], each["n"], each["verdict"]) for each in facts["actions"])
    wanted = sorted(
        (each.id, n, verdict or "not judged yet")
        for each in kept_episodes(history)
        for n, (at, verdict) in enumerate(each.attempts, 1)
        if began <= at < ended
    )
    if told != wanted:
        yield f"actions {told}, not {wanted}"


def _complain_of_faults(
    history: History, facts: dict[str, Any], began: int, ended: int
) -> Iterator[str]:
    told = {each["subject"].removeprefix("path "): each for each in facts["faults"]}
    wanted = {each.subject: each for each in find_faults(history, began, ended)}
    if set(told) != set(wanted):
        yield f"faults {sorted(told)}, not {sorted(wanted)}"
    for name in set(told) & set(wanted):
        end = told[name]["ended"]
        found = None if end is None else second_of(end)
        if found != wanted[name].ended:
            yield f"fault {name} ended {found}, not {wanted[name].ended}"
        until = LENGTH if wanted[name].ended is None else wanted[name].ended
        if told[name]["seconds"] != until - wanted[name].began:
            yield f"fault {name} stood {told[name]['seconds']}, not {until - wanted[name].began}"


def _complain_of_impact(
    history: History, facts: dict[str, Any], began: int, ended: int
) -> Iterator[str]:
    for name, which in (("canaries late", 1), ("canaries duplicated", 2)):
        figure = next(each for each in facts["impact"] if each["name"] == name)
        basis = read_basis(figure["basis"])
        if basis is None:
            yield from _complain_of_total(history, figure, which)
            continue
        gain = count_gain(history, which, *basis)
        if not figure["low"] <= gain <= figure["high"]:
            yield f"{name} {figure['low']} to {figure['high']}, not {gain} ({figure['basis']})"
        if basis[0] > began or basis[1] < min(ended, history.counted.readings[-1][0]):
            yield f"{name}: {basis} leaves out a part of {(began, ended)}"


def _complain_of_total(history: History, figure: dict[str, Any], which: int) -> Iterator[str]:
    """A figure that is no gain of the period: all since the watch began, or nothing."""
    if figure["low"] is None:
        if history.is_steady(which):
            yield f"{figure['name']}: {figure['basis']}"
        return
    until = re.search("until (.+ UTC)", figure["basis"])
    gain = count_gain(history, which, -1, second_of(until[1]) if until else LENGTH)
    if "all that its counter holds" in figure["basis"]:
        gain = history.counted.readings[-1][which]
    if not figure["low"] <= gain <= figure["high"] and history.forgotten is None:
        yield f"{figure['name']}: {figure['low']}, not {gain} ({figure['basis']})"


__all__ = ["complain_of", "instant"]
