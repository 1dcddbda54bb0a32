"""From a configuration to the rules that go with it."""

from __future__ import annotations

from sentinel.config import Configuration
from sentinel.engine.fleet import Fleet
from sentinel.engine.supervision import make_kind
from sentinel.probes import load_kinds
from sentinel.rules import Links, RuleGroup, make_files, make_groups


def group_rules(configuration: Configuration) -> dict[str, list[RuleGroup]]:
    """Every group, by the name of its file: of all kinds, used or not, and of the objectives."""
    links = Links(configuration.links.runbooks, configuration.links.dashboards)
    kinds = [*load_kinds().values(), make_kind(Fleet())]
    return make_groups(configuration.platform, kinds, configuration.objectives, links)


def write_rules(configuration: Configuration) -> dict[str, str]:
    """The text of each file, by its path below the output folder."""
    return make_files(group_rules(configuration))
