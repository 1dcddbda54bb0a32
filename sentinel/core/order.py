"""What is ordered, and what became of it, as values: nobody parses a first word."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self


class OrderKind(StrEnum):
    """What may be ordered of a daemon."""

    NOTIFY = "notify"
    DIAGNOSE = "diagnose"
    RESTART = "restart"
    MOVE = "move"
    RELOAD = "reload"
    RESET = "reset"
    BREAKER = "breaker"
    RESUME = "resume"
    ACCEPT = "accept"
    CHECK = "check"
    CLEAN_PLAN = "clean plan"
    CLEAN_APPLY = "clean apply"
    DELIVER = "deliver"
    """One notice on one channel: what a `notify` has become."""
    ACKNOWLEDGE = "acknowledge"
    SILENCE = "silence"
    MAINTENANCE = "maintenance"
    TEST_CHANNEL = "test channel"


@dataclass(frozen=True, slots=True)
class Order:
    """Something to be done by the dispatcher; `key` makes it idempotent.

    `kind` is an `OrderKind`, or the word of another version of sentinel that this one does not
    know.
    """

    kind: str
    key: str
    subject: str
    payload: Mapping[str, Any] = field(default_factory=dict)


class AnswerWord(StrEnum):
    """What became of an order."""

    DONE = "done"
    REFUSED = "refused"
    """A guard objected: nothing was done."""
    FAILED = "failed"
    """It was begun, and did not end as it should."""
    UNKNOWN = "unknown"
    """What it names, or its kind, is not known here: nothing was done."""


@dataclass(frozen=True, slots=True)
class Answer:
    """`text` is one sentence for people; `document` is for programs, by kind of order."""

    word: AnswerWord
    text: str = ""
    document: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def done(cls, text: str, document: Mapping[str, Any] | None = None) -> Self:
        """It was done."""
        return cls(AnswerWord.DONE, text, document or {})

    @classmethod
    def refused(cls, text: str, document: Mapping[str, Any] | None = None) -> Self:
        """Nothing was done, and why."""
        return cls(AnswerWord.REFUSED, text, document or {})

    @classmethod
    def failed(cls, text: str) -> Self:
        """It was begun, and did not succeed."""
        return cls(AnswerWord.FAILED, text)

    @classmethod
    def unknown(cls, text: str) -> Self:
        """Nobody here knows what it names."""
        return cls(AnswerWord.UNKNOWN, text)

    @property
    def is_done(self) -> bool:
        """Whether it was done."""
        return self.word is AnswerWord.DONE

    @property
    def line(self) -> str:
        """One line for people, which says so when it was not done."""
        said_first = self.word in {AnswerWord.REFUSED, AnswerWord.FAILED}
        return f"{self.word}: {self.text}" if said_first else self.text
