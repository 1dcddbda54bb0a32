"""What the kinds that try something remember, count and declare alike. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from sentinel.core.model import AuditNote, Measurement, Row, Sli, Term
from sentinel.core.tenants.trial import ACTION, LEAK, PASS, RESULTS, Trial, TrialLedger, name_result

_PASSED, _LEAKED = Term("probes_total", {"result": PASS}), Term("probes_total", {"result": LEAK})
LEAKED = (_LEAKED,)
PROBES_TOTAL = Measurement(
    "probes_total",
    "Tries to get at rows of another tenant, by result",
    "sentinel_tenant_probe_total",
    "counter",
    labels=("probe", "result"),
)
ISOLATED = Sli(
    "isolated",
    "tries to get at rows of another tenant that got none",
    (_PASSED, _LEAKED),
    (_PASSED,),
)


class TrialMemory:
    """Results of each way to try since sentinel began to watch, and the record of what was tried."""

    def __init__(self, probes: Sequence[str], document: Any = None) -> None:
        given: Mapping[str, Any] = document if isinstance(document, Mapping) else {}
        self.totals = {f"{probe} {result}": 0 for probe in probes for result in RESULTS}
        known = given.get("totals", given)  # tenant_isolation had nothing but these
        self.totals |= {name: n for name, n in known.items() if name in self.totals}
        self.ledger = TrialLedger.load(given.get("ledger"))

    def take(self, trials: Sequence[Trial], now: datetime) -> list[AuditNote]:
        """Count a look; what of it goes into the audit log now."""
        for trial in trials:
            self.totals[f"{trial.probe} {trial.result}"] += 1
        return [AuditNote(ACTION, record.write()) for record in self.ledger.take(trials, now)]

    def rows(self) -> Iterator[Row]:
        """The counters, each result of each way from the first look on."""
        for name, n in self.totals.items():
            probe, _, result = name.partition(" ")
            yield Row({"probe": probe, "result": result}, {"probes_total": float(n)})

    def dump(self) -> Any:
        """What must survive a restart."""
        return {"totals": dict(self.totals), "ledger": self.ledger.dump()}

    async def close(self) -> None:
        """Nothing is held."""


def name_results(trials: Sequence[Trial]) -> dict[str, list[str]]:
    """Which tries had which result, some of each, for evidence."""
    return {
        name_result(result): [f"{t.way} {t.place}" for t in trials if t.result == result][:50]
        for result in RESULTS
    }
