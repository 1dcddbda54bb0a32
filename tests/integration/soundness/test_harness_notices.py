"""The judge is judged: a product with one guard broken is found out by a short run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sentinel.core.bus.delivery import account, lineage
from sentinel.core.bus.delivery.loss import Losses
from sentinel.core.bus.delivery.settle import CohortJudge
from sentinel.core.quantity import Bounds
from tests.integration.soundness.bench import Bench, open_bench
from tests.integration.soundness.episode import explore
from tests.integration.soundness.kinds import KINDS


@pytest.fixture(scope="module")
def bench(server_folder: Path) -> Iterator[Bench]:
    """A Valkey of its own."""
    with open_bench("valkey", server_folder) as opened:
        yield opened


def _forget_suspects(monkeypatch) -> None:
    """What may have been trimmed between two looks is not suspected."""
    monkeypatch.setattr(Losses, "add_possible", lambda *_, **__: Bounds(0, 0))


def _overlook_drops(monkeypatch) -> None:
    """DELCONSUMER and claims drop nothing."""
    monkeypatch.setattr(Losses, "add_drop", lambda *_: None)


def _overlook_holes(monkeypatch) -> None:
    """XDEL leaves no holes."""
    monkeypatch.setattr(CohortJudge, "_has_holes_ahead", lambda *_: False)


def _settle_twice(monkeypatch) -> None:
    """What is settled stays open."""
    monkeypatch.setattr(account, "forget_settled", lambda cohorts, _done: cohorts)


def _overlook_lives(monkeypatch) -> None:
    """Another stream under the name of one is taken for it."""
    monkeypatch.setattr(lineage, "find_sign", lambda *_: "")


@pytest.mark.parametrize(
    ("mutate", "kind"),
    [
        (_forget_suspects, "trims"),
        (_overlook_drops, "entries"),
        (_overlook_holes, "entries"),
        (_overlook_lives, "evictions"),
        (_settle_twice, "gentle"),
    ],
    ids=lambda each: getattr(each, "__name__", each),
)
async def test_a_broken_guard_is_found_out(bench, monkeypatch, mutate, kind):
    """One guard less, and a short run finds a claim that is false."""
    mutate(monkeypatch)
    score = await explore(bench, KINDS[kind], 1500, seed=1)
    assert score.violations


async def test_the_same_seed_lives_the_same_life(bench):
    """A violation replays: what happens depends on the seed alone."""
    first, again = [await explore(bench, KINDS["between"], 100, seed=5) for _ in range(2)]
    assert str(first) == str(again)
