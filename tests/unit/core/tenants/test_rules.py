"""The rules: those that have no server of their own in the tests, and their names."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from sentinel.core.tenants import reach_rules, synthetic, table_rules
from sentinel.core.tenants.audit import judge_catalogue
from sentinel.core.tenants.catalogue import (
    Catalogue,
    CatalogueIndex,
    DatabaseRole,
    TableRight,
    TenantRelation,
)
from sentinel.core.tenants.hole import RULES, Hole, HoleSeverity, sort_holes, tell_holes
from sentinel.core.tenants.owner import COUNTED_ROWS, OrphanedRows, judge_orphans
from sentinel.core.tenants.reach_rules import find_reach_holes

APP = DatabaseRole(1, "app")
TABLE = TenantRelation(9, "public.t", "public.t", "r", 5, "owner", "tenant_id", "uuid", secured=True,
                       forced=True, indexed=True)  # fmt: skip


def test_every_rule_has_its_name_in_the_list():
    """The runbook explains exactly those; notes have none."""
    words = set()
    for module in (reach_rules, table_rules, synthetic):
        tree = ast.parse(Path(module.__file__).read_text())
        words |= {n.value for n in ast.walk(tree) if isinstance(n, ast.Constant)}
    assert set(RULES) <= words


@pytest.mark.parametrize(
    ("version", "old"),
    [(150013, True), (150014, False), (160009, True), (170006, False), (120020, True), (180000, False)],
)  # fmt: skip
def test_servers_with_known_faults_are_told(version, old):
    """By the minor of each major that mended them."""
    found = list(find_reach_holes(CatalogueIndex(Catalogue(version, ()))))
    assert [hole.rule for hole in found] == ["server_outdated"] * old


def test_what_was_cut_is_unknown():
    """Rows of the catalogue that were not read may hide a hole."""
    rights = [TableRight(9, 1, read=True)]
    whole = Catalogue(
        180000, (), roles=[APP], relations=[TABLE], rights=rights, cut=("more than 1 x",)
    )
    (fault, *_) = judge_catalogue(CatalogueIndex(whole)).faults
    assert (fault.key, fault.subject) == ("unjudged", {"catalogue": "more than 1 x"})


def test_a_hole_is_told_once_and_the_worst_first():
    """Two ways to the same are one; a note is no fault."""
    note = Hole("n", HoleSeverity.NOTE, "a", "t")
    weak = Hole("w", HoleSeverity.WARNING, "a", "t")
    bad = Hole("c", HoleSeverity.CRITICAL, "a", "first", role="app")
    again = Hole("c", HoleSeverity.CRITICAL, "a", "second", role="app")
    assert sort_holes([note, weak, bad, again]) == [bad, weak, note]
    faults = list(tell_holes([bad, weak, note]))
    assert [(f.key, f.subject) for f in faults] == [
        ("hole", {"rule": "c", "object": "a", "role": "app"}),
        ("weakness", {"rule": "w", "object": "a"}),
    ]


def test_rows_of_nobody():
    """By why; what was not asked is no 0."""
    faults = list(judge_orphans(OrphanedRows("t", missing=COUNTED_ROWS, fallback=1)))
    assert [(f.key, f.count.lo, f.count.open_ended) for f in faults] == [
        ("tenant_missing", COUNTED_ROWS, True), ("tenant_fallback", 1, False),
    ]  # fmt: skip
    assert OrphanedRows("t", 0).figures() == {"tenant_missing": 0}
