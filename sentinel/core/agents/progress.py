"""An agent that lives, and gets nowhere: no progress, the same step again and again, spending
without result.

Heartbeats, output and steps are activity, not progress: only a finished task, a changed counter or
a changed status is (platforms.md §4). Instants in Unix seconds of the server's clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from sentinel.core.quantity import format_duration

REASONS = ("no_progress", "repeated_step", "spending")


@dataclass(frozen=True, slots=True)
class AgentStep:
    """One step that an agent took: a digest of its text, the beginning of the text, and when."""

    digest: str
    text: str
    at: float


@dataclass(frozen=True, slots=True)
class AgentSight:
    """One agent now. `is_awake`: beats, and neither sleeps nor is out of service. `spent`: tokens,
    cost, as totals.

    `finished`: tasks done in some window, which may go down as old ones leave it; `last_finish`:
    exact, if known.
    `steps`: newest first; `name`: what people call it.
    """

    id: str
    status: str
    now: float
    is_awake: bool = True
    open: int = 0
    counters: tuple[str, ...] = ()
    finished: int = 0
    last_finish: float | None = None
    spent: tuple[float | None, ...] = ()
    steps: tuple[AgentStep, ...] = ()
    name: str = ""


@dataclass(frozen=True, slots=True)
class AgentMemory:
    """What is remembered of an agent.

    `waited`: since then awake, with open work and without progress; `changed`: last progress, or
    first sight;
    `progressed`: last progress that was seen, None before the first; `base`: spending at `changed`;
    `paid`: when spending last rose.
    """

    status: str
    counters: tuple[str, ...]
    finished: int
    last_finish: float | None
    spent: tuple[float | None, ...]
    waited: float
    changed: float
    progressed: float | None
    base: tuple[float | None, ...]
    paid: float | None


@dataclass(frozen=True, slots=True)
class ProgressRules:
    """What is normal; seconds. `repeats`: so many times the same step, or cycle of up to `cycle`
    steps, is a loop.
    """

    stalled_after: float
    spending_after: float
    spending_limit: float | None
    repeats: int
    cycle: int


def remember(before: AgentMemory | None, sight: AgentSight) -> AgentMemory:
    """The memory after this look."""
    if before is None:
        return _first(sight)
    moved = _has_moved(before, sight)
    busy = sight.is_awake and sight.open > 0
    reset = moved or len(before.base) != len(sight.spent) or _fell(before.spent, sight.spent)
    return AgentMemory(
        sight.status,
        sight.counters,
        sight.finished,
        sight.last_finish,
        sight.spent,
        sight.now if moved or not busy else before.waited,
        sight.now if moved else before.changed,
        sight.now if moved else before.progressed,
        sight.spent if reset else before.base,
        sight.now
        if not reset and _rise(before.spent, sight.spent) > 0
        else (None if moved else before.paid),
    )


def _first(sight: AgentSight) -> AgentMemory:
    return AgentMemory(
        sight.status,
        sight.counters,
        sight.finished,
        sight.last_finish,
        sight.spent,
        sight.now,
        sight.now,
        None,
        sight.spent,
        None,
    )


def _has_moved(before: AgentMemory, sight: AgentSight) -> bool:
    if (sight.status, sight.counters) != (before.status, before.counters):
        return True
    return sight.finished > before.finished or (sight.last_finish or 0.0) > (
        before.last_finish or 0.0
    )


def _rise(before: Sequence[float | None], after: Sequence[float | None]) -> float:
    """The largest rise of any total."""
    pairs = zip(before, after, strict=False)
    return max((b - a for a, b in pairs if a is not None and b is not None), default=0.0)


def _fell(before: Sequence[float | None], after: Sequence[float | None]) -> bool:
    """A total that fell was set back: counting begins anew."""
    return any(
        a is not None and b is not None and b < a for a, b in zip(before, after, strict=False)
    )


@dataclass(frozen=True, slots=True)
class Standstill:
    """One way in which an agent gets nowhere: what was seen, in words, the limit that it broke, and
    since when (Unix seconds), None where that is not known.
    """

    reason: str
    seen: str
    limit: str
    since: float | None = None


def find_standstills(
    sight: AgentSight, memory: AgentMemory, rules: ProgressRules
) -> list[Standstill]:
    """Every way in which it gets nowhere. An agent that is asleep or dead is silent by right."""
    if not sight.is_awake:
        return []
    judges = (_waiting, _looping, _spending)
    found = [judge(sight, memory, rules) for judge in judges]
    return [each for each in found if each is not None]


def _waiting(sight: AgentSight, memory: AgentMemory, rules: ProgressRules) -> Standstill | None:
    """Holds open work, and has finished nothing for too long."""
    still = sight.now - memory.waited
    # Without open work it has nothing to finish, however long it idles.
    if not sight.open or still <= rules.stalled_after:
        return None
    seen = f"beats, has {sight.open} open, and finished nothing for {format_duration(still)}"
    return Standstill("no_progress", seen, format_duration(rules.stalled_after), memory.waited)


def _looping(sight: AgentSight, memory: AgentMemory, rules: ProgressRules) -> Standstill | None:
    """The same k times, with no progress since the first of them."""
    digests = [step.digest for step in sight.steps]
    for period in range(1, rules.cycle + 1):
        times = count_repeats(digests, period)
        if times < rules.repeats:
            continue
        first = sight.steps[times * period - 1].at
        # The same step once for each task that it finishes is work, and no loop.
        if max(memory.progressed or 0.0, sight.last_finish or 0.0) < first:
            what = "step" if period == 1 else f"{period} steps"
            seen = f"{times} times the same {what}: {sight.steps[0].text:.80}"
            return Standstill("repeated_step", seen, f"{rules.repeats} times", first)
    return None


def count_repeats(digests: Sequence[str], period: int) -> int:
    """How often the newest `period` steps were taken in a row; newest first."""
    same = 0
    while same + period < len(digests) and digests[same] == digests[same + period]:
        same += 1
    return (same + period) // period if len(digests) >= period else 0


def _spending(sight: AgentSight, memory: AgentMemory, rules: ProgressRules) -> Standstill | None:
    """Totals still rise long after the last progress, or by more than the limit since then."""
    rise = _rise(memory.base, sight.spent)
    if memory.paid is None or rise <= 0:
        return None
    # Who stopped spending, or spent a little after the last task, is done and not lost.
    ongoing = sight.now - memory.paid < rules.spending_after
    late = memory.paid - memory.changed >= rules.spending_after
    much = rules.spending_limit is not None and rise >= rules.spending_limit
    if not ongoing or not (late or much):
        return None
    lasted = format_duration(sight.now - memory.changed)
    limit = f"{rules.spending_limit:g}" if much else format_duration(rules.spending_after)
    seen = f"spent {rise:g} in {lasted} without progress"
    return Standstill("spending", seen, limit, memory.changed)


def dump_memory(memory: AgentMemory) -> list[Any]:
    """JSON-able document."""
    return list(asdict(memory).values())


def load_memory(document: Sequence[Any]) -> AgentMemory:
    """Read what `dump_memory` gave."""
    memory = AgentMemory(*document)
    return replace(
        memory, counters=tuple(memory.counters), spent=tuple(memory.spent), base=tuple(memory.base)
    )
