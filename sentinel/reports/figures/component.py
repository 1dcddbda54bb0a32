"""How components stand, and who answers for them."""

from __future__ import annotations

from collections.abc import Mapping

from sentinel.reports.figures import ComponentFact, Uptime
from sentinel.store import ComponentView


def describe_component(view: ComponentView, owners: Mapping[str, str]) -> ComponentFact:
    """One component as the store shows it. Where its action says what its detail says, too, the
    action alone is told: it names the command.
    """
    said = view.action.partition(":")[0]
    return ComponentFact(
        view.name,
        view.status,
        view.since,
        "" if said and said in view.detail else view.detail,
        view.restarts,
        view.action,
        owners.get(view.name, ""),
    )


def is_unhurt(uptime: Uptime) -> bool:
    """Whether it was seen, and never down or degraded while it was. Of what nobody judges, because
    people worked on it, that is not claimed.
    """
    hurt = uptime.down or uptime.degraded or uptime.maintenance
    return uptime.up > 0 and not hurt
