"""Phases of a flow as platforms write them: flags (booleans, or texts that mean done) and a log of
transitions as a JSON array. What is out of order in them.

What a tenant can write is bounded: the caller bounds the text, and nesting ends in an error of its
own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sentinel.core.moment import is_wall_time, read_instant
from sentinel.core.quantity import is_true

_LONGEST = 100
_FALSE = frozenset({"", "false", "f", "no", "n", "off", "0", "null"})


@dataclass(frozen=True, slots=True)
class LogKeys:
    """Keys of an entry of the log: the phase or the status that was entered, and when; "" is none.
    `zone`: of times in texts that do not tell their offset; without it these tell nothing.
    """

    phase: str = "phase"
    status: str = ""
    at: str = "at"
    zone: str = ""


@dataclass(frozen=True, slots=True)
class PhaseStep:
    """One transition, in lower case; `at` in Unix seconds, None where it does not tell."""

    phase: str
    status: str
    at: float | None


def read_log(text: str | None, keys: LogKeys) -> tuple[PhaseStep, ...]:
    """The transitions of a flow in their order; none of NULL and of null.

    Raises ValueError, in words for people, for what is no array of transitions.
    """
    if text is None or not text.strip():
        return ()
    try:
        found = json.loads(text)
    except RecursionError:
        raise ValueError("is nested too deep") from None
    except ValueError:
        raise ValueError("is no JSON") from None
    if found is None:
        return ()
    if not isinstance(found, list):
        raise ValueError("is no array of transitions")
    return tuple(_read_step(entry, keys) for entry in found)


def _read_step(entry: Any, keys: LogKeys) -> PhaseStep:
    named = [key for key in (keys.phase, keys.status) if key]
    if not isinstance(entry, Mapping) or not any(isinstance(entry.get(key), str) for key in named):
        raise ValueError(f"has an entry without {' or '.join(named)}")
    at = entry.get(keys.at)
    known = None if is_wall_time(at) and not keys.zone else read_instant(at, keys.zone or "UTC")
    return PhaseStep(_text(entry.get(keys.phase)), _text(entry.get(keys.status)), known)


def _text(value: Any) -> str:
    return value.strip().lower()[:_LONGEST] if isinstance(value, str) else ""


def read_flag(text: str | None) -> bool:
    """Whether a phase is done. Raises ValueError for what is no boolean: it would never be true."""
    if is_true(text):
        return True
    if (text or "").strip().lower() in _FALSE:
        return False
    raise ValueError(f"says {(text or '')[:40]!r}, which is no boolean: name it in done")


def find_skipped(log: Sequence[PhaseStep], order: Mapping[str, int]) -> str:
    """A phase that was entered while an earlier one was not yet, in words; "" for none."""
    names, seen = {rank: name for name, rank in order.items()}, set[int]()
    for step in log:
        rank = order.get(step.phase, -1)
        missing = next((n for n in range(rank) if n not in seen), None)
        if missing is not None:
            return f"its log enters {step.phase}, and never {names[missing]} before"
        if rank >= 0:
            seen.add(rank)
    return ""


def went_back(log: Sequence[PhaseStep], order: Mapping[str, int]) -> str:
    """The phase in which the flow is again, behind one that its log names; "" for none."""
    ranked = [step for step in log if step.phase in order]
    if not ranked:
        return ""
    last = ranked[-1].phase
    return last if order[last] < max(order[step.phase] for step in ranked) else ""


def find_entry(log: Sequence[PhaseStep], status: str) -> float | None:
    """When a flow entered its status, by the last entry of its log; None where that does not tell."""
    if not log or not status or log[-1].status != status:
        return None
    at = None
    for step in reversed(log):
        if step.status != status:
            break
        at = step.at
    return at


def find_out_of_order(names: Sequence[str], flags: Sequence[bool]) -> str:
    """A later phase is done while an earlier one is not, in words; "" for none."""
    for index, name in enumerate(names):
        later = [names[i] for i in range(index + 1, len(names)) if flags[i]]
        if later and not flags[index]:
            return f"{later[0]} is done, {name} is not"
    return ""
