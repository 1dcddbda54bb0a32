"""The pages of a daemon without a daemon: a store, and a hub in the hands of the test."""

from __future__ import annotations

import socket
from dataclasses import replace
from datetime import UTC, datetime
from typing import cast

from sentinel.core.access import AccessRules, AccessScope
from sentinel.core.fault import Status
from sentinel.core.model import Incident, IncidentState
from sentinel.core.order import Answer
from sentinel.engine.hub import Hub
from sentinel.store import Changes, CheckView, ComponentView
from sentinel.store.sqlite import SqliteStore
from sentinel.web import page as web_page
from sentinel.web.app import make_app
from sentinel.web.desk import Desk
from sentinel.web.door import Door
from sentinel.web.guard import listen_hosts
from sentinel.web.site import SITE, Site

LIVE = "document.querySelector('#fresh').dataset.state === 'live'"


class Daemon:
    """The web application on a port that it can leave and take again."""

    def __init__(self, store: SqliteStore) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.store, self.hub, self.scope = store, Hub(), AccessScope.READ
        self.notes: list[tuple[str, str]] = []
        self.site: Site
        self._page: web_page.OpenPage | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    @property
    def door(self) -> Door:
        """Who is in."""
        assert self._page is not None
        return self._page.door

    async def start(self) -> None:
        app = make_app(
            self.store,
            lambda _: iter(()),
            lambda: (True, ""),
            lambda: listen_hosts("127.0.0.1", self.port),
            feed=self.hub,
            desk=cast(Desk, self),
            rules=lambda: AccessRules(loopback=self.scope),
        )
        self.site = app[SITE]
        bound = socket.create_server(("127.0.0.1", self.port))
        self._page = await web_page.open_page(app, "127.0.0.1", [bound])

    async def stop(self) -> None:
        if self._page is not None:
            await self._page.close()
            self._page = None

    def show(self, name: str, status: str, *, detail: str = "", incident: str = "") -> None:
        """Put one component, its check and, when `incident` is given, an open incident into the
        store.
        """
        now = datetime.now(UTC)
        check = CheckView(
            f"{name}-check", "tcp", name, status, status, now, detail, ("key", name), "", {}, [], 1, 3600.0, now,
            0.1, "ok", "observed", "t", "", False,
        )  # fmt: skip
        component = ComponentView(name, status, now, detail, [], "", None, 0, "")
        changes = Changes(checks=[check], components=[component])
        if incident:
            changes.incidents = [
                Incident(f"I-{name}", name, now, IncidentState.OPEN, Status(status), incident)
            ]
        self.tell(changes)

    async def acknowledge(self, incident: str, by: str, reason: str) -> Answer:
        """Somebody sees to an incident."""
        found = self.store.incident(incident)
        assert found is not None
        now = datetime.now(UTC)
        self.tell(Changes(incidents=[replace(found, acknowledged=now, acknowledged_by=by)]))
        return Answer.done(f"acknowledged: {reason}")

    async def note(self, incident: str, _by: str, text: str) -> Answer:
        """What somebody did."""
        self.notes.append((incident, text))
        return Answer.done("noted")

    def tell(self, changes: Changes) -> None:
        """The engine changes something."""
        self.store.commit(changes)
        self.hub.tell(lambda: changes)
