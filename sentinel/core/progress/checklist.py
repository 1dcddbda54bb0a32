"""Checklists in Markdown: how many of their boxes are ticked."""

from __future__ import annotations

import re

_BOX = re.compile(r"\s{0,60}(?:[-*+]|\d{1,9}[.)])\s{1,8}\[([ xX])\](?:\s|$)")
_HEADING = re.compile(r" {0,3}(#{1,6})\s{1,20}(\S.{0,500}?)[ #]*$")
MAX_LINE = 2000
"""Characters of a line that are looked at: expressions go over a longer one many times."""
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")


def count_boxes(text: str, heading: str = "") -> tuple[int, int] | None:
    """(ticked, all) boxes of a document, or of what stands below a heading up to the next one of its
    level; None when that heading is not there. What is shown as code is no box.
    """
    ticked = total = 0
    within, level, fence = not heading, 0, ""
    for whole in text.splitlines():
        line = whole[:MAX_LINE]
        if mark := _FENCE.match(line):
            fence = _turn(fence, mark[1])
            continue
        if fence:
            continue
        if heading and line == whole and (found := _HEADING.fullmatch(line)):
            if not level and found[2].strip().casefold() == heading.strip().casefold():
                within, level = True, len(found[1])
            elif within and len(found[1]) <= level:
                within = False
        elif within and (box := _BOX.match(line)):
            total += 1
            ticked += box[1] != " "
    return (ticked, total) if level or not heading else None


def _turn(fence: str, mark: str) -> str:
    """The fence that is open after a line that begins with one."""
    if not fence:
        return mark
    return "" if mark[0] == fence[0] and len(mark) >= len(fence) else fence
