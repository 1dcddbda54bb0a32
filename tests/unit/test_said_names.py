"""What a text tells a person to set, to look for or to open is there: keys of the configuration, names
with an underscore, paths.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import yaml
from pydantic import BaseModel

import sentinel
from sentinel.config.model import PlatformSettings
from sentinel.config.notice import list_secrets
from sentinel.housekeeping import load_chores
from sentinel.notify import load_channels
from sentinel.probes import load_kinds
from sentinel.runbook.book import CONDITIONS
from tests.said import ROOT, YAML, Said, classify, list_texts, list_words


@cache
def list_faults() -> frozenset[str]:
    """Keys of all faults."""
    return frozenset(each.key for kind in load_kinds().values() for each in kind.faults)


# -- keys ----------------------------------------------------------------------------------------


@cache
def list_models() -> frozenset[type[BaseModel]]:
    """Every model that reads what people write."""

    def walk(base: type[BaseModel]) -> Iterator[type[BaseModel]]:
        for each in base.__subclasses__():
            yield each
            yield from walk(each)

    for module in pkgutil.walk_packages(sentinel.__path__, "sentinel."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    return frozenset(each for each in walk(BaseModel) if each.__module__.startswith("sentinel"))


@cache
def list_keys() -> frozenset[str]:
    """Every key that a configuration or a runbook can have."""
    fields = ((name, each) for model in list_models() for name, each in model.model_fields.items())
    own = {word for name, field in fields for word in (name, field.alias or name)}
    return frozenset(own | {"housekeeping", "checks"})


NAMED = {"resources", "components", "headers", "thresholds", "subject", "overdue", "streams"}
"""Keys below which people give names of their own."""
STANDING_FOR = {"key", "cache", "sentinel", "role", "measurement", "bus", "api", "pipeline"}
"""What stands for a key, or is none: the prefix of keys in Redis, a name."""
DOCUMENTS = {"kinds", "findings", "origin", "ok: false"}
"""Keys of documents that sentinel writes itself."""


def find_keys(value: Any) -> Iterator[str]:
    """The keys of a document, without what people name themselves."""
    if isinstance(value, list):
        for each in value:
            yield from find_keys(each)
    elif isinstance(value, dict):
        for key, each in value.items():
            yield str(key)
            if key in NAMED and isinstance(each, dict):
                for below in each.values():
                    yield from find_keys(below)
            else:
                yield from find_keys(each)


def refuse_yaml(text: str) -> str:
    """Why a fragment of YAML can't be written so; "" when it can."""
    text = re.sub(r"(?<![\w\"])\{[a-z_]+\}", "key", text).replace("…", "key").replace("...", "x")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        return str(error)
    keys = set(find_keys(value))
    unknown = keys - list_keys() - STANDING_FOR - list_values() - {"STATUS"}
    return f"no such key: {', '.join(sorted(unknown))}" if unknown else ""


@cache
def list_values() -> frozenset[str]:
    """Measurements, levels and actions, which are keys in places of their own."""
    kinds = load_kinds().values()
    measured = {each.name for kind in kinds for each in kind.measurements}
    return frozenset(measured | {"degraded", "down", "raise", "clear", "restart", "start", "stop"}
                     | {"reload", "status"})  # fmt: skip


def test_every_fragment_of_yaml_can_be_written() -> None:
    """It is YAML, and each of its keys is one that some model knows."""
    bad = {
        f"{said.place}: {said.text}": problem
        for said in list_words()
        if classify(said.text) == YAML
        if said.text.removesuffix(":") not in DOCUMENTS | STANDING_FOR
        if not (said.typed and said.place.startswith("docs/"))
        if (problem := refuse_yaml(said.text))
    }
    assert bad == {}


def test_a_key_with_dots_leads_somewhere() -> None:
    """`actions.enabled` is a key of the platform's settings, or the end of such a path of a kind."""
    wanted = re.compile(r"(?<![\w./`-])`?([a-z_]+(?:\.[a-z_]+)+)(?![\w./(-])")
    heads = {*PlatformSettings.model_fields, *list_nested()}
    bad = []
    for said in list_texts():
        for found in wanted.finditer(said.text) if said.code and " " in said.text else ():
            head, *rest = found[1].split(".")
            if head in heads and not (is_path(head, rest) or rest[-1] in FILES):
                bad.append(f"{said.place}: {found[1]}")
    assert bad == []


FILES = {"yaml", "yml", "md", "py", "sql", "acl", "json", "log", "service"}


@cache
def list_nested() -> Mapping[str, set[type[BaseModel]]]:
    """Field → the models that it can hold."""
    found: dict[str, set[type[BaseModel]]] = {}
    for model in list_models():
        for name, field in model.model_fields.items():
            for each in list_models():
                if re.search(rf"\b{each.__name__}\b", str(field.annotation)):
                    found.setdefault(name, set()).add(each)
    return found


def is_path(head: str, rest: list[str]) -> bool:
    """Whether the keys lead from one model to the next."""
    models = list_nested().get(head, set())
    if not rest:
        return True
    fits = any(rest[0] in model.model_fields for model in models)
    return fits and is_path(rest[0], rest[1:])


FOREIGN = {
    "postgres setting": {
        "application_name", "archive_command", "default_transaction_read_only",
        "hot_standby_feedback", "idle_in_transaction_session_timeout", "lock_timeout",
        "max_connections", "search_path", "statement_timeout",
    },
    "postgres catalog": {
        "pg_blocking_pids", "pg_policies", "pg_prepared_xacts", "pg_stat_activity",
        "pg_timezone_names", "current_setting",
    },
    "postgres role, file or program": {"pg_hba", "pg_monitor", "pg_resetwal", "pg_wal"},
    "libpq": {"connect_timeout", "max_protocol_version", "target_session_attrs"},
    "redis-py": {
        "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname", "ssl_password",
        "decode_responses",
    },
    "redis INFO": {
        "connected_slaves", "evicted_keys", "master_link_status", "maxmemory_policy",
        "rdb_last_bgsave_status", "used_memory",
    },
    "curl": {"http_code", "time_total"},
    "openssl": {"s_client"},
    "sqlite": {"journal_mode", "user_version"},
    "user of checks/acl": {"sentinel_ops", "sentinel_ro", "sentinel_probe"},
    "example of a platform": {
        "agent_messages", "app_user", "from_agent", "platform_owner", "watch_owner", "updated_at",
        "assigned_agent_id",
    },
    "nginx": {"proxy_set_header"},
    "prometheus configuration": {
        "credentials_file", "job_name", "scrape_configs", "static_configs", "tls_config",
    },
    "another product": {"redis_exporter"},
}  # fmt: skip
"""Names of other systems, by whose they are: tried on the servers, where they have them."""
_NAME = re.compile(r"(?<![\w./{$])[a-z]+(?:_[a-z0-9]+)+(?![\w({])")
_PROGRAM = re.compile(r"\s*(?:SELECT|WITH|INSERT|UPDATE|CREATE|DELETE|PRAGMA|[-A-Z]+ |\{)|-c ")


@cache
def list_names() -> frozenset[str]:
    """What a name with an underscore may be: a key, a fault, a measurement, a metric, a kind, a
    condition, a chore, or another system's.
    """
    kinds = load_kinds()
    own = {
        each for kind in kinds.values() for m in kind.measurements for each in (m.name, m.metric)
    }
    labels = {label for kind in kinds.values() for m in kind.measurements for label in m.labels}
    foreign = {word for words in FOREIGN.values() for word in words}
    return frozenset(
        {
            *own,
            *labels,
            *kinds,
            *list_faults(),
            "first_progress",
            *list_keys(),
            *CONDITIONS,
            *load_chores(),
            *list_channel_keys(),
            *foreign,
        }
    )


def list_channel_keys() -> Iterator[str]:
    """Options of channels; a secret may be given as a file."""
    for channel in load_channels().values():
        yield from channel.options.model_fields
        yield from (f"{name}_file" for name in list_secrets(channel.options))


@cache
def list_identifiers() -> frozenset[str]:
    """Names of the source: a guide may speak of a function, a state, a column of the demo."""
    files = [*ROOT.glob("sentinel/**/*.py"), *ROOT.glob("tests/**/test_*.py")]
    files += [*ROOT.glob("sentinel/**/*.sql"), *ROOT.glob("dashboards/rules/*.yml")]
    found = {path.stem for path in files}
    for path in files:
        if "test_" not in path.name:
            found |= set(re.findall(r"\b[a-z]+(?:_[a-z0-9]+)+\b", path.read_text("utf-8")))
    return frozenset(found)


def find_strange_names(texts: Iterator[Said]) -> list[str]:
    """Names in texts that nothing has."""
    bad = []
    for said in texts:
        text = re.sub(r"^ *```(python|sql|markdown).*?^ *```", "", said.text, flags=re.M | re.S)
        if said.place.startswith("runbooks/"):
            text = text.partition("\n---\n")[2]
        known = list_names() if said.code else list_names() | list_identifiers()
        bad += [f"{said.place}: {name}" for name in _NAME.findall(text) if name not in known]
    return bad


def list_prose() -> Iterator[Said]:
    """Texts that are no program."""
    for said in list_texts():
        if said.code and (" " not in said.text or _PROGRAM.match(said.text)):
            continue
        if not said.place.split(":")[0].endswith((".j2", ".js", ".lua")) and not re.search(
            "/queries.py|/store/|/demo/|docs/platforms.md|sentinel/rules/|/stays.py|/assigned.py|/reader.py|/synthetic.py"
            "|/clocks.py|/proof.py|/work.py",
            said.place,
        ):
            yield said


def test_every_name_is_one() -> None:
    """A key of the configuration, a fault, a measurement, or a name of another system: what a text
    names with an underscore is there under this name.
    """
    assert find_strange_names(list_prose()) == []


def test_a_key_that_is_none_is_seen() -> None:
    """Who is told to set it would look for it in vain."""
    wrong = Said("sentinel/x.py:1", "name the issuer in ca_flie of the resource", code=True)
    assert find_strange_names(iter([wrong])) == ["sentinel/x.py:1: ca_flie"]


# -- paths ------------------------------------------------------------------------------------------


def test_every_path_exists() -> None:
    """Each path of the repository that any text names, between backticks or not."""
    roots = "sentinel|tests|checks|dashboards|runbooks|benchmarks|docs"
    path = re.compile(rf"(?<![\w./~{{:-])((?:{roots})/[\w./*-]*\w)")
    bad = []
    for said in list_prose():
        text = re.sub(r"^ *```(python|markdown).*?^ *```", "", said.text, flags=re.M | re.S)
        for found in path.finditer(text):
            if not list(ROOT.glob(found[1])) and found[1] not in EXAMPLES:
                bad.append(f"{said.place}: {found[1]}")
    assert bad == []


EXAMPLES = {
    "checks/access.yaml", "checks/sentinel.yaml", "runbooks/too-many-keys", "sentinel/probes/keys.py",
    "runbooks/too-many-keys.md",
}  # fmt: skip
"""Paths that a guide tells people to make."""
