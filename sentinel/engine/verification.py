"""What became of an attempt, as the checks saw it afterwards: an exit status of 0 is no health."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sentinel.core.component.incident import Event, find_degraded
from sentinel.core.fault import Status
from sentinel.core.model import Attempt, Incident, RestartPolicy
from sentinel.core.moment import Moment
from sentinel.engine.journal import Journal
from sentinel.engine.picture import Picture
from sentinel.remediation import Driver

PASSES = 3

Work = Coroutine[Any, Any, None]


@dataclass(frozen=True, slots=True)
class Verification:
    """Recovered: for `success_after` and three checks at least as healthy as before the failure,
    check by check. Failed: ended again, or not so within the grace.
    """

    picture: Picture
    journal: Journal
    now: Moment
    policy: RestartPolicy

    def judge(self, attempts: Sequence[Attempt], incident: Incident, driver: Driver) -> Work | None:
        """What is to be written about the last attempt of an incident, or None while nothing is
        certain.
        """
        attempt, name = attempts[-1], incident.component
        since = incident.recovered or incident.settled
        back = self.picture.compare(name, incident) is Status.UP
        if (
            back
            and since is not None
            and (self.now.at - since).total_seconds() < self.now.seconds_since(attempt.began)
        ):
            return self._judge_health(attempts, incident, since)
        if driver.pid is None and driver.how_ended:
            return self._conclude(attempt, "failed", f"{driver.how_ended} after the restart")
        if self.now.seconds_since(attempt.began) >= self.policy.startup_grace:
            return self._conclude(
                attempt,
                "failed",
                f"not {_describe(incident)} within {self.policy.startup_grace:g} s",
            )
        return None

    def _judge_health(
        self, attempts: Sequence[Attempt], incident: Incident, since: datetime
    ) -> Work | None:
        attempt = attempts[-1]
        healthy = (self.now.at - since).total_seconds()
        if healthy >= self.policy.success_after and self.picture.passes(incident) >= PASSES:
            return self._conclude(
                attempt, "recovered", f"{_describe(incident)} for {healthy:.0f} s"
            )
        if attempt.recovered_in is not None:
            return None
        seconds = (since - _noticed(attempts, incident)).total_seconds()
        noted = replace(attempt, recovered_in=round(seconds, 3))
        self.journal.replace(noted)
        text = (
            f"{attempt.component} is {_describe(incident)} {seconds:.2f} s after the failure was"
            " noticed"
        )
        return self.journal.finish(noted, Event("healthy", text))

    def _conclude(self, attempt: Attempt, verdict: str, text: str) -> Work:
        concluded = replace(attempt, verdict=verdict)
        self.journal.replace(concluded)
        return self.journal.finish(
            concluded, Event(f"attempt {verdict}", f"attempt {attempt.n}: {text}")
        )


def _noticed(attempts: Sequence[Attempt], incident: Incident) -> datetime:
    """When the failure behind the last attempt was noticed: the end of the one before, or the
    incident's start.
    """
    before = attempts[-2] if len(attempts) > 1 else None
    return max(incident.opened, before.ended or incident.opened) if before else incident.opened


def _describe(incident: Incident) -> str:
    """What had to come back."""
    return "as before the failure" if find_degraded(incident) else "healthy"
