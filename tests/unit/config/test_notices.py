"""Channels, routes and windows of a configuration: what is right is read, what is wrong has its place."""

from __future__ import annotations

from datetime import UTC, datetime, time
from pathlib import Path

import pytest

from sentinel.config import load
from sentinel.core.fault import Severity
from sentinel.errors import ConfigurationError
from sentinel.notify import apprise
from sentinel.redaction import Redaction

CHECKS = """
components: {bus: {}}
checks:
  - {name: bus, kind: tcp, component: bus, address: "127.0.0.1:1"}
"""
ENVIRONMENT = {"HOOK": "https://hooks.example.org/T/s3cr3t", "PD": "r0uting-key-of-ours"}


def read(folder: Path, text: str, environment=None):
    """A configuration with these lines."""
    (folder / "a.yaml").write_text(CHECKS + text)
    return load(folder, ENVIRONMENT if environment is None else environment)


def problems(folder: Path, text: str) -> list[str]:
    """What is wrong with them: key and message."""
    with pytest.raises(ConfigurationError) as caught:
        read(folder, text)
    return [f"{each.key}: {each.message}" for each in caught.value.problems]


def test_without_channels_the_log_is_one(tmp_path: Path) -> None:
    """Nobody has to configure anything to be told."""
    setup = read(tmp_path, "").notices
    assert [(each.name, each.kind) for each in setup.channels] == [("log", "log")]
    assert (setup.routes, setup.windows, setup.page) == ((), (), "")


def test_everything_is_read(tmp_path: Path) -> None:
    """Channels with secrets from the environment and from files, routes, windows."""
    secret = tmp_path / "key"
    secret.write_text("of-a-file-1234\n")
    secret.chmod(0o600)
    configuration = read(
        tmp_path,
        """
page_address: https://sentinel.example.org/
channels:
  team: {kind: slack, address: "${HOOK}", most: 5, within: 10m}
  hook: {kind: webhook, address: "https://h.example.org/x", secret_file: key}
routes:
  - severity: [page]
    component: ["b*"]
    channels: [hook]
    escalate: [{after: 15m, channels: [team]}]
    remind: 1h
    hours: {from: "08:00", to: "18:00", days: [mon, fri], timezone: Europe/Berlin}
    also: true
  - channels: [team, log]
    quiet: {from: "22:00", to: "07:00"}
    loud: ticket
    tell_close: true
maintenance:
  - {name: night, components: [bus], reason: backup, cron: "30 1 * * *", timezone: Europe/Berlin, for: 1h}
  - {name: once, components: ["*"], reason: move, from: 2099-01-31T02:00Z, until: 2099-01-31T05:00+01:00}
""",
    )
    setup = configuration.notices
    by_name = {each.name: each for each in setup.channels}
    assert by_name["team"].options.address.get_secret_value() == ENVIRONMENT["HOOK"]
    assert (by_name["team"].limit.most, by_name["team"].limit.within) == (5, 600.0)
    assert by_name["hook"].options.secret.get_secret_value() == "of-a-file-1234"
    first, second = setup.routes
    assert first.matchers == {"severity": ("page",), "component": ("b*",)}
    assert (first.escalate[0].after, first.escalate[0].channels) == (900.0, ("team",))
    assert (first.remind, first.also, first.hours.begins) == (3600.0, True, time(8))
    assert first.hours.days == {0, 4}
    assert (second.loud, second.tell_close, second.quiet.ends) == (Severity.TICKET, True, time(7))
    night, once = setup.windows
    assert (night.lasts, str(night.zone)) == (3600.0, "Europe/Berlin")
    assert once.ends == datetime(2099, 1, 31, 4, tzinfo=UTC)
    assert setup.page == "https://sentinel.example.org/"
    hidden = Redaction(configuration.secrets).scrub("of-a-file-1234 " + ENVIRONMENT["HOOK"])
    assert "1234" not in hidden
    assert "s3cr3t" not in hidden


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("channels: {x: {kind: slak, address: '${HOOK}'}}", "channels.x.kind: unknown kind `slak`"),
        (
            "channels: {x: {kind: slack, address: 'https://hooks.example.org/x'}}",
            "channels.x.address: is a secret, and stands in the file",
        ),
        (
            "channels: {x: {kind: slack, address: '${HOOK}', address_file: f}}",
            "channels.x.address_file: address and address_file exclude each other",
        ),
        (
            "channels: {x: {kind: webhook, address: 'https://h/x', secret: '${NOTHING:-}'}}",
            "channels.x.secret: is an empty secret",
        ),
        ("channels: {x: {kind: slack}}", "channels.x.address: the key `address` is missing"),
        (
            "channels: {x: {kind: log, adress: 1}}",
            "channels.x.adress: unknown key `adress`",
        ),
        (
            "channels: {x: {kind: slack, address_file: nowhere}}",
            "channels.x.address_file: the secret file",
        ),
        (
            "channels: {log: {kind: log, most: 5}}",
            "channels.log.most: a channel of kind log hears of everything",
        ),
        ("routes: [{channels: [tema]}]", "routes[0].channels[0]: unknown channel `tema`"),
        (
            "routes: [{channels: [log], escalate: [{after: 5m, channels: [led]}]}]",
            "routes[0].escalate[0].channels[0]: unknown channel `led`",
        ),
        ("routes: [{channels: []}]", "routes[0].channels: list should have at least 1 item"),
        (
            "routes: [{channels: [log], quiet: {from: '25:00', to: '07:00'}}]",
            "routes[0].quiet.from: '25:00' is no time of day",
        ),
        (
            "routes: [{channels: [log], hours: {from: '08:00', to: '07:00', timezone: Mars/X}}]",
            "routes[0].hours.timezone: ",
        ),
        (
            "maintenance: [{name: m, components: [bus], reason: r}]",
            "maintenance[0]: needs either from and until, or cron and for",
        ),
        (
            "maintenance: [{name: m, components: [bus], reason: r, cron: '* * * *', for: 1h}]",
            "maintenance[0].cron: '* * * *' is no cron line",
        ),
        (
            "maintenance: [{name: m, components: [bus], reason: r, cron: '0 2 * * *'}]",
            "maintenance[0]: cron and for belong together",
        ),
        (
            "maintenance: [{name: m, components: [bus], reason: r, from: 2099-01-31, until: x}]",
            "maintenance[0].from: '2099-01-31' is no instant with a zone",
        ),
        (
            "maintenance: [{name: m, components: [b], reason: r, from: 2099-01-31T02:00Z,"
            " until: 2099-01-31T01:00Z}]",
            "maintenance[0].until: ends before it begins",
        ),
        (
            "maintenance: [{name: m, components: ['nobody-*', bsu], reason: r, cron: '0 2 * * *',"
            " for: 1h}]",
            "maintenance[0].components[1]: unknown component `bsu`",
        ),
        (
            "routes: [{channels: [log], component: [bsu]}]",
            "routes[0].component[0]: unknown component `bsu`",
        ),
        *(
            (f"page_address: '{page}'", f"page_address: '{page}' is no web address")
            for page in (
                "sentinel",
                "http://",
                "https:///x",
                "https://me:pw@h/",
                "https://h/?a=b",
                "https://h/#x",
            )
        ),
    ],
)
def test_what_is_wrong_has_its_place(tmp_path: Path, text: str, said: str) -> None:
    """Key and remedy, as everywhere."""
    found = problems(tmp_path, text)
    assert any(each.startswith(said) for each in found), found


def test_a_window_stands_once(tmp_path: Path) -> None:
    """By its name."""
    one = "{name: m, components: [bus], reason: r, cron: '0 2 * * *', for: 1h}"
    found = problems(tmp_path, f"maintenance: [{one}, {one}]")
    assert found == ["maintenance[1].name: window `m` is given twice"]


def test_instants_that_leave_the_calendar(tmp_path: Path) -> None:
    """An instant that is none in UTC has its place, as any other that is none."""
    text = """
maintenance:
  - {name: w, components: ["*"], reason: r, from: "0001-01-01T00:00+14:00", until: 2099-01-01T00:00Z}
"""
    assert problems(tmp_path, text) == [
        "maintenance[0].from: '0001-01-01T00:00+14:00' is no instant with a zone"
    ]


def test_what_a_problem_quotes_is_bounded(tmp_path: Path) -> None:
    """A cron line of any length fits a terminal; a name that is a list is a problem of its key, and
    so is a target that rounds to all.
    """
    text = f"""
reports: [{{kind: daily, cron: "{"9" * 5000} * * * *"}}]
objectives:
  - {{name: [a], check: bus, sli: up, target: 99%, window: 1d}}
  - {{name: b, check: bus, sli: up, target: 99.99999999999999%, window: 1d}}
"""
    found = dict(each.split(": ", 1) for each in problems(tmp_path, text))
    assert set(found) == {"reports[0].cron", "objectives[0].name", "objectives[1].target"}
    assert len(found["reports[0].cron"]) < 400


def test_addresses_of_apprise_are_one_secret(tmp_path: Path) -> None:
    """From a file, on one line; none of them, and no token in them, is shown."""
    secret = tmp_path / "all"
    secret.write_text("json://127.0.0.1:1/T0ken123 json://u:pass4word@127.0.0.1:2/\n")
    secret.chmod(0o600)
    configuration = read(tmp_path, "channels: {all: {kind: apprise, addresses_file: all}}")
    (channel, _) = configuration.notices.channels
    assert len(channel.options.addresses.get_secret_value().split()) == 2
    scrub = Redaction(configuration.secrets).scrub
    for hidden in ("json://127.0.0.1:1/T0ken123", "T0ken123", "pass4word"):
        assert hidden not in scrub(f"POST {hidden} failed")


def test_what_is_wrong_with_apprise_is_one_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At its key, with a remedy; a file that can't be read is not a wrong address, too."""
    text = "channels: {all: {kind: apprise, addresses_file: nowhere}}"
    (said,) = problems(tmp_path, text)
    assert said.startswith("channels.all.addresses_file: the secret file")
    monkeypatch.setattr(apprise, "_ask_now", lambda _addresses: b'{"target": 0, "ok": false}\n')
    with pytest.raises(ConfigurationError) as caught:
        read(tmp_path, "channels: {all: {kind: apprise, addresses: '${A}'}}", {"A": "no://s3cr3t"})
    (problem,) = caught.value.problems
    assert (problem.line, problem.key) == (5, "channels.all.addresses")
    assert problem.message == "address 1 of 1 (no) is no address that Apprise knows"
    assert problem.remedy.startswith("write it as the documentation of Apprise")
