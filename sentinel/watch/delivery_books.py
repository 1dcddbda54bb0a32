"""The books of all streams of a check: their accounts, what is derived from them, what is left of
streams that are gone, and how all this is written down.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

from sentinel.core.bus.delivery import (
    Account,
    Calls,
    Capability,
    Deadlines,
    StreamAccount,
    begin_account,
    load_account,
    write_account,
)
from sentinel.core.bus.delivery.balance import NO_BALANCE
from sentinel.core.bus.delivery.finding import FORGET_AFTER
from sentinel.core.bus.delivery.fleet import Totals
from sentinel.core.bus.delivery.persistence import load_calls
from sentinel.core.bus.delivery.statement import (
    dump_figures,
    load_figures,
    sum_accounts,
)
from sentinel.core.bus.naming import Naming

_PENDING = attrgetter("pending")


@dataclass(slots=True)
class RetiredStreams:
    """What is left of streams that are gone for ever: their counters, and their figures."""

    totals: Totals = field(default_factory=Totals)
    figures: Account = NO_BALANCE

    def take(self, account: StreamAccount, stream: str, labels: Mapping[str, str]) -> None:
        """Add the account of one stream, given the labels of it and its groups."""
        self.totals.add(account, stream, labels)
        accounts = (account.account_of(group) for group in account.groups)
        self.figures = sum_accounts([self.figures, *accounts])


@dataclass(slots=True)
class DeliveryBooks:
    """Accounts by stream. `moved` are those that changed since they were asked for; `open` ones
    have cohorts to settle, `pending` ones entries that are not acknowledged; `texts` are accounts
    as they were written last, with the calls that the text says.
    """

    deadlines: Deadlines
    accounts: dict[str, StreamAccount] = field(default_factory=dict)
    retired: RetiredStreams = field(default_factory=RetiredStreams)
    group_labels: dict[str, set[str]] = field(default_factory=dict)
    moved: set[str] = field(default_factory=set)
    open: set[str] = field(default_factory=set)
    pending: set[str] = field(default_factory=set)
    texts: dict[str, tuple[str, Calls]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in self.accounts:
            self.note(name)

    def find(self, key: bytes) -> StreamAccount | None:
        """The account of a stream by its key."""
        return self.accounts.get(key.decode())

    def begin(self, name: str, capability: Capability) -> StreamAccount:
        """Open the account of a stream that is new to us."""
        account = self.accounts[name] = begin_account(self.deadlines, capability)
        return account

    def note(self, name: str) -> None:
        """An account changed: what was derived from it is out of date."""
        account = self.accounts.get(name)
        self.moved.add(name)
        self.texts.pop(name, None)
        _keep(self.open, name, account is not None and bool(account.cohorts))
        view = account.view if account is not None and account.present else None
        _keep(self.pending, name, view is not None and any(map(_PENDING, view.groups.values())))

    def take_moved(self) -> set[str]:
        """Streams whose account changed since this was asked last, gone ones included."""
        moved, self.moved = self.moved, set()
        return moved

    def label_group(self, naming: Naming, stream: str, group: str) -> tuple[str, str]:
        """Metric labels of a group on a stream."""
        label = naming.stream(stream)
        return label, naming.group(group, self.group_labels.setdefault(label, set()))

    def list_pending_groups(self, key: bytes) -> list[str]:
        """Groups of a stream that hold something at the last look."""
        account = self.find(key)
        view = account.view if account is not None and account.present else None
        groups = view.groups.items() if view is not None else ()
        return sorted(name for name, group in groups if group.pending)

    def let_go(self, naming: Naming, name: str) -> None:
        """Close the account of a stream; what it counted stays in the sums."""
        account = self.accounts.pop(name)
        self.note(name)
        labels = {group: self.label_group(naming, name, group)[1] for group in account.groups}
        self.retired.take(account, naming.stream(name), labels)

    def list_forgotten(self, now: float) -> list[str]:
        """Streams that have been gone for so long that they are let go."""
        gone = ((n, a.view) for n, a in self.accounts.items() if not a.present)
        return [n for n, view in gone if view is not None and now - view.now > FORGET_AFTER]

    # -- persistence ------------------------------------------------------------------------------

    def dump(self) -> dict[str, Any]:
        """JSON-able document: accounts as texts, written anew only when they moved."""
        written = {name: self._write(name) for name in self.accounts}
        late = {n: a for n, a in self.accounts.items() if a.calls != written[n][1]}
        return {
            "accounts": {name: text for name, (text, _) in written.items()},
            "calls": {name: list(account.calls) for name, account in late.items()},
            "retired": self.retired.totals.dump(),
            "departed": dump_figures(self.retired.figures),
            "group_labels": {label: sorted(seen) for label, seen in self.group_labels.items()},
        }

    def _write(self, name: str) -> tuple[str, Calls]:
        found = self.texts.get(name)
        if found is None:
            account = self.accounts[name]
            found = self.texts[name] = write_account(account), account.calls
        return found

    @classmethod
    def load(
        cls, document: Mapping[str, Any], deadlines: Deadlines, capability: Capability
    ) -> DeliveryBooks:
        """What `dump` gave; earlier versions wrote accounts as documents, not as texts."""
        accounts = {}
        for name, text in document["accounts"].items():
            known = json.loads(text) if isinstance(text, str) else text
            accounts[name] = load_account(known, deadlines, capability)
        for name, calls in document.get("calls", {}).items():
            accounts[name].calls = load_calls(calls)
        labels = {label: set(seen) for label, seen in document["group_labels"].items()}
        totals = Totals.load(document["retired"])
        retired = RetiredStreams(totals, load_figures(document["departed"]))
        return cls(deadlines, accounts, retired, labels)


def _keep(names: set[str], name: str, wanted: bool) -> None:
    (names.add if wanted else names.discard)(name)


def list_present(accounts: Mapping[str, StreamAccount], names: Iterable[str]) -> list[str]:
    """Those of the streams that are there, in order."""
    return sorted(name for name in names if accounts[name].present)
