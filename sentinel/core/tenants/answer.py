"""Judging what an API answers to one tenant about another: by markers, and by what is the other's alone
in three answers of its own. Pure.

"Must be refused" is a pass; so is a 200 that holds nothing of the other (an error in its body). What
changes by itself from answer to answer proves nothing: only values that all three baselines of B have,
and A's own answer between them does not, count as B's.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sentinel.core.fault import Fault
from sentinel.core.foreign.document import read_foreign_json
from sentinel.core.tenants.finding import tell_leak, unjudged

MAX_BODY = 1_048_576
MAX_LEAVES = 20_000
SHORT = 6
"""Values of fewer characters are the same in many rows by chance."""
_REFUSED = frozenset({300, 301, 302, 303, 307, 308, 400, 401, 403, 404, 405, 406, 410, 422})
_WORDS = re.compile(r"[^\n<>]+")


@dataclass(frozen=True, slots=True)
class TenantAnswer:
    """What a request was answered: the status code, whose markers are in the body, and `leaves`, its
    single values. `unread` says why the body can't be judged, "" where it can.
    """

    status: int
    of_a: bool
    of_b: bool
    leaves: frozenset[str] = frozenset()
    unread: str = ""


def read_answer(
    status: int,
    body: bytes,
    markers: tuple[str, str],
    sent: Iterable[str] = (),
    unread: str = "",
) -> TenantAnswer:
    """Look for the markers of A and B, and take the body apart.

    A refusal that repeats what was `sent` ("no tenant b for you") gives nothing away.
    """
    said = tuple(sent)
    refused = status in _REFUSED
    of_a, of_b = (
        marker.encode() in body and not (refused and any(marker in word for word in said))
        for marker in markers
    )
    leaves = frozenset(leaf for leaf in _take_apart(body) if not any(leaf in word for word in said))
    return TenantAnswer(status, of_a, of_b, leaves, unread)


def _take_apart(body: bytes) -> Iterator[str]:
    try:
        found: Iterable[str] = _walk(read_foreign_json(body))
    except ValueError:
        found = (word.strip() for word in _WORDS.findall(body.decode("utf-8", "replace")))
    for n, leaf in enumerate(found):
        if n >= MAX_LEAVES:
            return
        if len(leaf) >= SHORT:
            yield leaf


def _walk(document: Any) -> Iterator[str]:
    stack = [document]
    while stack:
        each = stack.pop()
        if isinstance(each, dict):
            stack.extend(each.values())
        elif isinstance(each, list):
            stack.extend(each)
        elif each is not None and not isinstance(each, bool):
            yield str(each)


@dataclass(frozen=True, slots=True)
class Baselines:
    """Three answers to B, and one to A between them."""

    b: Sequence[TenantAnswer]
    a: TenantAnswer | None = None

    @property
    def only_b(self) -> frozenset[str]:
        """Values that are B's at every look, and not A's; none where B is not shown its own."""
        if not self.has_control:
            return frozenset()
        stable = frozenset.intersection(*(each.leaves for each in self.b))
        return stable - (self.a.leaves if self.a else frozenset())

    @property
    def has_control(self) -> bool:
        """Whether B itself is shown what is its own."""
        good = [each.status == 200 and each.of_b and not each.unread for each in self.b]
        return bool(good) and all(good)


def judge_own(path: str, who: str, answer: TenantAnswer) -> Fault | None:
    """A list, search or export as one tenant: its own marker must be there, the other's must not."""
    own, foreign = (answer.of_a, answer.of_b) if who == "A" else (answer.of_b, answer.of_a)
    other = "B" if who == "A" else "A"
    subject = {"path": path, "try": f"as tenant {who}"}
    if foreign:
        text = f"the answer to tenant {who} holds the marker of tenant {other}"
        return tell_leak("leak", subject, text, "stop serving this path; is a cache shared?")
    if answer.unread:
        return unjudged(subject, answer.unread, "ask for fewer rows in the path")
    if not own:
        text = (
            f"nothing to see: control failed, status {answer.status} without the marker of tenant"
            f" {who}"
        )
        guidance = f"check token and path; tenant {who} must find its own row"
        return unjudged(subject, text, guidance)
    return None


def judge_refusal(path: str, way: str, answer: TenantAnswer, baselines: Baselines) -> Fault | None:
    """A request that must be refused, or at least hold nothing of B."""
    subject = {"path": path, "try": way}
    if answer.of_b:
        text = f"{way}: the answer holds the marker of tenant B"
        return tell_leak("leak", subject, text, "stop serving this path")
    if answer.of_a and way == NO_TOKEN:
        text = f"{way}: the answer holds the marker of tenant A"
        return tell_leak("leak", subject, text, "stop serving this path")
    if shared := len(answer.leaves & baselines.only_b):
        text = f"{way}: the answer holds {shared} values that only tenant B is shown"
        return tell_leak("leak", subject, text, "stop serving this path")
    if answer.unread:
        return unjudged(subject, f"{way}: {answer.unread}", "ask for fewer rows in the path")
    if not baselines.has_control:
        status = baselines.b[0].status if baselines.b else "none"
        text = (
            f"{way}: control failed, tenant B itself is not shown its own marker (status {status})"
        )
        return unjudged(subject, text, "check the token, the ids and the marker of tenant B")
    if answer.status not in _REFUSED and not 200 <= answer.status < 300:
        text = f"{way}: status {answer.status} is no refusal"
        return unjudged(subject, text, "find out why it fails: it may hide what would be answered")
    return None


FOREIGN_ID = "an id of B with the token of A"
FORGED = "the header of B with the token of A"
NO_TOKEN = "not signed in"  # noqa: S105 - a way to ask
"""Ways to ask for what is B's. None ends with a word that makes what follows a secret."""


def name_paths(paths: Iterable[str]) -> list[str]:
    """Each request's path without its query, which may hold a secret; where several have the same,
    all but the first bear their number.
    """
    seen: Counter[str] = Counter()
    names = []
    for path in paths:
        name = path.partition("?")[0]
        seen[name] += 1
        names.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return names
