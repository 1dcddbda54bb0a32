"""What became of an order, as a value and as a line."""

from __future__ import annotations

import pytest

from sentinel.core.order import Answer, AnswerWord, Order, OrderKind


@pytest.mark.parametrize(
    ("answer", "word", "line", "done"),
    [
        (Answer.done("restarted"), AnswerWord.DONE, "restarted", True),
        (Answer.refused("it is halted"), AnswerWord.REFUSED, "refused: it is halted", False),
        (Answer.failed("exit 1"), AnswerWord.FAILED, "failed: exit 1", False),
        (Answer.unknown("no component x"), AnswerWord.UNKNOWN, "no component x", False),
    ],
)
def test_outcomes(answer, word, line, done):
    """The line says so when it was not done."""
    assert (answer.word, answer.line, answer.is_done) == (word, line, done)
    assert answer.document == {}


def test_documents_are_for_programs():
    """Of what was done, and of what was refused."""
    assert Answer.done("", {"n": 1}).document == {"n": 1}
    assert Answer.refused("", {"n": 2}).document == {"n": 2}


def test_words_of_orders_are_stable():
    """They stand in the store, and in those of other versions."""
    assert [str(kind) for kind in OrderKind] == [
        "notify", "diagnose", "restart", "move", "reload", "reset", "breaker", "resume", "accept",
        "check", "clean plan", "clean apply", "deliver", "acknowledge", "silence", "maintenance",
        "test channel",
    ]  # fmt: skip
    assert Order(OrderKind.RESTART, "k", "api").kind == "restart"
    assert Order("of another version", "k", "api").payload == {}
