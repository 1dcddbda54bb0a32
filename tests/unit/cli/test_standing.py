"""What the on-call is told while the files on disk are not those that the daemon runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sentinel.app.following import FILES_KEY, Following, read_following
from sentinel.app.glance import DEFAULT_STATE, find_running_states, glance_at
from sentinel.cli import main
from sentinel.clock import read_moment_now
from sentinel.config import load
from sentinel.config.model import PlatformSettings
from sentinel.core.moment import write_moment
from sentinel.store import BEAT, Changes, ComponentView
from sentinel.store.sqlite import SqliteStore
from tests.unit.cli.test_light import make_view

NOW = datetime(2026, 11, 30, 10, 0, tzinfo=UTC)
GOOD = "- {name: port, kind: tcp, component: api, address: '127.0.0.1:1'}\n"
Tell = Callable[[Following], None]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration as a daemon read it."""
    folder = tmp_path / "checks"
    folder.mkdir()
    (folder / "sentinel.yaml").write_text(f"state: {tmp_path}/var\ncomponents: {{api: {{}}}}\n")
    (folder / "checks.yaml").write_text(GOOD)
    (tmp_path / "var").mkdir(mode=0o700)
    monkeypatch.setenv("SENTINEL_CONFIG", str(folder))
    monkeypatch.delenv("SENTINEL_STATE", raising=False)
    return tmp_path


@pytest.fixture
def following(place: Path) -> Following:
    made = Following(str(place / "checks"), pid=4711)
    made.take(load(place / "checks").digest, NOW)
    return made


@pytest.fixture
def tell(place: Path, following: Following) -> Tell:
    """Have the daemon that runs say something of its files."""
    store = SqliteStore(place / "var")
    api = ComponentView("api", "up", NOW, "", (), "", None, 0, "")
    store.commit(Changes(checks=[make_view("port", "up")], components=[api]))
    store.replace_configuration(["port"], ["api"])

    def say(it: Following) -> None:
        meta = {BEAT: write_moment(read_moment_now()), "stopped": "", FILES_KEY: it.dump()}
        store.commit(Changes(meta=meta))

    say(following)
    return say


def files(capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    capsys.readouterr()
    main(["status", "--json"])
    found = json.loads(capsys.readouterr().out)["files"]
    return found["state"], found["text"]


def test_nothing_is_said_of_the_same_files(
    tell: Tell, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As on every good day; a file that nobody reads is none of it."""
    (place / "checks" / ".checks.yaml.swp").write_text("x")
    assert files(capsys) == ("same", "")


@pytest.mark.parametrize("words", ["status", "faults", "incident list", "check list"])
def test_it_answers_while_a_file_is_broken(
    tell: Tell, place: Path, capsys: pytest.CaptureFixture[str], words: str
) -> None:
    """The tool of the on-call falls last: it answers, and says where the mistake is."""
    (place / "checks" / "checks.yaml").write_text(GOOD + "- {name: other, kind: [\n")
    assert main(words.split()) == 0
    told = capsys.readouterr()
    said = " ".join(f"{told.out} {told.err}".split())
    assert "the files on disk are broken: the daemon runs the earlier ones, of 2026-11-30" in said
    assert "checks.yaml:" in said
    assert "no longer in the files" not in said
    if words in {"status", "check list"}:
        assert "port" in told.out


CHORES = """
resources: {bus: {redis: "redis://h:1"}}
housekeeping:
  - {name: trim, kind: safe_trim, every: 1h, max_per_hour: 70, resource: bus, streams: {include: [a]}}
"""


def test_chores_are_listed_while_a_file_is_broken(
    tell: Tell, following: Following, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As the daemon has them, and said so; without a daemon's word by file, line and key."""
    file = place / "checks" / "sentinel.yaml"
    file.write_text(file.read_text() + CHORES)
    took = load(place / "checks")
    following.take(took.digest, NOW, 1, took.chores)
    tell(following)
    assert main(["clean", "list", "--json"]) == 0
    before = json.loads(capsys.readouterr().out)
    assert before[0]["when"] == "every 1 h"
    assert before[0]["left this hour"] == "70 of 70"
    file.write_text(file.read_text() + "loud: yes\n")
    assert main(["clean", "list", "--json"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out) == before
    assert "these chores are those of 2026-11-30T10:00:00" in told.err
    assert ": loud: unknown key `loud`" in told.err


@pytest.mark.parametrize("words", ["config show", "validate"])
def test_what_shows_the_files_says_where_they_are_broken(
    tell: Tell,
    place: Path,
    words: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """By file, line and key, and with the remedy: what a broken file says is nothing to show."""
    file = place / "checks" / "sentinel.yaml"
    file.write_text(file.read_text() + "loud: yes\n")
    assert main(words.split()) == 78
    told = capsys.readouterr().err
    assert f"{file}:3: loud: unknown key `loud`" in told
    assert "remedy: " in told


def test_the_state_is_found_in_a_broken_file(tell: Tell, place: Path) -> None:
    """`state:` stands on a line of its own, whatever is wrong below it."""
    file = place / "checks" / "sentinel.yaml"
    file.write_text(file.read_text() + "  : [\n\t}")
    assert main(["status"]) == 0


def test_the_state_is_found_without_files(
    tell: Tell, place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The daemon that was started on them still holds its state folder."""
    for file in (place / "checks").iterdir():
        file.unlink()
    (place / "checks").rmdir()
    assert main(["status"]) == 78
    process = place / "proc" / "17"
    (process / "fd").mkdir(parents=True)
    (process / "cmdline").write_bytes(b"python\0/usr/bin/sentinel\0run\0")
    (process / "fd" / "5").symlink_to(place / "var" / "lock")
    (process / "fd" / "6").symlink_to("socket:[1]")
    found = list(find_running_states(place / "proc"))
    assert found == [place / "var"]
    monkeypatch.setattr("sentinel.cli.place.find_running_states", lambda: found)
    state, text = files(capsys)
    assert state == "missing"
    assert "is missing: the daemon runs the earlier ones, of 2026-11-30" in text


def test_the_default_state_is_that_of_the_model() -> None:
    """It stands twice, because reading the model takes long."""
    assert PlatformSettings.model_fields["state"].default == DEFAULT_STATE


def test_a_glance_and_the_loader_agree(place: Path) -> None:
    """They look at the same files, and give them the same word."""
    glance = glance_at(place / "checks")
    assert glance.digest == load(place / "checks").digest
    (place / "checks" / "checks.yaml").write_text(GOOD.replace("port", "door"))
    assert glance_at(place / "checks").digest != glance.digest


@pytest.mark.parametrize(
    ("line", "state"),
    [
        ("state: /a/b  # c", "/a/b"), ("state: './x y'", "./x y"), ("state: ${HERE}/v", "/h/v"),
        ("{state: /j, platform: p}", "/j"), ("components: {}", None), ("  state: /no", None),
    ],
)  # fmt: skip
def test_the_state_as_it_is_written(tmp_path: Path, line: str, state: str | None) -> None:
    """Plain, quoted, from the environment, in JSON."""
    (tmp_path / "a.yaml").write_text(f"{line}\n")
    assert glance_at(tmp_path).find_state({"HERE": "/h"}) == state


def test_a_refused_reload_is_told(
    tell: Tell, place: Path, following: Following, capsys: pytest.CaptureFixture[str]
) -> None:
    """When, why, and that the earlier ones run; not of files that changed since."""
    (place / "checks" / "checks.yaml").write_text(GOOD.replace("tcp", "tpc"))
    refused = glance_at(place / "checks").digest
    following.refuse(refused, NOW, ["checks.yaml:1: kind: unknown kind `tpc`", "and", "so on"])
    tell(following)
    state, text = files(capsys)
    assert state == "refused"
    assert "refused at 2026-11-30 10:00:00Z" in text
    assert "unknown kind `tpc` (and 2 more: `sentinel validate`)" in text
    (place / "checks" / "checks.yaml").write_text(GOOD.replace("port", "door"))
    state, text = files(capsys)
    assert state == "changed"
    assert "`kill -HUP 4711`" in text


def test_a_check_that_no_reload_has_brought(
    tell: Tell, place: Path, following: Following, capsys: pytest.CaptureFixture[str]
) -> None:
    """It stands in the files: "unknown check" would be a lie. Said is what it waits for."""
    more = GOOD + GOOD.replace("port", "door")
    (place / "checks" / "checks.yaml").write_text(more)
    assert main(["check", "run", "door"]) == 75
    told = capsys.readouterr().err
    assert "checks.yaml:2) is not loaded yet: the files were changed since" in told
    following.begin(NOW)
    following.waits = "the action on api that is under way"
    tell(following)
    assert main(["check", "run", "door"]) == 75
    waits = "is not loaded yet: a reload of 2026-11-30 10:00:00Z waits for the action on api"
    assert waits in capsys.readouterr().err
    following.refuse(glance_at(place / "checks").digest, NOW, ["checks.yaml:9: no such thing"])
    tell(following)
    assert main(["check", "run", "door"]) == 78
    assert "refused at" in (told := capsys.readouterr().err)
    assert "no such thing" in told
    main(["check", "list", "--json"])
    rows = {row["check"]: row["in force"] for row in json.loads(capsys.readouterr().out)}
    assert rows == {"port": "", "door": "not loaded yet"}
    assert main(["check", "run", "gate"]) == 64
    assert "there is no check 'gate'" in capsys.readouterr().err


def test_a_check_that_has_not_run_yet_is_loaded(
    tell: Tell, following: Following, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A minute after the start, with `every: 5m`: it is in force, and status says that it is to come."""
    both = GOOD + GOOD.replace("port", "door")
    (place / "checks" / "checks.yaml").write_text(both)
    following.take(load(place / "checks").digest, NOW, checks=2)
    tell(following)
    main(["check", "list", "--json"])
    rows = {row["check"]: row["in force"] for row in json.loads(capsys.readouterr().out)}
    assert rows == {"port": "", "door": "not run yet"}
    main(["status"])
    assert "1 of 2 checks has not run yet: `sentinel check list`" in capsys.readouterr().out


def test_a_word_of_an_older_daemon_is_none() -> None:
    """What is missing or can't be understood says nothing."""
    assert read_following(None) is None
    assert read_following("{") is None
    assert read_following("[1]") is None
    assert read_following('{"path": "/a", "later": 1}') == Following("/a")
