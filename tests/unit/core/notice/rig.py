"""Affairs by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from sentinel.core.fault import Severity
from sentinel.core.notice import Affair
from sentinel.core.notice.book import NoticeBook, NoticePolicy, begin, look, tell_again

T0 = datetime(2026, 6, 1, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    """An instant after the beginning."""
    return T0 + timedelta(seconds=seconds)


def make(component: str = "bus", **facts) -> Affair:
    """An incident that pages."""
    made = Affair(
        f"i-{component}", "incident", "trial", component, Severity.PAGE, "down",
        f"{component} is down", T0, seen=T0,
    )  # fmt: skip
    return replace(made, **facts)


class Case:
    """A book, and affairs as they are."""

    def __init__(self, *routes, **policy) -> None:
        self.book, self.now = NoticeBook(), T0
        self.policy = NoticePolicy(routes, ("log",), **policy)
        self.affairs: dict[str, Affair] = {}

    def says(self, tellings) -> list[str]:
        """Who is told what."""
        return sorted(f"{each.channel} {each.told}" for each in tellings)

    def begin(self, affair: Affair) -> list[str]:
        """An affair begins."""
        self.affairs[affair.id] = affair
        self.book, tellings = begin(self.book, affair, self.policy, self.now)
        return self.says(tellings)

    def tell(self, told, text="so it is") -> list[str]:
        """Something happens to the only affair."""
        (affair,) = self.affairs.values()
        self.book, tellings = tell_again(self.book, affair, told, text, self.policy, self.now)
        return self.says(tellings)

    def change(self, **facts) -> None:
        """The only affair is another one."""
        (affair,) = self.affairs.values()
        self.affairs[affair.id] = replace(affair, **facts)

    def after(self, seconds: float) -> list[str]:
        """Time passes; a look."""
        self.now += timedelta(seconds=seconds)
        self.book, tellings = look(self.book, self.policy, self.affairs.get, self.now)
        self.tellings = tellings
        return self.says(tellings)
