"""What a look at the catalogue comes to: faults, and a try of each table for each role. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sentinel.core.fault import Fault, Status, sort_faults
from sentinel.core.tenants.catalogue import CatalogueIndex, grant_of
from sentinel.core.tenants.hole import Hole, HoleSeverity, sort_holes, tell_holes
from sentinel.core.tenants.reach_rules import find_reach_holes
from sentinel.core.tenants.synthetic import Untried
from sentinel.core.tenants.table_rules import find_table_holes
from sentinel.core.tenants.trial import Trial

CATALOGUE = "catalogue"
SUPERUSER = "not isolated: sessions run as superuser"
_GUIDANCE = (
    "let the application connect as a role that is no superuser and owns no table; if these sessions"
    " are a person's, name the role in `except_roles`"
)


@dataclass(frozen=True, slots=True)
class CatalogueVerdict:
    """Every hole, the worst first, the faults that they are, and what was tried."""

    holes: Sequence[Hole]
    faults: Sequence[Fault]
    trials: Sequence[Trial]


def judge_catalogue(
    index: CatalogueIndex, more: Iterable[Hole] = (), untried: Iterable[Untried] = ()
) -> CatalogueVerdict:
    """Apply every rule. `more` are holes that the evaluation of policies found, `untried` what it
    could not try.
    """
    holes = sort_holes([*find_table_holes(index), *find_reach_holes(index), *more])
    superusers = [role for role in index.catalogue.roles if role.superuser and role.sessions]
    told = {role.name for role in superusers}
    plain = [h for h in holes if not (h.rule == "role_superuser" and h.object in told)]
    faults = [
        *(_tell_superuser(role.name, role.sessions) for role in superusers),
        *tell_holes(plain),
        *_find_blind(index, untried),
    ]
    return CatalogueVerdict(holes, sort_faults(faults), _list_trials(index, holes))


def _tell_superuser(name: str, sessions: int) -> Fault:
    counted = f"{sessions} session{'s' * (sessions != 1)}"
    return Fault(
        "superuser",
        {"role": name},
        Status.DOWN,
        f"{SUPERUSER} {name} ({counted})",
        guidance=_GUIDANCE,
        parameters={"role": name},
    )


def _find_blind(index: CatalogueIndex, untried: Iterable[Untried]) -> Iterable[Fault]:
    """What nothing is proved of."""
    for what in index.catalogue.cut:
        yield _unjudged({"catalogue": what}, f"there are {what}: not all were looked at", "")
    for each in untried:
        subject = {"table": each.table, "policy": each.policy}
        text = f"{each.table}: policy {each.policy} could not be evaluated: {each.why}"
        known = index.catalogue
        cure = (grant_of(each.role, known.me, known.version),) if each.role else ()
        guidance = "let sentinel take the role" if each.role else "accept it with a reason"
        yield _unjudged(subject, text, guidance, cure)
    for role in index.judged:
        if index.tables and not any(index.right(table, role).touches for table in index.tables):
            text = f"{role.name} has no right on any table with a tenant: nothing is shown of it"
            yield _unjudged({"role": role.name}, text, "name it in `except_roles`")


def _unjudged(
    subject: Mapping[str, str], text: str, guidance: str, cure: tuple[str, ...] = ()
) -> Fault:
    told = {name: value for name, value in subject.items() if name in {"table", "role"}}
    return Fault(
        "unjudged", subject, Status.UNKNOWN, text, cure=cure, guidance=guidance, parameters=told
    )


def _list_trials(index: CatalogueIndex, holes: Sequence[Hole]) -> list[Trial]:
    """Each table that a role has a right on is a try: it leaks where a critical hole is."""
    worst: dict[tuple[str, str], Hole] = {}
    for each in reversed([h for h in holes if h.severity is HoleSeverity.CRITICAL]):
        worst[each.object, each.role] = each
    found = []
    for role in (each for each in index.catalogue.roles if each.judged):
        beyond = worst.get((role.name, role.name))
        for table in index.tables:
            if role.is_beyond or index.right(table, role).touches:
                hole = beyond or worst.get((table.name, role.name))
                fault = next(iter(tell_holes([hole])), None) if hole else None
                found.append(Trial(CATALOGUE, table.name, fault, role.name))
    return found


@dataclass(slots=True)
class SeenRoles:
    """Which roles held sessions, and when last: a pool may be empty at the moment of a look."""

    last: dict[str, datetime]

    def take(self, names: Iterable[str], now: datetime, keep: timedelta) -> list[str]:
        """Remember those that hold one now; the names of all that did within `keep`."""
        self.last |= dict.fromkeys(names, now)
        self.last = {name: at for name, at in self.last.items() if now - at < keep}
        return sorted(self.last)
