"""Two polls in a row: what makes a fact of a candidate, and how many there are of each kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from sentinel.core.agents.suspects import KINDS, SAMPLES, Suspect, Suspects


class Confirmation:
    """Two polls in a row, of the same registration; where signs are asked for, also a later one
    than the first seen.

    A zombie's last beat stays fresh for a while after it left, and so does the last attempt of a
    consumer.
    """

    def __init__(self) -> None:
        self._before: Suspects = {}

    def confirm(self, now: Suspects) -> Suspects:
        """The candidates that the poll before saw too."""
        confirmed: Suspects = {}
        for kind, suspects in now.items():
            known = self._before.get(kind, {})
            confirmed[kind] = {
                name: suspect
                for name, suspect in suspects.items()
                if suspect.proven or (name in known and _again(suspect, known[name]))
            }
            for name in suspects.keys() & known.keys():
                if suspects[name].needed:
                    suspects[name] = _keep_first(suspects[name], known[name])
        self._before = now
        return confirmed


def _again(suspect: Suspect, first: Suspect) -> bool:
    if suspect.life != first.life:
        return False
    later = [
        at for name, at in suspect.signs.items() if at > first.signs.get(name, at) + suspect.margin
    ]
    return len(later) >= suspect.needed


def _keep_first(suspect: Suspect, first: Suspect) -> Suspect:
    """With the signs that were seen first."""
    signs = {name: first.signs.get(name, at) for name, at in suspect.signs.items()}
    return replace(suspect, signs=signs)


def count_mismatches(confirmed: Suspects) -> dict[str, int]:
    """Subjects per kind: agents, or tasks for orphan and uncovered ones."""
    return {kind: sum(s.count for s in confirmed.get(kind, {}).values()) for kind in KINDS}


def sample_names(suspects: Mapping[str, Suspect]) -> list[str]:
    """At most 20 names, with what they stand for."""
    return [_describe(name, suspect) for name, suspect in sorted(suspects.items())[:SAMPLES]]


def _describe(name: str, suspect: Suspect) -> str:
    asleep = (f"only asleep: {', '.join(suspect.asleep[:3])}",) if suspect.asleep else ()
    shown = (*asleep, *suspect.sample)[:3]
    return f"{name} ({', '.join(shown)})" if shown else name
