"""What may stand in the configuration about who is told: channels, routes, maintenance windows."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from sentinel.strict.field import Duration, Name, Strict, Text, Zone, shaped

Severities = list[Literal["page", "ticket", "info"]]
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
Clock = Annotated[
    str, shaped(r"([01]\d|2[0-3]):[0-5]\d", "time of day", 'write "HH:MM", such as "07:30"')
]


class ChannelSettings(Strict):
    """The keys that every channel has; the others belong to its kind, whose options refuse unknown
    ones.
    """

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    kind: str = Field(
        description="kind of the channel: `sentinel kinds` lists them", examples=["slack"]
    )
    most: int = Field(
        20, ge=1, description="so many notices within `within` go one by one, the rest as digests"
    )
    within: Duration = Field(300.0, gt=0, description="the time for most")


class HoursSettings(Strict):
    """Hours of some days, by the wall of a zone; over midnight they belong to the day on which they
    begin.
    """

    begins: Clock = Field(alias="from", description="first minute", examples=['"22:00"'])
    ends: Clock = Field(alias="to", description="they end before it", examples=['"07:00"'])
    days: list[Weekday] = Field(default_factory=list, description="only on these; default: every")
    timezone: Zone = Field("UTC", description="zone of the wall", examples=["Europe/Berlin"])


class EscalationSettings(Strict):
    """Who is told when nobody acknowledges."""

    after: Duration = Field(gt=0, description="from the first notice", examples=["15m"])
    channels: list[str] = Field(min_length=1, description="who is told, too", examples=["[lead]"])


class RouteSettings(Strict):
    """What goes where. Every key that is given has to fit, one of its patterns each."""

    channels: list[str] = Field(min_length=1, description="who is told", examples=["[oncall]"])
    severity: Severities = Field(
        default_factory=list, description="page: somebody at once; ticket: at work; info"
    )
    component: list[Text] = Field(default_factory=list, description="patterns of components")
    platform: list[Text] = Field(default_factory=list, description="patterns of platforms")
    fault: list[Text] = Field(default_factory=list, description="patterns of faults")
    check: list[Text] = Field(default_factory=list, description="patterns of checks")
    status: list[Literal["degraded", "down"]] = Field(default_factory=list, description="how it is")
    kind: list[Literal["incident", "brake", "breaker"]] = Field(
        default_factory=list, description="what it is"
    )
    hours: HoursSettings | None = Field(None, description="only at these times")
    also: bool = Field(False, description="whether the routes after it are asked, too")
    escalate: list[EscalationSettings] = Field(
        default_factory=list, description="who is told when nobody acknowledges it in time"
    )
    remind: Duration | None = Field(
        None, ge=60, description="tell it again after so long, until somebody acknowledges it"
    )
    quiet: HoursSettings | None = Field(
        None, description="at these times only what is loud is told; the rest waits"
    )
    loud: Literal["page", "ticket", "info"] = Field(
        "page", description="from this severity on it is told in quiet hours, too"
    )
    tell_close: bool = Field(
        False, description="whether the end of an incident is told after its recovery was"
    )


class MaintenanceSettings(Strict):
    """A time in which people work on components: from, until; or by a cron line, for so long."""

    name: Name = Field(description="name of the window", examples=["backup"])
    components: list[Text] = Field(
        min_length=1, description="patterns of components", examples=["[database]"]
    )
    reason: Text = Field(description="what is done in it", examples=["nightly backup"])
    begins: str | None = Field(
        None, alias="from", description="an instant with its zone", examples=["2099-01-31T02:00Z"]
    )
    ends: str | None = Field(
        None, alias="until", description="an instant with its zone", examples=["2099-01-31T03:00Z"]
    )
    cron: str | None = Field(
        None, description="when, as five fields of cron", examples=['"0 2 * * *"']
    )
    timezone: str = Field("UTC", description="zone of the cron line")
    lasts: Duration | None = Field(
        None, alias="for", gt=0, description="how long each time of the cron line lasts"
    )
