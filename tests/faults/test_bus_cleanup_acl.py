"""`sentinel_ops` of the shipped rules does for every chore what it must and nothing else; without
EVAL as well.

One rule fewer, and the run says which. What can't be done safely without a script is refused, never
done blindly.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import redis

import sentinel
from sentinel.demo.servers import ValkeyServer
from sentinel.errors import NotMeasurable
from sentinel.housekeeping import load_chores
from tests.bus_bench import SECRET
from tests.faults.test_bus_faults_acl import grant, rules_of
from tests.integration.cleaning_bench import DLQ, GROUP, KEY, make_chore, opened

OPS = "sentinel_ops"
USER = f"{OPS}:{SECRET}@"
NEEDS = {
    "safe_trim": {
        "eval",
        "time",
        "multi",
        "exec",
        "info",
        "scan",
        "xlen",
        "xrange",
        "xtrim",
        "xpending",
    }
    | {"xinfo|stream", "xinfo|groups"},
    "idle_consumers": {"xinfo|consumers", "xgroup|delconsumer"},
    "keys_without_ttl": {"type", "pttl", "object|idletime", "pexpire"},
    "reclaim": {"xclaim"},
    "poison": {"xadd", "xack"},
}
RULES = sorted(set().union(*NEEDS.values()))
WAYS = {
    "safe_trim": {},
    "idle_consumers": {"silent_for": "1s"},
    "keys_without_ttl": {},
    "reclaim": {"handler_time": "0s", "min_idle": "0s"},
    "poison": {"more_than": 3, "handler_time": "0s"},
}


@pytest.fixture(params=["valkey", "redis7"])
def server(request):
    """Both families, without the user afterwards."""
    made = request.getfixturevalue(request.param)
    yield made
    with redis.Redis(port=made.port) as admin:
        admin.execute_command("ACL", "DELUSER", OPS)


def prepare(bench) -> None:
    """One thing to clean for every kind: 200 entries, a ghost, a leaked key, a stuck entry, a
    poisoned one.
    """
    ids = bench.publish(300)
    bench.group()
    bench.ack(bench.read(300)[:200])
    bench.age(ids[200:201], deliveries=9)
    bench.age(ids[250:251], deliveries=1)
    for name in ("ghost", "live"):
        bench.redis.xgroup_createconsumer(KEY, GROUP, name)
    bench.redis.set("cache:leak", "v")


def chores():
    """All of them."""
    options = {name: dict(ways) for name, ways in WAYS.items()}
    options["idle_consumers"] = {"silent_for": "1s", "spare": ["live"]}
    return [make_chore(name, **ways) for name, ways in options.items()]


async def run_all(bench) -> dict[str, object]:
    """Every kind once, trimming first; the ghost only when it was waited for."""
    bench.use(*chores())
    return {
        name: await bench.keeper.run(name)
        for name in ("safe_trim", "keys_without_ttl", "poison", "reclaim")
    }


async def test_every_chore_works_with_the_shipped_user(server, tmp_path):
    """Trimmed, expired, quarantined, reclaimed, removed: with `sentinel_ops` as it is shipped."""
    async with opened(server.port, tmp_path, USER) as bench:
        grant(bench.redis, OPS, rules_of(OPS))
        prepare(bench)
        runs = await run_all(bench)
        removed = {name: run.removed for name, run in runs.items()}
        assert removed == {"safe_trim": 200, "keys_without_ttl": 1, "poison": 1, "reclaim": 99}, (
            runs
        )
        cleaner = bench.keeper._begin(bench.keeper.chores["idle_consumers"], "me").room.cleaner
        assert await cleaner.remove_consumers(KEY, GROUP, 0.0, ["ghost"]) == ["gone"]


def test_the_shipped_user_can_do_nothing_more_in_a_script(server):
    """EVAL gives no right: publishing, deleting and expiring elsewhere are refused inside a script
    too.
    """
    with redis.Redis(port=server.port) as admin:
        grant(admin, OPS, rules_of(OPS))
        admin.xadd(KEY, {"f": "v"})
        admin.set("precious", "v")
        with redis.Redis(port=server.port, username=OPS, password=SECRET) as ops:
            for key, words in (
                (KEY, "'XADD', KEYS[1], '*', 'f', 'v'"),
                ("precious", "'UNLINK', KEYS[1]"),
                ("precious", "'PEXPIRE', KEYS[1], 1"),
                ("precious", "'SET', KEYS[1], 'x'"),
                (KEY, "'XGROUP', 'DESTROY', KEYS[1], 'g'"),
                (KEY, "'DEL', KEYS[1]"),
            ):
                with pytest.raises(redis.exceptions.ResponseError):
                    ops.eval(f"return redis.call({words})", 1, key)
            for command in (
                ("XADD", KEY, "*", "f", "v"),
                ("UNLINK", "precious"),
                ("FLUSHALL",),
                ("CONFIG", "GET", "x"),
            ):
                with pytest.raises(redis.exceptions.NoPermissionError):
                    ops.execute_command(*command)
        assert (admin.xlen(KEY), admin.ttl("precious")) == (1, -1)


async def test_a9_a_missing_rule_is_named_and_nothing_is_done(server, tmp_path):
    """A9: each rule taken away: the chore that needs it fails and names the command; its things are
    all there.
    """
    async with opened(server.port, tmp_path, USER) as bench:
        prepare(bench)
        bench.use(*chores())
        before = (bench.live(), bench.pending(), bench.redis.ttl("cache:leak"), bench.consumers())
        for word in RULES:
            grant(bench.redis, OPS, re.sub(rf" \+{re.escape(word)}(?=[ )]|$)", "", rules_of(OPS)))
            await assert_named(bench, word)
            now = (bench.live(), bench.pending(), bench.redis.ttl("cache:leak"), bench.consumers())
            assert (now, bench.dead_letters()) == (before, []), word


async def assert_named(bench, word: str) -> None:
    """The first chore that needs this command says so."""
    name = next(name for name, words in NEEDS.items() if word in words)
    cleaner = bench.keeper._begin(bench.keeper.chores[name], "me").room.cleaner
    if word == "eval":
        assert not await cleaner.can_script()
    elif word == "xgroup|delconsumer":
        with pytest.raises(NotMeasurable, match=re.escape(f"'{word}'")):
            await cleaner.remove_consumers(KEY, GROUP, 0.0, ["ghost"])
    else:
        run = await bench.keeper.run(name)
        assert (run.outcome, run.removed) == ("failed", 0), run
        assert f"'{word}'" in run.detail, run
        assert f"+{word}" in run.detail or "ACL" in run.detail, run


@pytest.mark.parametrize("family", ["valkey", "redis7"])
@pytest.mark.parametrize("how", ["renamed away", "not permitted"])
async def test_without_eval_only_what_stays_safe_is_done(
    request, server_folder, tmp_path, family, how
):
    """Trim, reclaim and expire have an equivalent; the others are refused, name EVAL, and leave
    everything.
    """
    if how == "renamed away":
        binary = None if family == "valkey" else "redis-server"
        made = ValkeyServer(tmp_path / "server", "--rename-command", "EVAL", "", binary=binary)
        made.start()
    else:
        made = request.getfixturevalue(family)
    try:
        async with opened(made.port, tmp_path, USER) as bench:
            prepare(bench)
            grant(bench.redis, OPS, rules_of(OPS).replace(" +eval", ""))
            runs = await run_all(bench)
            removed = {name: run.removed for name, run in runs.items()}
            assert removed == {
                "safe_trim": 200,
                "keys_without_ttl": 1,
                "poison": 0,
                "reclaim": 100,
            }, runs
            assert runs["poison"].outcome == "refused"
            assert "EVAL is not permitted" in runs["poison"].detail
            assert bench.dead_letters() == []
            bench.use(make_chore("keys_without_ttl", action="unlink", prefixes=["tmp:"]))
            bench.redis.set("tmp:leak", "v")
            assert (await bench.keeper.run("keys_without_ttl")).removed == 0
            cleaner = bench.keeper._begin(
                bench.keeper.chores["keys_without_ttl"], "me"
            ).room.cleaner
            with pytest.raises(NotMeasurable, match="EVAL is not permitted"):
                await cleaner.remove_consumers(KEY, GROUP, 0.0, ["ghost"])
            assert "ghost" in bench.consumers()
            bench.redis.execute_command("ACL", "DELUSER", OPS)
    finally:
        if how == "renamed away":
            made.stop()


async def test_the_bounded_trim_has_the_same_guards(valkey, tmp_path):
    """With and without EVAL: a pending entry, a group behind, a missing group, a planned id beyond:
    the same.
    """
    async with opened(valkey.port, tmp_path) as bench:
        ids = bench.publish(1000)
        for group, done in (("g1", 640), ("g2", 1000)):
            bench.group(group)
            bench.ack(bench.read(1000, group=group)[:done], group)
        kind, chore = bench.keeper.kinds["safe_trim"], bench.keeper.chores["safe_trim"]
        found = {}
        for scripts in (True, False):
            room = bench.keeper._begin(chore, "me").room
            room.cleaner.scripts = scripts
            (target,) = (await kind.survey(chore.options, room)).targets
            found[scripts] = target
            beyond = make_chore("safe_trim", below=ids[641]).options
            assert [r.reason for r in (await kind.survey(beyond, room)).refusals] == [
                "unacknowledged"
            ]
            few = make_chore("safe_trim", keep_entries=2000).options
            assert (await kind.survey(few, room)).targets == ()
        assert found[True] == found[False]
        assert target.count == 640
        for scripts in (True, False):
            room = bench.keeper._begin(chore, "me").room
            room.cleaner.scripts = scripts
            bench.redis.xgroup_destroy(KEY, "g2")
            done = await kind.act(chore.options, room, target)
            assert (done.count, done.refusals[0].reason) == (0, "group_missing")
            assert await kind.recount(chore.options, room, target) == 0
            bench.group("g2")
            done = await kind.act(chore.options, room, target)
            assert (done.count, done.refusals[0].reason) == (0, "unacknowledged")
        assert len(bench.live()) == 1000


SENT = re.compile(r"""(?:call\(|\(|Command = \()\s*"([A-Z]{2,})"(?:,\s*"([A-Z]+)")?""")
LUA = re.compile(r"""(?:run\(|\{)'([A-Z]{2,})'(?:, '([A-Z]+)')?""")
WITH_SUB = {"XINFO", "XGROUP", "OBJECT"}


def test_every_command_of_the_cleaner_is_in_the_shipped_rules_and_no_rule_is_idle():
    """What is sent, directly or in a script, is permitted; what is permitted is sent."""
    folder = Path(sentinel.__file__).parent / "adapters"
    found = SENT.findall((folder / "bus" / "housekeeping.py").read_text())
    for path in (folder / "bus" / "lua").glob("*.lua"):
        found += LUA.findall(path.read_text())
    sent = {(f"{word}|{sub}" if word in WITH_SUB else word).lower() for word, sub in found}
    permitted = set(re.findall(r"\+([\w|]+)", rules_of(OPS)))
    assert sent - permitted == set()
    connection = {"ping", "hello", "auth", "client|setname", "multi", "exec"}
    assert permitted - sent - connection == set()
    assert set(WAYS) | {"drain"} == set(load_chores())
    assert any(part in rules_of(OPS) for part in ("~*:dlq", DLQ))
