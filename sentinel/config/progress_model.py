"""What may stand under `tracks:`, `milestones:`, `progress:` and `readiness:`, as strict models."""

from __future__ import annotations

from pydantic import Field

from sentinel.strict.field import Duration, JsonPath, Percentage, Strict, Text


class NoFaultSettings(Strict):
    """That a check does not have a fault."""

    check: Text = Field(description="the check", examples=["flows"])
    fault: Text = Field(
        description="key of the fault: `sentinel kinds KIND` lists them", examples=["overdue"]
    )


class SqlSettings(Strict):
    """A query that reads one row: a number (how much is done), or two (how many of how many)."""

    resource: Text = Field(description="the PostgreSQL resource", examples=["database"])
    query: Text = Field(
        description="one row of one or two numbers",
        examples=["select count(*) filter (where done), count(*) from public.work"],
    )
    whole: float = Field(1.0, gt=0, description="the one number when all is done")


class PromqlSettings(Strict):
    """An expression of which Prometheus makes one number."""

    resource: Text = Field(description="the HTTP resource of a Prometheus", examples=["prometheus"])
    query: Text = Field(
        description="one number: how much is done", examples=["sum(work_done_total)"]
    )
    whole: float = Field(1.0, gt=0, description="the number when all is done")


class ChecklistSettings(Strict):
    """Boxes of a Markdown file."""

    file: Text = Field(
        description="the file; relative paths begin at the configuration", examples=["plan.md"]
    )
    heading: str = Field("", description="only what stands below this heading")


class JsonSettings(Strict):
    """What a JSON file says, such as a registry of agents."""

    file: Text = Field(
        description="the file; relative paths begin at the configuration", examples=["agents.json"]
    )
    path: JsonPath = Field(
        description="what to read (RFC 9535): of several values the mean counts",
        examples=["$.agents[*].progress"],
    )
    whole: float = Field(100.0, gt=0, description="a value when all is done")
    done: list[Text] = Field(
        default_factory=list, description="words that mean done, when the values are texts"
    )
    written: JsonPath | None = Field(None, description="where it says when it was written")
    next_update: JsonPath | None = Field(
        None, description="where it says when it will be written again"
    )


class EvidenceSettings(Strict):
    """Where to look: exactly one of these."""

    check: Text | None = Field(None, description="a check: done while it is up", examples=["api"])
    no_fault: NoFaultSettings | None = Field(
        None, description="a fault: done while the check does not have it"
    )
    objective: Text | None = Field(None, description="an objective: done while it is met")
    sql: SqlSettings | None = Field(None, description="a query on PostgreSQL")
    promql: PromqlSettings | None = Field(None, description="an expression for Prometheus")
    checklist: ChecklistSettings | None = Field(None, description="boxes of a Markdown file")
    json_file: JsonSettings | None = Field(None, alias="json", description="values of a JSON file")

    @property
    def given(self) -> list[str]:
        """The forms that are written."""
        return [name for name in type(self).model_fields if getattr(self, name) is not None]


class ClaimSettings(Strict):
    """What somebody says, and nobody measures: reports call it a claim."""

    percent: Percentage = Field(description="how much is done", examples=["60%"])
    at: str = Field(description="when it was said: a date, or an instant", examples=["2026-03-01"])
    by: str = Field("", description="who said it")


class EstimateSettings(Strict):
    """How long it may take, as long as nothing was observed."""

    low: Duration = Field(description="at least", examples=["1d"])
    high: Duration = Field(description="at most", examples=["3d"])


class TrackSettings(Strict):
    """A team or some agents that go the same way."""

    title: str = Field("", description="how reports call it; default: its name")
    agents: list[Text] = Field(
        default_factory=list, description="glob patterns of its agents", examples=['["agent-*"]']
    )
    owner: str = Field("", description="who answers for it")


class MilestoneSettings(Strict):
    """One thing to reach, with its evidence."""

    track: Text = Field(description="the track that it is on", examples=["backend"])
    title: str = Field("", description="how reports call it; default: its name")
    needs: list[Text] = Field(
        default_factory=list, description="milestones that must be done before"
    )
    evidence: EvidenceSettings | None = Field(None, description="where one sees how far it is")
    claimed: ClaimSettings | None = Field(
        None, description="what somebody says; beside evidence it is compared with it"
    )
    due: str | None = Field(
        None, description="until when: a date, or an instant", examples=["2099-01-31"]
    )
    stale_after: Duration = Field(
        86400.0, description="so old, a claim or a source is called stale"
    )
    estimate: EstimateSettings | None = Field(
        None, description="how long it may take, as long as nothing was observed"
    )


class ProgressSettings(Strict):
    """How evidence is looked at, and how the end is forecast."""

    every: Duration = Field(300.0, ge=1, description="time between two looks at the evidence")
    seed: int = Field(1, ge=0, description="seed of the simulation: the same gives the same range")
    trials: int = Field(1000, ge=50, le=100_000, description="trials of the simulation, at most")


class WaiverSettings(Strict):
    """That a requirement need not hold, until a day or an instant."""

    reason: Text = Field(description="why", examples=["the new disk comes on Monday"])
    by: Text = Field(description="who bears it", examples=["ada"])
    until: str = Field(description="a date, or an instant", examples=["2099-01-31"])


class RequirementSettings(EvidenceSettings):
    """One thing without which it is no go: exactly one form of evidence, or a milestone."""

    name: Text = Field(description="how the report calls it", examples=["bus delivers"])
    milestone: Text | None = Field(None, description="a milestone that must be done")
    waive: WaiverSettings | None = Field(None, description="that it need not hold for now")

    @property
    def given(self) -> list[str]:
        """The forms that are written."""
        own = {"name", "waive"}
        names = [name for name in type(self).model_fields if name not in own]
        return [name for name in names if getattr(self, name) is not None]
