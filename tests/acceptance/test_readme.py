"""What the README shows is executed: examples that are not run rot."""

from __future__ import annotations

import re
import subprocess
import sys
import time
import types
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sentinel import __version__
from sentinel.adapters.redis import RedisClient
from sentinel.cli import build_parser
from sentinel.config import load
from sentinel.core.fault import Status
from sentinel.demo.servers import ValkeyServer
from sentinel.probes import Context, Kind, load_kinds
from sentinel.shelf import take_from

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def _blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_ten_lines_of_yaml_are_valid(tmp_path: Path) -> None:
    """The example configuration loads as it stands, with the variable it names; the objectives that
    are shown later are of its checks.
    """
    example, objectives = _blocks("yaml")
    assert len(example.splitlines()) <= 12
    (tmp_path / "sentinel.yaml").write_text(example)
    (tmp_path / "objectives.yaml").write_text(objectives)
    configuration = load(tmp_path, {"BUS_URL": "redis://127.0.0.1:6379/0"})
    assert [check.name for check in configuration.checks] == ["bus-server", "delivery"]
    assert [each.name for each in configuration.objectives] == ["messages", "bus"]


def test_example_folder_is_valid() -> None:
    """`checks/` loads without any environment."""
    assert len(load(ROOT / "checks", {}).checks) == 5


async def test_example_kind_runs(valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kind that CONTRIBUTING shows is a complete file of the shelf and measures."""
    guide = (ROOT / "CONTRIBUTING.md").read_text()
    source = next(block for block in _blocks("python", guide) if "KIND = Kind(" in block)
    linted = subprocess.run(
        [
            sys.executable,
            "-m",
            "ruff",
            "check",
            "-",
            "--stdin-filename",
            str(ROOT / "sentinel/probes/keys.py"),
        ],
        input=source,
        capture_output=True,
        text=True,
        check=False,
    )
    assert linted.returncode == 0, linted.stdout
    module = types.ModuleType("readme_kind")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(compile(source, "README.md", "exec"), module.__dict__)
    kind = take_from(module, Kind, "KIND")
    client = RedisClient("bus", valkey.url)
    await client.call("SET", "a", "1")
    context = Context(
        check="x",
        component="bus",
        trace_id="0" * 32,
        interval=1.0,
        timeout=5.0,
        clients={"resource": client},
        state=None,
        utcnow=lambda: datetime.now(UTC),
        monotonic=time.monotonic,
        stalled=lambda _since: 0.0,
    )
    finding = await kind.run(kind.options(most=0), context)
    await client.close()
    assert finding.status is Status.DEGRADED
    assert finding.rows[0].values == {"keys": 1}


def test_it_is_installed_under_its_name(tmp_path: Path) -> None:
    """`pip install .`: the distribution is `sentinel-sre`, its version is what the command says."""
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--wheel-dir", tmp_path, ROOT], check=True)
    (wheel,) = tmp_path.iterdir()
    assert wheel.name == f"sentinel_sre-{__version__}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as content:
        entry = content.read(f"sentinel_sre-{__version__}.dist-info/entry_points.txt")
    assert b"sentinel = sentinel.cli:main" in entry


def test_every_kind_is_documented() -> None:
    """The table of kinds names each file of the shelf, and no other."""
    section = README.split("## Check kinds")[1].split("## Restarts")[0]
    assert set(load_kinds()) <= set(re.findall(r"`([a-z_]+)`", section))


def test_documented_commands_exist() -> None:
    """Each command of the table parses `--help`."""
    section = README.split("## Commands")[1].split("`--json` on every read")[0]
    words = re.findall(r"`([a-z]+(?: [a-z]+)?)(?: NAME)?`", section)
    assert len(words) > 12
    for word in words:
        with pytest.raises(SystemExit) as end:
            build_parser().parse_args([*word.split(), "--help"])
        assert end.value.code == 0, word


@pytest.mark.parametrize("name", ["checks/packs/demo"])
def test_packs_are_valid(name: str) -> None:
    """Every ready-made pack loads when its variables are set."""
    folder = ROOT / name
    wanted = set(
        re.findall(r"\$\{([A-Z_]+)\}", "".join(file.read_text() for file in folder.glob("*.yaml")))
    )
    values = {name: f"{name}-12345678" for name in wanted}
    values |= {
        "DEMO_REDIS_URL": "redis://h:1",
        "DEMO_API_URL": "http://h:1",
        "DEMO_LISTEN": "127.0.0.1:1",
    }
    values |= {"DEMO_SENTINEL_DATABASE_URL": "postgresql://h/d", "DEMO_REDIS_ADDRESS": "h:1"}
    configuration = load(folder, values)
    assert len(configuration.checks) >= 16
