"""What Alertmanager need not tell when it tells something else: causes before effects, pages before
tickets.
"""

from __future__ import annotations

from typing import Any

from sentinel.core.fault import HIDING
from sentinel.rules.components import BLOCKED, DOWN
from sentinel.rules.ourselves import WATCHDOG

HIDDEN = "|".join(sorted(HIDING))
INHIBIT_RULES: list[dict[str, Any]] = [
    {  # Who waits for another component calls nobody: that one does.
        "source_matchers": [f'alertname="{BLOCKED}"'],
        "target_matchers": ['severity=~"page|ticket"', 'component!=""'],
        "equal": ["component"],
    },
    {  # While the target itself does not answer, nobody can look at what it holds.
        "source_matchers": [f'fault=~"{HIDDEN}"', 'severity="page"'],
        "target_matchers": [f'fault!~"{HIDDEN}"', 'fault!=""'],
        "equal": ["check"],
    },
    {  # What is down is degraded, unknown and slow, too.
        "source_matchers": [f'alertname="{DOWN}"'],
        "target_matchers": ['severity=~"ticket|info"', 'component!=""'],
        "equal": ["component"],
    },
    {  # Of one check, or one objective, the page is enough.
        "source_matchers": ['severity="page"', 'check!=""'],
        "target_matchers": ['severity=~"ticket|info"', 'check!=""'],
        "equal": ["check", "objective"],
    },
]


def make_alertmanager() -> dict[str, Any]:
    """A whole configuration to begin with: whom to tell is to be filled in."""
    return {
        "route": {
            "receiver": "people",
            "group_by": ["component"],
            "group_wait": "10s",
            "group_interval": "1m",
            "repeat_interval": "4h",
            "routes": [
                {
                    "receiver": "dead-man",
                    "matchers": [f'alertname="{WATCHDOG}"'],
                    "repeat_interval": "1m",
                }
            ],
        },
        "receivers": [{"name": "people"}, {"name": "dead-man"}],
        "inhibit_rules": INHIBIT_RULES,
    }
