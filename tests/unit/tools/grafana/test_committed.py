"""What is committed of the dashboards: as generated, as Grafana's schema has it, and well made."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tools.grafana.__main__ import main
from tools.grafana.declared import RULES
from tools.grafana.lint import find_faults
from tools.grafana.live import CONFIG
from tools.grafana.picture import list_drawn
from tools.grafana.quantity import write_quantity
from tools.grafana.question import list_panels
from tools.grafana.render import (
    FOLDER,
    PICTURES,
    SCHEMAS,
    read_boards,
    read_dashboards,
    render_dashboards,
)
from tools.grafana.schema import find_violations

NAMES = (
    "overview", "bus", "canaries", "tasks", "agents", "flows", "tenants", "database", "components",
    "objectives", "sentinel",
)  # fmt: skip
DOCUMENTS = read_dashboards()
PROVISIONING = FOLDER / "provisioning"
_BOARD = re.compile(r"https?://[^/]+/d/(?P<uid>sentinel-\w+)(?:\?(?P<query>.*))?")
_NARROWED = re.compile(r"var-(\w+)=")
MOST = 120_000
"""Bytes of a picture."""


def test_every_subject_has_its_dashboard() -> None:
    """In the order in which they lead on; the folder has no other."""
    assert tuple(read_boards()) == NAMES
    assert {file.stem for file in FOLDER.glob("*.json")} == set(NAMES)


@pytest.mark.parametrize("file", render_dashboards())
def test_files_are_as_generated(file: str) -> None:
    """Nobody edits them by hand: `python -m tools.grafana` writes them."""
    assert (FOLDER / file).read_text(encoding="utf-8") == render_dashboards()[file]


def test_every_answer_says_of_what_it_is() -> None:
    """A bare figure under a question answers nothing."""
    asked = [each for each in list_panels(DOCUMENTS["overview"]) if each["title"].endswith("?")]
    units = [each["fieldConfig"]["defaults"]["unit"] for each in asked]
    assert units == ["percentunit", "percentunit", "suffix:stuck", "suffix:leaks", "suffix:open"]
    shown = [write_quantity(31.0, unit, 0) for unit in units]
    assert shown == ["3100 %", "3100 %", "31 stuck", "31 leaks", "31 open"]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_schema_has_nothing_against_it(name: str) -> None:
    """Grafana's own definitions, to the last option of a panel."""
    assert find_violations(DOCUMENTS[name]) == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_lint_has_nothing_against_it(name: str) -> None:
    """Every rule of the house."""
    assert find_faults(DOCUMENTS[name]) == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_picture_shows_every_panel(name: str) -> None:
    """The picture in the documents is of these panels, none of them empty, and small."""
    path = PICTURES / f"{name}.svg"
    picture = path.read_text(encoding="utf-8")
    panels = {panel["id"]: panel for panel in list_panels(DOCUMENTS[name])}
    assert list_drawn(picture) == dict.fromkeys(panels, True)
    assert path.stat().st_size < MOST
    for panel in panels.values():
        assert f"<title>{_escaped(panel['description'])}</title>" in picture


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def test_uids_and_titles_are_used_once() -> None:
    """Grafana keeps one dashboard by uid, and people find one by title."""
    for key in ("uid", "title"):
        assert len({document[key] for document in DOCUMENTS.values()}) == len(DOCUMENTS)


def test_questions_come_first() -> None:
    """The first row of each dashboard is five figures."""
    for document in DOCUMENTS.values():
        first = [panel for panel in list_panels(document) if panel["gridPos"]["y"] == 0]
        assert [panel["type"] for panel in first] == ["stat"] * 5


def test_files_are_written_by_the_command(tmp_path: Path) -> None:
    """All of them."""
    assert main(["--into", str(tmp_path)]) == 0
    written = {file.name: file.read_text(encoding="utf-8") for file in tmp_path.iterdir()}
    assert written == render_dashboards()


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_other_schema_is_one_switch(name: str) -> None:
    """Each dashboard as a resource of v2: valid, with every panel and every query of the classic one."""
    manifest = SCHEMAS["v2"](read_boards()[name])
    assert find_violations(manifest) == []
    panels = {f"panel-{panel['id']}": panel for panel in list_panels(DOCUMENTS[name])}
    elements = manifest["spec"]["elements"]
    assert elements.keys() == panels.keys()
    for key, element in elements.items():
        queries = [
            each["spec"]["query"]["spec"] for each in element["spec"]["data"]["spec"]["queries"]
        ]
        assert [each["expr"] for each in queries] == [
            each["expr"] for each in panels[key]["targets"]
        ]
    placed = [
        item["spec"]["element"]["name"]
        for row in manifest["spec"]["layout"]["spec"]["rows"]
        for item in row["spec"]["layout"]["spec"]["items"]
    ]
    assert placed == list(panels)


def test_the_other_schema_is_strict() -> None:
    """What v2 does not name is refused."""
    manifest = SCHEMAS["v2"](read_boards()["overview"])
    manifest["spec"]["elements"]["panel-1"]["spec"]["colour"] = "red"
    assert find_violations(manifest) != []
    manifest["spec"].pop("layout")
    assert any("layout" in each for each in find_violations(manifest))


def test_alerts_lead_to_dashboards() -> None:
    """Each names one that is here, and narrows it by variables that it has."""
    led = 0
    for file in sorted(RULES.glob("*.yml")):
        groups = yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]
        for rule in (rule for group in groups for rule in group["rules"] if "alert" in rule):
            found = _BOARD.fullmatch(rule["annotations"]["dashboard"])
            assert found is not None, rule["alert"]
            document = next(each for each in DOCUMENTS.values() if each["uid"] == found["uid"])
            names = {each["name"] for each in document["templating"]["list"]}
            assert set(_NARROWED.findall(found["query"] or "")) <= names, rule["alert"]
            led += 1
    assert led > 100


# -- provisioning ----------------------------------------------------------------------------------


def _read(kind: str) -> dict[str, Any]:
    text = (PROVISIONING / kind / "sentinel.yml").read_text(encoding="utf-8")
    document: dict[str, Any] = yaml.safe_load(text)
    return document


def test_data_source_knows_the_interval_of_the_scrape() -> None:
    """`$__rate_interval` is four times that: with another interval rates would be empty."""
    (source,) = _read("datasources")["datasources"]
    config = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    assert source["jsonData"]["timeInterval"] == config["global"]["scrape_interval"]
    assert source["type"] == "prometheus"


def test_provider_reads_this_folder() -> None:
    """Files that Grafana's interface can't change, from the folder that the environment names."""
    (provider,) = _read("dashboards")["providers"]
    assert provider["type"] == "file"
    assert provider["allowUiUpdates"] is False
    assert re.fullmatch(r"\$[A-Z_]+", provider["options"]["path"])


def test_prometheus_names_the_platform() -> None:
    """The label by which dashboards tell platforms apart."""
    (job,) = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))["scrape_configs"]
    assert all("platform" in each["labels"] for each in job["static_configs"])


def test_they_travel_in_the_package() -> None:
    """Like checks and runbooks."""
    shipped = FOLDER.parent / "sentinel" / "shipped" / "dashboards"
    for name in NAMES:
        assert json.loads((shipped / f"{name}.json").read_text(encoding="utf-8"))["panels"]
    assert (shipped / "provisioning" / "dashboards" / "sentinel.yml").is_file()
