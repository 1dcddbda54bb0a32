"""What a new configuration changes in a running daemon: only what differs is touched, and what is
not is said.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import structlog

from sentinel.config import Configuration
from sentinel.core.model import Check, Component

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Differences:
    """Checks that go, change or come; components that go, come, or are driven otherwise."""

    gone: tuple[str, ...]
    changed: tuple[Check, ...]
    """Those that came are among them."""
    other_kind: frozenset[str]
    """Names of changed checks whose kind is another one: what they remember means nothing to it."""
    left: tuple[str, ...]
    joined: tuple[Component, ...]
    redriven: tuple[Component, ...]


def compare(old: Configuration, fresh: Configuration) -> Differences:
    """The differences between two configurations."""
    before = {check.name: check for check in old.checks}
    after = {check.name: check for check in fresh.checks}
    changed = tuple(check for name, check in after.items() if before.get(name) != check)
    known = {component.name: component for component in old.components}
    return Differences(
        gone=tuple(before.keys() - after.keys()),
        changed=changed,
        other_kind=frozenset(
            c.name for c in changed if c.name in before and before[c.name].kind != c.kind
        ),
        left=tuple(known.keys() - _names(fresh.components)),
        joined=tuple(component for component in fresh.components if component.name not in known),
        redriven=tuple(
            c
            for c in fresh.components
            if c.name in known and _driving(c) != _driving(known[c.name])
        ),
    )


def keep_known(old: Configuration, fresh: Configuration) -> Configuration:
    """The fresh configuration with what is the same in the old one as the very same values: nothing
    is held twice.
    """
    before = {check.name: check for check in old.checks}
    checks = tuple(
        known if (known := before.get(each.name)) == each and known.source == each.source else each
        for each in fresh.checks
    )
    return replace(fresh, checks=checks)


def _names(components: Iterable[Component]) -> set[str]:
    return {component.name for component in components}


def _driving(component: Component) -> tuple[object, ...]:
    """What a driver is made from; policies are read anew at every decision."""
    return (
        component.driver,
        component.options,
        component.restart.stop_timeout,
        component.restart.kill_safe,
    )


def tell_what_is_kept(old: Configuration, fresh: Configuration) -> None:
    """A running daemon moves neither its address nor its state: who changed them is told that they
    wait.
    """
    for key, kept, wanted in (
        ("listen", old.listen, fresh.listen),
        ("state", old.state, fresh.state),
    ):
        if kept != wanted:
            log.warning(
                "reload_keeps",
                key=key,
                in_force=str(kept),
                guidance="it is changed by the next start",
            )


def tell_what_lapsed(configuration: Configuration) -> None:
    """What is over counts as ended, and stands in the files until somebody decides anew."""
    for each in configuration.lapsed:
        place = f"{each.file}:{each.line}"
        log.warning("lapsed", where=place, key=each.key, what=each.message, guidance=each.remedy)
