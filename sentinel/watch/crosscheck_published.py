"""Is the entry of an assigned task on the bus? One that is not found is looked for again, over a
wide stretch, before it is missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sentinel.adapters.bus.entry_reader import read_stretch
from sentinel.core.bus import crosscheck
from sentinel.core.bus.crosscheck import EARLY, Assignment, Extent, SampleVerdict, has_time
from sentinel.core.bus.delivery import Id
from sentinel.core.bus.naming import quote
from sentinel.watch.crosscheck_look import NO_TIME, CrosscheckLook, Verdicts

WIDE = 60.0
NARROW_PAGES, WIDE_PAGES = 3, 10
OTHER_ZONE = "the times of tasks may be of another zone"


async def look_for(
    look: CrosscheckLook, tasks: Sequence[Assignment]
) -> tuple[list[Assignment], Verdicts]:
    """(tasks without an entry in their windows, verdicts about the others)."""
    suspects: list[Assignment] = []
    verdicts: Verdicts = []
    for stream, mine in _by_stream(tasks).items():
        windows = crosscheck.merge_windows(
            (t.at - EARLY, t.at + look.plan.published_within) for t in mine
        )
        sight = await _read(look, stream, windows, NARROW_PAGES)
        for task in mine:
            verdict = _decide(look, task, sight)
            if verdict is SampleVerdict.BAD:
                suspects.append(task)
            else:
                verdicts.append((verdict, {}))
    return suspects, verdicts


async def confirm(look: CrosscheckLook, tasks: Sequence[Assignment]) -> Verdicts:
    """Look once more, over a wide stretch: what an outbox published later, or by another clock, is
    not missing.
    """
    verdicts: Verdicts = []
    for stream, mine in _by_stream(tasks).items():
        stretch = (min(task.at for task in mine) - WIDE, look.now + 1)
        sight = await _read(look, stream, [stretch], WIDE_PAGES)
        verdicts += [(_decide(look, task, sight), _describe_missing(look, task)) for task in mine]
    return verdicts


@dataclass(frozen=True, slots=True)
class _Sight:
    """What was seen of a stream: entries by task, whether all was read, and what the stream still
    keeps.
    """

    entries: Mapping[str, Sequence[Id]]
    complete: bool
    extent: Extent


async def _read(
    look: CrosscheckLook, stream: str, windows: Sequence[tuple[float, float]], pages: int
) -> _Sight:
    stretches = [await read_stretch(look.bus, stream, start, end, pages) for start, end in windows]
    entries: dict[str, list[Id]] = {}
    for stretch in stretches:
        for entry in stretch.entries:
            entries.setdefault(look.plan.envelope.task_of(entry.fields), []).append(entry.id)
    return _Sight(entries, all(stretch.complete for stretch in stretches), stretches[-1].extent)


def _decide(look: CrosscheckLook, task: Assignment, sight: _Sight) -> SampleVerdict:
    seen = sight.entries.get(task.task, ())
    within = look.plan.published_within
    verdict = crosscheck.decide_published(
        task.at, within, seen, sight.extent, complete=sight.complete
    )
    if verdict is SampleVerdict.UNMEASURABLE:
        look.reasons.add(_explain(task.stream, sight))
    # An entry that is there is there; one that is not may stand at another hour.
    if verdict is SampleVerdict.BAD and task.is_doubtful:
        look.reasons.add(OTHER_ZONE)
        return SampleVerdict.UNMEASURABLE
    return verdict


def _explain(stream: str, sight: _Sight) -> str:
    if not sight.extent.exists:
        return f"stream {stream} does not exist"
    if not sight.complete:
        return f"stream {stream} has too many entries to look at all of them"
    if sight.extent.first > (0, 0) and not has_time(sight.extent.first):
        return NO_TIME.format(stream)
    return f"stream {stream} keeps nothing as old as its tasks: trimmed, deleted from, or new"


def _describe_missing(look: CrosscheckLook, task: Assignment) -> dict[str, Any]:
    start, end = int((task.at - EARLY) * 1000), int((task.at + look.plan.published_within) * 1000)
    return {
        "task": task.task,
        "agent": task.agent,
        "stream": task.stream,
        "assigned_at": datetime.fromtimestamp(task.at, UTC).isoformat(timespec="milliseconds"),
        "look": f"XRANGE {quote(task.stream)} {start} {end} COUNT 1000",
    }


def _by_stream(tasks: Sequence[Assignment]) -> dict[str, list[Assignment]]:
    grouped: dict[str, list[Assignment]] = {}
    for task in tasks:
        grouped.setdefault(task.stream, []).append(task)
    return grouped
