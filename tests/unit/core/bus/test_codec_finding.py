"""Cases of a codec that nobody accepts, and what could not be asked."""

from __future__ import annotations

from sentinel.core.bus.codec_finding import Roundtrip, find_codec_faults, list_unexpected
from sentinel.core.fault import Status

EXPECTED = {"lossy": {"int_keys"}, "error": {"bytes"}}


def test_a_case_is_accepted_for_one_result_only():
    """Known to be lossy does not excuse a refusal; what passes is never unexpected."""
    results = {
        "int_keys": Roundtrip("error", "boom"),
        "bytes": Roundtrip("error", "known"),
        "uuid": Roundtrip("lossy", "changed"),
        "float": Roundtrip("pass"),
    }
    assert list(list_unexpected(results, EXPECTED)) == ["int_keys", "uuid"]


def test_each_case_is_a_fault_with_the_codec():
    """The key says how it failed, the guidance which option would accept it."""
    bad = {"uuid": Roundtrip("lossy", "$.value: str"), "bytes": Roundtrip("error", "encode: no")}
    lossy, error = find_codec_faults("shop:encode", bad, [], {})
    assert (lossy.key, lossy.subject) == ("lossy", {"codec": "shop:encode", "case": "uuid"})
    assert lossy.text == "codec shop:encode: uuid lossy: $.value: str"
    assert "expected_lossy" in lossy.guidance
    assert "expected_error" in error.guidance
    assert {lossy.status, error.status} == {Status.DEGRADED}


def test_what_was_not_asked_or_read_is_unknown():
    """A case behind one that hung, and a stream of another type: nobody is blamed."""
    case, stream = find_codec_faults("json", {}, ["uuid"], {"a string": "WRONGTYPE"})
    assert (case.status, stream.status) == (Status.UNKNOWN, Status.UNKNOWN)
    assert case.subject == {"codec": "json", "case": "uuid"}
    assert stream.parameters == {"stream": "a string"}
    assert stream.text == 'stream "a string": its entries can\'t be sampled: WRONGTYPE'
