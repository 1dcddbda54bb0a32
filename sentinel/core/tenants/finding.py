"""Judging whether one tenant can see another's rows: by what two canary tenants were shown.

A pass needs its positive control: who sees no row of its own has proved nothing. Of a leak only the
number of rows is told, never a row. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sentinel.core.fault import Fault, Labels, Status
from sentinel.core.quantity import MANY, Bounds
from sentinel.core.tenants.catalogue import DatabaseRole, grant_of

COUNTED = 1000
"""Rows that are counted at most."""
UNSET = "without any tenant set"
EMPTY = "with the empty tenant that SET LOCAL leaves behind in a pooled session"


@dataclass(frozen=True, slots=True)
class TenantSight:
    """What one tenant sees of a table: own and foreign rows, at most `COUNTED`, and if policies
    apply.
    """

    own: int
    foreign: int
    guarded: bool


def judge_without_tenant(table: str, role: str, rows: int, how: str = UNSET) -> Fault | None:
    """Nobody may see anything while no tenant is set."""
    if not rows:
        return None
    text = f"{_tell(rows)} visible to {role} {how}"
    guidance = "make the policy fail closed"
    return tell_leak("no_tenant", _subject(table, role), text, guidance, _bound(rows))


def judge_table(table: str, role: str, a: TenantSight, b: TenantSight) -> Fault | None:
    """What tenants A and B see of a table, as a role of the application."""
    subject = _subject(table, role)
    if rows := max(a.foreign, b.foreign):
        text = f"{_tell(rows)} of other tenants visible to {role}"
        guidance = (
            "take the table out of service or correct its policy at once; audit who has read it"
        )
        return tell_leak("leak", subject, text, guidance, _bound(rows))
    if not (a.guarded and b.guarded):
        text = f"row-level security is not active for {role}"
        guidance = "ENABLE and FORCE ROW LEVEL SECURITY; take BYPASSRLS from the role"
        return tell_leak("unguarded", subject, text, guidance)
    for name, sight in (("A", a), ("B", b)):
        if not sight.own:
            text = f"nothing to see: control failed, tenant {name} sees no row of its own"
            return unjudged(subject, text, "give both canary tenants a row in each table")
    return None


def judge_writes(table: str, role: str, ways: Sequence[str]) -> Fault | None:
    """Ways in which tenant A could write rows of B; they were rolled back."""
    if not ways:
        return None
    text = f"tenant A can write rows of tenant B as {role}: {', '.join(ways)}"
    return tell_leak("writes", _subject(table, role), text, "add WITH CHECK to the policy")


def judge_left(setting: str) -> Fault:
    """A session that begins as somebody."""
    text = (
        f"a new session has {setting} set before anybody sets it: whoever borrows it from the pool is"
        " the tenant before"
    )
    guidance = "use SET LOCAL inside transactions, DISCARD ALL between clients, and no default"
    return tell_leak("left_behind", {"setting": setting}, text, guidance)


def judge_role(role: DatabaseRole, may_take: bool, me: str, version: int) -> Fault | None:
    """A role of the application: beyond all policies, or one that sentinel can't try."""
    subject = {"role": role.name}
    if role.superuser and role.sessions:
        text = f"not isolated: sessions run as superuser {role.name}"
        guidance = (
            "let the application connect as a role that is none, or name it in `except_roles`"
        )
        return Fault("superuser", subject, Status.DOWN, text, guidance=guidance, parameters=subject)
    if role.is_beyond:
        text = f"no policy holds for {role.name}"
        return tell_leak("unguarded", subject, text, "take SUPERUSER and BYPASSRLS from the role")
    if not role.oid:
        return unjudged(subject, "there is no such role", "correct its name in `roles`")
    if not may_take:
        cure = (grant_of(role.name, me, version),)
        text = f"not tried: {me} may not take this role"
        return unjudged(subject, text, "let sentinel take it, or name it in `except_roles`", cure)
    return None


def unjudged(subject: Labels, text: str, guidance: str, cure: tuple[str, ...] = ()) -> Fault:
    """A role, table or path of which nothing is proved."""
    return Fault(
        "unjudged",
        subject,
        Status.UNKNOWN,
        f"{_place(subject)}: {text}",
        cure=cure,
        guidance=guidance,
        parameters=subject,
    )


def tell_leak(
    key: str, subject: Labels, text: str, guidance: str, count: Bounds | None = None
) -> Fault:
    """What is open, at once and with all certainty."""
    return Fault(
        key,
        subject,
        Status.DOWN,
        f"LEAK {_place(subject)}: {text}",
        count=count,
        guidance=guidance,
        parameters=subject,
    )


def _subject(table: str, role: str) -> Labels:
    return {"table": table, "role": role}


def _place(subject: Labels) -> str:
    """The first of what it names; the role is in the text."""
    return next(iter(subject.values()))


def _bound(rows: int) -> Bounds:
    return Bounds(rows, MANY if rows >= COUNTED else rows)


def _tell(rows: int) -> str:
    return f"{rows} or more rows" if rows >= COUNTED else f"{rows} row{'s' * (rows != 1)}"
