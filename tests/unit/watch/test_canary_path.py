"""What was lost on a canary path is told once, whoever remembers it."""

from __future__ import annotations

from sentinel.core.canary.letter import Outcome
from sentinel.watch.canary_path import CanaryPath


def lose(path: CanaryPath, count: int) -> CanaryPath:
    """So many canaries were given up."""
    path.record.tally.credit(Outcome.LOST, count)
    return path


def test_each_loss_is_told_once() -> None:
    """Also over a restart of sentinel; a former life that only the server remembers is no news."""
    path = lose(CanaryPath(), 3)
    assert [path.take_lost(), path.take_lost()] == [0, 0]
    assert lose(path, 2).take_lost() == 2
    lose(path, 1)
    again = CanaryPath(document=path.dump())
    assert [again.take_lost(), again.take_lost()] == [1, 0]


def test_a_document_without_it_begins_where_it_stands() -> None:
    """Written before losses were told: what was lost until then is not told now."""
    document = lose(CanaryPath(), 7).dump()
    del document["told"]
    path = CanaryPath(document=document)
    assert path.take_lost() == 0
    assert lose(path, 1).take_lost() == 1
