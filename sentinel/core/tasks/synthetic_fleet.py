"""The synthetic tasks of one path: promised, on their way, ended, to be cleaned up. Survives a kill
at any instant.

A token is promised in one run and used in a later one, so that what was stored names every task
that can be there: after a kill the promised token is looked for, and found or forgotten. Numbers of
tokens only grow within an epoch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from sentinel.core.tasks.synthetic import (
    CREATED,
    Canary,
    End,
    HopPlan,
    TaskOutcome,
    Watch,
    WorkflowRecord,
)

RETRY_AFTER = 60.0
MAX_SUSPECTS = 20
_NOTHING_TO_CLEAN = {TaskOutcome.LOST}


def token_prefix(path: str) -> str:
    """What all tokens of a path begin with."""
    return f"sentinel-canary:{path}:"


PATTERN = "sentinel-canary:[A-Za-z0-9_-]+:[0-9a-f]{12}:[0-9]+"
"""The regular expression (POSIX and Python alike) that finds a whole token, of whatever path, in a
text.
"""


@dataclass(frozen=True, slots=True)
class Litter:
    """A row of ours that has served: since when, and how often its removal failed. `id` is "" when
    never learned.
    """

    token: str
    id: str
    sent: float
    ended: float
    tries: int = 0
    retry_at: float = 0.0


class TaskFleet:
    """State of one path. Instants are Unix seconds of the database's clock; `monotonic` ones only
    of this process.
    """

    def __init__(self, document: Mapping[str, Any] | None, epoch: str) -> None:
        known = document or {}
        self.fresh = not known.get("looked")
        self.epoch: str = known.get("epoch", epoch)
        self.number: int = known.get("number", 0)
        self.promised = ""
        self.record = WorkflowRecord(known.get("record"))
        self.open = {item["token"]: Canary.load(item) for item in known.get("open", ())}
        self.litter = [Litter(*item) for item in known.get("litter", ())]
        self.suspects: dict[str, float] = {}
        for token, since in known.get("promised", ()):
            self.suspects[token] = since
        self.looked: float = known.get("looked", 0.0)
        self.last_sent: float = known.get("last_sent", float("-inf"))
        self.cleaned: int = known.get("cleaned", 0)
        self.cleanup_failures: int = known.get("cleanup_failures", 0)
        self.complaint = ("refused before the last restart", "the next try tells why")
        self._begun: dict[str, float] = {}
        if known:
            self._recall(known.get("pledged", ""))

    def _recall(self, pledged: str) -> None:
        """Tasks that were promised after this was stored, up to the one that was pledged last: each
        may have been sent, and no other one gets its name.
        """
        prefix, _, number = pledged.rpartition(":")
        last = int(number or 0)
        for n in range(max(self.number, last - MAX_SUSPECTS) + 1, last + 1):
            self.suspects[f"{prefix}:{n}"] = self.looked
        self.number = max(self.number, last)

    def dump(self) -> dict[str, Any]:
        """JSON-able document. A suspect that was not decided yet goes on as promised."""
        promised = [
            *self.suspects.items(),
            *([(self.promised, self.looked)] if self.promised else []),
        ]
        return {
            "epoch": self.epoch,
            "number": self.number,
            "promised": [list(item) for item in promised[-MAX_SUSPECTS:]],
            "record": self.record.dump(),
            "open": [canary.dump() for canary in self.open.values()],
            "litter": [list(asdict(item).values()) for item in self.litter],
            "looked": self.looked,
            "last_sent": self.last_sent if self.last_sent > 0 else 0.0,
            "cleaned": self.cleaned,
            "cleanup_failures": self.cleanup_failures,
        }

    def watch(self, token: str, monotonic: float, stalled: float) -> Watch:
        """How well a task has been watched; the first call for one of another life begins it."""
        begun = self._begun.setdefault(token, monotonic)
        return Watch(max(0.0, monotonic - begun - stalled), stalled)

    def begun(self, token: str, monotonic: float) -> float:
        """Since when this process watches a task, monotonic."""
        return self._begun.setdefault(token, monotonic)

    # --- sending ----------------------------------------------------------------------------------

    def promise(self, path: str) -> None:
        """Name the next task, to be stored before it is sent."""
        if not self.promised:
            self.number += 1
            self.promised = f"{token_prefix(path)}{self.epoch}:{self.number}"

    def is_due(self, now: float, every: float) -> bool:
        """Whether a promise of an earlier run is to be kept now, `every` seconds after the last
        one.
        """
        since = now - self.last_sent
        return bool(self.promised) and (since >= every or since < 0)

    def depart(self, now: float, monotonic: float) -> Canary:
        """The promised task goes out: from here on it counts as sent, in doubt until it is
        accepted.
        """
        canary = Canary(self.promised, sent=now, looked=now)
        self.promised = ""
        self.last_sent = now
        self.record.sent += 1
        self.open[canary.token] = canary
        self._begun[canary.token] = monotonic
        return canary

    def accepted(self, token: str, name: str) -> None:
        """The platform took it and called it `name` ("" when it did not say)."""
        self.open[token] = replace(self.open[token], id=name, confirmed=True)

    def take_back(self, token: str) -> None:
        """It certainly was never sent, by a fault of our own: no outcome, as if it had never been
        promised.
        """
        del self.open[token]
        self._begun.pop(token, None)
        self.record.sent -= 1

    def refused(self, token: str, plan: HopPlan, now: float, *, perhaps_there: bool) -> None:
        """The platform refused it; `perhaps_there`: after a failure in which it may have made the
        row all the same.
        """
        self.end(
            End(TaskOutcome.ENQUEUE_ERROR, CREATED, self.open[token]),
            plan,
            now,
            clean=perhaps_there,
        )

    # --- the way and the end ----------------------------------------------------------------------

    def end(self, end: End, plan: HopPlan, now: float, *, clean: bool) -> None:
        """A task has ended: it counts, and its row may be cleaned up."""
        canary = end.canary
        self.record.ended(end, plan)
        self.open.pop(canary.token, None)
        self._begun.pop(canary.token, None)
        if clean and not (end.outcome in _NOTHING_TO_CLEAN and canary.seen):
            self.litter.append(Litter(canary.token, canary.id, canary.sent, now))

    def adopt(self, token: str, name: str, sent: float, monotonic: float) -> None:
        """A row of ours that a former life sent and could not store: it counts as sent, its latency
        is not judged.
        """
        self.suspects.pop(token, None)
        if self._is_known(token):
            return
        epoch, _, number = token.rpartition(":")
        if epoch.endswith(self.epoch):
            self.number = max(self.number, int(number))
        self.record.sent += 1
        self._begun[token] = monotonic
        self.open[token] = Canary(
            token, sent=sent, looked=sent, id=name, ours=False, confirmed=True
        )

    def is_unstored(self, token: str) -> bool:
        """Whether a token was given by a life of which nothing is stored, or after the last time it
        was stored.
        """
        epoch, _, number = token.rpartition(":")
        return self.fresh if not epoch.endswith(self.epoch) else int(number) > self.number

    def _is_known(self, token: str) -> bool:
        return token in self.open or any(item.token == token for item in self.litter)

    def forget_suspects(self, monotonic: float, patience: float) -> None:
        """A promised task whose row does not come was never sent."""
        for token in [t for t in self.suspects if monotonic - self.begun(t, monotonic) > patience]:
            del self.suspects[token]
            self._begun.pop(token, None)

    # --- cleaning up ------------------------------------------------------------------------------

    def due_litter(self, now: float, keep: float, most: int = 200) -> list[Litter]:
        """What is to be cleaned up now."""
        return [item for item in self.litter if now - item.ended > keep and now >= item.retry_at][
            :most
        ]

    def swept(self, items: Iterable[Litter], cleaned: int) -> None:
        """These rows are ours no more; `cleaned` of them we removed ourselves."""
        gone = {item.token for item in items}
        self.litter = [item for item in self.litter if item.token not in gone]
        self.cleaned += cleaned

    def not_swept(self, items: Iterable[Litter], now: float, complaint: tuple[str, str]) -> None:
        """These could not be cleaned up, for what reason and what to do: counted, and tried again
        later.
        """
        self.complaint = complaint
        failed = {item.token for item in items}
        self.cleanup_failures += len(failed)
        self.litter = [
            replace(item, tries=item.tries + 1, retry_at=now + RETRY_AFTER)
            if item.token in failed
            else item
            for item in self.litter
        ]

    @property
    def uncleaned(self) -> int:
        """Rows whose removal has failed and that are still there."""
        return sum(item.tries > 0 for item in self.litter)
