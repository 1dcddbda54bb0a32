"""What the text of a policy shows, as PostgreSQL writes it."""

from __future__ import annotations

import pytest

from sentinel.core.tenants.expression import PolicyText

CALL = "current_setting('app.tenant_id'::text, true)"
GOOD = f"(tenant_id = (NULLIF({CALL}, ''::text))::uuid)"


def read(text: str) -> PolicyText:
    """A policy of a table with `tenant_id`."""
    return PolicyText(text, "tenant_id", ("app.tenant_id",))


@pytest.mark.parametrize(
    ("text", "flaws"),
    [
        (GOOD, set()),
        ("(tenant_id = two.tenant())", set()),
        (f"({GOOD} AND pub)", set()),
        ("true", {"always"}),
        ("((true))", {"always"}),
        ("false", {"never"}),
        ("(pub IS NOT NULL)", {"column", "outside"}),
        ("(note = 'tenant_id'::text)", {"column", "outside"}),
        ("(my_tenant_id = 1)", {"column", "outside"}),
        ("(tenant_id = tenant_id)", {"outside"}),
        ("(tenant_id = ANY (ARRAY[1, 2]))", {"outside"}),
        (f"(({CALL} IS NULL) OR {GOOD})", {"open"}),
        (f"((COALESCE({CALL}, ''::text) = ''::text) OR {GOOD})", {"open"}),
        (f"((NULLIF({CALL}, ''::text) IS NULL) OR {GOOD})", {"open"}),
        (f"({GOOD} OR pub)", {"branch"}),
        (f"({GOOD} OR (pub AND (note = 'x OR tenant_id'::text)))", {"branch"}),
        (f"(tenant_id = ({CALL})::uuid)", {"cast"}),
        ("(tenant_id = (NULLIF(current_setting('app.tenant_id'::text), ''::text))::uuid)", {"raises"}),
    ],
)  # fmt: skip
def test_each_flaw_is_seen_and_no_other(text, flaws):
    """What stands in a literal is no column and no OR."""
    each = read(text)
    found = {
        "always": each.always, "never": each.never, "open": each.fails_open,
        "column": not each.mentions_column and not each.always and not each.never,
        "outside": not each.looks_outside and not each.always and not each.never,
        "branch": bool(each.open_branch), "cast": each.casts_empty, "raises": each.raises_absent,
    }  # fmt: skip
    assert {flaw for flaw, is_there in found.items() if is_there} == flaws


def test_other_settings_and_relations_are_named():
    """Custom settings that tell no tenant, and what subqueries read."""
    text = (
        "CASE WHEN (current_setting('app.admin'::text, true) = '1'::text) THEN true ELSE (tenant_id IN"
        ' ( SELECT m.t FROM s.members m JOIN "S".other o ON (true))) END'
    )
    assert read(text).foreign_settings == ["app.admin"]
    assert read(text).reads == ["s.members", "S.other"]
    assert read(GOOD).foreign_settings == []


@pytest.mark.parametrize(
    ("text", "holds"),
    [(GOOD, True), ("false", True), ("true", False), ("pub", False), (f"{GOOD} OR pub", False),
     (f"(({CALL} IS NULL) OR {GOOD})", False), ("(tenant_id = tenant_id)", False)],
)  # fmt: skip
def test_what_narrows_enough(text, holds):
    """Only what keeps tenants apart by itself makes a wide policy harmless."""
    assert read(text).holds is holds
