"""Receivers of notices that are there: HTTP, mail, and an Alertmanager that passes on what it keeps.

They stand in a thread of their own beside a demo, which is started as another process.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import threading
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from sentinel.demo.servers import free_port
from tests.conftest import require_tool
from tests.unit.notify.rig import HttpSink, MailSink, http_sink, mail_sink

ALERTMANAGER = "prometheus-alertmanager"
Document = dict[str, Any]


@dataclass(frozen=True)
class Told:
    """What came in: documents of the webhook, mails, and alerts as Alertmanager passed them on."""

    documents: Sequence[Document] = ()
    mails: Sequence[EmailMessage] = ()
    alerts: Sequence[Document] = ()


@dataclass
class Receivers:
    """Stand from `start` until `stop`. With a folder, Alertmanager is one of them."""

    folder: Path | None = None
    http: HttpSink = field(init=False)
    mail: MailSink = field(init=False)
    alertmanager: str = ""
    _loop: asyncio.AbstractEventLoop = field(init=False)
    _thread: threading.Thread = field(init=False)
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    _process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """On free ports."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._wait(self._open())
        if self.folder is not None:
            self._process = self._start_alertmanager(self.folder)

    def stop(self) -> Told:
        """What came in."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)
        self._wait(self._stack.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self._loop.close()
        posts = {"/hook": [], "/alerts": []}
        for method, path, _, body in self.http.got:
            if method == "POST":
                posts[path].append(json.loads(body))
        alerts = [alert for each in posts["/alerts"] for alert in each["alerts"]]
        return Told(posts["/hook"], [mail for _, mail in self.mail.mails], alerts)

    def write_channels(self) -> str:
        """All three, as a configuration."""
        mail = f"host: 127.0.0.1, port: {self.mail.port}, tls: none"
        people = "sender: sentinel@example.org, to: [oncall@example.org]"
        return (
            "channels:\n"
            f'  alerts: {{kind: alertmanager, members: ["{self.alertmanager}"], lease: 10m}}\n'
            f"  mail: {{kind: email, {mail}, {people}}}\n"
        )

    @property
    def hook(self) -> str:
        """Where the webhook goes."""
        return f"{self.http.url}/hook"

    async def _open(self) -> None:
        self.http = await self._stack.enter_async_context(http_sink())
        self.mail = await self._stack.enter_async_context(mail_sink())

    def _wait(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def _start_alertmanager(self, folder: Path) -> subprocess.Popen[bytes]:
        address = f"127.0.0.1:{free_port()}"
        self.alertmanager = f"http://{address}"
        route = "{receiver: all, group_by: [incident], group_wait: 0s, group_interval: 1s}"
        hook = f'{{url: "{self.http.url}/alerts", send_resolved: true}}'
        folder.mkdir()
        file = folder / "alertmanager.yml"
        file.write_text(f"route: {route}\nreceivers: [{{name: all, webhook_configs: [{hook}]}}]\n")
        argv = [
            require_tool(ALERTMANAGER), f"--config.file={file}", f"--storage.path={folder / 'data'}",
            f"--web.listen-address={address}", "--cluster.listen-address=", "--log.level=warn",
        ]  # fmt: skip
        with (folder / "log").open("w") as log:
            return subprocess.Popen(argv, stdout=log, stderr=log)
