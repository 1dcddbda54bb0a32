"""The files that `sentinel rules` writes, as texts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import yaml

from sentinel.core.objective import Objective
from sentinel.probes import Kind
from sentinel.rules.components import group_components
from sentinel.rules.faults import group_faults
from sentinel.rules.inhibition import make_alertmanager
from sentinel.rules.objectives import group_objectives
from sentinel.rules.ourselves import group_ourselves
from sentinel.rules.value import Links, RuleGroup

HEAD = "# Written by `sentinel rules`: change the configuration or the code, then run it again.\n"
ALERTMANAGER = "alertmanager/alertmanager.yml"


def make_groups(
    platform: str, kinds: Iterable[Kind], objectives: Sequence[Objective], links: Links
) -> dict[str, list[RuleGroup]]:
    """Every group of rules, by the name of its file."""
    return {
        "faults": group_faults(kinds, links),
        "components": [group_components(links)],
        "sentinel": [group_ourselves(links)],
        "objectives": group_objectives(platform, objectives, links),
    }


def make_files(groups: dict[str, list[RuleGroup]]) -> dict[str, str]:
    """The text of each file, by its path below the output folder."""
    files = {
        f"rules/{name}.yml": write_yaml({"groups": [each.document() for each in found]})
        for name, found in groups.items()
    }
    return {**files, ALERTMANAGER: write_yaml(make_alertmanager())}


def write_yaml(document: dict[str, Any]) -> str:
    """A document under its head."""
    return HEAD + yaml.dump(document, Dumper=_Plain, sort_keys=False, width=1000)


class _Plain(yaml.SafeDumper):
    """Without anchors: whoever reads a rule sees all of it."""

    def ignore_aliases(self, _data: Any) -> bool:
        """Everything is written out."""
        return True
