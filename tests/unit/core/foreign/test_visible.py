"""Foreign text is shown, and does nothing."""

from __future__ import annotations

import pytest

from sentinel.core.foreign.visible import make_document_visible, make_visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain äöü 漢字 🎉", "plain äöü 漢字 🎉"),
        ("two\n\tlines and\u00a0space", "two\n\tlines and\u00a0space"),
        ("a\0b", "a\\u0000b"),
        ("\x1b[31mred", "\\u001b[31mred"),
        ("\r", "\\u000d"),
        ("\x7f\x9b", "\\u007f\\u009b"),
        ("\u202eabc\u2066\u200b\ufeff\u00ad", "\\u202eabc\\u2066\\u200b\\ufeff\\u00ad"),
        ("\u2028\u2029", "\\u2028\\u2029"),
        ("\ud800\U000e0041", "\\ud800\\U000e0041"),
    ],
)
def test_make_visible(text: str, shown: str) -> None:
    """Controls, direction marks, zero width, lone surrogates, tags are written out; the rest
    stays.
    """
    assert make_visible(text) == shown


def test_documents() -> None:
    """Also keys, at any depth; what is no text stays."""
    document = {"a\0": [{"b": ("\x1b", 1, None, 2.5, True)}]}
    assert make_document_visible(document) == {"a\\u0000": [{"b": ["\\u001b", 1, None, 2.5, True]}]}
