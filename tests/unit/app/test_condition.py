"""Figures about ourselves and about what stands in the way of components."""

from __future__ import annotations

from types import SimpleNamespace

from sentinel.app.condition import show_condition
from sentinel.metrics import Metrics


def engine(*, fenced: str = "", flapping: bool = False, blocked_by: str = "") -> SimpleNamespace:
    """As much of an engine as is looked at: one component, `api`."""
    incident = SimpleNamespace(blocked_by=blocked_by)
    return SimpleNamespace(
        scheduler=SimpleNamespace(overdue=lambda: ["late"]),
        coverage=SimpleNamespace(ratio=lambda: 0.75),
        automation=SimpleNamespace(fenced=fenced),
        picture=SimpleNamespace(
            components={"api": None},
            incidents={"api": incident} if blocked_by else {},
            is_flapping=lambda _name: flapping,
        ),
    )


def test_what_stands_in_the_way_is_told_while_it_does() -> None:
    """Fenced, flapping, blocked by one and then by another; each ends with what it tells of."""
    metrics = Metrics()
    show_condition(engine(fenced="another", flapping=True, blocked_by="bus"), metrics)  # type: ignore[arg-type]
    page = metrics.render().decode()
    assert "\nsentinel_fenced 1.0" in page
    assert "\nsentinel_checks_overdue 1.0" in page
    assert "\nsentinel_coverage_ratio 0.75" in page
    assert 'sentinel_component_flapping{component="api"} 1.0' in page
    assert 'sentinel_component_blocked{by="bus",component="api"} 1.0' in page
    show_condition(engine(blocked_by="database"), metrics)  # type: ignore[arg-type]
    page = metrics.render().decode()
    assert "\nsentinel_fenced 0.0" in page
    assert 'sentinel_component_flapping{component="api"} 0.0' in page
    assert 'sentinel_component_blocked{by="database",component="api"} 1.0' in page
    assert 'by="bus"' not in page
    show_condition(engine(), metrics)  # type: ignore[arg-type]
    assert "sentinel_component_blocked{" not in metrics.render().decode()


def test_series_go_with_their_component() -> None:
    """Nothing is left of a component that the configuration no longer has."""
    metrics = Metrics()
    show_condition(engine(flapping=True, blocked_by="bus"), metrics)  # type: ignore[arg-type]
    metrics.remove_component("api")
    assert 'component="api"' not in metrics.render().decode()
