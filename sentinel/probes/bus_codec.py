"""Kind `bus_codec`: does a message come out of the product's codec as it went in, and do real
entries smell?

Vectors of measurement.md §2.3 go through encode → XADD → XREADGROUP → decode on sentinel's own
stream and are compared with their types; the codec runs in a process of its own. Beside that a few
real entries an hour are looked at for signs of broken serialization: counts only, never payloads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Literal

from pydantic import Field, field_validator

from sentinel.adapters.bus import codec
from sentinel.adapters.bus.codec import Codec, Fields, fingerprint
from sentinel.adapters.bus.codec_worker import VECTORS
from sentinel.adapters.bus.consumer_reader import find_streams
from sentinel.adapters.bus.entry_sampler import Allowance, sample_entries
from sentinel.adapters.redis import RedisClient
from sentinel.adapters.redis.reply import display
from sentinel.core.bus.codec_finding import (
    CODEC_KINDS,
    ERROR,
    LOSSY,
    PASS,
    Roundtrip,
    find_codec_faults,
    list_unexpected,
)
from sentinel.core.bus.naming import matches
from sentinel.core.bus.smell import SMELLS, smell_entry
from sentinel.core.fault import Fault, headline, judge, sort_faults
from sentinel.core.model import Finding, Impact, Measurement, Row, Section, Term
from sentinel.errors import SubjectError
from sentinel.probes import Context, Kind, Options, faults_of_target
from sentinel.strict.field import Duration

MAX_STREAMS = 20
DUPLICATE: Fields = ((b"field", b"first"), (b"field", b"second"))
CASES = (*VECTORS, "duplicate_fields")
"""The last one goes past the codec: Redis keeps two fields of the same name, in order."""
RESULTS = (PASS, LOSSY, ERROR)
JSON_LOSSY = frozenset({"int_keys"})
JSON_ERRORS = frozenset({"bytes", "aware_datetime", "naive_datetime", "uuid", "decimal"})
_PLACE = r"^[A-Za-z_][\w.]*:[A-Za-z_][\w.]*$"


class CodecOptions(Options):
    """Options of `bus_codec`."""

    resource: str | None = Field(
        None, description="Redis resource; vectors go to sentinel:codec:{check} only"
    )
    encode: str | None = Field(
        None,
        pattern=_PLACE,
        description="the product's encoder, package.module:function; default: JSON",
    )
    decode: str | None = Field(
        None,
        pattern=_PLACE,
        description="the product's decoder, package.module:function; default: JSON",
    )
    python: str | None = Field(
        None, description="Python that has the product installed; default: sentinel's own"
    )
    path: list[str] = Field([], description="folders to import the product from")
    field: str = Field(
        "payload",
        min_length=1,
        description="field for an encoder that gives one text and no mapping",
    )
    responses: Literal["text", "bytes"] = Field(
        "text",
        description=(
            "what the product's Redis client hands to the decoder: text (decode_responses) or bytes"
        ),
    )
    deadline: Duration = Field(
        3.0, gt=0, description="the codec's process is ended after this time"
    )
    expected_lossy: list[str] | None = Field(
        None,
        description=(
            "cases known to come back changed; default: those of JSON when no codec is given"
        ),
    )
    expected_error: list[str] | None = Field(
        None, description="cases known to be refused; default: those of JSON when no codec is given"
    )
    streams: list[str] = Field(
        [], description="glob patterns of streams whose entries are sampled; default: none"
    )
    exclude: list[str] = Field(["sentinel:*"], description="glob patterns that win over streams")
    samples_per_hour: int = Field(
        50, ge=1, le=50, description="entries to sample per stream and hour"
    )
    mandatory_fields: list[str] = Field([], description="fields that every entry must have")

    @field_validator("expected_lossy", "expected_error")
    @classmethod
    def _is_case(cls, value: list[str] | None) -> list[str] | None:
        unknown = sorted(set(value or ()) - set(CASES))
        if unknown:
            raise ValueError(f"no such case: {', '.join(unknown)}; there are {', '.join(CASES)}")
        return value

    @property
    def is_json(self) -> bool:
        """Whether no codec is given."""
        return self.encode is None and self.decode is None

    @property
    def label(self) -> str:
        """Metric label: the encoder's place."""
        return self.encode or self.decode or "json"

    @property
    def expected(self) -> dict[str, frozenset[str]]:
        """Cases by the bad result that is accepted of them."""
        lossy, errors = (
            (JSON_LOSSY, JSON_ERRORS) if self.is_json else (frozenset[str](), frozenset[str]())
        )
        return {
            "lossy": lossy if self.expected_lossy is None else frozenset(self.expected_lossy),
            "error": errors if self.expected_error is None else frozenset(self.expected_error),
        }

    @property
    def codec(self) -> Codec:
        """How the codec is run."""
        text = self.responses == "text"
        return Codec(
            self.encode or "",
            self.decode or "",
            self.python or "",
            self.path,
            self.field,
            text,
            self.deadline,
        )


class CodecState:
    """Totals, and what may still be sampled of each stream."""

    def __init__(self, document: dict[str, Any] | None = None) -> None:
        known = document or {}
        self.roundtrips: dict[str, dict[str, int]] = known.get("roundtrips", {})
        self.smells: dict[str, dict[str, int]] = known.get("smells", {})
        self.sampled: int = known.get("sampled", 0)
        self.allowances = {
            stream: Allowance(each["tokens"], each["at"], (each["last"][0], each["last"][1]))
            for stream, each in known.get("allowances", {}).items()
        }
        self.turn = 0

    def dump(self) -> Any:
        """JSON-able document."""
        return {
            "roundtrips": self.roundtrips,
            "smells": self.smells,
            "sampled": self.sampled,
            "allowances": {stream: asdict(each) for stream, each in self.allowances.items()},
        }

    async def close(self) -> None:
        """Holds nothing."""

    def add_results(self, results: Mapping[str, Roundtrip]) -> None:
        """Count the results of one run."""
        for case, roundtrip in results.items():
            self.roundtrips.setdefault(case, dict.fromkeys(RESULTS, 0))[roundtrip.result] += 1

    def add_smells(self, pattern: str, found: set[str]) -> None:
        """Count the smells of one entry."""
        self.sampled += 1
        counts = self.smells.setdefault(pattern, dict.fromkeys(SMELLS, 0))
        for smell in found:
            counts[smell] += 1


async def run(options: CodecOptions, context: Context) -> Finding:
    """Every vector once, and the entries that may be sampled now."""
    state: CodecState = context.state
    client = context.redis()
    results, unasked = await _send_vectors(options, client, f"sentinel:codec:{{{context.check}}}")
    state.add_results(results)
    unreadable = await _sample(options, client, state)
    return _judge(options, state, results, unasked, unreadable)


# --- vectors ------------------------------------------------------------------------------------


async def _send_vectors(
    options: CodecOptions, client: RedisClient, stream: str
) -> tuple[dict[str, Roundtrip], Sequence[str]]:
    """(results by case, cases that could not be asked because the codec hung or died before them)."""
    encoded = await codec.encode(options.codec, list(VECTORS))
    sent = {
        **{case: entry.fields for case, entry in encoded.entries.items()},
        "duplicate_fields": DUPLICATE,
    }
    got = await codec.carry(client, stream, sent)
    changed = {case for case in sent if fingerprint(got.get(case, ())) != fingerprint(sent[case])}
    intact = {case: entry for case, entry in encoded.entries.items() if case not in changed}
    decoded = await codec.decode(options.codec, intact)
    results = {case: Roundtrip(ERROR, f"encode: {text}") for case, text in encoded.errors.items()}
    results |= {case: Roundtrip(ERROR, f"decode: {text}") for case, text in decoded.errors.items()}
    results |= {
        case: Roundtrip(LOSSY if text else PASS, text) for case, text in decoded.differences.items()
    }
    results |= {"duplicate_fields": Roundtrip(PASS)}
    results |= {
        case: Roundtrip(ERROR, "the bus gave back other bytes than it got") for case in changed
    }
    return results, [*encoded.unasked, *decoded.unasked]


# --- smells -------------------------------------------------------------------------------------


async def _sample(options: CodecOptions, client: RedisClient, state: CodecState) -> dict[str, str]:
    """Look at the entries that may be sampled now; the streams that can't be, and why."""
    found = await _find_streams(options, client)
    state.allowances = {name: each for name, each in state.allowances.items() if name in found}
    unreadable = {}
    for name in _take_turn(sorted(found), state):
        try:
            entries, allowance = await sample_entries(
                client, found[name][0], state.allowances.get(name), options.samples_per_hour
            )
        except SubjectError as error:
            unreadable[name] = error.message
            continue
        state.allowances[name] = allowance
        for fields in entries:
            state.add_smells(found[name][1], smell_entry(fields, options.mandatory_fields))
    return unreadable


async def _find_streams(options: CodecOptions, client: RedisClient) -> dict[str, tuple[bytes, str]]:
    """(key, first pattern that matches) by name."""
    found: dict[str, tuple[bytes, str]] = {}
    for pattern in options.streams:
        for key in await find_streams(client, pattern):
            name = display(key)
            if not matches(name, options.exclude):
                found.setdefault(name, (key, pattern))
    return found


def _take_turn(names: list[str], state: CodecState) -> list[str]:
    """The streams of this run: all, or the next twenty of many."""
    start = state.turn * MAX_STREAMS % max(1, len(names))
    state.turn += 1
    return [*names, *names][start : start + min(len(names), MAX_STREAMS)]


# --- judgement ----------------------------------------------------------------------------------


def _judge(
    options: CodecOptions,
    state: CodecState,
    results: Mapping[str, Roundtrip],
    unasked: Sequence[str],
    unreadable: Mapping[str, str],
) -> Finding:
    bad = list_unexpected(results, options.expected)
    faults = sort_faults(find_codec_faults(options.label, bad, unasked, unreadable))
    passed = sum(each.result == PASS for each in results.values())
    return Finding(
        judge(faults),
        _describe(options, results, faults, len(results) - passed - len(bad), state),
        rows=_rows(options, state),
        evidence={
            "codec": {c: asdict(each) for c, each in results.items() if each.result != PASS},
            "unexpected": sorted(bad),
            "not_asked": list(unasked),
            "smells": _list_smells(state),
            "sampled": state.sampled,
            "not_sampled": dict(sorted(unreadable.items())[:MAX_STREAMS]),
        },
        guidance=faults[0].guidance if faults else "",
        key=("fidelity", f"{passed} of {len(results)}"),
        faults=faults,
    )


def _list_smells(state: CodecState) -> dict[str, dict[str, int]]:
    """Counts by pattern, of the smells that were ever found."""
    found = {}
    for pattern, counts in state.smells.items():
        smelt = {smell: count for smell, count in counts.items() if count}
        if smelt:
            found[pattern] = smelt
    return found


def _describe(
    options: CodecOptions,
    results: Mapping[str, Roundtrip],
    faults: Sequence[Fault],
    known: int,
    state: CodecState,
) -> str:
    """One line: the worst fault, then all cases of the codec, then each pattern's smells."""
    passed = sum(each.result == PASS for each in results.values())
    news = [headline(faults)] if faults else []
    news.append(f"{options.label}: {passed} of {len(results)} cases come back as they went in")
    news += [f"{known} known not to"] if known else []
    for pattern, counts in _list_smells(state).items():
        worst_first = sorted(counts.items(), key=lambda item: -item[1])[:3]
        told = ", ".join(f"{smell} {count}" for smell, count in worst_first)
        news.append(f"{pattern} smells of {told} in {state.sampled} sampled entries")
    return "; ".join(news)


def _rows(options: CodecOptions, state: CodecState) -> list[Row]:
    rows = []
    for case in CASES:
        counts = state.roundtrips.get(case, {})
        labels = {"codec": options.label, "case": case}
        rows += [
            Row({**labels, "result": result}, {"roundtrips": float(counts.get(result, 0))})
            for result in RESULTS
        ]
    for pattern in options.streams:
        counts = state.smells.get(pattern, {})
        rows += [
            Row({"stream": pattern, "smell": s}, {"smells": float(counts.get(s, 0))})
            for s in SMELLS
        ]
    return rows


KIND = Kind(
    name="bus_codec",
    summary=(
        "sends test values through the product's codec and compares them; looks for broken values"
        " in real entries"
    ),
    options=CodecOptions,
    run=run,
    board="bus",
    resources={"resource": "redis"},
    load_state=CodecState,
    patient=True,
    faults=(*CODEC_KINDS, *faults_of_target("bus-unreachable", rejected="bus-refuses-writes")),
    default_every=3600.0,
    measurements=(
        Measurement(
            "roundtrips",
            "Test values by what became of them: pass, lossy or error",
            "sentinel_codec_roundtrips_total",
            "counter",
            "",
            ("codec", "case", "result"),
        ),
        Measurement(
            "smells",
            "Sampled entries with a sign of broken serialization",
            "sentinel_codec_smells_total",
            "counter",
            "",
            ("stream", "smell"),
        ),
    ),
    impact=(
        Impact(
            "entries with a sign of broken serialization",
            Section.INCIDENT,
            (Term("smells"),),
            basis="of a sample",
        ),
    ),
)
