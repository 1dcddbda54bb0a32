"""A valid configuration loads; strange text never does more than be refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from unittest.mock import ANY

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sentinel.cli import build_parser
from sentinel.config import load
from sentinel.config.address import find_address_fault
from sentinel.core.model import Backoff, Level, RestartPolicy, Threshold
from sentinel.core.servers.pace import RequestBudget
from sentinel.errors import ConfigurationError
from sentinel.remediation.process import ProcessDriverOptions
from sentinel.strict.read import read_document

VALID = """
platform: shop
listen: 127.0.0.1:9131
state: ./somewhere
actions: {enabled: true, start_grace: 5s}
retention: 7d
resources:
  bus: {redis: "${BUS_URL}", password_file: secret}
  database: {postgres: "postgresql://watch:hunter2%21@127.0.0.1/shop"}
  api: {http: "http://127.0.0.1:8100", budget: 900/15m, headers: {X-Key: canary-key}}
components:
  orchestrator:
    driver: process
    command: [python, orchestrator.py]
    depends_on: [database, bus]
    restart: {max_attempts: 2, backoff: {initial: 1s, factor: 3, max: 9s, jitter: 0.0}, kill_safe: true}
  bus: {resource: bus}
  database: {resource: database}
  api: {resource: api, depends_on: [orchestrator]}
objectives:
  - {name: delivery, check: api-health, sli: up, target: 99.5%, window: 30d}
reports:
  - {kind: progress, cron: "0 8,20 * * *", timezone: Europe/Berlin}
"""
CHECKS = """
- name: api-health
  kind: http
  component: api
  every: 2s
  failures: 7
  thresholds: {duration_seconds: {degraded: {raise: 0.5, clear: 0.25}, down: {raise: 5, clear: 1}}}
- {name: bus-server, kind: redis_server, component: bus}
- {name: api-port, kind: tcp, component: api, address: "127.0.0.1:8100", every: 30s, timeout: 1s}
- {name: database-health, kind: postgres, component: database}
"""
ENVIRONMENT = {"BUS_URL": "redis://127.0.0.1:6379/0"}


@pytest.fixture
def folder(tmp_path):
    """A valid folder."""
    (tmp_path / "sentinel.yaml").write_text(VALID)
    (tmp_path / "api.yaml").write_text(CHECKS)
    (tmp_path / "secret").write_text("pass-word-of-the-bus\n")
    (tmp_path / "secret").chmod(0o600)
    return tmp_path


def problems_of(path, environment=None):
    """What a configuration is refused for, as text."""
    with pytest.raises(ConfigurationError) as caught:
        load(path, ENVIRONMENT if environment is None else environment)
    return [str(problem) for problem in caught.value.problems]


def test_a_valid_folder_loads(folder):
    """Everything arrives as frozen values, with seconds and ratios inside."""
    configuration = load(folder, ENVIRONMENT)
    assert (configuration.platform, configuration.listen) == ("shop", ("127.0.0.1", 9131))
    assert (configuration.state, configuration.retention) == (Path("somewhere"), 7 * 86400)
    assert (configuration.actions_enabled, configuration.start_grace) == (True, 5.0)
    assert configuration.resources["bus"].address == "redis://127.0.0.1:6379/0"
    assert configuration.resources["bus"].password.get_secret_value() == "pass-word-of-the-bus"
    assert configuration.resources["api"].options["budget"] == RequestBudget(900, 900.0, 2, 451)
    assert [(report.kind, report.timezone) for report in configuration.reports] == [
        ("progress", "Europe/Berlin")
    ]


def test_a_component_with_a_driver_needs_no_check(tmp_path):
    """To keep something running is a task of its own: its supervision is a check."""
    file = tmp_path / "sentinel.yaml"
    file.write_text("components: {worker: {driver: process, command: [sleep, '9']}}\n")
    assert load(file, {}).checks == ()


def test_components_come_in_dependency_order(folder):
    """A component never comes before what it depends on."""
    names = [component.name for component in load(folder, ENVIRONMENT).components]
    assert sorted(names[:2]) == ["bus", "database"]
    assert names[2:] == ["orchestrator", "api"]


def test_restart_policy(folder):
    """`backoff: {initial, factor, max}` means initial · factor^(n−1)."""
    component = next(
        each for each in load(folder, ENVIRONMENT).components if each.name == "orchestrator"
    )
    backoff = Backoff(first=1.0, initial=3.0, factor=3.0, max=9.0, jitter=0.0)
    assert component.restart == RestartPolicy(max_attempts=2, backoff=backoff, kill_safe=True)
    assert component.options == ProcessDriverOptions(command=["python", "orchestrator.py"])


def test_checks(folder):
    """Intervals, thresholds, policies and resources of checks, with the place they came from."""
    checks = {check.name: check for check in load(folder, ENVIRONMENT).checks}
    api = checks["api-health"]
    assert (api.every, api.timeout, api.health.failures, api.health.of) == (2.0, 5.0, 7, 7)
    assert api.thresholds == (Threshold("duration_seconds", Level(0.5, 0.25), Level(5, 1)),)
    assert dict(api.resources) == {"resource": "api"}
    assert dict(checks["bus-server"].resources) == {"resource": "bus"}
    assert (checks["api-port"].every, checks["api-port"].timeout) == (30.0, 1.0)
    assert api.source == f"{folder}/api.yaml:2"


def test_every_secret_is_known_to_the_redaction(folder):
    """Passwords of files and URLs (as written and decoded) and header values."""
    secrets = load(folder, ENVIRONMENT).secrets
    assert {"pass-word-of-the-bus", "hunter2%21", "hunter2!", "canary-key"} <= secrets


@pytest.mark.parametrize(
    "resource",
    [
        '{postgres: "host=h password=canary-pw dbname=x"}',
        """{postgres: "host=h password='canary-pw' dbname=x"}""",
        '{postgres: "postgresql://h/x?password=canary-pw"}',
        '{redis: "redis://h:1/0?password=canary-pw"}',
        '{http: "http://h", headers: {Authorization: "Bearer canary-pw"}}',
        '{http: "http://user:canary-pw@h"}',
        '{http: "http://canary-pw@h"}',
        '{postgres: "host=h dbname=x sslpassword=canary-pw"}',
    ],
)
def test_every_form_of_a_secret_is_known(resource, tmp_path):
    """In the options of an address, in libpq's own form, and behind the first word of a header."""
    check = "{name: x, kind: tcp, component: c, address: 'h:1'}"
    (tmp_path / "c.yaml").write_text(
        f"resources: {{r: {resource}}}\ncomponents: {{c: {{}}}}\nchecks: [{check}]\n"
    )
    assert "canary-pw" in load(tmp_path, {}).secrets


def test_the_secrets_of_checks_are_known(folder):
    """Headers of a check and of a canary's request, however deep they stand."""
    (folder / "more.yaml").write_text("""
- {name: login, kind: http, component: api, headers: {X-Key: canary-of-check}}
- {name: agents, kind: registry, component: api, bus: bus, agents: {keys: "agent:*"}}
- name: through
  kind: workflow_canary
  component: api
  enqueue: {http: {path: /t, headers: {Authorization: Bearer canary-of-canary}, body: {title: "{token}"}}}
  rows: {table: public.tasks, marker: title}
""")
    assert {"canary-of-check", "canary-of-canary"} <= load(folder, ENVIRONMENT).secrets


@pytest.mark.parametrize(
    "written",
    [
        "command: [python, a.py, --token, canary-argv]",
        "command: [python, a.py, --api-key=canary-argv]",
        'command: [python, a.py, "redis://u:canary-argv@h/0"]',
        "command: [python, a.py, 'http://h/?limit=5&access_token=canary-argv']",
        "command: [python, a.py], env: {SHOP_SECRET: canary-argv}",
        "command: [python, a.py], env: {DSN: 'postgresql://u:canary-argv@h/x'}",
    ],
)
def test_the_secrets_of_programs_are_known(written, tmp_path):
    """Arguments and environment of what sentinel starts; other words of them are none."""
    (tmp_path / "c.yaml").write_text(f"components: {{c: {{driver: process, {written}}}}}\n")
    secrets = load(tmp_path, {}).secrets
    assert "canary-argv" in secrets
    assert not secrets & {"python", "a.py", "5", "limit=5"}


def test_the_secrets_of_queries_and_documents_are_known(folder):
    """A token in a check's path, as written and decoded, and in the document that it sends."""
    (folder / "more.yaml").write_text("""
- name: asked
  kind: http
  component: api
  path: "/x?limit=500000&token=canary%2Dquery"
  method: POST
  body: '{"user": "operator", "login": {"password": "canary-body"}}'
""")
    others = {"SHOP_TOKEN": "canary-env", "A_FILE": "/x", "PWD": "/srv/platform"}
    secrets = load(folder, {**ENVIRONMENT, **others}).secrets
    assert {"canary%2Dquery", "canary-query", "canary-body", "canary-env"} <= secrets
    assert not secrets & {"500000", "operator", "/x", "/srv/platform"}


@pytest.mark.parametrize(
    ("kind", "address"),
    [
        ("redis", "redis://agent:7?kT9-hidden@bus/0"),
        ("redis", "redis://agent:pa#hidden@bus/0"),
        ("redis", "redis://agent:5/hidden@bus/0"),
        ("redis", "redis://a:b@bus/0?hidden9=x"),
        ("postgres", "postgresql://agent:7/hidden@bus/db"),
        ("postgres", "host=bus password=hun hidden=x"),
        ("postgres", "postgresql://bus/db?hidden"),
        ("http", "http://agent:7?hidden@bus/"),
        ("http", "http://agent:hidden/x@bus/"),
    ],
)
def test_a_malformed_address_is_refused_and_not_repeated(kind, address):
    """G4: what follows a colon or precedes an @ may be a part of a password."""
    fault = find_address_fault(kind, address)
    assert fault is not None
    assert "hidden" not in " ".join(fault)


@pytest.mark.parametrize(
    ("kind", "address"),
    [
        ("redis", "redis://a:p%40%2Fw@bus:6379/0"),
        ("redis", "unix:///run/a@b.sock"),
        ("postgres", "postgresql://bus:5432/db?user=a@b"),
        ("http", "http://bus:80/a@b"),
    ],
)
def test_an_at_sign_where_it_may_stand(kind, address):
    """Behind a path, or among options."""
    assert find_address_fault(kind, address) is None


def test_no_secret_in_the_configurations_text(folder):
    """Printing a resource shows no password."""
    assert "pass-word-of-the-bus" not in repr(load(folder, ENVIRONMENT).resources["bus"])


@pytest.mark.parametrize(
    ("mode", "fault"),
    [
        (0o604, "is readable by everyone"),
        (0o444, "is readable by everyone"),
        (0o602, "can be changed by others"),
        (0o620, "can be changed by others"),
        (0o666, "can be changed by others"),
    ],
)
def test_a_secret_file_open_to_others(folder, mode, fault):
    """Refused, with the command that cures it."""
    (folder / "secret").chmod(mode)
    (problem,) = problems_of(folder)
    assert (
        f"sentinel.yaml:8: resources.bus.password_file: the secret file secret {fault}" in problem
    )
    assert "chmod 600 secret" in problem


def test_what_editors_leave_behind_is_no_configuration(folder):
    """A lock that points nowhere, a backup: hidden files are not read."""
    (folder / ".#sentinel.yaml").symlink_to("me@host.1234:5678")
    (folder / ".old.yaml").write_text("nonsense: [")
    assert load(folder, ENVIRONMENT).platform == "shop"


def test_what_is_no_file_is_not_read(folder):
    """A pipe would block for ever, a device never end, and a huge file fill the memory of a running
    daemon.
    """
    os.mkfifo(folder / "pipe.yaml")
    (folder / "zero.yaml").symlink_to("/dev/zero")
    with (folder / "huge.yaml").open("wb") as file:
        file.truncate(5 << 20)
    found = problems_of(folder, ENVIRONMENT)
    assert [problem.split(":", 1)[1].splitlines()[0] for problem in found] == [
        " is larger than 4 MiB", " is no file but a pipe", " is no file but a device",
    ]  # fmt: skip


@pytest.mark.parametrize(("text", "line"), [("a: 1\nb: \0\n", 2), ("a: 1\n\nb: " + "[" * 50, 3)])
def test_the_line_of_what_can_not_be_read(folder, text, line):
    """A character that YAML has not, and brackets without end."""
    (folder / "odd.yaml").write_text(text)
    assert problems_of(folder, ENVIRONMENT)[0].startswith(f"{folder}/odd.yaml:{line}: ")


@pytest.mark.parametrize(
    ("content", "text"), [(None, "can't be read"), (b"\xff\xfa", "is not UTF-8 text")]
)
def test_a_secret_file_that_can_not_be_read(folder, content, text):
    """Missing or binary: a problem with its place."""
    (folder / "secret").unlink()
    if content is not None:
        (folder / "secret").write_bytes(content)
        (folder / "secret").chmod(0o600)
    (problem,) = problems_of(folder)
    assert text in problem


def test_all_problems_at_once(folder):
    """Mistakes of several files and sections come together, in the order of file and line."""
    (folder / "sentinel.yaml").write_text(
        VALID.replace("platform: shop", "platfrom: shop").replace("budget: 900", "budget: x")
    )
    (folder / "api.yaml").write_text(
        CHECKS.replace("kind: tcp", "kind: tpc").replace("every: 2s", "every: 2")
    )
    (folder / "broken.yaml").write_text("{")
    found = problems_of(folder, {})
    assert [problem.split(": ")[0].rpartition("/")[2] for problem in found] == [
        "api.yaml:5", "api.yaml:9", "broken.yaml:1", "sentinel.yaml:2", "sentinel.yaml:8", "sentinel.yaml:10",
    ]  # fmt: skip


def test_listen_of_the_environment(folder):
    """SENTINEL_LISTEN is checked like `listen:`, and the environment is named as the place."""
    assert load(folder, {**ENVIRONMENT, "SENTINEL_LISTEN": "[::1]:7"}).listen == ("::1", 7)
    for address in ("10.1.0.4:9130", "nonsense", "127.0.0.1:²", "127.0.0.1:99999999999999999999"):
        (problem,) = problems_of(folder, {**ENVIRONMENT, "SENTINEL_LISTEN": address})
        assert problem.startswith("environment: SENTINEL_LISTEN: ")


@pytest.mark.parametrize("path", ["nowhere", "empty"])
def test_no_configuration_at_all(tmp_path, path):
    """No folder, or nothing in it: one problem with the way out, whatever the environment says."""
    (tmp_path / "empty").mkdir()
    found = problems_of(tmp_path / path, {"SENTINEL_LISTEN": "nonsense"})
    assert any("--config" in problem for problem in found)


# -- YAML -----------------------------------------------------------------------------------------


def value_of(text, tmp_path, environment=()):
    """The value of a document of one key."""
    (tmp_path / "x.yaml").write_text(f"key: {text}\n")
    document = read_document(tmp_path / "x.yaml", dict(environment))
    assert not document.problems
    return document.value["key"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"), ("NO", "NO"), ("yes", "yes"), ("on", "on"), ("off", "off"), ("y", "y"),
        ("true", True), ("false", False), ("True", "True"), ("null", None), ("~", None), ("", None),
        ("12:30:45", "12:30:45"), ("0777", "0777"), ("0x1F", "0x1F"), ("0b11", "0b11"), ("1_000", "1_000"),
        ("007", "007"), ("0", 0), ("-5", -5), ("1.5", 1.5), ("1e3", 1000.0), (".5", 0.5), (".inf", ".inf"),
        (".nan", ".nan"), ("2026-01-05", "2026-01-05"), ("2026-01-05T12:00:00Z", "2026-01-05T12:00:00Z"),
        ("'5'", "5"), ('"true"', "true"), ("9" * 5000, "9" * 5000), ("1e999999999999999999", "1e999999999999999999"),
        ("<<", "<<"), ("=", "="),
    ],
)  # fmt: skip
def test_yaml_means_what_it_looks_like(text, value, tmp_path):
    """The surprises of YAML 1.1 (no, 12:30:45, 0777 …) are text."""
    found = value_of(text, tmp_path)
    assert found == value
    assert type(found) is type(value)


def test_environment_variables(tmp_path):
    """Substituted in text, with a default, never evaluated again; `$${` is a plain `${`."""
    environment = {"A": "one", "B": "${A}", "EMPTY": ""}
    assert value_of("x-${A}-${B}-${C:-two}", tmp_path, environment) == "x-one-${A}-two"
    assert value_of("$${A}", tmp_path, environment) == "${A}"
    assert value_of("${EMPTY:-x}", tmp_path, environment) == ""
    assert value_of("$A", tmp_path, environment) == "$A"


def test_a_value_of_the_environment_is_never_yaml(tmp_path):
    """Text from the environment stays text: no key, no list, no number can be smuggled in."""
    assert value_of("${A}", tmp_path, {"A": "5"}) == "5"
    assert value_of("${A}", tmp_path, {"A": "{a: b}\nother: 1"}) == "{a: b}\nother: 1"


def test_a_byte_order_mark_is_no_mistake(tmp_path):
    """Some editors write one."""
    (tmp_path / "x.yaml").write_bytes(b"\xef\xbb\xbfkey: 1\n")
    assert read_document(tmp_path / "x.yaml", {}).value == {"key": 1}


@pytest.mark.parametrize("depth", [5_000, 1_000_000])
@pytest.mark.parametrize("brackets", ["[]", "{}"])
def test_depth(tmp_path, depth, brackets):
    """Very deep nesting is refused; it does not end the process."""
    opening = brackets[0] if brackets == "[]" else "{a: "
    (tmp_path / "x.yaml").write_text(opening * depth)
    (problem,) = read_document(tmp_path / "x.yaml", {}).problems
    assert "nested more than 40 levels deep" in problem.message


ALPHABET = st.sampled_from(
    [*"abc-:[]{}&*!#|>'\"%@`,?\n \t0159.~$\\", "${A}", "name: ", "- ", "components:\n  ", "é"]
)


@settings(
    max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(
    st.one_of(st.binary(max_size=200), st.lists(ALPHABET, max_size=60).map("".join).map(str.encode))
)
def test_garbage_is_refused_and_nothing_else(tmp_path, content):
    """Whatever stands in the file: ConfigurationError, or a configuration; no other exception."""
    (tmp_path / "x.yaml").write_bytes(content)
    with suppress(ConfigurationError):
        load(tmp_path, {})


WORDS = (
    "platform listen state resources components actions objectives reports retention checks name kind component "
    "every timeout thresholds depends_on driver command env restart backoff redis http postgres password_file budget "
    "headers api bus target window check cron timezone resource address failures of raise clear enabled"
)
KEYS = st.sampled_from(WORDS.split())
TEXTS = "tcp http redis_server process 5s 0s 127.0.0.1:80 redis://h:1 http://h api bus 99% Europe/Berlin / /dev/null"
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 10**30),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8),
    st.sampled_from([*TEXTS.split(), "0 8 * * *", ""]),
)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=4)),
    max_leaves=25,
)


@settings(
    max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(st.lists(st.dictionaries(KEYS, TREES, max_size=6), min_size=1, max_size=2))
def test_any_shape_is_refused_and_nothing_else(tmp_path, documents):
    """Known keys with values of every shape, over two files: ConfigurationError, or a
    configuration.
    """
    for i in range(2):
        (tmp_path / f"{i}.yaml").unlink(missing_ok=True)
    for i, document in enumerate(documents):
        (tmp_path / f"{i}.yaml").write_text(yaml.safe_dump(document, allow_unicode=True), "utf-8")
    with suppress(ConfigurationError):
        load(tmp_path, {})


# -- the command ----------------------------------------------------------------------------------


def sentinel(*arguments, **environment):
    """Run the command: exit code, stdout, stderr."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SENTINEL_")}
    done = subprocess.run(
        [sys.executable, "-m", "sentinel", *map(str, arguments)],
        capture_output=True, text=True, timeout=60, env={**clean, **environment}, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def test_validate_says_yes(folder):
    """Exit 0, a count, and where each password comes from."""
    code, out, err = sentinel("--config", folder, "validate", **ENVIRONMENT)
    assert (code, out.splitlines()) == (
        0,
        [
            "valid: 4 checks, 4 components, 3 resources",
            "  password of bus: from password_file secret",
            "  password of database: from its address",
        ],
    ), err


@pytest.mark.parametrize("command", [["validate"], ["run"], ["check", "list"]])
def test_an_invalid_configuration_ends_with_78(folder, command):
    """Every command that needs the configuration lists every problem on stderr and exits with 78."""
    code, out, err = sentinel("--config", folder, *command)
    assert (code, out) == (78, "")
    assert (
        f"{folder}/sentinel.yaml:8: resources.bus.redis: the environment variable BUS_URL is not set"
        in err
    )
    assert "remedy: export BUS_URL=…" in err
    assert "Traceback" not in err


def test_a_mistake_is_json_for_programs(folder):
    """With --json the mistake stands on stdout, too, as one document."""
    code, out, err = sentinel("--config", folder, "check", "run", "nope", "--json", **ENVIRONMENT)
    assert code == 64
    assert json.loads(out) == {"error": "there is no check 'nope'", "remedy": ANY, "exit_code": 64}
    assert "there is no check 'nope'" in err


@pytest.mark.parametrize("command", [["status"], ["check", "run", "api-port"]])
def test_a_state_out_of_reach_ends_with_78(folder, command):
    """As when another user runs the daemon: the path and the reason, no traceback, and not the 1 of
    "degraded".
    """
    code, _, err = sentinel(
        "--config", folder, "--state", folder / ("x" * 300), *command, **ENVIRONMENT
    )
    assert code == 78
    assert "File name too long" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    "arguments", [["--no-such"], ["nonsense"], ["check"], ["reset", "api"], []]
)
def test_a_wrong_command_line_ends_with_64(arguments):
    """Usage errors are 64, never 2: 2 means "failed" here."""
    code, _, err = sentinel(*arguments)
    assert code == 64, err


def test_a_dependency_that_nobody_checks(folder):
    """What is never proven healthy blocks every restart of what needs it: said at load, with its
    place.
    """
    text = (
        (folder / "api.yaml")
        .read_text()
        .replace("- {name: database-health, kind: postgres, component: database}\n", "")
    )
    (folder / "api.yaml").write_text(text)
    found = problems_of(folder, ENVIRONMENT)
    assert "no check says whether `database` is healthy" in str(found)
    assert "add a check of database" in str(found)


def test_a_complaint_repeats_no_token(tmp_path):
    """Of a text that stands where a list must, only what is no secret by its form."""
    command = "python agent.py --token kQ9-hidden http://agent:kQ9-hidden@bus/?a=kQ9-hidden"
    (tmp_path / "c.yaml").write_text(
        f"components: {{c: {{driver: process, command: '{command}'}}}}\n"
    )
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, {})
    assert "python agent.py" in str(caught.value)
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize(
    ("resource", "part"),
    [
        ('{http: "https://h", ca_file: /ca.pem, certificate_file: /c.pem, key_file: /k.pem}', ""),
        ('{http: "https://h", ca_file: ca.pem}', "no absolute path"),
        ('{http: "https://h", key_file: /k.pem}', "key_file needs a certificate_file"),
        ('{redis: "rediss://h", ca_file: /ca.pem}', "a redis resource has no `ca_file`"),
        ('{redis: "redis://h?ssl_ca_certs=/ca.pem"}', "without TLS"),
        ('{postgres: "host=h sslmode=verify"}', "`sslmode`"),
        ("{postgres: \"host=h password='://x' sslmode=require\"}", ""),
    ],
)
def test_what_a_resource_says_of_tls_holds_or_is_refused(resource, part, tmp_path):
    """At its line: a key without effect would leave a person believing in it."""
    check = "{name: x, kind: tcp, component: c, address: 'h:1'}"
    (tmp_path / "c.yaml").write_text(
        f"resources: {{r: {resource}}}\ncomponents: {{c: {{}}}}\nchecks: [{check}]\n"
    )
    if part:
        with pytest.raises(ConfigurationError, match=part):
            load(tmp_path, {})
        return
    (found,) = load(tmp_path, {}).resources.values()
    if found.type == "http":
        files = {key: found.options[key] for key in ("ca_file", "certificate_file", "key_file")}
        assert list(files.values()) == ["/ca.pem", "/c.pem", "/k.pem"]


def test_an_empty_variable_counts_as_not_set(folder, monkeypatch, capsys):
    """Not as the folder in which one happens to stand; and so it is said by `--help`."""
    given = load(folder, ENVIRONMENT)
    for name in ("LISTEN", "STATE", "CONFIG", "ACTIONS_ENABLED", "LOG_LEVEL"):
        monkeypatch.setenv(f"SENTINEL_{name}", "")
    again = load(folder, {**ENVIRONMENT, "SENTINEL_LISTEN": ""})
    for part in ("listen", "state", "actions_enabled"):
        assert getattr(again, part) == getattr(given, part)
    arguments = build_parser().parse_args(["status"])
    assert (arguments.state, arguments.config) == (None, Path("checks"))
    with pytest.raises(SystemExit):
        build_parser().parse_args(["--state", "", "status"])
    assert "--state: names no folder" in capsys.readouterr().err
    assert "a variable that is empty counts as not set" in build_parser().format_help()
