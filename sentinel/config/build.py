"""From what was written to the frozen values of the core: settings that are valid already, with
their defaults.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from sentinel.config.model import (
    CheckSettings,
    ComponentSettings,
    Overrides,
    PlatformSettings,
)
from sentinel.config.secrecy import find_secrets
from sentinel.config.value import (
    AlertLinks,
    Configuration,
    Diagnosing,
    NoticeSetup,
    PageAccess,
    Resource,
    ScheduledReport,
)
from sentinel.config.written import Written
from sentinel.core.bus.housekeeping import Chore
from sentinel.core.fault import Acceptance
from sentinel.core.fault.loss import KEEP_LOSSES
from sentinel.core.foreign.host import HostName
from sentinel.core.model import (
    Backoff,
    Check,
    Component,
    HealthPolicy,
    Level,
    RestartPolicy,
    Threshold,
)
from sentinel.core.objective import Objective
from sentinel.core.progress.plan import Plan
from sentinel.core.remediation.brake import ActionLimits, BrakePolicy
from sentinel.core.remediation.breaker import BreakerPolicy
from sentinel.probes import Kind


def make_component(
    name: str, item: ComponentSettings, options: object = None, watch: tuple[str, ...] = ()
) -> Component:
    """A component with its restart policy, its driver's options and the files it watches.

    `first` not given: delays are initial · factor^(n−1).
    """
    values = item.restart.model_dump(exclude={"backoff"})
    backoff = item.restart.backoff
    first = backoff.initial if backoff.first is None else backoff.first
    initial = backoff.initial * backoff.factor if backoff.first is None else backoff.initial
    delays = Backoff(first, initial, backoff.factor, backoff.max, backoff.jitter)
    return Component(
        name=name,
        resource=item.resource,
        driver=item.driver,
        options=options,
        depends_on=tuple(item.depends_on),
        group=item.group,
        watch=watch,
        owner=item.owner or "",
        restart=RestartPolicy(**values, backoff=delays),
    )


def make_check(
    base: CheckSettings,
    kind: Kind,
    options: Any,
    roles: Mapping[str, str],
    thresholds: tuple[Threshold, ...],
    accept: tuple[Acceptance, ...],
    source: str,
) -> Check:
    """A check with its defaults filled in; times in seconds."""
    every = base.every if base.every is not None else kind.default_every
    return Check(
        name=base.name,
        kind=base.kind,
        component=base.component,
        every=every,
        timeout=base.timeout if base.timeout is not None else max(5.0, min(every, 10.0)),
        options=options,
        resources=roles,
        thresholds=thresholds,
        health=_share_policy(
            base.failures, max(base.of, base.failures), base.recoveries, base.recovery_time
        ),
        runbook=base.runbook,
        diagnose=base.diagnose,
        source=source,
        accept=accept,
        keep_losses=KEEP_LOSSES if base.keep_losses is None else base.keep_losses,
    )


_share_policy = lru_cache(maxsize=256)(HealthPolicy)
"""Most checks have the same: they share the value."""


def make_level(item: Any) -> Level | None:
    """Raise and clear value, or None."""
    return None if item is None else Level(item.raise_at, item.clear)


def make_configuration(
    written: Written,
    settings: PlatformSettings,
    overrides: Overrides,
    resources: Mapping[str, Resource],
    components: tuple[Component, ...],
    checks: tuple[Check, ...],
    chores: tuple[Chore, ...],
    notices: NoticeSetup,
    objectives: tuple[Objective, ...],
    links: AlertLinks,
    listen: tuple[str, int],
    trusted: tuple[HostName, ...],
    access: PageAccess,
    plan: Plan,
) -> Configuration:
    """Everything that was read, as one value. The environment's word comes before the file's."""
    actions, templates = settings.actions, settings.report_templates
    enabled = overrides.actions_enabled
    return Configuration(
        platform=settings.platform,
        listen=listen,
        state=Path(overrides.state or settings.state),
        resources=resources,
        components=components,
        checks=checks,
        actions_enabled=actions.enabled if enabled is None else enabled,
        start_grace=actions.start_grace,
        limits=ActionLimits(**actions.limits.model_dump()),
        brake=BrakePolicy(**actions.brake.model_dump()),
        breaker=BreakerPolicy(**actions.breaker.model_dump()),
        runbooks=Diagnosing(**settings.runbooks.model_dump()),
        reports=tuple(
            ScheduledReport(r.kind, r.cron, r.timezone, tuple(r.to), r.pdf)
            for r in settings.reports
        ),
        report_templates=written.relative(templates) if templates else None,
        tasks_per_hour_target=settings.tasks_per_hour_target,
        retention=settings.retention,
        report_retention=settings.report_retention,
        audit_retention=settings.audit_retention,
        standstill=settings.standstill,
        secrets=frozenset(
            find_secrets(
                resources.values(), checks, components, written.environment, notices.channels
            )
        ),
        folder=written.path,
        listen_place=str(written.at("listen")),
        trusted_hosts=trusted,
        access=access,
        chores=chores,
        notices=notices,
        objectives=objectives,
        links=links,
        digest=written.digest,
        lapsed=written.lapsed,
        plan=plan,
    )
