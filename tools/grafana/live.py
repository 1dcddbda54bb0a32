"""A real Prometheus that scrapes the demo, and what it answers to every query of the dashboards."""

from __future__ import annotations

import http.client
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from sentinel.demo.servers import free_port
from tools.grafana.question import Filling, Question, join_values, list_questions

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "prometheus.yml"
CHAOS = (
    "lose-messages",
    "crash-loop",
    "crash-orchestrator",
    "stuck-flow",
    "tenant-leak",
    "poison-message",
)
"""Faults that do not hide each other; together they give every panel something to show."""
STEP = 1
"""Seconds between two scrapes, two evaluations of rules, and two points of a line."""
PATIENCE = 20.0
"""Seconds for an answer, a start, an end."""
Points = list[tuple[float, float]]


class NoAnswer(Exception):
    """Prometheus refused a query, or is not there; the sentence says why."""


@dataclass(frozen=True, slots=True)
class Line:
    """One series of an answer: labels and points, of which an instant has one."""

    labels: Mapping[str, str]
    points: Points


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: series with at least one number, the values of a label, or an error."""

    lines: tuple[Line, ...] = ()
    values: tuple[str, ...] = ()
    error: str = ""

    def __bool__(self) -> bool:
        return bool(self.lines or self.values)


@dataclass(slots=True)
class Answers:
    """The answers to one dashboard, by question, with what stood for its variables."""

    filling: Filling
    by_question: dict[Question, Answer] = field(default_factory=dict)


class Prometheus:
    """Questions to a server that runs, about the time since `since` (Unix)."""

    def __init__(self, address: str, since: float) -> None:
        self._address, self.since = address, since
        self.until = since

    def ask(self, question: Question, filling: Filling) -> Answer:
        """The answer of the present; an error is an answer, too."""
        try:
            if question.form == "values":
                return self._ask_values(filling.fill(question.expr), question.label)
            return self._ask_series(question, filling.fill(question.expr))
        except NoAnswer as error:
            return Answer(error=str(error))

    def has_exported(self, selector: str) -> bool:
        """Whether there was a series like that at any time."""
        found = self._get("series", {"match[]": selector, **self._span()})
        return bool(found)

    def _ask_values(self, selector: str, label: str) -> Answer:
        path = f"label/{label}/values"
        return Answer(values=tuple(self._get(path, {"match[]": selector, **self._span()})))

    def _ask_series(self, question: Question, expr: str) -> Answer:
        if question.form == "instant":
            found = self._get("query", {"query": expr, "time": f"{self.until:.3f}"})
        else:
            found = self._get("query_range", {"query": expr, "step": f"{STEP}", **self._span()})
        lines = map(_read_line, found["result"])
        return Answer(lines=tuple(line for line in lines if line.points))

    def _span(self) -> dict[str, str]:
        return {"start": f"{self.since:.3f}", "end": f"{self.until:.3f}"}

    def _get(self, path: str, parameters: Mapping[str, str]) -> Any:
        connection = http.client.HTTPConnection(self._address, timeout=PATIENCE)
        try:
            connection.request("GET", f"/api/v1/{path}?{urllib.parse.urlencode(parameters)}")
            document = json.loads(connection.getresponse().read())
        except (OSError, ValueError) as error:
            raise NoAnswer(f"Prometheus at {self._address}: {error}") from error
        finally:
            connection.close()
        if document["status"] != "success":
            raise NoAnswer(document["error"])
        return document["data"]


def _read_line(found: Mapping[str, Any]) -> Line:
    """Its finite points: what is no number is drawn by nobody."""
    pairs = found.get("values") or [found["value"]]
    points = [(float(at), float(value)) for at, value in pairs]
    return Line(found["metric"], [point for point in points if math.isfinite(point[1])])


# -- all questions ---------------------------------------------------------------------------------


def ask_all(
    prometheus: Prometheus, document: Mapping[str, Any], before: Answers | None = None
) -> Answers:
    """Every question of a dashboard; where nothing comes now, what came before stays."""
    filling = Filling(
        {}, f"{5 * STEP}s", f"{max(1, math.ceil(prometheus.until - prometheus.since))}s"
    )
    answers = Answers(filling)
    every = {each["name"]: each.get("allValue") for each in document["templating"]["list"]}
    for question in list_questions(document):
        answer = prometheus.ask(question, answers.filling)
        earlier = before.by_question.get(question) if before else None
        answers.by_question[question] = answer or earlier or answer
        if question.form == "values":
            name = question.place.removeprefix("variable ")
            value = every[name] or join_values(list(answer.values) or ["none"])
            values = {**answers.filling.values, name: value}
            answers.filling = replace(answers.filling, values=values)
    return answers


def ask_until(
    prometheus: Prometheus,
    documents: Mapping[str, Mapping[str, Any]],
    is_enough: Callable[[Mapping[str, Answers]], bool],
    seconds: float,
) -> dict[str, Answers]:
    """Ask all dashboards again and again until it is enough, or `seconds` are over."""
    answers, limit = dict[str, Answers](), time.monotonic() + seconds
    while True:
        prometheus.until = time.time()
        for name, document in documents.items():
            answers[name] = ask_all(prometheus, document, answers.get(name))
        if is_enough(answers) or time.monotonic() > limit:
            return answers
        time.sleep(STEP)


def list_empty(answers: Mapping[str, Answers]) -> list[str]:
    """Questions to which nothing came."""
    return [
        f"{name}: {question.place}{answer.error and ': '}{answer.error}"
        for name, each in answers.items()
        for question, answer in each.by_question.items()
        if not answer
    ]


# -- the servers -----------------------------------------------------------------------------------


@contextmanager
def watch_demo(folder: Path, chaos: Sequence[str] = CHAOS) -> Iterator[Prometheus]:
    """A demo under chaos, and a Prometheus that scrapes it from its first second on."""
    target, address = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    folder.mkdir(parents=True, exist_ok=True)
    since = time.time()
    with (
        (folder / "log").open("w", encoding="utf-8") as log,
        _run(_list_prometheus_words(folder, target, address), log),
        _run(_list_demo_words(folder, target, chaos), log) as demo,
    ):
        prometheus = Prometheus(address, since)
        _wait_for_scrape(prometheus, demo, folder)
        yield prometheus


def _list_prometheus_words(folder: Path, target: str, address: str) -> list[str]:
    program = shutil.which("prometheus")
    if program is None:
        raise NoAnswer("there is no program prometheus: install it, for example from Debian")
    config = folder / "prometheus.yml"
    config.write_text(yaml.safe_dump(_make_config(folder, target)), encoding="utf-8")
    return [
        program,
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={address}",
        "--log.level=warn",
    ]


def _make_config(folder: Path, target: str) -> dict[str, Any]:
    """That of the repository, a second apart: nobody waits for the rules of a minute."""
    config: dict[str, Any] = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    config["global"] = {"scrape_interval": f"{STEP}s", "evaluation_interval": f"{STEP}s"}
    config["scrape_configs"][0]["static_configs"][0]["targets"] = [target]
    rules = folder / "rules"
    rules.mkdir(exist_ok=True)
    for pattern in config["rule_files"]:
        for file in ROOT.glob(pattern):
            document = yaml.safe_load(file.read_text(encoding="utf-8"))
            groups = [{**group, "interval": f"{STEP}s"} for group in document["groups"]]
            text = yaml.safe_dump({"groups": groups}, sort_keys=False)
            (rules / file.name).write_text(text, encoding="utf-8")
    config["rule_files"] = [str(rules / "*.yml")]
    return config


def _list_demo_words(folder: Path, target: str, chaos: Sequence[str]) -> list[str]:
    words = [sys.executable, "-m", "sentinel", "demo", "--json", "--for", "5m"]
    words += ["--listen", target, "--folder", str(folder / "demo")]
    return words + [word for name in chaos for word in ("--chaos", name)]


@contextmanager
def _run(words: Sequence[str], log: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A program until the end of the block; the demo takes its own time to stop what it started."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SENTINEL_")}
    process = subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=kept, cwd=ROOT
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for_scrape(prometheus: Prometheus, demo: subprocess.Popen[bytes], folder: Path) -> None:
    limit = time.monotonic() + 3 * PATIENCE
    while time.monotonic() < limit:
        if demo.poll() is not None:
            break
        try:
            prometheus.until = time.time()
            if prometheus.has_exported("sentinel_build_info"):
                return
        except NoAnswer:
            pass  # it is about to start
        time.sleep(0.2)
    raise NoAnswer(f"nothing was scraped: {(folder / 'log').read_text(encoding='utf-8')[-2000:]}")
