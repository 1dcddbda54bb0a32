"""Going on after an interruption: what is settled stays, what was begun is looked at before it is
done again.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sentinel.core.fault import Status
from sentinel.runbook.plan import BookPlan, make_plan
from sentinel.runbook.read import read_runbook
from sentinel.runbook.run import Care, keep_reading, run_plan, show_plan
from sentinel.runbook.shelf import digest_plan
from sentinel.runbook.transcript import BEGUN, StepRecord, Transcript, describe_kept
from tests.unit.runbook.test_run import Recorder, outcomes

Write = Callable[..., Path]
STEPS = """
  - {name: look, run: {check: c}}
  - {name: change, run: {action: halt}, verify: {check: v}, timeout: 300ms}
  - {name: after, run: {check: d}}"""
LOOK = StepRecord("look", "check c", False, "done", "up", seconds=1.0)
CHANGE = StepRecord("change", "action halt", True, BEGUN)


def plan_of(write_book: Write, steps: str = STEPS, parameters: str = "", **values: str) -> BookPlan:
    return make_plan(read_runbook(write_book(steps, parameters)), values)


async def go(
    plan: BookPlan, hands: Recorder, *, yes: bool = True, again: bool = False, **earlier: StepRecord
) -> Transcript:
    records = {int(name.removeprefix("s")): record for name, record in earlier.items()}
    return await run_plan(
        plan, hands, Care(lambda _step: yes, lambda _step: again, earlier=records)
    )


async def test_every_step_is_noted_before_and_after(write_book: Write) -> None:
    """A step is written down before it begins, and again with its end; never the end alone."""
    noted: list[tuple[int, str]] = []
    care = Care(
        lambda _step: True, note=lambda number, record: noted.append((number, record.outcome))
    )
    await run_plan(plan_of(write_book), Recorder(), care)
    assert noted == [(0, BEGUN), (0, "done"), (1, BEGUN), (1, "done"), (2, BEGUN), (2, "done")]


async def test_a_change_is_noted_before_its_act(write_book: Write) -> None:
    """In the moment of the act the note is there already, and it comes after the permission."""
    hands = Recorder()
    care = Care(
        lambda _step: True,
        note=lambda number, record: hands.asked.append(f"note {number} {record.outcome}"),
    )
    await run_plan(plan_of(write_book), hands, care)
    assert hands.asked[3:7] == ["permit change", f"note 1 {BEGUN}", "action halt {}", "check v"]


async def test_finished_steps_are_not_repeated(write_book: Write) -> None:
    """A resumed run begins after the last finished step; what was found before stays in its
    transcript.
    """
    hands = Recorder()
    transcript = await go(plan_of(write_book), hands, s0=LOOK)
    assert hands.asked == ["permit change", "action halt {}", "check v", "check d"]
    assert transcript.records[0] == LOOK


async def test_a_begun_change_that_verifies_is_done(write_book: Write) -> None:
    """The change happened before the interruption: its verify says so, and it is not done a second
    time.
    """
    hands = Recorder(v=[Status.UP])
    transcript = await go(plan_of(write_book), hands, s0=LOOK, s1=CHANGE)
    assert hands.asked == ["check v", "check d"]
    assert outcomes(transcript) == ["done"] * 3
    assert "outcome unknown; verified" in transcript.records[1].detail


async def test_a_begun_change_that_does_not_verify_is_asked_for(write_book: Write) -> None:
    """Nobody knows whether it happened: it is repeated only when a person says so, whatever --yes
    says.
    """
    hands = Recorder(v=[Status.DOWN])
    transcript = await go(plan_of(write_book), hands, s0=LOOK, s1=CHANGE)
    assert outcomes(transcript) == ["done", "declined", "not reached"]
    assert "action halt {}" not in hands.asked
    assert "not repeated" in transcript.records[1].detail


async def test_a_begun_change_is_repeated_when_a_person_says_so(write_book: Write) -> None:
    """With the person's word it is done again, under the same permission and verification."""
    hands = Recorder(v=[Status.DOWN, Status.UP])
    transcript = await go(plan_of(write_book), hands, again=True, s0=LOOK, s1=CHANGE)
    assert hands.asked == ["check v", "permit change", "action halt {}", "check v", "check d"]
    assert transcript.outcome == "done"


async def test_a_begun_change_without_verify_is_asked_for(write_book: Write) -> None:
    """Without a way to look there is only the question."""
    steps = "  - {name: change, run: {action: halt}}"
    hands = Recorder()
    transcript = await go(plan_of(write_book, steps), hands, s0=CHANGE)
    assert (outcomes(transcript), hands.asked) == (["declined"], [])


@pytest.mark.parametrize("outcome", ["declined", "stopped", "failed"])
async def test_a_change_that_did_not_come_about_is_tried_again(
    write_book: Write, outcome: str
) -> None:
    """What ended the run before is asked for and done now; its outcome is known, so --yes is
    enough.
    """
    hands = Recorder()
    ended = StepRecord("change", "action halt", True, outcome)
    transcript = await go(plan_of(write_book), hands, s0=LOOK, s1=ended)
    assert hands.asked == ["permit change", "action halt {}", "check v", "check d"]
    assert transcript.outcome == "done"


async def test_a_begun_look_is_done_again(write_book: Write) -> None:
    """Looking twice harms nobody."""
    hands = Recorder()
    await go(plan_of(write_book), hands, s0=StepRecord("look", "check c", False, BEGUN))
    assert hands.asked[0] == "check c"


async def test_no_change_while_halted(write_book: Write) -> None:
    """The kill switch is asked after the confirmation and right before the act: then nothing
    happens.
    """
    hands = Recorder()
    asked: list[str] = []

    def confirm_and_be_halted(step: object) -> bool:
        asked.append("confirmed")
        hands.halted = True
        return True

    transcript = await run_plan(plan_of(write_book), hands, Care(confirm_and_be_halted))
    assert asked == ["confirmed"]
    assert outcomes(transcript) == ["done", "failed", "not reached"]
    assert transcript.records[1].detail == "halted"
    assert "action halt {}" not in hands.asked


async def test_reading_only(write_book: Write) -> None:
    """The plan of a diagnosis has no step that changes something."""
    hands = Recorder()
    plan = keep_reading(plan_of(write_book))
    transcript = await run_plan(plan, hands, Care(lambda _step: True))
    assert hands.asked == ["check c", "check d"]
    assert transcript.outcome == "done"


async def test_a_step_without_its_value_is_skipped(write_book: Write) -> None:
    """A parameter that nobody gave and that has no sensible default skips the steps that need it,
    changes as well.
    """
    steps = """
  - {name: a, run: {check: "{part}.process"}}
  - {name: b, run: {check: c}}
  - {name: d, run: {action: restart, args: {component: "{part}"}}}"""
    parameters = '  - {name: part, type: component, default: ""}'
    hands = Recorder()
    plan = plan_of(write_book, steps, parameters)
    transcript = await run_plan(plan, hands, Care(lambda _step: True))
    assert (outcomes(transcript), hands.asked) == (["skipped", "done", "skipped"], ["check c"])
    assert transcript.records[0].detail == "nobody told part: give part=…"
    assert "part=…" in show_plan(plan, hands.now()).text
    assert transcript.records[0].act == "check {part}.process"
    given = make_plan(plan.book, {"part": "api"})
    assert (await run_plan(given, hands, Care(lambda _step: True))).outcome == "done"


def test_the_digest_tells_a_changed_runbook(write_book: Write) -> None:
    """A changed step or value is another plan; a changed text around it is not."""
    plan = plan_of(write_book)
    assert digest_plan(plan) == digest_plan(plan_of(write_book))
    assert digest_plan(plan) != digest_plan(
        plan_of(write_book, STEPS.replace("check: d", "check: e"))
    )
    path = write_book(STEPS)
    path.write_text(path.read_text().replace("Text.", "Another text."))
    assert digest_plan(plan) == digest_plan(make_plan(read_runbook(path), {}))


async def test_what_is_in_messages_is_kept_nowhere(write_book: Write) -> None:
    """A reply that shows messages is for who asked: timeline, store and report get its outcome
    only.
    """
    steps = """
  - {name: a, run: {redis: [XRANGE, s, "-", "+"], resource: bus}}
  - {name: b, run: {redis: [XINFO, GROUPS, s], resource: bus}}"""

    class Hands(Recorder):
        async def redis(self, resource: str, argv: object) -> object:
            return [[b"1-1", [b"amount", b"12345"]]]

    transcript = await run_plan(plan_of(write_book, steps), Hands(), Care())
    assert "12345" in transcript.records[0].output
    kept = describe_kept(transcript)
    assert kept["transcript"].count("12345") == 1
    assert "not kept" in kept["transcript"]
    assert kept["steps"][0]["outcome"] == "done"


async def test_a_kept_transcript_is_bounded(write_book: Write) -> None:
    """So many lines of each step, so many characters of all."""
    transcript = await run_plan(
        plan_of(write_book, "  - {name: a, run: ['seq', '1000'], changes: false}"),
        Recorder(),
        Care(),
    )
    text = describe_kept(transcript, max_output=10)["transcript"]
    assert "| 10\n" in text
    assert "| 11\n" not in text
    assert "990 more lines" in text
    assert len(describe_kept(transcript, max_output=1000, max_text=500)["transcript"]) == 500
