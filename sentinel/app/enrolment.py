"""Who is watched: components and checks come into the engine, and leave it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sentinel.app.roster import CheckRoster
from sentinel.core.model import Check, Component, Incident
from sentinel.core.objective import Objective
from sentinel.engine.assembly import Engine
from sentinel.engine.breath import Breath
from sentinel.engine.objectives import read_kept
from sentinel.engine.supervision import make_check, name_of_check
from sentinel.errors import StateUnwritable
from sentinel.remediation import DriverContext, load_drivers
from sentinel.store import Store


@dataclass(slots=True)
class Enrolment:
    """Takes components and checks in and out, everywhere at once."""

    store: Store
    engine: Engine
    roster: CheckRoster
    clients: Mapping[str, Any]
    log_folder: Path
    _kinds: Mapping[str, Any] = field(default_factory=load_drivers)
    _untold: tuple[list[str], list[str]] | None = None
    """Checks and components that the store does not know of yet."""

    async def add_components(self, components: Sequence[Component]) -> None:
        """Take components in, with the incidents that are still open, and what their drivers knew."""
        # In the store's thread: at a reload a locked file must not make sentinel stand still.
        await self.roster.recall()
        breath = Breath()
        incidents = await self.engine.recorder.call(lambda: self.store.incidents(open_only=True))
        open_incidents: dict[str, list[Incident]] = {}
        for incident in incidents:  # the newest first: an older one is beneath it
            open_incidents.setdefault(incident.component, []).append(incident)
        shown = await self.engine.recorder.call(self.store.components)
        before = {view.name: view for view in shown}
        rows = {row.component: row for row in await self.engine.recorder.call(self.store.processes)}
        for component in components:
            upper, lower = [*open_incidents.get(component.name, []), None, None][:2]
            self.engine.picture.add_component(component, upper, lower, before.get(component.name))
            await breath.draw()
        context = DriverContext(self.log_folder, self.clients)
        for component in components:
            if component.driver:
                kind = self._kinds[component.driver]
                driver = kind.make(component, component.options, context)
                if kind.observes(component.options):
                    self.roster.add(make_check(component))
                row = rows.get(component.name)
                await self.engine.remediator.manage(
                    component, driver, row, supervises=kind.supervises
                )

    async def add_checks(self, checks: Sequence[Check], components: Iterable[Component]) -> None:
        """Take checks in; what the store shows is what is watched now, of these components."""
        await self.roster.recall()
        breath = Breath()
        for check in checks:
            self.roster.add(check)
            await breath.draw()
        names = [watched.check.name for watched in self.engine.picture.watched()]
        self._untold = names, [component.name for component in components]
        await self.tell_store()

    async def tell_store(self) -> None:
        """Have the store forget what is not watched any more, as soon as it can be written."""
        if self._untold is None:
            return
        names, known = self._untold
        await self.engine.recorder.settle()  # else what left would come back
        try:
            await self.engine.recorder.call(lambda: self.store.replace_configuration(names, known))
        except StateUnwritable:
            return  # whoever records next says so
        self._untold = None
        self.engine.hub.tell_anew()

    async def take_objectives(self, objectives: Sequence[Objective]) -> None:
        """Take the objectives of a configuration, with what was counted for them before. Where they
        are written is of no use to who reads the state.
        """
        objectives = [replace(each, origin="") for each in objectives]
        engine = self.engine
        now = engine.objectives.utcnow()
        kept = await engine.recorder.call(lambda: read_kept(self.store, objectives, now))
        engine.objectives.follow(objectives, kept)

    async def release(self, name: str, *, gone: bool) -> None:
        """Let a component go, or its driver: what runs goes on, and a new driver takes it over."""
        while self.engine.remediator.acts_on(name):  # noqa: ASYNC110 - nobody tells of its end
            await asyncio.sleep(0.05)
        if name in self.engine.fleet.drivers:
            await self.roster.remove(name_of_check(name))
            self.engine.remediator.release(name)
        if gone:
            await self.engine.incidents.close_all(name, "no longer in the configuration")
            self.engine.picture.remove_component(name)

    def checks_by_component(self) -> dict[str, set[str]]:
        """Names of the checks of each component, as they are now."""
        picture = self.engine.picture
        return {name: set(picture.checks_of(name)) for name in picture.components}

    async def reconsider_left(self, before: Mapping[str, set[str]]) -> None:
        """Judge anew who has lost checks since `before`."""
        left = self.checks_by_component()
        await self.engine.pipeline.reconsider(
            name for name, checks in left.items() if before.get(name, checks) - checks
        )

    async def reconsider_unwatched(self) -> None:
        """Before this start somebody may have taken out every check of a sick component."""
        picture = self.engine.picture
        sick = [name for name in picture.incidents if not picture.checks_of(name)]
        await self.engine.pipeline.reconsider(sick)
