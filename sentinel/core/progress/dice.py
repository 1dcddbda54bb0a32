"""Dice that fall the same way for the same seed, on every machine: SplitMix64 (Steele et al. 2014)."""

from __future__ import annotations

_MASK = (1 << 64) - 1


class Dice:
    """A seeded source of numbers for simulations; not for secrets."""

    def __init__(self, seed: int) -> None:
        self._state = seed & _MASK

    def roll(self) -> float:
        """A number from 0 to 1, 1 left out."""
        self._state = (self._state + 0x9E3779B97F4A7C15) & _MASK
        mixed = self._state
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
        return ((mixed ^ (mixed >> 31)) >> 11) / (1 << 53)

    def choose(self, count: int) -> int:
        """One of 0 … count - 1."""
        return int(self.roll() * count)
