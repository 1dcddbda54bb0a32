"""Kind `registry` over every place that can hold a set: the same faults, the same numbers; and what
is no place.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from datetime import UTC, datetime

import psycopg
import pytest
import redis

from sentinel.adapters.postgres import PostgresClient
from sentinel.adapters.redis import RedisClient
from sentinel.core.fault import Status
from sentinel.errors import NotMeasurable, SubjectError
from sentinel.probes.registry import KIND, RegistryOptions

HOUR = 3600.0
FIELDS = {
    "status": "state",
    "last_heartbeat": "seen",
    "capabilities": "can",
    "registered_at": "since",
    "boot_id": "pid",
}


class Place:
    """A registry somewhere: agents as plain dictionaries, polls of the kind over them."""

    def __init__(self, clients, raw, make_context):
        self.clients, self.raw, self._make = clients, raw, make_context
        self.state = KIND.load_state(None)

    async def poll(self, **options):
        context = self._make(self.clients, self.state)
        return await KIND.run(RegistryOptions.model_validate(options), context)

    async def twice(self, **options):
        await self.poll(**options)
        return await self.poll(**options)


@pytest.fixture
async def place(valkey, make_context):
    client = RedisClient("bus", valkey.url)
    with redis.Redis(port=valkey.port) as raw:
        yield Place({"bus": client}, raw, make_context)
    await client.close()


def agents():
    """4 good, 2 asleep and silent, 3 ghosts, 1 of which never beat, 2 stopped ones that beat, 1
    clock 1 h ahead.
    """
    now = time.time()
    since = now - HOUR
    found = {
        f"good-{n}": {"state": "ACTIVE", "seen": now, "can": ["x"], "since": since}
        for n in range(4)
    }
    found |= {
        f"asleep-{n}": {"state": "Sleeping", "seen": now - 9 * HOUR, "can": ["z"]} for n in range(2)
    }
    found |= {f"ghost-{n}": {"state": "busy", "seen": now - 99, "since": since} for n in range(2)}
    found |= {f"stopped-{n}": {"state": "stopped", "seen": now} for n in range(2)}
    return found | {
        "mute": {"state": "active", "since": since},
        "ahead": {"state": "active", "seen": now + HOUR},
    }


FOUND = {"ghost": 3, "zombie": 2, "clock_ahead": 1}


def mismatches(finding):
    return {kind: found["count"] for kind, found in finding.evidence.get("mismatches", {}).items()}


def beat_on(found):
    for name, fields in found.items():
        if name.startswith(("good", "stopped")):
            fields["seen"] += 1
    return found


def iso(seconds):
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None).isoformat()


async def test_a_hash_with_json(place):
    """One hash, a JSON object for each agent, times in seconds."""
    found, options = agents(), {"agents": {"hash": "agents", **FIELDS}}
    for _ in range(2):
        place.raw.hset(
            "agents", mapping={name: json.dumps(fields) for name, fields in beat_on(found).items()}
        )
        finding = await place.poll(**options)
    assert mismatches(finding) == FOUND
    assert finding.status is Status.DEGRADED
    assert finding.key == ("live agents", "4 of 8")
    assert "4 of 8 active agents live, 1 not known, 2 asleep" in finding.detail


async def test_a_hash_of_statuses_with_a_hash_of_heartbeats(place):
    """Field: agent, value: status; another hash has the times, in milliseconds."""
    options = {
        "agents": {"hash": "agents"},
        "heartbeats": {"hash": "beats", "unit": "milliseconds"},
    }
    found = agents()
    for _ in range(2):
        beat_on(found)
        place.raw.hset("agents", mapping={name: fields["state"] for name, fields in found.items()})
        beats = {
            name: int(fields["seen"] * 1000) for name, fields in found.items() if "seen" in fields
        }
        place.raw.hset("beats", mapping=beats)
        finding = await place.poll(**options)
    assert mismatches(finding) == FOUND


async def test_a_key_for_each_agent(place):
    """Hashes and JSON texts under a pattern, times as ISO text without a zone."""
    options = {"agents": {"keys": "agent:*", **FIELDS}}
    found = agents()
    for _ in range(2):
        for n, (name, fields) in enumerate(beat_on(found).items()):
            texts = {
                key: iso(value) if key in ("seen", "since") else value
                for key, value in fields.items()
            }
            if n % 2:
                place.raw.set(f"agent:{name}", json.dumps(texts))
            else:
                flat = {
                    key: json.dumps(value) if isinstance(value, list) else value
                    for key, value in texts.items()
                }
                place.raw.hset(f"agent:{name}", mapping=flat)
        finding = await place.poll(**options)
    assert mismatches(finding) == FOUND


async def test_keys_that_expire_are_heartbeats(place):
    """What is left of the time to live tells the last beat: 3 beat, 2 have not for a while, 1 has
    no key at all.
    """
    names = {"live": range(3), "late": range(2), "gone": range(1)}
    place.raw.hset(
        "agents", mapping={f"{word}-{n}": "active" for word, ns in names.items() for n in ns}
    )
    options = {
        "agents": {"hash": "agents"},
        "heartbeats": {"keys": "beat:*", "lifetime": "1h", "member": r"beat:(?P<agent>.+)"},
        "ttl": "60s",
    }
    for word, left in (("live", 3599), ("late", 3500)):
        for n in names[word]:
            place.raw.set(f"beat:{word}-{n}", "1", ex=left)
    assert mismatches(await place.twice(**options)) == {"ghost": 3}
    options["heartbeats"].pop("member")
    assert mismatches(await place.twice(**options)) == {"ghost": 3}


async def test_a_key_that_never_expires_is_no_heartbeat(place):
    """Its presence is no life, and no death: told, with the remedy; the others are judged."""
    place.raw.hset("agents", mapping={"a": "active", "b": "active", "ghost": "active"})
    place.raw.set("beat:a", "1", ex=60)
    place.raw.set("beat:b", "1")
    finding = await place.twice(
        agents={"hash": "agents"}, heartbeats={"keys": "beat:*", "lifetime": "60s"}
    )
    assert mismatches(finding) == {"ghost": 1}
    assert finding.evidence["unreadable_heartbeats"] == {"b": "a key that never expires"}


async def test_boot_ids_in_names_of_heartbeats(place):
    """`agent@boot`: 2 whose two boots both beat on are split, 1 that was restarted is not."""
    place.raw.hset("agents", mapping=dict.fromkeys(["s-0", "s-1", "restarted", "one"], "active"))
    options = {
        "agents": {"hash": "agents"},
        "heartbeats": {"key": "beats", "member": "(?P<agent>.+)@(?P<boot>.+)"},
    }
    members = ["s-0@1", "s-0@2", "s-1@1", "s-1@2", "restarted@1", "restarted@2", "one@1"]
    place.raw.zadd("beats", dict.fromkeys(members, time.time() - 5))
    await place.poll(**options)
    place.raw.zadd(
        "beats", dict.fromkeys([name for name in members if name != "restarted@1"], time.time())
    )
    assert mismatches(await place.poll(**options)) == {"split": 2}


# --- a JSON file --------------------------------------------------------------------------------


def write(path, found, **more):
    lists = {"agents": list(found)[::2], "design_agents": list(found)[1::2]}
    document = {
        key: [{"name": name, **found[name]} for name in names] for key, names in lists.items()
    }
    path.write_text(json.dumps({"timestamp": iso(time.time()), **document, **more}))


FILE = {**FIELDS, "id": "name", "lists": ["agents", "design_agents"], "written": "timestamp"}


async def test_a_json_file(place, tmp_path):
    """Two lists of agents; a file that is written in time is well."""
    path, found = tmp_path / "agents.json", agents()
    options = {"agents": {"file": str(path), "fresh": "1m", "next_update": "next_update", **FILE}}
    for _ in range(2):
        write(path, beat_on(found), next_update=iso(time.time() + 60))
        finding = await place.poll(**options)
    assert mismatches(finding) == FOUND


async def test_a_json_file_that_nobody_writes(place, tmp_path):
    """Old, and its next update overdue: one file, two reasons."""
    path = tmp_path / "agents.json"
    write(
        path,
        {"a": {"state": "active"}},
        next_update=iso(time.time() - HOUR),
        timestamp=iso(time.time() - 2 * HOUR),
    )
    os.utime(path, (time.time() - 2 * HOUR, time.time() - 2 * HOUR))
    finding = await place.poll(
        agents={"file": str(path), "fresh": "1m", "next_update": "next_update", **FILE}
    )
    assert mismatches(finding) == {"stale_file": 1}
    (sample,) = finding.evidence["mismatches"]["stale_file"]["sample"]
    assert "not written for 2 h" in sample
    assert "overdue by 1 h" in sample


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "can't be read: No such file"),
        ("{half", "is no JSON"),
        ("[]", "is no JSON object"),
        ('{"people": []}', "no list agents"),
        (
            '{"agents": [], "design_agents": [], "timestamp": "yesterday"}',
            "timestamp of the registry file is no time",
        ),
    ],
)
async def test_a_file_that_is_no_registry(place, tmp_path, text, words):
    """Each is named, with a remedy."""
    path = tmp_path / "agents.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(SubjectError, match=words) as caught:
        await place.poll(agents={"file": str(path), **FILE})
    assert caught.value.guidance


async def test_entries_without_a_name_are_told(place, tmp_path):
    """The others are judged."""
    path = tmp_path / "agents.json"
    path.write_text(json.dumps({"agents": [{"name": "a", "state": "active"}, {"nom": "b"}, "c"]}))
    finding = await place.poll(agents={"file": str(path), "id": "name", "status": "state"})
    assert (finding.status, finding.key) == (Status.UNKNOWN, ("active agents", "1"))
    assert finding.evidence["not_judged"] == {
        "file": "2 entries have no name; name the field of the name as agents.id"
    }


# --- names beside ids -----------------------------------------------------------------------------


def people():
    """Two that beat and two that do not; one of each has a name that people gave."""
    now = time.time()
    return {
        "a-1": {"state": "active", "seen": now, "called": "writer"},
        "a-2": {"state": "active", "seen": now},
        "a-3": {"state": "active", "seen": now - 99, "called": "planner"},
        "a-4": {"state": "active", "seen": now - 99},
    }


def put_hash(place, tmp_path):
    place.raw.hset("agents", mapping={k: json.dumps(v) for k, v in people().items()})
    return {"hash": "agents"}


def put_keys(place, tmp_path):
    for name, fields in people().items():
        place.raw.hset(f"agent:{name}", mapping=fields)
    return {"keys": "agent:*"}


def put_file(place, tmp_path):
    found = [{"id": name, **fields} for name, fields in people().items()]
    (tmp_path / "agents.json").write_text(json.dumps({"agents": found}))
    return {"file": str(tmp_path / "agents.json")}


@pytest.mark.parametrize("put", [put_hash, put_keys, put_file])
async def test_names_that_people_gave(place, tmp_path, put):
    """Texts read `planner (a-3)`, the subject keeps the id; without a name the id stands alone."""
    fields = {"status": "state", "last_heartbeat": "seen", "name": "called"}
    finding = await place.twice(agents={**put(place, tmp_path), **fields})
    ghosts = [each for each in finding.faults if each.key == "ghost"]
    assert [each.subject for each in ghosts] == [{"agent": "a-3"}, {"agent": "a-4"}]
    assert ghosts[0].text.startswith("planner (a-3): registered as active, last heartbeat 1 min")
    assert ghosts[1].text.startswith("a-4: registered as active")
    assert "2 ghost: planner (a-3), a-4" in finding.detail


# --- tasks beside a registry that is not in the database ------------------------------------------


@pytest.fixture
async def tasks(place, postgres):
    schema = f"t{uuid.uuid4().hex[:8]}"
    with psycopg.connect(postgres.dsn(), autocommit=True) as db:
        db.execute(f"CREATE SCHEMA {schema}")
        db.execute(
            f"CREATE TABLE {schema}.tasks (id bigserial PRIMARY KEY, status text DEFAULT 'assigned',"
            " assigned_agent_id text, created_at timestamptz DEFAULT now())"
        )
        place.clients["database"] = PostgresClient("database", postgres.dsn())
        yield db, f"{schema}.tasks"
        await place.clients["database"].close()
        db.execute(f"DROP SCHEMA {schema} CASCADE")


async def test_orphaned_tasks_of_a_registry_in_redis(place, tasks, monkeypatch):
    """3 tasks of nobody; one that is given while the registry is read, and one that ends meanwhile,
    are none.
    """
    db, table = tasks
    place.raw.hset("agents", mapping={"a": "active"})
    db.execute(
        f"INSERT INTO {table} (assigned_agent_id) VALUES ('nobody'), ('nobody'), ('nobody'), ('a')"
    )
    real = place.clients["bus"].call

    async def call(*command):
        if command[0] == "HSCAN":
            db.execute(f"DELETE FROM {table} WHERE assigned_agent_id = 'goes'")
            db.execute(f"INSERT INTO {table} (assigned_agent_id) VALUES ('comes')")
        reply = await real(*command)
        if command[0] == "HSCAN":
            place.raw.hset("agents", "comes", "active")
        return reply

    monkeypatch.setattr(place.clients["bus"], "call", call)
    for _ in range(2):
        place.raw.hdel("agents", "comes")
        db.execute(f"DELETE FROM {table} WHERE assigned_agent_id = 'comes'")
        db.execute(f"INSERT INTO {table} (assigned_agent_id) VALUES ('goes')")
        finding = await place.poll(agents={"hash": "agents"}, tasks={"table": table})
    assert mismatches(finding) == {"orphan": 3}


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"agent": "worker"}, "no such column: worker"),
        ({"created_at": "status"}, "no time: status"),
        ({}, "no such table"),
    ],
)
async def test_a_task_table_that_does_not_fit_is_left_out(place, tasks, option, words):
    """The registry is compared without it; the trouble and its remedy are told, and nobody is
    blamed.
    """
    _, table = tasks
    place.raw.hset("agents", mapping={"a": "active", "b": "active"})
    place.raw.zadd("beats", {"a": time.time()})
    options = {"agents": {"hash": "agents"}, "heartbeats": {"key": "beats"}}
    finding = await place.twice(
        **options, tasks={"table": table if option else "public.nowhere", **option}
    )
    assert mismatches(finding) == {"ghost": 1}
    assert words in finding.evidence["not_judged"]["tasks"]
    assert "not judged: tasks" in finding.detail
    assert [each.subject for each in finding.faults] == [{"agent": "b"}, {"part": "tasks"}]


# --- what is no such place ------------------------------------------------------------------------


def stream(place, agent, entry="*"):
    place.raw.xadd(f"m:{agent}", {"x": "1"}, id=entry)
    place.raw.xgroup_create(f"m:{agent}", "workers", "0")


def read(place, agent):
    place.raw.xreadgroup("workers", agent, {f"m:{agent}": ">"})


OPTIONS = {
    "agents": {"hash": "agents"},
    "consumers": {"streams": "m:*", "groups": {"include": ["workers"]}},
}


async def test_one_bad_stream_is_one_finding(place):
    """A string in place of a stream, a missing group, ids that are no times: each told alone; the
    deaf one is found.
    """
    names = ["good", "deaf", "string", "groupless", "timeless", "ahead"]
    place.raw.hset("agents", mapping=dict.fromkeys(names, "active"))
    for name in ("good", "deaf"):
        stream(place, name)
    read(place, "good")
    place.raw.set("m:string", "no stream")
    place.raw.xadd("m:groupless", {"x": "1"})
    stream(place, "timeless", "5-1")
    stream(place, "ahead", f"{(place.raw.time()[0] + 3600) * 1000}-0")
    finding = await place.twice(**OPTIONS)
    assert mismatches(finding) == {"deaf": 1}
    assert finding.evidence["mismatches"]["deaf"]["sample"] == ["deaf"]
    told = finding.evidence["not_judged"]
    streams = {f"stream m:{name}" for name in ("groupless", "timeless", "ahead")}
    assert told.keys() == {"stream of string", *streams}
    assert "its key is of type string; " in told["stream of string"]
    assert "has no group workers; create the group" in told["stream m:groupless"]
    assert "entry id 5-1 is no time; " in told["stream m:timeless"]


async def test_a_named_stream_that_is_a_string(place):
    """Without a wildcard, too; unknown, and nobody is called deaf."""
    place.raw.hset("agents", mapping={"a": "active"})
    place.raw.set("m:a", "no stream")
    finding = await place.twice(
        agents={"hash": "agents"},
        consumers={"streams": "m:a", "agent_of_stream": "m:(?P<agent>.+)"},
    )
    assert (finding.status, mismatches(finding)) == (Status.UNKNOWN, {})
    assert "another type" in finding.evidence["not_judged"]["stream m:a"]


async def test_heartbeats_in_a_key_of_another_type(place):
    """Nobody is a ghost for it; the rest is compared, the key is named."""
    place.raw.hset("agents", mapping={"a": "active", "b": "active"})
    place.raw.set("beats", "no set")
    stream(place, "a")
    stream(place, "b")
    read(place, "a")
    finding = await place.twice(**OPTIONS, heartbeats={"key": "beats"})
    assert mismatches(finding) == {"deaf": 1}
    assert "WRONGTYPE" in finding.evidence["not_judged"]["heartbeats"]


async def test_scores_that_are_no_times(place):
    """A counter in place of a time blames nobody: unknown, told with an example; a real ghost is
    still found.
    """
    place.raw.hset("agents", mapping=dict.fromkeys(["a", "b", "c"], "active"))
    place.raw.zadd("beats", {"a": time.time(), "b": 7})
    finding = await place.twice(agents={"hash": "agents"}, heartbeats={"key": "beats"})
    assert mismatches(finding) == {"ghost": 1}
    assert finding.evidence["mismatches"]["ghost"]["sample"] == ["c"]
    assert finding.evidence["unreadable_heartbeats"] == {"b": "7"}
    place.raw.hdel("agents", "c")
    finding = await place.twice(agents={"hash": "agents"}, heartbeats={"key": "beats"})
    assert finding.status is Status.UNKNOWN
    assert "b: its heartbeat is no time: 7" in finding.detail
    assert "milliseconds" in finding.guidance


async def test_entries_of_a_registry_that_are_none(place):
    """Broken JSON, and a key of another type: each named; the others are judged."""
    place.raw.hset("agents", mapping={"a": '{"state": "active"}', "b": '{"state"'})
    finding = await place.poll(agents={"hash": "agents", **FIELDS})
    assert finding.evidence["not_judged"].keys() == {"agent b"}
    assert finding.key == ("active agents", "1")
    place.raw.hset("agent:a", mapping={"state": "active"})
    place.raw.rpush("agent:list", "x")
    finding = await place.poll(agents={"keys": "agent:*", **FIELDS})
    assert finding.evidence["not_judged"].keys() == {"key agent:list"}
    assert finding.status is Status.UNKNOWN


async def test_a_registry_of_another_type(place):
    """The registry itself is no hash: the whole check can't tell, and names the key's error."""
    place.raw.set("agents", "x")
    with pytest.raises(SubjectError, match="WRONGTYPE"):
        await place.poll(agents={"hash": "agents"})


async def test_a_resource_that_is_not_there(make_context):
    """A table without a database, a hash without a server: our configuration, with the remedy."""
    place = Place({}, None, make_context)
    with pytest.raises(NotMeasurable, match="no PostgreSQL resource"):
        await place.poll()
    with pytest.raises(NotMeasurable, match="no Redis resource"):
        await place.poll(agents={"hash": "agents"})


@pytest.mark.parametrize(
    "options",
    [
        {"agents": {"hash": "a", "file": "b"}},
        {"heartbeats": {}},
        {"heartbeats": {"key": "a", "hash": "b"}},
        {"heartbeats": {"keys": "a"}},
        {"heartbeats": {"key": "a", "member": "(.+)"}},
    ],
)
def test_places_that_contradict_each_other_are_refused(options):
    """At the door."""
    with pytest.raises(ValueError, match=r"give (only )?one|belong together|needs a group"):
        RegistryOptions.model_validate(options)
