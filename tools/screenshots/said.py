"""What the status page says to whoever looks at it: read from the page that is shown."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from tools.screenshots.browser import Page

READ = r"""(() => {
  const text = (each) => each ? each.innerText.trim().replace(/\s*\n\s*/g, "\n") : "";
  const all = (chosen) => [...document.querySelectorAll(chosen)];
  const one = (chosen) => document.querySelector(chosen);
  return {
    title: document.title, overall: text(one("#overall")), count: text(one("#incident-count")),
    alarm: text(one("#alarm")), notices: all("#notices p").map(text),
    cards: all("#incidents article").map((card) => ({
      component: card.getAttribute("aria-label"), status: card.classList[1], text: text(card),
      runbook: text(card.querySelector('a[href^="/runbooks/"]')),
      commands: [...card.querySelectorAll("dd > code")].map(text),
    })),
    rows: all("#components tr, #checks tr").filter((row) => row.className !== "up")
      .map((row) => row.id + "\n" + text(row)),
    live: one("#fresh").dataset.state, asked: performance.getEntriesByType("resource")
      .filter((each) => each.initiatorType === "fetch").length,
    opened: performance.timeOrigin,
  };
})()"""


@dataclass(frozen=True, slots=True)
class SaidCard:
    """One cause card."""

    component: str
    status: str
    text: str
    runbook: str
    commands: tuple[str, ...] = ()
    """What it asks a person to type."""


@dataclass(frozen=True, slots=True)
class Said:
    """All of it. `after` is in seconds since the fault began, `opened` when the page was loaded in
    milliseconds, `asked` how often it was fetched since, `rows` those that are not up.
    """

    after: float
    title: str
    overall: str
    count: str
    alarm: str
    notices: tuple[str, ...]
    cards: tuple[SaidCard, ...]
    rows: tuple[str, ...]
    live: str
    asked: int
    opened: float

    @property
    def is_calm(self) -> bool:
        """Whether nothing is left to be seen to: what works again may be watched for a while."""
        bad = [each for each in self.cards if each.status != "up"]
        return self.overall == "up" and not (bad or self.rows or self.notices or self.alarm)

    @property
    def asked_for(self) -> set[str]:
        """Commands that end what only a person may end."""
        typed = {each for card in self.cards for each in card.commands}
        return {each for each in typed if each.startswith("sentinel reset ")}

    def describe(self) -> str:
        """For people, to be compared line by line."""
        lines = [
            f"{self.after:.1f} s after the fault began: {self.title}",
            f"overall: {self.overall}; channel: {self.live}",
            self.count,
        ]
        lines += [f"! {each}" for each in (self.alarm, *self.notices) if each]
        for card in self.cards:
            lines += ["", f"[{card.status}] card of {card.component}"]
            lines += [f"  {line}" for line in card.text.splitlines()]
        if self.rows:
            lines += ["", "Not up"]
            lines += ["  " + row.replace("\n", " | ") for row in self.rows]
        return "\n".join(lines) + "\n"


async def read_said(page: Page, after: float) -> Said:
    """What it says now."""
    found: Mapping[str, Any] = await page.evaluate(READ)
    given = {
        **found,
        "after": round(after, 2),
        "notices": tuple(found["notices"]),
        "rows": tuple(found["rows"]),
        "cards": tuple(
            SaidCard(**{**each, "commands": tuple(each["commands"])}) for each in found["cards"]
        ),
    }
    return Said(**given)


def judge_channel(all_said: Iterable[Said]) -> list[str]:
    """Whether one page that was opened once heard it all by its live channel."""
    known = list(all_said)
    wrong = [
        f"{each.after:.0f} s: the channel is {each.live}" for each in known if not _is_live(each)
    ]
    if len({each.opened for each in known}) > 1:
        wrong.append("the page was loaded anew")
    if any(each.asked for each in known):
        wrong.append("the page was fetched anew: the channel alone did not do")
    return wrong


def _is_live(said: Said) -> bool:
    return said.live == "live" and not said.alarm


def write_json(all_said: Mapping[str, Said]) -> str:
    """By moment."""
    return json.dumps({name: asdict(said) for name, said in all_said.items()}, indent=1)
