"""One line of an answer about flows, read as a flow, its master, or a child that is over."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from sentinel.adapters.flows.table import TOO_LONG, FlowSource, FlowTable
from sentinel.core.flows.family import FinishedChild
from sentinel.core.flows.phase import PhaseStep, find_entry, read_flag, read_log
from sentinel.core.flows.stuck import FlowSight, read_progress
from sentinel.core.quantity import format_bytes, is_true

Misfits = list[tuple[str, str]]


def read_line(line: str) -> Any:
    """One line as a JSON array."""
    return json.loads(line)


def read_sight(row: Sequence[Any], source: FlowSource) -> FlowSight:
    """A row as a flow."""
    (
        id_,
        status,
        own_type,
        worker,
        progress,
        phase,
        waits,
        counters,
        flags,
        created,
        changed,
        entered,
        name,
        tenant,
        second,
        begun,
        log,
    ) = row
    misfit: Misfits = []
    canonical = _translate(status, source)
    steps = _read_log(log, source, misfit)
    at = read_instant(entered)
    return FlowSight(
        id=id_ or "",
        type=(own_type or "") if source.type is None else source.type,
        status=canonical,
        created=read_instant(created),
        changed=read_instant(changed),
        entered=find_entry(steps, canonical) if at is None else at,
        progress=read_progress(progress),
        phase=phase or (steps[-1].phase if steps else ""),
        counters=(*(text or "" for text in counters), *([str(len(steps))] if steps else [])),
        flags=_read_flags(flags, source.table, misfit),
        worker=worker or "",
        waits=any(is_true(text) for text in waits),
        name=name or "",
        tenant=(tenant or "").strip(),
        begun=_read_begun(begun, source.table),
        log=steps,
        misfit=tuple(misfit),
        second=_read_second(row, source, second),
    )


def _translate(status: str | None, source: FlowSource) -> str:
    return source.aliases.get(status or "", status or "")


def _read_second(row: Sequence[Any], source: FlowSource, status: str | None) -> FlowSight | None:
    """The same flow by its second status; its type is called after that column, too."""
    column = source.table.second
    if column is None:
        return None
    type_ = (row[2] or "") if source.type is None else source.type
    return FlowSight(
        id=row[0] or "",
        type=f"{type_}/{column}" if type_ else column,
        status=source.second_aliases.get(status or "", status or ""),
        created=read_instant(row[9]),
        changed=read_instant(row[10]),
    )


def _read_log(text: str | None, source: FlowSource, misfit: Misfits) -> tuple[PhaseStep, ...]:
    """Its transitions, with canonical statuses; none, and a misfit, for what is no such array."""
    table = source.table
    if text == TOO_LONG:
        misfit.append((table.log or "", f"is longer than {format_bytes(table.log_bytes)}"))
        return ()
    try:
        steps = read_log(text, table.log_keys)
    except ValueError as error:
        misfit.append((table.log or "", str(error)))
        return ()
    return tuple(
        PhaseStep(step.phase, source.aliases.get(step.status, step.status), step.at)
        for step in steps
    )


def _read_begun(texts: Sequence[str | None], table: FlowTable) -> tuple[str, ...]:
    return tuple(name for name, text in zip(table.begun, texts, strict=True) if is_true(text))


def _read_flags(texts: Sequence[str | None], table: FlowTable, misfit: Misfits) -> tuple[bool, ...]:
    """Which phases are done; a value that is no boolean is no phase that is done, and is told."""
    flags = []
    for name, text in zip(table.flags, texts, strict=True):
        try:
            flags.append(read_flag(text))
        except ValueError as error:
            misfit.append((name, str(error)))
            flags.append(False)
    return tuple(flags)


def read_master(row: Sequence[Any] | None, source: FlowSource) -> FlowSight | None:
    """What is read of a master beside its child; None when there is none."""
    if row is None:
        return None
    id_, status, own_type, created, changed, tenant = row
    return FlowSight(
        id_ or "",
        (own_type or "") if source.type is None else source.type,
        _translate(status, source),
        read_instant(created),
        read_instant(changed),
        tenant=(tenant or "").strip(),
    )


def read_finished(row: Sequence[Any], master: FlowSource, child: FlowSource) -> FinishedChild:
    """An open master with a child that is over."""
    sight, key, status, changed = row
    return FinishedChild(
        read_sight(sight, master), key or "", _translate(status, child), read_instant(changed)
    )


def read_instant(value: Any) -> float | None:
    """Unix seconds; an infinite time, which comes as text, is none."""
    return float(value) if value is not None and math.isfinite(float(value)) else None
