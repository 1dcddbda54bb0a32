"""The few sentences that somebody reads who reads nothing else; each is made of figures below it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from sentinel.core.quantity import format_duration, format_names, format_times
from sentinel.reports.figures import Act, Figure, RecoveryFacts, RiskFact, Uptime

MAX_NAMED = 5


def summarize(facts: RecoveryFacts) -> list[str]:
    """What happened, what it cost, what was done, what is open."""
    return [line for line in _lines(facts) if line]


def _lines(facts: RecoveryFacts) -> Iterator[str]:
    yield _tell_window(facts) + _tell_status(facts.uptime)
    yield _tell_cost(facts.impact)
    yield _tell_loss(facts)
    yield _tell_actions(facts.actions, len(facts.people))
    if facts.unaffected:
        names = format_names(facts.unaffected, MAX_NAMED)
        yield f"Not affected, and seen up for all of the observed time: {names}."
    pending = [fault for fault in facts.faults if fault.ended is None]
    yield (
        f"{_count(len(facts.faults) - len(pending), 'fault')} resolved, {len(pending)} pending,"
        f" {len(facts.accepted)} accepted."
    )
    if facts.risks.close:
        yield f"Close to a limit: {_list_close(facts.risks.close)}."


def _list_close(risks: Sequence[RiskFact]) -> str:
    """Each figure once, with what it is close for: subjects are long, and alike at their beginning."""
    subjects: dict[str, list[str]] = {}
    for risk in risks:
        subjects.setdefault(risk.name, []).append(risk.subject)
    told = [
        f"{name} ({'; '.join(known[:2])}{f'; {len(known) - 2} more' if len(known) > 2 else ''})"
        if (known := [each for each in found if each])
        else name
        for name, found in subjects.items()
    ]
    return f"{', '.join(told[:MAX_NAMED])}{_tell_more(told)}"


def _tell_window(facts: RecoveryFacts) -> str:
    """Of one incident uptime is told over more time than it lasted: what failed before counts."""
    if facts.incident is None or facts.period is None or not facts.uptime:
        return ""
    return f"Since {facts.period.began:%Y-%m-%d %H:%M:%S} UTC, other failures included: "


def _tell_status(uptime: Sequence[Uptime]) -> str:
    hurt = sorted(
        (each for each in uptime if each.down or each.degraded),
        key=lambda each: (-each.down, -each.degraded),
    )
    told = [_tell_one(each) for each in hurt[:MAX_NAMED]]
    blind = max((each.unobserved for each in uptime), default=0.0)
    if not uptime:
        return ""
    unseen = f" Up to {format_duration(blind)} of it nobody observed." if blind else ""
    unseen += _tell_maintenance(uptime)
    if not hurt:
        return f"No component was seen down or degraded.{unseen}"
    return f"{'; '.join(told)}{_tell_more(hurt)}.{unseen}"


def _tell_more(items: Sequence[object]) -> str:
    """How many a sentence leaves out, of those that it could name."""
    return f"; {len(items) - MAX_NAMED} more" if len(items) > MAX_NAMED else ""


def _tell_maintenance(uptime: Sequence[Uptime]) -> str:
    """Whose times of maintenance are in no figure of uptime."""
    worked = sorted(
        (each for each in uptime if each.maintenance), key=lambda each: -each.maintenance
    )
    if not worked:
        return ""
    longest = format_duration(worked[0].maintenance)
    names = format_names([each.component for each in worked], MAX_NAMED)
    return f" Left out as maintenance: up to {longest} of {names}."


def _tell_one(uptime: Uptime) -> str:
    parts = {"down": uptime.down, "degraded": uptime.degraded}
    spent = [f"{word} {format_duration(value)}" for word, value in parts.items() if value]
    return f"{uptime.component} was {' and '.join(spent)}"


def _tell_cost(impact: Sequence[Figure]) -> str:
    counted = [each for each in impact if each.low is not None]
    hurt = [each for each in counted if each.high]
    if not counted:
        return "What it cost was not measured: no check here counts it."
    if not hurt:
        return f"Of {len(counted)} figures that count damage none rose."
    told = [_tell_figure(each) for each in hurt[:MAX_NAMED]]
    return f"It cost: {'; '.join(told)}{_tell_more(hurt)}."


def _tell_figure(figure: Figure) -> str:
    low, high = figure.low or 0.0, figure.high or 0.0
    value = f"{low:,g}" if low == high else f"{low:,g} to {high:,g}"
    return f"{figure.name} {value} ({figure.check})"


def _tell_loss(facts: RecoveryFacts) -> str:
    back = [each for each in facts.positions if "lost" in each.verdict]
    lost = [each for each in facts.losses if each.high]
    unknown = [each.name for each in facts.losses if each.low is None and each.check]
    if back or lost or facts.lost:
        told = [_tell_figure(each) for each in lost]
        told += [f"{each.check} {each.name}: {each.verdict}" for each in back]
        told += [fault.text for fault in facts.lost if not lost]
        return f"Data loss: {'; '.join(told[:MAX_NAMED])}{_tell_more(told)}."
    if unknown or not (facts.losses or facts.positions):
        return "Data loss is not known in full: what counts it gave no figure."
    return "No data loss was counted."


def _tell_actions(actions: Sequence[Act], people: int) -> str:
    if not actions and not people:
        return "Nobody acted, neither sentinel nor a person."
    own = Counter(act.verdict for act in actions if act.by == "sentinel")
    others = sum(act.by != "sentinel" for act in actions) + people
    told = ", ".join(f"{n} {verdict}" for verdict, n in own.items())
    mine = f"sentinel acted {format_times(own.total())} ({told})" if own else "sentinel did not act"
    return f"{mine[0].upper()}{mine[1:]}; people acted {format_times(others)}."


def _count(n: int, word: str) -> str:
    return f"{n} {word}{'s' * (n != 1)}"
