"""What kinds declare for objectives and alerts."""

from __future__ import annotations

import pytest

from sentinel.core.objective import LOOK_SLIS
from sentinel.probes import load_kinds

KINDS = load_kinds()
SLIS = [(kind, sli) for kind in KINDS.values() for sli in kind.slis]


@pytest.mark.parametrize(("kind", "sli"), SLIS, ids=[f"{k.name}-{s.name}" for k, s in SLIS])
def test_an_sli_is_made_of_counters_that_its_kind_declares(kind, sli) -> None:
    """Each term is a counter with the labels that it asks for; good ones are among all."""
    declared = {each.name: each for each in kind.measurements}
    for term in sli.terms:
        assert declared[term.measurement].type == "counter"
        assert term.labels.keys() <= set(declared[term.measurement].labels)
    assert bool(sli.good) != bool(sli.bad)
    for term in sli.good:
        assert any(
            whole.measurement == term.measurement and whole.fits(term.labels) for whole in sli.whole
        )


def test_every_kind_has_the_two_of_looks() -> None:
    """And no kind has one of the same name."""
    for kind in KINDS.values():
        assert set(LOOK_SLIS) < {*kind.sli_meanings} or not kind.slis
        assert {sli.name for sli in kind.slis}.isdisjoint(LOOK_SLIS)
        assert len({sli.name for sli in kind.slis}) == len(kind.slis)
