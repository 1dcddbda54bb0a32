"""Pieces of the page by their place in it, numbered by the turn in which each changed last: whoever
has seen a turn is told once of each piece that is another since, however often it changed.
"""

from __future__ import annotations

from dataclasses import dataclass, field

MAX_GONE = 1000
"""Pieces that were taken away and are remembered; who has seen less begins anew."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One of them. `home` is the list that it is a member of, "" where it stands alone."""

    home: str
    id: str
    model: object
    turn: int


@dataclass(slots=True)
class PieceBook:
    """What everybody who has seen `turn` has on the page."""

    turn: int = 0
    pieces: dict[str, Piece] = field(default_factory=dict)
    _gone: dict[str, int] = field(default_factory=dict)
    _forgotten: int = -1
    """The newest turn in which a piece went away that is not remembered any more."""
    _moved: bool = False

    def put(self, home: str, name: str, model: object) -> None:
        """How a piece is from the next turn on."""
        known = self.pieces.get(name)
        if known is not None and known.model == model:
            return
        self.pieces[name] = Piece(home, name, model, self.turn + 1)
        self._gone.pop(name, None)
        self._moved = True

    def drop(self, name: str) -> None:
        """A piece is not there any more."""
        if self.pieces.pop(name, None) is None:
            return
        self._gone[name] = self.turn + 1
        self._moved = True
        if len(self._gone) > MAX_GONE:
            oldest = next(iter(self._gone))
            self._forgotten = self._gone.pop(oldest)

    def keep_only(self, home: str, names: set[str]) -> None:
        """Drop the members of a list that are not among these."""
        left = [each.id for each in self.pieces.values() if each.home == home]
        for name in left:
            if name not in names:
                self.drop(name)

    def end_turn(self) -> bool:
        """Count what was put and dropped as one turn. Whether there was anything."""
        moved, self._moved = self._moved, False
        self.turn += moved
        return moved

    def knows(self, turn: int) -> bool:
        """Whether it can be said what is different since a turn."""
        return self._forgotten <= turn <= self.turn

    def since(self, turn: int) -> tuple[list[Piece], list[str]]:
        """Pieces that are others than in a turn, and those that are gone; `knows` it."""
        fresh = [piece for piece in self.pieces.values() if piece.turn > turn]
        return fresh, [name for name, went in self._gone.items() if went > turn]
