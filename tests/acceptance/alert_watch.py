"""A real Prometheus with the committed rules, and a real Alertmanager, beside a demo: what reaches
whoever would be called.
"""

from __future__ import annotations

import json
import re
import subprocess
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import yaml

from sentinel.demo.servers import free_port
from tests.conftest import require_tool

ROOT = Path(__file__).resolve().parents[2]
EVERY = "500ms"
TOOLS = ("prometheus", "prometheus-alertmanager")
Notice = dict[str, Any]


@dataclass(frozen=True)
class Notices:
    """What Alertmanager sent, by receiver: alerts with `status`, `labels` and `annotations`."""

    by_receiver: dict[str, list[Notice]] = field(default_factory=dict)

    def find(self, status: str, receiver: str = "people", **labels: str) -> list[Notice]:
        """Those of a status that have these labels."""
        return [
            each
            for each in self.by_receiver.get(receiver, ())
            if each["status"] == status and labels.items() <= each["labels"].items()
        ]


class _Receiver(BaseHTTPRequestHandler):
    notices: ClassVar[dict[str, list[Notice]]]

    def do_POST(self) -> None:
        """A webhook of Alertmanager."""
        document = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.notices.setdefault(self.path[1:], []).extend(document["alerts"])
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_words: Any) -> None:
        """Nobody reads it."""


class AlertWatch:
    """Scrapes a demo at `address` twice a second. Alerts call at once and forget within seconds, for
    a demo has no hour for them: the rules are the committed ones otherwise.
    """

    def __init__(self, address: str, folder: Path) -> None:
        self._folder, self._notices = folder, Notices()
        folder.mkdir()
        handler = type("Receiver", (_Receiver,), {"notices": self._notices.by_receiver})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self._alertmanager, self._prometheus = (f"127.0.0.1:{free_port()}" for _ in range(2))
        self._log = (folder / "log").open("w")
        self._processes = [self._start_alertmanager(), self._start_prometheus(address)]

    def _start_alertmanager(self) -> subprocess.Popen[bytes]:
        path = ROOT / "dashboards/alertmanager/alertmanager.yml"
        document = yaml.safe_load(path.read_text())
        place = f"http://127.0.0.1:{self._server.server_address[1]}"
        for receiver in document["receivers"]:
            receiver["webhook_configs"] = [{"url": f"{place}/{receiver['name']}"}]
        document["route"] |= {"group_wait": "1s", "group_interval": "1s"}
        config = self._folder / "alertmanager.yml"
        config.write_text(yaml.safe_dump(document))
        return self._run(
            "prometheus-alertmanager",
            f"--config.file={config}",
            f"--storage.path={self._folder / 'alertmanager'}",
            f"--web.listen-address={self._alertmanager}",
            "--cluster.listen-address=",
        )

    def _start_prometheus(self, address: str) -> subprocess.Popen[bytes]:
        for path in (ROOT / "dashboards/rules").glob("*.yml"):
            hasty = re.sub(r"^( +for:) .*", r"\1 0s", path.read_text(), flags=re.M)
            hasty = hasty.replace("[10m]", "[10s]").replace("time() - 600", "time() - 10")
            (self._folder / path.name).write_text(hasty)
        document = {
            "global": {"scrape_interval": EVERY, "evaluation_interval": EVERY},
            "rule_files": [
                str(self._folder / p.name) for p in (ROOT / "dashboards/rules").iterdir()
            ],
            "alerting": {
                "alertmanagers": [{"static_configs": [{"targets": [self._alertmanager]}]}]
            },
            "scrape_configs": [
                {"job_name": "sentinel", "static_configs": [{"targets": [address]}]}
            ],
        }
        config = self._folder / "prometheus.yml"
        config.write_text(yaml.safe_dump(document))
        return self._run(
            "prometheus",
            f"--config.file={config}",
            f"--storage.tsdb.path={self._folder / 'data'}",
            f"--web.listen-address={self._prometheus}",
        )

    def _run(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        argv = [require_tool(name), "--log.level=warn", *arguments]
        return subprocess.Popen(argv, stdout=self._log, stderr=self._log)

    def stop(self) -> Notices:
        """End both; what was sent."""
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.wait(30)
        self._server.shutdown()
        self._server.server_close()
        self._log.close()
        return self._notices
