"""Judging whether one tenant can see another's rows: by what two canary tenants were shown.

A pass needs its positive control: who sees no row of its own has proved nothing. Of a leak only the
number of rows is told, never a row. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sentinel.core.fault import Fault, Labels, Status, sort_faults
from sentinel.core.quantity import MANY, Bounds

COUNTED = 1000
"""Rows that are counted at most."""


@dataclass(frozen=True, slots=True)
class TenantSight:
    """What one tenant sees of a table: own and foreign rows, at most `COUNTED`, and if policies
    apply.
    """

    own: int
    foreign: int
    guarded: bool


@dataclass(frozen=True, slots=True)
class Trial:
    """One try, and what is wrong; nothing when it passed. `probe` is how it was tried."""

    probe: str
    place: str
    fault: Fault | None = None

    @property
    def result(self) -> str:
        """`pass`, `leak`, or `error` where it could not be judged."""
        if self.fault is None:
            return "pass"
        return "error" if self.fault.status is Status.UNKNOWN else "leak"


@dataclass(frozen=True, slots=True)
class TenantAnswer:
    """What a request as tenant A was answered: the status code, whether the body goes on beyond
    what was read, and whose markers are in it.
    """

    status: int
    truncated: bool
    own: bool
    foreign: bool


def judge_without_tenant(table: str, rows: int) -> Fault | None:
    """Nobody may see anything while no tenant is set."""
    if not rows:
        return None
    text = f"{_tell(rows)} visible without any tenant set"
    guidance = "make the policy fail closed"
    return _leak("no_tenant", {"table": table}, text, guidance, _bound(rows))


def judge_table(table: str, role: str, a: TenantSight, b: TenantSight) -> Fault | None:
    """What tenants A and B see of a table, as the application's role."""
    subject = {"table": table}
    if rows := max(a.foreign, b.foreign):
        text = f"{_tell(rows)} of other tenants visible"
        guidance = (
            "take the table out of service or correct its policy at once; audit who has read it"
        )
        return _leak("leak", subject, text, guidance, _bound(rows))
    if not a.guarded:
        text = f"row-level security is not active for {role}"
        guidance = "ENABLE and FORCE ROW LEVEL SECURITY; take BYPASSRLS from the role"
        return _leak("unguarded", subject, text, guidance)
    for name, sight in (("A", a), ("B", b)):
        if not sight.own:
            text = f"nothing to see: control failed, tenant {name} sees no row of its own"
            return unjudged(subject, text, "give both canary tenants a row in each table")
    return None


def judge_answer_to_tenant(path: str, answer: TenantAnswer) -> Fault | None:
    """The marker of B must not be in the answer to A, and A's own must, or it proves nothing."""
    subject = {"path": path}
    if answer.foreign:
        text = "the answer to tenant A holds the marker of tenant B"
        return _leak("leak", subject, text, "stop serving this path")
    if answer.truncated:
        return unjudged(subject, "answer longer than 1 MiB", "ask for fewer rows in the path")
    if not answer.own:
        text = (
            f"nothing to see: control failed, status {answer.status} without the marker of tenant A"
        )
        guidance = "check token and path; tenant A must find its own row"
        return unjudged(subject, text, guidance)
    return None


def unjudged(subject: Labels, text: str, guidance: str) -> Fault:
    """A table or path of which nothing is proved."""
    (place,) = subject.values()
    return Fault(
        "unjudged",
        subject,
        Status.UNKNOWN,
        f"{place}: {text}",
        guidance=guidance,
        parameters=subject,
    )


def find_faults(trials: Sequence[Trial]) -> list[Fault]:
    """The worst first. Two tries of a table that fail alike are one fault."""
    found = [trial.fault for trial in trials if trial.fault is not None]
    kept: dict[object, Fault] = {}
    for fault in sort_faults(found):
        kept.setdefault(fault.identity, fault)
    return list(kept.values())


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


def _leak(
    key: str, subject: Labels, text: str, guidance: str, count: Bounds | None = None
) -> Fault:
    (place,) = subject.values()
    return Fault(
        key,
        subject,
        Status.DOWN,
        f"LEAK {place}: {text}",
        count=count,
        guidance=guidance,
        parameters=subject,
    )


def _bound(rows: int) -> Bounds:
    return Bounds(rows, MANY if rows >= COUNTED else rows)


def _tell(rows: int) -> str:
    return f"{rows} or more rows" if rows >= COUNTED else f"{rows} row{'s' * (rows != 1)}"
