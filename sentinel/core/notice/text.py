"""Affairs in the words of who reads a notice at night: one line that says everything, then the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

from sentinel.core.fault import Severity
from sentinel.core.foreign.visible import make_visible
from sentinel.core.notice import OVER, RANKS, Affair, Notice, NoticeLabels, Tidings
from sentinel.core.notice.book import OPENING, Telling
from sentinel.core.notice.storm import Heap

MAX_TITLE, MAX_TEXT = 200, 2000
_HEADS: Mapping[Tidings, str] = {
    Tidings.OPENED: "",
    Tidings.WORSE: "worse: ",
    Tidings.ESCALATED: "not acknowledged: ",
    Tidings.REMINDER: "still: ",
    Tidings.EXHAUSTED: "a person has to act: ",
    Tidings.RELAPSED: "again: ",
    Tidings.RECOVERED: "recovered: ",
    Tidings.CLOSED: "closed: ",
}
ALERT = "SentinelIncident"


@dataclass(frozen=True, slots=True)
class Letterhead:
    """What every notice says of sentinel: the platform, and where its page is."""

    platform: str = "platform"
    page: str = ""

    def link(self, affair: Affair) -> str:
        """Where a person reads on; "" without a page."""
        if not self.page:
            return ""
        base = self.page.rstrip("/")
        return f"{base}/incident/{quote(affair.id)}" if affair.kind == "incident" else f"{base}/"


def name_alert(affair: Affair) -> NoticeLabels:
    """What an affair is called where alerts are kept: the same from its beginning to its end."""
    return {
        "alertname": ALERT,
        "platform": affair.platform,
        "component": affair.component,
        "severity": str(affair.severity),
        "incident": affair.id,
    }


def write_notice(telling: Telling, head: Letterhead, now: datetime) -> Notice:
    """The notice of one telling."""
    affair = telling.affair
    return Notice(
        key=telling.key,
        channel=telling.channel,
        told=telling.told,
        affair=affair.id,
        platform=affair.platform,
        component=affair.component,
        severity=affair.severity,
        title=shorten(write_title(telling), MAX_TITLE),
        text=shorten(_write_text(telling), MAX_TEXT),
        at=now,
        began=affair.began,
        labels=name_alert(affair),
        former=name_alert(telling.former) if telling.former is not None else {},
        runbook=affair.runbook,
        link=head.link(affair),
        dependants=affair.dependants,
    )


def write_title(telling: Telling) -> str:
    """One line: `[demo] recovered: bus is healthy after 12.0 s`."""
    text = telling.text
    if telling.told is Tidings.ACKNOWLEDGED:  # by whom, of what: its text says who alone
        text = f"{text}: {telling.affair.text}"
    return f"[{telling.affair.platform}] {_HEADS.get(telling.told, '')}{_first_line(text)}"


def _first_line(text: str) -> str:
    return " ".join(text.split())


def _write_text(telling: Telling) -> str:
    affair, lines = telling.affair, [telling.text]
    if telling.text != affair.text and telling.told is not Tidings.OPENED:
        lines.append(f"it was: {affair.text}" if telling.told in OVER else affair.text)
    if affair.needed_by:
        many = f"{affair.needed_by} component{'s' * (affair.needed_by != 1)}"
        bad = f"{affair.dependants or 'none'} of them bad by now"
        if affair.needed_by == 1:
            bad = "bad by now" if affair.dependants else "not bad by now"
        lines.append(f"needed by {many}, {bad}")
    if affair.check:
        lines.append(f"found by check {affair.check}, since {affair.began:%Y-%m-%d %H:%M:%S} UTC")
    if affair.runbook:
        lines.append(f"runbook: {affair.runbook}")
    if telling.told in OPENING and affair.kind == "incident":
        lines.append(f"acknowledge: sentinel incident ack {affair.id}")
    return "\n".join(lines)


def write_digest(channel: str, heap: Heap, head: Letterhead, now: datetime) -> Notice:
    """One notice for many."""
    worst = max(heap.first, key=lambda each: RANKS[each.affair.severity])
    lines = tuple(shorten(write_title(each), MAX_TITLE) for each in heap.first)
    more = [f"… and {heap.count - len(lines)} more"] if heap.count > len(lines) else []
    return Notice(
        key=f"digest/{head.platform}/{heap.number}/{worst.key}",
        channel=channel,
        told=Tidings.DIGEST,
        affair=f"digest-{heap.number}",
        platform=head.platform,
        component="",
        severity=worst.affair.severity,
        title=shorten(f"[{head.platform}] {heap.count} more notices at once", MAX_TITLE),
        text=shorten("\n".join([*lines, *more]), 2 * MAX_TEXT),
        at=now,
        began=now,
        link=head.page,
        lines=lines,
    )


def write_test(channel: str, head: Letterhead, now: datetime) -> Notice:
    """What `sentinel notify test` sends."""
    return Notice(
        key=f"test/{channel}/{now.isoformat()}",
        channel=channel,
        told=Tidings.TEST,
        affair=f"test-{channel}",
        platform=head.platform,
        component="",
        severity=Severity.INFO,
        title=f"[{head.platform}] test of the channel {channel}",
        text="Somebody asked sentinel to show that this channel works. Nothing is wrong.",
        at=now,
        began=now,
        labels={
            "alertname": "SentinelTest",
            "platform": head.platform,
            "severity": str(Severity.INFO),
            "incident": f"test-{channel}",
        },
        link=head.page,
    )


def shorten(text: str, most: int) -> str:
    """At most so many characters, nothing of which hides or moves."""
    shown = make_visible(text)
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"


def write_report_notice(
    channel: str, name: str, headline: str, files: Sequence[str], head: Letterhead, now: datetime
) -> Notice:
    """That a report was written: its headline, and its files by their names."""
    return Notice(
        key=f"report/{channel}/{name}/{now.isoformat()}",
        channel=channel,
        told=Tidings.REPORT,
        affair=f"report-{name}-{now:%Y%m%dT%H%M%S}",
        platform=head.platform,
        component="",
        severity=Severity.INFO,
        title=shorten(f"[{head.platform}] {name}: {headline}", MAX_TITLE),
        text=shorten("\n".join([headline, *files]), MAX_TEXT),
        at=now,
        began=now,
        labels={
            "alertname": "SentinelReport",
            "platform": head.platform,
            "severity": str(Severity.INFO),
            "incident": f"report-{name}",
        },
        link=f"{head.page.rstrip('/')}/reports/" if head.page else "",
        lines=tuple(files),
    )
