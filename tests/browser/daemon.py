"""The pages of a daemon without a daemon: a store, and a hub in the hands of the test."""

from __future__ import annotations

import socket
from datetime import UTC, datetime

from sentinel.core.fault import Status
from sentinel.core.model import Incident, IncidentState
from sentinel.engine.hub import Hub
from sentinel.store import Changes, CheckView, ComponentView
from sentinel.store.sqlite import SqliteStore
from sentinel.web import page as web_page
from sentinel.web.app import make_app
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
        self.store, self.hub = store, Hub()
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

    def tell(self, changes: Changes) -> None:
        """The engine changes something."""
        self.store.commit(changes)
        self.hub.tell(lambda: changes)
