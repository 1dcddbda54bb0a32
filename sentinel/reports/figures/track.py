"""Tracks: from the last report to now, what they are at, what comes next; and the next meeting."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from fnmatch import fnmatchcase

from sentinel.core.progress.plan import Plan, Track
from sentinel.core.progress.standing import WorkState
from sentinel.reports.figures import AgentFact, Figure
from sentinel.reports.figures.work import MilestoneFact, PathFact, SyncFact, TrackFact

MAX_TOPICS = 20
_NEXT = (WorkState.READY.value, WorkState.WAITING.value)


def list_tracks(
    plan: Plan, milestones: Sequence[MilestoneFact], agents: Sequence[AgentFact]
) -> list[TrackFact]:
    """Every track of the plan."""
    return [
        _tell(track, [each for each in milestones if each.track == track.name], agents)
        for track in plan.tracks.values()
    ]


def _tell(track: Track, own: Sequence[MilestoneFact], agents: Sequence[AgentFact]) -> TrackFact:
    mine = [
        agent
        for agent in agents
        if any(fnmatchcase(agent.name, p) or fnmatchcase(agent.label, p) for p in track.agents)
    ]
    done = [agent.done for agent in mine if agent.done is not None]
    return TrackFact(
        name=track.name,
        title=track.title or track.name,
        owner=track.owner,
        agents=list(dict.fromkeys(agent.label or agent.name for agent in mine)),
        tasks_done=math.fsum(done) if done else None,
        before=_mean("at the last report", [each.before for each in own]),
        now=_mean("now", [each.ratio for each in own]),
        focus=[_name(each) for each in own if each.state == WorkState.IN_PROGRESS],
        next_steps=[_name_next(each) for each in own if each.state in _NEXT],
        claims=sum(each.claimed for each in own),
    )


def _name(milestone: MilestoneFact) -> str:
    return f"{milestone.title} ({100 * (milestone.ratio or 0):.0f} %)"


def _name_next(milestone: MilestoneFact) -> str:
    if not milestone.open_needs:
        return milestone.title
    return f"{milestone.title}, after {', '.join(milestone.open_needs)}"


def _mean(name: str, ratios: Sequence[float | None]) -> Figure:
    """The mean of the ratios; one that is not known is anything from 0 to 1."""
    known = [ratio for ratio in ratios if ratio is not None]
    if not known:
        return Figure(name, unit="ratio")
    low = math.fsum(known) / len(ratios)
    unknown = len(ratios) - len(known)
    basis = f"mean of {len(ratios)} milestones" + (f", {unknown} not measured" if unknown else "")
    return Figure(name, low, low + unknown / len(ratios), "ratio", basis=basis)


def plan_sync(
    plan: Plan,
    milestones: Sequence[MilestoneFact],
    path: PathFact | None,
    blockers: int,
    at: datetime | None,
) -> SyncFact:
    """Who is needed at the next meeting: who answers for a track that is critical, late or in
    contradiction.
    """
    owners: Mapping[str, str] = {name: track.owner for name, track in plan.tracks.items()}
    topics, who = [], dict[str, None]()
    for each in milestones:
        troubled = [note for note in each.notes if not note.startswith("stale: looked")]
        if not troubled and not each.on_path:
            continue
        owner = owners.get(each.track, "")
        who |= {owner: None} if owner else {}
        topics.append(f"{each.title}: {'; '.join(troubled) or 'on the critical path'}")
    if path is not None and path.unknown:
        topics.append(f"nobody knows how long {', '.join(path.unknown)} takes")
    if blockers:
        topics.append(f"{blockers} blocker{'s' * (blockers != 1)}")
    return SyncFact(at, list(who), topics[:MAX_TOPICS])
