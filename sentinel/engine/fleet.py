"""The components that have a driver: which driver, when started, who is stopped, who waits."""

from __future__ import annotations

from dataclasses import dataclass, field

from sentinel.core.remediation.restart import Decision
from sentinel.remediation import Driver


@dataclass(slots=True)
class Fleet:
    """One value for all who look at drivers; the remediator alone changes it."""

    drivers: dict[str, Driver] = field(default_factory=dict)
    started: dict[str, float] = field(default_factory=dict)
    """The monotonic instant of each start."""
    stopped: set[str] = field(default_factory=set)
    """Components that were stopped on request, are being restarted on request, or wait to be
    started: not judged.
    """
    waiting: dict[str, float] = field(default_factory=dict)
    """Components to be started as soon as what they need was seen healthy after this monotonic
    instant.
    """
    supervised: set[str] = field(default_factory=set)
    """Those whose process is a child of sentinel."""
    busy: dict[str, None] = field(default_factory=dict)
    """Those that are being restarted right now, in the order in which that began."""
    starting: set[str] = field(default_factory=set)
    """Those that waited and are being started right now: no stop may come in between, which would
    find nothing to stop and then be overtaken by the start.
    """
    decisions: dict[str, Decision] = field(default_factory=dict)
    """What was decided last about each."""
    notes: dict[str, str] = field(default_factory=dict)
    """What the watch of its files has to say of a component."""

    def pid_of(self, name: str) -> int | None:
        """The process of a component, as its driver knows it."""
        driver = self.drivers.get(name)
        return driver.pid if driver else None

    def release(self, name: str) -> Driver:
        """Forget a component; its driver."""
        if name in self.waiting:  # it was not stopped on request: a new driver starts it
            self.stopped.discard(name)
        self.started.pop(name, None)
        self.waiting.pop(name, None)
        self.starting.discard(name)
        self.decisions.pop(name, None)
        self.notes.pop(name, None)
        self.supervised.discard(name)
        return self.drivers.pop(name)
