"""reliability.md A9 and §5: the shipped users do for the kinds what they must, and nothing
else.

One rule fewer, and a finding names it. Servers without KEYS, CONFIG, EVAL and DEL are watched all
the same (for the canary alone: tests/integration/test_bus_canary.py, a_hardened_server).
"""

from __future__ import annotations

import asyncio
import re
import shutil
import signal
import time
from pathlib import Path

import pytest
import redis

import sentinel
from sentinel.config import shipped_folder
from sentinel.core.fault import Status
from sentinel.core.model import Finding
from sentinel.demo.servers import ValkeyServer
from tests.bus_bench import GROUP, KEY, KINDS, SECRET, Product, opened, statuses

SHIPPED = shipped_folder("checks") / "acl" / "redis.acl"
USERS = ("sentinel", "sentinel_ro", "sentinel_probe", "sentinel_ops")
ALL_UP = dict.fromkeys(KINDS, "up")
CONNECTION = ["client|setname"]
READING = [
    "multi",
    "exec",
    "info",
    "time",
    "scan",
    "xrange",
    "xinfo|stream",
    "xinfo|groups",
    "xpending",
]
WRITING = ["set", "expire", "xadd", "xreadgroup", "xack", "xdel", "xtrim", "xgroup|create"]
LEDGER = ["get", "zadd", "zrem", "zscore", "zcard", "zrange", "hincrby", "hgetall"]
PROBING = ["expire", "xadd", "xreadgroup", "xtrim", "xgroup|create"]
NEEDS = {
    "bus_delivery": {*CONNECTION, *READING, *PROBING},
    "bus_canary": {*CONNECTION, "multi", "exec", "time", *WRITING, *LEDGER} - {"expire", "xtrim"},
    "redis_server": {*CONNECTION, "info", "time", "scan", "set"},
}
FORBIDDEN = [
    ("XADD", KEY, "*", "f", "v"),
    ("XACK", KEY, GROUP, "1-1"),
    ("XTRIM", KEY, "MAXLEN", "0"),
    ("XGROUP", "CREATE", KEY, "g", "0"),
    ("XGROUP", "DESTROY", KEY, GROUP),
    ("XREADGROUP", "GROUP", GROUP, "c", "STREAMS", KEY, ">"),
    ("SET", KEY, "v"),
    ("HINCRBY", KEY, "f", "1"),
    ("EXPIRE", KEY, "1"),
    ("DEL", KEY),
    ("DEL", "sentinel:probe:x"),
    ("KEYS", "*"),
    ("EVAL", "return 1", "0"),
    ("CONFIG", "SET", "maxmemory", "1"),
    ("FLUSHALL",),
    ("SHUTDOWN",),
    ("ACL", "SETUSER", "sentinel", "+@all"),
    ("PUBLISH", "c", "m"),
]


def rules_of(user: str) -> str:
    """The shipped rules of a user."""
    lines = [line.split(maxsplit=2) for line in SHIPPED.read_text().splitlines()]
    (found,) = [rules for word, name, rules in lines if (word, name) == ("user", user)]
    return found


def grant(admin: redis.Redis, user: str, rules: str) -> None:
    """Make a user with these rules and the password of the bench."""
    words = re.findall(r"\([^)]*\)|\S+", rules)
    admin.execute_command("ACL", "SETUSER", user, "reset", *words, "on", f">{SECRET}")


def names(finding: Finding, word: str) -> bool:
    """Whether the finding says which command is not permitted."""
    return f"'{word}'" in repr(finding) and "permission" in repr(finding)


@pytest.fixture(params=["valkey", "redis7"])
def server(request):
    """Both families, without the users afterwards."""
    made = request.getfixturevalue(request.param)
    yield made
    with redis.Redis(port=made.port) as admin:
        admin.execute_command("ACL", "DELUSER", *USERS)


@pytest.mark.parametrize("family", ["valkey", "redis7"])
def test_the_shipped_file_loads_as_it_is_and_lets_nobody_in(server_folder, family):
    """As an aclfile, on both families: four users, none of them on."""
    if family == "redis7" and shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed")
    binary = None if family == "valkey" else "redis-server"
    server = ValkeyServer(server_folder / f"acl-{family}", "--aclfile", str(SHIPPED), binary=binary)
    server.start()
    try:
        with redis.Redis(port=server.port) as admin:
            assert set(admin.acl_users()) == {"default", *USERS}
            for user in USERS:
                assert "off" in admin.acl_getuser(user)["flags"]
    finally:
        server.stop(signal.SIGKILL)


async def test_all_kinds_work_with_the_shipped_user(server):
    """`sentinel`, end to end: all up, the capability probed, figures exact, nothing of the product
    touched.
    """
    with Product(server.port) as product:
        grant(product.redis, "sentinel", rules_of("sentinel"))
        async with opened(server.port, "sentinel") as bench:
            assert statuses(await bench.judge()) == ALL_UP
            product.publish(40)
            product.consume(40)
            before = product.redis.xinfo_groups(KEY)
            for _ in range(3):
                findings = await bench.judge()
                assert statuses(findings) == ALL_UP
            assert findings["bus_delivery"].evidence["account"]["acknowledged"] == [40, 40]
            assert findings["bus_delivery"].evidence["note"] == ""
            assert product.redis.xinfo_groups(KEY) == before


async def test_two_users_for_two_resources_work_as_well(server):
    """`sentinel_ro` reads the product and writes nothing, `sentinel_probe` writes and sees nothing
    of the product.
    """
    with Product(server.port) as product:
        for user in ("sentinel_ro", "sentinel_probe"):
            grant(product.redis, user, rules_of(user))
        async with opened(
            server.port, "sentinel_ro", options={"redis_server": {"write": False}}
        ) as reader:
            await reader.run("bus_delivery")
            product.publish(10)
            product.consume(10)
            finding = await reader.run("bus_delivery")
            assert finding.status is Status.UP
            assert "permission" in finding.evidence["note"]
            assert (await reader.run("redis_server")).status is Status.UP
        async with opened(server.port, "sentinel_probe") as prober:
            assert (await prober.run("bus_canary")).status is Status.UP
            assert (await prober.run("redis_server")).status is Status.UP
            probe = redis.Redis(port=server.port, username="sentinel_probe", password=SECRET)
            with probe, pytest.raises(redis.exceptions.NoPermissionError):
                probe.xinfo_stream(KEY)


@pytest.mark.parametrize("user", USERS[:3])
def test_the_shipped_users_can_not_write_to_the_product(server, user):
    """Writes to product keys and everything that administers the server: refused, for real."""
    with Product(server.port) as product:
        product.publish(1)
        grant(product.redis, user, rules_of(user))
        with redis.Redis(port=server.port, username=user, password=SECRET) as watcher:
            for command in FORBIDDEN:
                with pytest.raises(redis.exceptions.NoPermissionError):
                    watcher.execute_command(*command)
        assert product.redis.xlen(KEY) == 1


def test_the_operators_user_cleans_up_and_nothing_else(server):
    """`sentinel_ops` may claim, acknowledge, trim and delete consumers; not publish, delete or
    administer.
    """
    with Product(server.port) as product:
        grant(product.redis, "sentinel_ops", rules_of("sentinel_ops"))
        (entry,) = product.publish(1)
        product.redis.xreadgroup(GROUP, "dead", {KEY: ">"})
        with redis.Redis(port=server.port, username="sentinel_ops", password=SECRET) as operator:
            assert operator.xclaim(KEY, GROUP, "alive", 0, [entry])
            assert operator.xack(KEY, GROUP, entry) == 1
            assert operator.xgroup_delconsumer(KEY, GROUP, "dead") == 0
            assert operator.xtrim(KEY, minid=b"0", approximate=False) == 0
            for command in FORBIDDEN:
                if command[0] not in {"XACK", "XTRIM", "EVAL"}:
                    with pytest.raises(redis.exceptions.NoPermissionError):
                        operator.execute_command(*command)


@pytest.mark.parametrize("word", [*CONNECTION, *READING, *WRITING, *LEDGER])
async def test_a9_a_missing_rule_is_named(server, word):
    """A9: any one rule fewer: each kind that needs it names the command, is unknown, and nobody
    says down.
    """
    with Product(server.port) as product:
        grant(
            product.redis,
            "sentinel",
            re.sub(rf" \+{re.escape(word)}(?=[ )]|$)", "", rules_of("sentinel")),
        )
        quick = {
            "bus_delivery": {"down_below": "0%"},
            "bus_canary": {"deadline": "200ms", "loss_after": "400ms"},
        }
        async with opened(server.port, "sentinel", options=quick) as bench:
            await bench.run("bus_delivery")
            product.publish(30)
            for entry, _ in product.redis.xreadgroup(GROUP, "c", {KEY: ">"}, count=20)[0][1][:10]:
                product.redis.xack(KEY, GROUP, entry)
            silent = [name for name, words in NEEDS.items() if word in words]
            findings: dict[str, Finding] = {}
            end = time.monotonic() + 20
            while silent:
                assert time.monotonic() < end, (silent, findings)
                findings = await bench.judge()
                assert "down" not in statuses(findings).values(), findings
                silent = [name for name in silent if not names(findings[name], word)]
                await asyncio.sleep(0.05)
            blind = [name for name in ("bus_canary", "redis_server") if word in NEEDS[name]]
            assert all(findings[name].status is Status.UNKNOWN for name in blind), findings


@pytest.mark.parametrize("family", ["valkey", "redis7"])
async def test_servers_without_keys_config_eval_and_del_are_watched(server_folder, family):
    """KEYS, CONFIG, EVAL, DEL and more renamed away: every kind is up, with the shipped user."""
    if family == "redis7" and shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed")
    binary = None if family == "valkey" else "redis-server"
    gone = ("KEYS", "CONFIG", "EVAL", "EVALSHA", "DEL", "FLUSHALL", "FLUSHDB", "DEBUG", "SHUTDOWN")
    renamed = [word for name in gone for word in ("--rename-command", name, "")]
    server = ValkeyServer(server_folder / f"hard-{family}", *renamed, binary=binary)
    server.start()
    try:
        with Product(server.port) as product:
            grant(product.redis, "sentinel", rules_of("sentinel"))
            async with opened(server.port, "sentinel") as bench:
                assert statuses(await bench.judge()) == ALL_UP
                product.publish(10)
                product.consume(10)
                findings = await bench.judge()
                assert statuses(findings) == ALL_UP
                assert findings["bus_delivery"].evidence["note"] == ""
    finally:
        server.stop(signal.SIGKILL)


SENT = re.compile(
    r"""(?:call\(|\()\s*"([A-Z]{2,})"(?:,\s*"(STREAM|GROUPS|CONSUMERS|CREATE|SETNAME|SLOTS)")?"""
)
NO_COMMANDS = {"PATH", "HOME", "POST"}


def test_every_command_in_the_source_is_in_the_shipped_rules():
    """A kind that sends a new command must come with its rule."""
    permitted = set(re.findall(r"\+([\w|]+)", rules_of("sentinel")))
    folder = Path(sentinel.__file__).parent
    for path in [*folder.glob("adapters/*.py"), *folder.glob("probes/*.py")]:
        if path.name == "bus_cleanup.py":
            continue  # sentinel_ops: tests/faults/test_bus_cleanup_acl.py
        for command, sub in SENT.findall(path.read_text()):
            word = f"{command}|{sub}".lower().rstrip("|")
            missing = command not in NO_COMMANDS and word not in permitted
            assert not missing, (
                f"{path.name} sends {command} {sub}: add +{word} to checks/acl/redis.acl"
            )
