"""All canary paths of a check: one, or one for each master of a cluster; and their documents
between lives.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sentinel.adapters.bus.cluster import Cluster
from sentinel.adapters.redis import RedisClient
from sentinel.core.canary.hash_tag import Master, find_owner, find_tag, slot_of
from sentinel.errors import NotMeasurable, TargetError
from sentinel.watch.canary_path import CanaryPath, Outlook, Trip

Plan = Callable[[RedisClient, str], Trip]
"""Makes the run of a path from its client and its tag ("": the path has none)."""


@dataclass(frozen=True, slots=True)
class PathSight:
    """What a run learned of one path; `outlook.error` is what kept it from being asked."""

    label: str
    path: CanaryPath
    outlook: Outlook


class CanaryPaths:
    """Paths by label. Documents hold records and losses; flights, readers and connections are of
    this process.
    """

    def __init__(self, document: dict[str, Any] | None = None) -> None:
        self.paths: dict[str, CanaryPath] = {}
        self._documents: dict[str, Any] = dict((document or {}).get("paths", {}))
        self._cluster = Cluster()

    def dump(self) -> Any:
        """JSON-able document."""
        return {
            "paths": {
                **self._documents,
                **{label: path.dump() for label, path in self.paths.items()},
            }
        }

    async def close(self) -> None:
        """End the readers and the connections to shards."""
        for path in self.paths.values():
            await path.close()
        await self._cluster.close()

    async def visit(self, label: str, hops: Sequence[str], trip: Trip) -> PathSight:
        """Run the one path. Raises TargetError."""
        path = await self._path(label, hops)
        return PathSight(label, path, await path.run(trip))

    async def visit_shards(self, name: str, seed: RedisClient, plan: Plan) -> list[PathSight]:
        """Run a path for each master, all at once: what one suffers is not another's. Masters that
        have left, or have no slots any more, lose their paths. Raises TargetError when no node
        tells who is a master."""
        masters = {f"{name}.{master.name}": master for master in await self._cluster.look(seed)}
        for label in {*self.paths, *self._documents} - masters.keys():
            await self._retire(label, plan)
        return await asyncio.gather(*(self._visit_shard(*item, plan) for item in masters.items()))

    async def _visit_shard(self, label: str, master: Master, plan: Plan) -> PathSight:
        path = await self._path(label, ())
        try:
            if path.tag and not master.owns(slot_of(path.tag)):
                await self._leave(path, plan)
            path.tag = path.tag or find_tag(label, master)
            return PathSight(
                label, path, await path.run(plan(self._cluster.client(master), path.tag))
            )
        except TargetError as error:
            return PathSight(label, path, Outlook(error=error))

    async def _leave(self, path: CanaryPath, plan: Plan) -> None:
        """Its slot is another master's now: settle there what is open; the next tag is a new one."""
        owner = find_owner(self._cluster.masters, path.tag)
        if owner is None:
            text = f"nobody serves slot {slot_of(path.tag)}, which was this master's"
            raise NotMeasurable(text, "see CLUSTER INFO: canaries of that slot can't be settled")
        await path.retire(plan(self._cluster.client(owner), path.tag))
        path.tag = ""

    async def _retire(self, label: str, plan: Plan) -> None:
        """Settle what is open where its slot is now, and forget the path; when that can't be done,
        later.
        """
        path = await self._path(label, ())
        try:
            if path.tag:
                await self._leave(path, plan)
        except TargetError:
            return
        await self.paths.pop(label).close()

    async def _path(self, label: str, hops: Sequence[str]) -> CanaryPath:
        """The path of this label, from its document or afresh; made anew when its hops have
        changed.
        """
        known = self.paths.get(label)
        if known is not None and known.traffic.hops != tuple(hops):
            self._documents[label] = known.dump()
            await self.paths.pop(label).close()
        if label not in self.paths:
            self.paths[label] = CanaryPath(hops, self._documents.pop(label, None))
        return self.paths[label]
