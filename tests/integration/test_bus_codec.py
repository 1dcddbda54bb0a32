"""Codecs of every temper against a real Valkey: what is lossy is found exactly, and none of them
hurts sentinel.
"""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest
import redis

from sentinel.adapters.bus import codec
from sentinel.adapters.bus.codec import Codec
from sentinel.adapters.bus.codec_worker import VECTORS, envelop, find_difference
from sentinel.adapters.redis import RedisClient
from sentinel.config import shipped_folder
from sentinel.core.bus.smell import SMELLS
from sentinel.core.fault import Status
from sentinel.errors import NotMeasurable
from sentinel.probes.bus_codec import CASES, JSON_ERRORS, KIND, CodecOptions
from tests.bus_bench import fault_of, require_facts

CODECS = """
import base64, http.client, json, os, pickle, subprocess, sys, time  # our own http.py must not shadow http

def keep(message): return base64.b64encode(pickle.dumps(message))
def unkeep(value): return pickle.loads(base64.b64decode(value))

def stringify(message): return json.dumps(message, default=str)
def fields(message): return {"case": message["case"], "body": json.dumps(message["value"], default=str), "n": 7}
def unfields(entry): return {"case": entry["case"], "value": json.loads(entry["body"])}
def byte_fields(entry): return {"case": entry[b"case"].decode(), "value": json.loads(entry[b"body"])}

def raw(message): return message
def flag(message): return {"flag": True}
def noisy(message):
    print('{"case": "nested", "error": "printed"}')
    os.write(1, b"noise" * 1000)
    return json.dumps(message, default=str)
def hang(message):
    if message["case"] == "none_inside":
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", __file__])
        time.sleep(600)
    return json.dumps(message)
def die(message):
    if message["case"] == "none_inside":
        os._exit(3)
    return json.dumps(message)
def leave(message): raise SystemExit("bye")
def reveal(message): raise ValueError(",".join(sorted(os.environ)))
"""


class Rig:
    """A folder with the product's codecs, a client, a state and runs."""

    def __init__(self, port, folder, make_context):
        self.folder, self.make = folder, make_context
        (folder / "product.py").write_text(CODECS)
        self.r = redis.Redis(port=port)
        self.client = RedisClient("bus", f"redis://127.0.0.1:{port}/0")
        self.state = KIND.load_state(None)

    async def run(self, encode=None, decode=None, **options):
        places = {k: f"product:{v}" for k, v in (("encode", encode), ("decode", decode)) if v}
        known = {"path": [str(self.folder)], "deadline": "20s", **places, **options}
        finding = await KIND.run(
            CodecOptions(**known), self.make({"resource": self.client}, self.state, check="c")
        )
        require_facts(finding, KIND)
        return finding


@pytest.fixture
async def rig(valkey, tmp_path, make_context):
    rig = Rig(valkey.port, tmp_path, make_context)
    yield rig
    await rig.client.close()
    rig.r.close()


def results(finding):
    """Result by case, of those that didn't pass."""
    return {case: each["result"] for case, each in finding.evidence["codec"].items()}


async def test_json_as_is(rig):
    """JSON alone: what it can't carry is known, refused loudly, and no news."""
    finding = await rig.run()
    assert results(finding) == {"int_keys": "lossy", **dict.fromkeys(JSON_ERRORS, "error")}
    assert finding.status is Status.UP
    assert finding.key == ("fidelity", f"{len(CASES) - 6} of {len(CASES)}")


async def test_json_without_its_excuses(rig):
    """With nothing accepted the same results are degraded, and each is named."""
    finding = await rig.run(expected_lossy=[], expected_error=sorted(JSON_ERRORS))
    assert (finding.status, finding.evidence["unexpected"]) == (Status.DEGRADED, ["int_keys"])
    assert "int_keys lossy: $.value: other keys, of type str" in finding.detail
    assert "expected_lossy" in finding.guidance
    fault = fault_of(finding, "lossy")
    assert fault.subject == {"codec": "json", "case": "int_keys"}


async def test_faithful_codec(rig):
    """A codec that keeps every type passes every case."""
    finding = await rig.run("keep", "unkeep", responses="bytes")
    assert (finding.status, results(finding)) == (Status.UP, {})


async def test_default_str_is_lossy(rig):
    """default=str refuses nothing and changes six types without a word: exactly those are lossy."""
    finding = await rig.run("stringify")
    assert results(finding) == dict.fromkeys({"int_keys", *JSON_ERRORS}, "lossy")
    assert finding.status is Status.DEGRADED
    accepted = await rig.run("stringify", expected_lossy=["int_keys", *JSON_ERRORS])
    assert accepted.status is Status.UP


@pytest.mark.parametrize(("decode", "responses"), [("unfields", "text"), ("byte_fields", "bytes")])
async def test_mappings(rig, decode, responses):
    """An encoder may give a whole entry; the decoder gets it as the product's client would hand it
    over.
    """
    finding = await rig.run("fields", decode, responses=responses)
    assert results(finding) == dict.fromkeys({"int_keys", *JSON_ERRORS}, "lossy")


async def test_client_refuses(rig):
    """Values that a Redis client refuses never reach the bus: an error, as in the product."""
    finding = await rig.run("raw", "unfields")
    assert results(finding)["booleans"] == "error"
    assert (
        "the Redis client refuses a value of type list"
        in finding.evidence["codec"]["booleans"]["detail"]
    )
    finding = await rig.run("flag", "unfields")
    assert (
        "the Redis client refuses a value of type bool"
        in finding.evidence["codec"]["booleans"]["detail"]
    )


async def test_bytes_for_a_text_client(rig):
    """One value that is no UTF-8 fails a client with decode_responses, as in the product."""
    finding = await rig.run("raw", "unfields", expected_lossy=[])
    assert "UnicodeDecodeError" in finding.evidence["codec"]["bytes"]["detail"]


async def test_printing_codec(rig):
    """What the codec prints, even our own words, changes no answer."""
    finding = await rig.run("noisy")
    assert results(finding) == dict.fromkeys({"int_keys", *JSON_ERRORS}, "lossy")


async def test_hanging_codec(rig):
    """A codec that hangs is ended with its children; the case is an error, and the cases behind it
    are not counted.
    """
    finding = await rig.run("hang", deadline="3s")
    assert results(finding) == {"none_inside": "error"}
    assert "gave no answer within 3 s" in finding.detail
    assert finding.evidence["not_asked"] == list(VECTORS)[3:]
    assert sum(map(sum, (each.values() for each in rig.state.roundtrips.values()))) == 4
    assert not _has_process(str(rig.folder / "product.py").encode())


def _has_process(mark):
    """Whether a process has this argument; one that was just killed may take a moment to go."""
    until = time.monotonic() + 20
    while found := [
        folder for folder in Path("/proc").glob("[0-9]*") if mark in _read_arguments(folder)
    ]:
        if time.monotonic() > until:
            return found
        time.sleep(0.05)
    return []


def _read_arguments(folder):
    try:
        return (folder / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return []


async def test_dying_codec(rig):
    """A codec that ends its process fails at its case only."""
    finding = await rig.run("die")
    assert results(finding) == {"none_inside": "error"}
    assert finding.status is Status.DEGRADED


async def test_raising_codec(rig):
    """A codec that raises, even SystemExit, fails case by case."""
    finding = await rig.run("leave")
    assert set(results(finding)) == set(VECTORS)
    assert finding.evidence["codec"]["nested"]["detail"] == "encode: SystemExit: bye"


async def test_no_secrets(rig, monkeypatch):
    """Nothing of sentinel's environment reaches the codec."""
    monkeypatch.setenv("DATABASE_PASSWORD", "hunter2")
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    finding = await rig.run("reveal")
    detail = finding.evidence["codec"]["nested"]["detail"]
    assert "PATH" in detail
    assert "PASSWORD" not in detail
    assert "PYTHONPATH" not in detail


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"encode": "nowhere:encode"}, "No module named 'nowhere'"),
        ({"encode": "product:nobody"}, "no attribute 'nobody'"),
        ({"encode": "product:os"}, "can't be called"),
        ({"encode": "slow:encode", "deadline": "500ms"}, "while it was loaded"),
        ({"python": "/nowhere/python"}, "can't be started"),
    ],
)
async def test_unusable_codec(rig, options, words):
    """A codec that can't be loaded is our configuration's fault: not measurable, with the remedy."""
    (rig.folder / "slow.py").write_text("import time\ntime.sleep(600)\n")
    known = {"path": [str(rig.folder)], "deadline": "20s"}
    with pytest.raises(NotMeasurable, match=words) as caught:
        await KIND.run(
            CodecOptions(**{**known, **options}), rig.make({"resource": rig.client}, rig.state)
        )
    assert "`python`" in caught.value.guidance


async def test_flood_of_output(rig, monkeypatch):
    """A codec that makes far too much of a message is cut off."""
    monkeypatch.setattr(codec, "MAX_OUTPUT", 10_000)
    answers = await codec.encode(Codec(deadline=20), ["nested", "long_text", "uuid"])
    assert (list(answers.entries), answers.hung, answers.unasked) == (
        ["nested"],
        "long_text",
        ("uuid",),
    )


class Meddler:
    """A bus that changes one byte of what it carries."""

    def __init__(self, client):
        self.client = client

    async def transaction(self, commands):
        replies = await self.client.transaction(commands)
        if commands[0][0] == "XGROUP":
            fields = replies[-2][0][1][1][1]
            fields[1] = fields[1][:-1] + b"?"
        return replies


async def test_changed_bytes(rig):
    """A bus that gives back other bytes is found out by the fingerprint."""
    finding = await KIND.run(
        CodecOptions(deadline="20s"), rig.make({"resource": Meddler(rig.client)}, rig.state)
    )
    assert finding.evidence["unexpected"] == ["empty_values"]
    assert "other bytes" in finding.detail


async def test_own_key_only(rig):
    """Vectors live on one key of our own, which expires, and are in nobody's pending list."""
    await rig.run()
    await rig.run()
    assert rig.r.keys() == [b"sentinel:codec:{c}"]
    assert 0 < rig.r.ttl("sentinel:codec:{c}") <= 3600
    assert rig.r.xpending("sentinel:codec:{c}", "sentinel")["pending"] == 0


@pytest.mark.parametrize("family", ["valkey", "redis7"])
async def test_least_privilege(rig, make_context, request, family):
    """The shipped user is enough on both families; a missing rule is named."""
    port = request.getfixturevalue(family).port
    rules = (
        (shipped_folder("checks") / "acl" / "redis.acl")
        .read_text()
        .splitlines()[0]
        .split(maxsplit=2)[2]
    )
    client = RedisClient("bus", f"redis://sentinel:p@127.0.0.1:{port}/0")
    with redis.Redis(port=port) as admin:
        admin.execute_command(
            "ACL", "SETUSER", "sentinel", "reset", *re.findall(r"\([^)]*\)|\S+", rules), "on", ">p"
        )
        admin.xadd("s", {"x": "None"})
        options, context = (
            CodecOptions(deadline="20s", streams=["s"]),
            make_context({"resource": client}, rig.state),
        )
        try:
            finding = await KIND.run(options, context)
            assert (finding.status, finding.evidence["smells"]) == (
                Status.UP,
                {"s": {"none_text": 1}},
            )
            admin.execute_command("ACL", "SETUSER", "sentinel", "clearselectors")
            with pytest.raises(NotMeasurable, match="permission"):
                await KIND.run(options, context)
        finally:
            await client.close()
            admin.execute_command("ACL", "DELUSER", "sentinel")


async def test_totals_survive(rig):
    """Counts go on after a restart; every series is there from the first run on and fits its
    declaration.
    """
    await rig.run(streams=["agent:*"])
    rig.state = KIND.load_state(json.loads(json.dumps(rig.state.dump())))
    finding = await rig.run(streams=["agent:*"])
    counts = {
        tuple(row.labels.values()): row.values["roundtrips"]
        for row in finding.rows
        if "roundtrips" in row.values
    }
    assert len(counts) == 3 * len(CASES)
    assert counts["json", "nested", "pass"] == counts["json", "int_keys", "lossy"] == 2
    declared = {m.name: set(m.labels) for m in KIND.measurements}
    assert all(declared[name] == set(row.labels) for row in finding.rows for name in row.values)
    assert {row.labels["smell"] for row in finding.rows if "smells" in row.values} == set(SMELLS)


SMELLY = {
    "python_repr": [b"{'a': 1}", b"['x']", b"b'abc'", b"('a', 1)"],
    "json_in_json": [b'"{\\"a\\": 1}"'],
    "none_text": [b"None"],
    "nan_text": [b"nan"],
    "python_object": [b"datetime.datetime(2024, 1, 1)", b"an <x.Y object at 0x7f00>"],
    "javascript_object": [b"[object Object]"],
    "mojibake": ["GrÃ¼Ãe".encode(), b'{"x": "\\u00c3\\u00bc"}'],
    "invalid_utf8": [b"\xff\xfe"],
    "oversized": [b"x" * 1_000_001],
}
CLEAN = [
    b'{"a": null, "b": [1, 2]}',
    "Grüße, São Paulo, ÃO".encode(),
    b"",
    b"Nonesuch",
    b"{}",
    b"nanny",
]


async def test_smells(rig):
    """Each smell is counted as often as it was published, and clean entries have none; no payload
    is kept.
    """
    for values in (CLEAN, *SMELLY.values()):
        for value in values:
            rig.r.xadd("agent:1", {"message_id": "m", "payload": value})
    rig.r.xadd("agent:2", {"payload": "{}"})
    rig.r.xadd("other", {"payload": "None"})
    finding = await rig.run(streams=["agent:*"], mandatory_fields=["message_id"])
    expected = {smell: len(values) for smell, values in SMELLY.items()}
    assert finding.evidence["smells"] == {"agent:*": {**expected, "missing_field": 1}}
    assert finding.status is Status.UP
    assert "smells of python_repr 4" in finding.detail
    assert "object Object" not in json.dumps(rig.state.dump())


async def test_samples_are_few(rig):
    """At most fifty entries per stream and hour, spread over its time, each looked at once, also
    over restarts.
    """
    start = int(time.time() * 1000) - 3_600_000
    for n in range(1000):
        rig.r.xadd("s", {"x": "None" if n >= 500 else "1"}, id=f"{start + n * 1000}-0")
    rig.r.xadd("t", {"x": "None"})
    await rig.run(streams=["s", "t"])
    assert rig.state.sampled == 51
    assert 20 <= rig.state.smells["s"]["none_text"] <= 30
    rig.state = KIND.load_state(json.loads(json.dumps(rig.state.dump())))
    rig.r.xadd("s", {"x": "1"}), rig.r.xadd("t", {"x": "None"})
    await rig.run(streams=["s", "t"])
    assert (rig.state.sampled, rig.state.smells["t"]["none_text"]) == (52, 2)


async def test_bad_streams(rig):
    """A stream that is a string, or not there, is named; the others are looked at."""
    rig.r.set("a string", "x")
    rig.r.xadd("s", {"x": "None"})
    finding = await rig.run(streams=["a string", "nowhere", "s"])
    assert list(finding.evidence["not_sampled"]) == ["a string", "nowhere"]
    assert [fault.subject for fault in finding.faults] == [
        {"stream": "a string"},
        {"stream": "nowhere"},
    ]
    assert finding.status is Status.UNKNOWN
    assert finding.evidence["smells"] == {"s": {"none_text": 1}}


def test_every_vector_differs_from_its_neighbours():
    """The comparison tells values apart that Python calls equal, and finds each vector equal to
    itself.
    """
    assert all(find_difference(envelop(case), envelop(case)) == "" for case in VECTORS)
    pairs = [
        (True, 1),
        (0.0, -0.0),
        (1, 1.0),
        ({1: "a"}, {"1": "a"}),
        ([1], (1,)),
        ([1], [1, 2]),
        ({True: 1}, {1: 1}),
    ]
    assert all(find_difference(a, b) and find_difference(b, a) for a, b in pairs)
    decimals = VECTORS["decimal"]()
    assert find_difference(decimals, decimals.normalize())
    aware = VECTORS["aware_datetime"]()
    assert find_difference(aware, aware.astimezone(None))
