"""Kind `tenant_http`: does an API show one tenant what is another's?

Two canary tenants with a token each, and a unique marker in rows of each. Lists, searches and exports
are asked as both, one after the other (a shared cache shows); B's ids with the token of A, the tenant
header of B with the token of A, and everything without a token: to be refused is a pass. What is B's is
known from three answers to B itself, so that volatile fields are no proof; without B's own answer
nothing is proved. Of an answer nothing is kept and nothing told but its status code.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from urllib.parse import quote, unquote

from pydantic import Field, SecretStr, model_validator

from sentinel.core.fault import Fault, FaultKind, Labels, Severity, headline, judge
from sentinel.core.model import AuditNote, Finding, Impact, Section
from sentinel.core.tenants.answer import (
    FOREIGN_ID,
    FORGED,
    MAX_BODY,
    NO_TOKEN,
    Baselines,
    TenantAnswer,
    judge_own,
    judge_refusal,
    name_paths,
    read_answer,
)
from sentinel.core.tenants.finding import unjudged
from sentinel.core.tenants.memory import (
    ISOLATED,
    LEAKED,
    PROBES_TOTAL,
    TrialMemory,
    name_results,
)
from sentinel.core.tenants.trial import Trial, find_faults
from sentinel.errors import NotMeasurable, SubjectError, TargetError, TargetRejected
from sentinel.probes import Context, Kind, Options, faults_of_target

PROBES = ("list", "object", "forged_header", "no_token")
_PATH = r"^/[^\s#]*$"


class CanaryTenant(Options):
    """One of the two tenants that sentinel owns."""

    headers: dict[str, SecretStr] = Field(
        description="headers that make a request this tenant's, its token among them"
    )
    marker: str = Field(
        min_length=8, description="unique text in rows of this tenant, and in nobody else's"
    )
    ids: list[str] = Field(
        [], max_length=20, description="ids of its rows, for the paths in `objects`"
    )


class TenantHttpOptions(Options):
    """Options of `tenant_http`."""

    resource: str | None = Field(None, description="HTTP resource to ask")
    tenant_a: CanaryTenant = Field(
        description="tenant A, who asks",
        examples=[{"headers": {"Authorization": "Bearer of-a"}, "marker": "marker-of-a"}],
    )
    tenant_b: CanaryTenant = Field(
        description="tenant B, whose rows A must never be shown",
        examples=[{"headers": {"Authorization": "Bearer of-b"}, "marker": "marker-of-b"}],
    )
    requests: list[str] = Field(
        [],
        max_length=20,
        description="paths of lists, searches and exports that hold rows of who asks",
        examples=[["/api/tasks?limit=50"]],
    )
    objects: list[str] = Field(
        [], max_length=20, description="paths of single rows, with {id}: /api/tasks/{id}"
    )
    tenant_header: str | None = Field(
        None, description="header that names the tenant, to be forged: X-Tenant-Id"
    )
    no_token: bool = Field(True, description="also ask without any header of a tenant")

    @model_validator(mode="after")
    def _is_sound(self) -> TenantHttpOptions:
        for path in (*self.requests, *self.objects):
            if not re.match(_PATH, path):
                raise ValueError("a path begins with / and has no spaces")
        if [path for path in self.objects if "{id}" not in path]:
            raise ValueError("a path in `objects` has {id} in it, which is replaced by an id")
        if self.objects and not self.tenant_b.ids:
            raise ValueError("`objects` need `ids` of tenant B")
        if not self.requests and not self.objects:
            raise ValueError("nothing to try: give `requests` or `objects`")
        return self

    @model_validator(mode="after")
    def _tells_apart(self) -> TenantHttpOptions:
        if (
            self.tenant_a.marker in self.tenant_b.marker
            or self.tenant_b.marker in self.tenant_a.marker
        ):
            raise ValueError("the markers of A and B must differ, and neither be in the other")
        header = self.tenant_header
        if header is not None and _find(self.tenant_b.headers, header) is None:
            raise ValueError("`tenant_header` must be one of the `headers` of tenant B")
        for tenant in (self.tenant_a, self.tenant_b):
            for name, value in tenant.headers.items():
                if re.search(r"[\r\n\0]", name + value.get_secret_value()):
                    raise ValueError(f"header {name!r} holds a line break")
        return self

    @property
    def places(self) -> list[tuple[str, str, bool]]:
        """(name, path, whether it is a list) of everything that is asked; `name` bears no id."""
        lists = list(zip(name_paths(self.requests), self.requests, strict=True))
        objects = [
            (path.partition("?")[0], path.replace("{id}", quote(each, safe="")))
            for path in self.objects
            for each in self.tenant_b.ids
        ]
        named = name_paths(name for name, _ in objects)
        single = [(name, path) for name, (_, path) in zip(named, objects, strict=True)]
        return [(*each, True) for each in lists] + [(*each, False) for each in single]


def _find(headers: Mapping[str, SecretStr], wanted: str) -> str | None:
    """The name of a header as it is written there; headers are the same in any case."""
    return next((name for name in headers if name.lower() == wanted.lower()), None)


def _count_requests(options: TenantHttpOptions) -> int:
    each = 4 + (options.tenant_header is not None) + options.no_token
    return each * len(options.places)


async def run(options: TenantHttpOptions, context: Context) -> Finding:
    """Ask for every place; one that can't be judged stops none of the others."""
    asker = _Asker(options, context)
    trials: list[Trial] = []
    for name, path, is_list in options.places:
        trials += [trial async for trial in asker.try_place(name, path, is_list)]
    return _finding(trials, context.state, context.state.take(trials, context.utcnow()))


@dataclass(frozen=True, slots=True)
class _Asker:
    """The requests of one look, within the time of the check."""

    options: TenantHttpOptions
    context: Context

    async def try_place(self, name: str, path: str, is_list: bool) -> AsyncIterator[Trial]:
        """B's baselines stand before and after what is tried, A's own answer between them: what
        changes with time is in all of them or in none.
        """
        a, b = self.options.tenant_a.headers, self.options.tenant_b.headers
        first = await self._ask(path, b)
        own = await self._ask(path, a)
        second = await self._ask(path, b)
        tries: dict[tuple[str, str], TenantAnswer | TargetError] = {}
        if not is_list:
            tries["object", FOREIGN_ID] = own
        if (header := self.options.tenant_header) is not None:
            tries["forged_header", FORGED] = await self._ask(path, _forge(a, b, header))
        if self.options.no_token:
            tries["no_token", NO_TOKEN] = await self._ask(path, None)
        third = await self._ask(path, b)
        if is_list:
            yield Trial("list", name, _judge(own, {"path": name}, _own(name, "A")), "A")
            yield Trial("list", name, _judge(second, {"path": name}, _own(name, "B")), "B")
        sound = [each for each in (first, second, third) if isinstance(each, TenantAnswer)]
        mine = own if is_list and isinstance(own, TenantAnswer) else None
        baselines = Baselines(sound if len(sound) == 3 else (), mine)
        for (probe, way), answer in tries.items():
            fault = _judge(answer, {"path": name, "try": way}, _refused(name, way, baselines))
            yield Trial(probe, name, fault)

    async def _ask(
        self, path: str, headers: Mapping[str, SecretStr] | None
    ) -> TenantAnswer | TargetError:
        sent = {name: value.get_secret_value() for name, value in (headers or {}).items()}
        try:
            response = await self.context.http().request(
                "GET",
                path,
                headers=sent,
                timeout=0.9 * self.context.timeout / _count_requests(self.options),
                max_body=MAX_BODY,
                bare=headers is None,
            )
        except (SubjectError, NotMeasurable, TargetRejected) as error:
            return error
        unread = "answer longer than 1 MiB" if response.truncated else ""
        if response.packed:
            unread = "the body is packed in a way that can't be read here"
        markers = self.options.tenant_a.marker, self.options.tenant_b.marker
        said = (unquote(path), *sent.values())
        return read_answer(response.status, response.body, markers, said, unread)


def _forge(
    a: Mapping[str, SecretStr], b: Mapping[str, SecretStr], header: str
) -> dict[str, SecretStr]:
    """The headers of A, with the one that names the tenant as B has it."""
    rest = {name: value for name, value in a.items() if name.lower() != header.lower()}
    return {**rest, header: b[_find(b, header) or header]}


_Judgement = Callable[[TenantAnswer], Fault | None]


def _own(name: str, who: str) -> _Judgement:
    return lambda answer: judge_own(name, who, answer)


def _refused(name: str, way: str, baselines: Baselines) -> _Judgement:
    return lambda answer: judge_refusal(name, way, answer, baselines)


def _judge(
    answer: TenantAnswer | TargetError, subject: Labels, judgement: _Judgement
) -> Fault | None:
    if isinstance(answer, TargetError):
        return unjudged(subject, answer.message, answer.guidance)
    return judgement(answer)


def _finding(trials: Sequence[Trial], state: TrialMemory, notes: Sequence[AuditNote]) -> Finding:
    faults = find_faults(trials)
    passed = sum(trial.result == "pass" for trial in trials)
    figures = f"{passed} of {len(trials)} probes passed"
    return Finding(
        judge(faults),
        f"{headline(faults)}; {figures}"
        if faults
        else f"{passed} probes, nothing of another tenant",
        list(state.rows()),
        name_results(trials),
        faults[0].guidance if faults else "",
        ("probes", f"{passed}/{len(trials)} passed"),
        faults,
        notes,
    )


_TOLD = ("path", "try")

FAULTS = (
    FaultKind(
        "leak",
        Severity.PAGE,
        "tenant-leak",
        "an answer holds what is another tenant's",
        _TOLD,
        hold=0.0,
        certain=True,
    ),
    FaultKind(
        "unjudged",
        Severity.TICKET,
        "tenant-leak",
        "nothing is proved: the control failed, or the answer can't be judged",
        _TOLD,
    ),
    *faults_of_target("api-failing"),
)

KIND = Kind(
    name="tenant_http",
    summary="An API asked as two tenants: lists, foreign ids, forged headers, no token",
    options=TenantHttpOptions,
    run=run,
    board="tenants",
    faults=FAULTS,
    resources={"resource": "http"},
    load_state=partial(TrialMemory, PROBES),
    patient=True,
    default_every=60.0,
    requests=_count_requests,
    measurements=(PROBES_TOTAL,),
    slis=(ISOLATED,),
    impact=(
        Impact(
            "requests that were answered with another tenant's rows",
            Section.INCIDENT,
            LEAKED,
        ),
    ),
)
