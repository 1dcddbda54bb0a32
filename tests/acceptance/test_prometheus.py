"""A real Prometheus with the repository's own prometheus.yml: both main figures come out of a
query.
"""

from __future__ import annotations

import json
import re
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from sentinel.demo.servers import free_port
from tests.acceptance.conftest import DemoRun, finish, start_demo
from tests.conftest import require_tool

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "prometheus.yml"
TARGET = yaml.safe_load(CONFIG.read_text())["scrape_configs"][0]["static_configs"][0]["targets"][0]
OUTCOMES = {"acked", "pending", "waiting", "lost", "dropped", "uncertain"}
SCRAPES = 9
"""Scrapes to wait for: with 5 s between them more than the 30 s of the queries, all of them under
load.
"""

DELIVERY = "sum(rate(sentinel_bus_settled_total{outcome='acked'}[30s])) / sum(rate(sentinel_bus_settled_total[30s]))"
IN_TIME = (
    "sum(rate(sentinel_task_assignment_settled_total{outcome='in_deadline'}[30s]))"
    " / sum(rate(sentinel_task_assignment_settled_total[30s]))"
)
WITHIN_100MS = (
    "sum(rate(sentinel_task_assignment_seconds_bucket{le='0.1'}[30s]))"
    " / sum(rate(sentinel_task_assignment_seconds_count[30s]))"
)


UP = "up"
COUNTED = "sum by (outcome) (count_over_time(sentinel_bus_settled_total[5m]))"
SETTLED = "sum(increase(sentinel_bus_settled_total[30s]))"
ASSIGNED = "sum(increase(sentinel_task_assignment_settled_total[30s]))"
SCRAPED = "sum(sum_over_time(up[5m]))"
QUERIES = (UP, COUNTED, SETTLED, ASSIGNED, DELIVERY, IN_TIME, WITHIN_100MS)


@dataclass(frozen=True)
class Watched:
    """What was seen of one run: answers by PromQL, two pages of /metrics, the document of the run."""

    answers: dict[str, Any]
    first_page: str
    last_page: str
    run: DemoRun


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """A Prometheus that scrapes a demo run from its first second on; asked while the load still
    runs.
    """
    binary, folder = require_tool("prometheus"), tmp_path_factory.mktemp("prometheus")
    _require_free(TARGET)
    address = f"127.0.0.1:{free_port()}"
    argv = [
        binary,
        f"--config.file={CONFIG}",
        f"--storage.tsdb.path={folder / 'data'}",
        "--log.level=warn",
    ]
    log = (folder / "prometheus.log").open("w")
    prometheus = subprocess.Popen(
        [*argv, f"--web.listen-address={address}"], stdout=log, stderr=log
    )
    demo = start_demo("65s", [], folder / "demo", listen=TARGET)
    try:
        first = _wait_for(lambda: _page_with("sentinel_bus_settled_total"), 45, demo)
        _wait_for(lambda: _value(address, SCRAPED) >= SCRAPES, 75, demo)
        answers = {query: _ask(address, query) for query in QUERIES}
        last = _page_with("sentinel_bus_settled_total")
        yield Watched(answers, first, last, finish(demo, folder))
    finally:
        for process in (demo, prometheus):
            process.terminate()
            process.wait(30)
        log.close()


def test_target_is_up(watched: Watched) -> None:
    """The demo is scraped at the address that prometheus.yml names."""
    assert [float(each["value"][1]) for each in watched.answers[UP]] == [1.0]


def test_delivery_reliability_comes_out(watched: Watched) -> None:
    """Acknowledged over settled is 1, less at most what the run's own document says was missed."""
    document = watched.run.document["delivery"]
    missed = document["published"] - document["acknowledged"]
    assert _scalar(watched, SETTLED) > 100
    assert _floor(missed, _scalar(watched, SETTLED)) <= _scalar(watched, DELIVERY) <= 1.0 + 1e-9


@pytest.mark.parametrize("query", [IN_TIME, WITHIN_100MS])
def test_assignment_latency_comes_out(watched: Watched, query: str) -> None:
    """The share assigned within 100 ms is 1, less at most what the document says was late: by
    outcome and by bucket.
    """
    document = watched.run.document["assignment"]
    late = document["total"] - document["within_100ms"]
    assert _scalar(watched, ASSIGNED) > 100
    assert _floor(late, _scalar(watched, ASSIGNED)) <= _scalar(watched, query) <= 1.0 + 1e-9


def test_every_outcome_exists_from_the_first_scrape(watched: Watched) -> None:
    """All six outcomes are there at 0 before anything was settled, and in each scrape since."""
    found = re.findall(
        r'^sentinel_bus_settled_total\{.*outcome="(\w+)".*\} (\S+)$',
        watched.first_page,
        re.MULTILINE,
    )
    assert {outcome: float(value) for outcome, value in found} == dict.fromkeys(OUTCOMES, 0.0)
    counts = {each["metric"]["outcome"]: each["value"][1] for each in watched.answers[COUNTED]}
    assert counts.keys() == OUTCOMES
    assert len(set(counts.values())) == 1


def test_metrics_page_is_clean(watched: Watched) -> None:
    """promtool reads the page without an error and without a lint warning."""
    done = _promtool("check", "metrics", page=watched.last_page)
    lines = {line for line in (done.stdout + done.stderr).splitlines() if line}
    assert (done.returncode, lines) == (0, set())


def test_run_was_healthy(watched: Watched) -> None:
    """The demo ends well: the answers above are those of a whole run."""
    assert watched.run.code == 0, watched.run.stderr


def _promtool(*arguments: str, page: str | None = None) -> subprocess.CompletedProcess[str]:
    argv = [require_tool("promtool"), *arguments]
    return subprocess.run(argv, input=page, capture_output=True, text=True, check=False)


def _floor(bad: int, settled: float) -> float:
    """The lowest share that so many bad events of the whole run allow in the window of a query."""
    return 1.0 - bad / settled - 1e-9 if bad else 1.0 - 1e-9


def _scalar(watched: Watched, query: str) -> float:
    (only,) = watched.answers[query]
    return float(only["value"][1])


def _require_free(address: str) -> None:
    host, _, port = address.rpartition(":")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, int(port)))
        except OSError as error:
            pytest.fail(
                f"{address}, which prometheus.yml scrapes, is taken by another program: {error.strerror}"
            )


def _wait_for(look: Callable[[], Any], seconds: float, demo: subprocess.Popen[str]) -> Any:
    """What `look` gives as soon as it gives something."""
    limit = time.monotonic() + seconds
    while not (found := look()):
        assert demo.poll() is None, f"the demo ended early: {demo.communicate()[1]}"
        assert time.monotonic() < limit, "nothing came in time"
        time.sleep(0.2)
    return found


def _page_with(name: str) -> str:
    """The page of /metrics once it has samples of this metric, else ""."""
    page = _get(f"http://{TARGET}/metrics")
    return page if f"\n{name}{{" in page else ""


def _value(address: str, query: str) -> float:
    found = _ask(address, query)
    return float(found[0]["value"][1]) if found else 0.0


def _ask(address: str, query: str) -> list[dict[str, Any]]:
    """Prometheus's answer to an instant query."""
    text = _get(f"http://{address}/api/v1/query?{urllib.parse.urlencode({'query': query})}")
    result: list[dict[str, Any]] = json.loads(text)["data"]["result"] if text else []
    return result


def _get(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return str(answer.read().decode())
    except (urllib.error.URLError, OSError):
        return ""
