"""What every dashboard can be narrowed to, and what is marked on its lines of time."""

from __future__ import annotations

from dataclasses import dataclass

from tools.grafana.board import MATCHERS, PLATFORM, Board, Query

TAG = "sentinel"
"""All dashboards have it: it is how one leads to the others."""
HOME = "http://127.0.0.1:9130"
"""Where sentinel's page is, unless somebody says otherwise."""


@dataclass(frozen=True, slots=True)
class Variable:
    """A choice of label values, several or all of them.

    `all_value` is the expression for all; without it Grafana names every value that there is.
    """

    name: str
    query: str
    all_value: str = ""


@dataclass(frozen=True, slots=True)
class Annotation:
    """What is marked on every line of time while `query` gives something."""

    name: str
    query: Query
    title: str
    tags: str
    color: str


ANNOTATIONS = (
    Annotation(
        "Incidents",
        Query("max by (component) (sentinel_incidents_open{@component}) > 0"),
        "Incident: {{component}}",
        "component",
        "red",
    ),
    Annotation(
        "Restarts",
        Query(
            "sum by (component, outcome)"
            " (increase(sentinel_restart_attempts_total{@component}[$__rate_interval])) > 0"
        ),
        "Restart of {{component}}: {{outcome}}",
        "component,outcome",
        "blue",
    ),
)


def list_variables(board: Board) -> tuple[Variable, ...]:
    """The choices of a dashboard, each narrowed by those before it.

    The platform is a label that the scrape adds: where nobody adds it, all of them is everything.
    """
    component = f"sentinel_check_status{{{PLATFORM}}}"
    check = f"sentinel_check_status{{{MATCHERS['@component']}{_of_kinds(board)}}}"
    return (
        Variable("platform", "label_values(sentinel_build_info, platform)", ".*"),
        Variable("component", f"label_values({component}, component)"),
        Variable("check", f"label_values({check}, check)"),
    )


def _of_kinds(board: Board) -> str:
    return f', kind=~"{"|".join(board.kinds)}"' if board.kinds else ""
