"""Running: dry by default, guarded, bounded, written down."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sentinel.adapters.process.program import MAX_OUTPUT, _read, find_program
from sentinel.core.fault import Status
from sentinel.core.model import Finding
from sentinel.errors import ActionRefused, TargetUnreachable, UsageError
from sentinel.redaction import Redaction
from sentinel.runbook.book import Argv, BookStep, RedisCommand, Runbook, Sql
from sentinel.runbook.plan import make_plan
from sentinel.runbook.read import read_runbook
from sentinel.runbook.run import Care, run_plan, run_runbook
from sentinel.runbook.transcript import StepRecord, Transcript, redact, show_reply
from sentinel.store.document import to_json

Write = Callable[..., Path]


class Recorder:
    """Hands that write down what they are asked for. Statuses per check, in order, the last one
    stays.
    """

    def __init__(self, **statuses: list[Status]) -> None:
        self.statuses = statuses
        self.asked: list[str] = []
        self.halted = False

    async def run_check(self, name: str) -> Finding:
        self.asked.append(f"check {name}")
        left = self.statuses.get(name, [Status.UP])
        status = left.pop(0) if len(left) > 1 else left[0]
        return Finding(status, f"{name} says {status}")

    async def sql(self, resource: str, text: str) -> Sequence[Mapping[str, Any]]:
        self.asked.append(f"sql {resource}")
        if "slow" in text:
            await asyncio.sleep(30)
        return [{"n": 1 if "yes" in text else 0, "password": "password=hunter2"}]

    async def redis(self, resource: str, argv: Sequence[str]) -> Any:
        self.asked.append(f"redis {' '.join(argv)}")
        if argv[0] == "ROLE":
            raise TargetUnreachable("refused")
        return [b"a", [b"\xff", 3], None] if argv[0] == "INFO" else 0

    async def look(self, view: str, subject: str) -> str:
        self.asked.append(f"look {view} {subject}".strip())
        return "seen"

    async def permit(self, step: BookStep) -> None:
        self.asked.append(f"permit {step.name}")
        if self.halted:
            raise ActionRefused("halted")

    async def action(self, name: str, args: Mapping[str, str]) -> str:
        self.asked.append(f"action {name} {dict(args)}")
        if name == "resume":
            raise ActionRefused("the journal is lost")
        return "ordered"

    def now(self) -> datetime:
        return datetime.now(UTC)


async def run(
    book: Path | Runbook, hands: Recorder, *, yes: bool = True, dry_run: bool = False
) -> Transcript:
    read = read_runbook(book) if isinstance(book, Path) else book
    return await run_runbook(read, {}, hands, dry_run=dry_run, confirm=lambda _step: yes)


def outcomes(transcript: Transcript) -> list[str]:
    return [record.outcome for record in transcript.records]


ALL = """
  - {name: a, run: {check: c}, precondition: {check: p}}
  - {name: b, run: {sql: SELECT 1, resource: db}}
  - {name: c, run: {redis: [PING], resource: bus}}
  - {name: d, run: [touch, "%s"], changes: true}
  - {name: e, run: {action: halt}, verify: {check: v}}"""


async def test_dry_run_runs_nothing(write_book: Write, tmp_path: Path) -> None:
    """By default the plan is shown and nothing runs: no check, no program, no action, no question."""
    hands = Recorder()
    transcript = await run_runbook(
        read_runbook(write_book(ALL % (tmp_path / "touched"))), {}, hands
    )
    assert hands.asked == []
    assert not (tmp_path / "touched").exists()
    assert transcript.outcome == "dry run"
    assert outcomes(transcript) == ["planned"] * 5
    assert "dry run: nothing was run" in transcript.text
    assert "only if check p is up" in transcript.text


async def test_everything_runs_in_order(write_book: Write, tmp_path: Path) -> None:
    """A real run does every step once, in order, and writes it down."""
    hands = Recorder()
    transcript = await run(write_book(ALL % (tmp_path / "touched")), hands)
    assert hands.asked == [
        "check p",
        "check c",
        "sql db",
        "redis PING",
        "permit d",
        "permit e",
        "action halt {}",
        "check v",
    ]
    assert (tmp_path / "touched").exists()
    assert transcript.outcome == "done"
    assert json.loads(json.dumps(to_json(transcript)))["records"][4]["outcome"] == "done"


async def test_nothing_changes_without_confirmation(write_book: Write, tmp_path: Path) -> None:
    """A changing step that is not confirmed is not run, and neither is what follows; the default is
    no.
    """
    hands = Recorder()
    book = read_runbook(write_book(ALL % (tmp_path / "touched")))
    for transcript in (
        await run(book, hands, yes=False),
        await run_runbook(book, {}, hands, dry_run=False),
    ):
        assert outcomes(transcript) == ["done", "done", "done", "declined", "not reached"]
        assert transcript.outcome == "declined"
    assert not (tmp_path / "touched").exists()
    assert not any(asked.startswith("action") for asked in hands.asked)


async def test_false_precondition_stops(write_book: Write) -> None:
    """A precondition that does not hold stops the run with its reason, before the question is
    asked.
    """
    hands = Recorder(p=[Status.UP])
    steps = "  - {name: a, run: {action: halt}, precondition: {check: p, is: [down]}}\n  - {name: b, run: {check: x}}"
    asked: list[BookStep] = []
    transcript = await run_runbook(
        read_runbook(write_book(steps)),
        {},
        hands,
        dry_run=False,
        confirm=lambda step: bool(asked.append(step)),
    )
    assert (asked, hands.asked) == ([], ["check p"])
    assert outcomes(transcript) == ["stopped", "not reached"]
    assert "check p is down: up: p says up" in transcript.records[0].detail


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("{sql: SELECT yes, resource: db}", True), ("{sql: SELECT no, resource: db}", False),
        ("{redis: [INFO], resource: bus}", True), ("{redis: [PING], resource: bus}", False),
        ("{redis: [ROLE], resource: bus}", False), ("[test, -d, /]", True), ("[test, -f, /]", False),
        ("[no-such-program]", False), ("{check: x}", True), ("{check: x, is: [down]}", False),
    ],
)  # fmt: skip
async def test_conditions(write_book: Write, condition: str, holds: bool) -> None:
    """Each shape of a condition holds or not; one that can't be asked does not hold."""
    transcript = await run(
        write_book(f"  - {{name: a, run: {{check: c}}, precondition: {condition}}}"), Recorder()
    )
    assert outcomes(transcript) == ["done" if holds else "stopped"]


async def test_verification_waits(write_book: Write) -> None:
    """Verification is asked again until it holds, within the step's time."""
    hands = Recorder(v=[Status.DOWN, Status.DOWN, Status.UP])
    transcript = await run(
        write_book("  - {name: a, run: {action: halt}, verify: {check: v}, timeout: 5s}"), hands
    )
    assert transcript.outcome == "done"
    assert hands.asked.count("check v") == 3


async def test_unverified_change_fails(write_book: Write) -> None:
    """A change that does not verify in time is failed, and the run ends."""
    steps = "  - {name: a, run: {action: halt}, verify: {check: v}, timeout: 200ms}\n  - {name: b, run: {check: x}}"
    transcript = await run(write_book(steps), Recorder(v=[Status.DOWN]))
    assert outcomes(transcript) == ["failed", "not reached"]
    assert transcript.outcome == "failed"
    assert "not verified" in transcript.records[0].detail


async def test_failed_reading_goes_on_failed_change_ends(write_book: Write) -> None:
    """A look that fails is written down and the run goes on; an action that is refused ends it."""
    steps = """
  - {name: a, run: {redis: [ROLE], resource: bus}}
  - {name: b, run: [no-such-program], changes: false}
  - {name: c, run: {action: resume}}
  - {name: d, run: {check: x}}"""
    transcript = await run(write_book(steps), Recorder())
    assert outcomes(transcript) == ["failed", "skipped", "failed", "not reached"]
    assert [record.detail for record in transcript.records[:3]] == [
        "refused",
        "no program 'no-such-program' in the system's folders",
        "the journal is lost",
    ]
    reading = await run(
        write_book("  - {name: a, run: {redis: [ROLE], resource: bus}}"), Recorder()
    )
    assert reading.outcome == "done with failures"


async def test_builtin_past_its_deadline(write_book: Write) -> None:
    """A built-in that does not answer in time is failed with that reason."""
    transcript = await run(
        write_book("  - {name: a, run: {sql: SELECT slow, resource: d}, timeout: 50ms}"), Recorder()
    )
    assert transcript.records[0].detail == "no answer within 50 ms"


async def test_program_past_its_deadline_is_ended_with_its_children(
    write_book: Write, tmp_path: Path
) -> None:
    """At the deadline the whole process group is ended, also children that ignore TERM."""
    script = tmp_path / "hang"
    script.write_text(
        "#!/bin/sh\ntrap '' TERM\nsh -c 'trap \"\" TERM; echo child $$; sleep 60' &\necho self $$\nwait\nwait\n"
    )
    script.chmod(0o755)
    transcript = await run(
        write_book(f"  - {{name: a, run: [{script}], changes: true, timeout: 300ms}}"), Recorder()
    )
    (record,) = transcript.records
    assert record.outcome == "failed"
    assert record.detail.startswith("ended at its deadline")
    pids = [int(line.split()[1]) for line in record.output.splitlines()]
    assert len(pids) == 2
    for pid in pids:
        await _until_gone(pid)


async def _until_gone(pid: int) -> None:
    async with asyncio.timeout(10):
        while _is_running(pid):
            await asyncio.sleep(0.02)


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def test_cancelled_run_leaves_no_program(write_book: Write, tmp_path: Path) -> None:
    """A run that is cancelled (Ctrl-C) kills the program it waits for."""
    script = tmp_path / "hang"
    script.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nexec sleep 60\n")
    script.chmod(0o755)
    running = asyncio.create_task(
        run(write_book(f"  - {{name: a, run: [{script}], changes: true}}"), Recorder())
    )
    async with asyncio.timeout(10):
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
            await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.wait({running})
    await _until_gone(int((tmp_path / "pid").read_text()))


async def test_program_environment_is_clean(
    write_book: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program sees no variable of ours and reads nothing from our terminal."""
    monkeypatch.setenv("SENTINEL_SECRET", "hunter2")
    steps = "  - {name: a, run: [env], changes: false}\n  - {name: b, run: [cat], changes: false}"
    transcript = await run(write_book(steps), Recorder())
    names = {line.split("=")[0] for line in transcript.records[0].output.splitlines()}
    assert names == {"PATH", "LANG", "LC_ALL"}
    assert transcript.records[1].outcome == "done"


async def test_program_found_outside_of_path(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Programs come from the system's folders, whatever PATH says; a relative path is refused."""
    fake = tmp_path / "df"
    fake.write_text("#!/bin/sh\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = find_program("df")
    assert found is not None
    assert found != str(fake)
    assert os.path.isabs(found)  # noqa: PTH117 - of a text
    monkeypatch.chdir(tmp_path)
    assert find_program("./df") is None
    assert find_program(str(fake)) == str(fake)


async def test_endless_output_is_cut(write_book: Write) -> None:
    """Output is kept up to its limit; a program that writes for ever is ended at its deadline all
    the same.
    """
    transcript = await run(
        write_book("  - {name: a, run: ['yes'], changes: false, timeout: 300ms}"), Recorder()
    )
    (record,) = transcript.records
    assert record.outcome == "failed"
    assert "[cut at 64 KiB]" in record.output
    assert len(record.output) < MAX_OUTPUT + 100


async def test_dropped_output_takes_no_memory() -> None:
    """What is beyond the limit is read, so that the program goes on, and not kept."""
    stream, kept = asyncio.StreamReader(), bytearray()
    stream.feed_data(b"y" * (10 * MAX_OUTPUT))
    stream.feed_eof()
    await _read(stream, kept)
    assert len(kept) == MAX_OUTPUT + 1
    assert stream.at_eof()


async def test_reading_steps_are_checked_again_before_they_run(write_book: Write) -> None:
    """A step that writes is refused at the moment of running, however it came into the book."""
    book = read_runbook(write_book("  - {name: a, run: {check: c}}"))
    for act in (Sql("db", "DELETE FROM t"), RedisCommand("bus", ("FLUSHALL",))):
        hands = Recorder()
        step = BookStep("a", act, 1.0, changes=False)
        transcript = await run(Runbook("x", "X", book.applies_to, (), (step,), {}, ""), hands)
        assert outcomes(transcript) == ["failed"]
        assert hands.asked == []


async def test_wrong_parameters_run_nothing(write_book: Write) -> None:
    """A usage error comes before the first step."""
    hands = Recorder()
    with pytest.raises(UsageError):
        await run_runbook(
            read_runbook(write_book("  - {name: a, run: {check: c}}")),
            {"x": "y"},
            hands,
            dry_run=False,
        )
    assert hands.asked == []


async def test_transcript_shows_no_secret(write_book: Write) -> None:
    """Passwords in output are starred, bytes and control characters are visible text."""
    steps = "  - {name: a, run: {sql: SELECT yes, resource: db}}\n  - {name: b, run: {redis: [INFO], resource: bus}}"
    transcript = await run(write_book(steps), Recorder())
    assert "hunter2" not in transcript.text
    assert "\\xff" in transcript.records[1].output


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("redis://u:pw@h/0", "redis://u:***@h/0"), ("Authorization: Bearer abc.def", "Authorization: Bearer ***"),
        ("password = x1", "password = ***"), ("requirepass:foo", "requirepass:***"), ("\x1b[2J", "\\x1b[2J"),
        ("agent --api-key k1 --name a", "agent --api-key *** --name a"), ("x --token -v", "x --token -v"),
        ("nothing here", "nothing here"),
    ],
)  # fmt: skip
def test_redaction(text: str, expected: str) -> None:
    """What looks like a secret is starred."""
    assert redact(text) == expected


def test_argv_shows_its_words() -> None:
    """A plan shows where an argument with spaces begins and ends."""
    assert str(Argv(("echo", "a b", ""))) == "echo 'a b' ''"


def test_replies_for_people() -> None:
    """Names stand beside their values, nothing is said to be nothing, and whole messages are only
    named.
    """
    groups = [[b"name", b"g", b"pending", 3, b"lag", None], [b"name", b"h"]]
    assert show_reply(groups, paired=True) == "name: g\npending: 3\nlag: (nil)\nname: h"
    stream = [b"length", 1, b"first-entry", [b"1-1", [b"amount", b"5"]], b"groups", []]
    assert show_reply(stream, paired=True) == "length: 1\nfirst-entry: 1-1\ngroups: (empty)"
    assert show_reply([[b"1-1", [b"a", b"b"]]], paired=True) == "1-1:\n  a: b"
    assert show_reply([b"a", b"b"]) == "a\nb"
    assert show_reply([]) == "(empty)"


async def test_a_check_shows_its_evidence_when_it_is_not_up(write_book: Write) -> None:
    """The ids and cures that a check found are in the transcript; of a healthy one a line is
    enough.
    """

    class Hands(Recorder):
        async def run_check(self, name: str) -> Finding:
            status = Status.UP if name == "good" else Status.DEGRADED
            return Finding(
                status,
                "x",
                evidence={"faults": [{"cure": "XACK s g 1-1"}], "none": []},
                guidance="do it",
            )

    steps = "  - {name: a, run: {check: good}}\n  - {name: b, run: {check: bad}}"
    first, second = (await run(write_book(steps), Hands())).records
    assert "XACK" not in first.output
    assert second.output == 'next: do it\nfaults: \n  {"cure": "XACK s g 1-1"}'


async def test_what_the_platform_has_not_is_skipped(write_book: Write) -> None:
    """A check or resource that does not exist here is no failure of the step; what sentinel
    remembers is a step.
    """

    class Hands(Recorder):
        async def run_check(self, name: str) -> Finding:
            raise UsageError(f"there is no check {name!r}", "known: none")

    steps = "  - {name: a, run: {check: nope}}\n  - {name: b, run: {look: gaps}}"
    transcript = await run(write_book(steps), Hands())
    assert (outcomes(transcript), transcript.outcome) == (["skipped", "done"], "done")
    assert transcript.records[0].detail == "there is no check 'nope' (known: none)"
    assert transcript.records[1].output == "seen"


async def test_command_lines_are_shown_and_kept_nowhere(write_book: Write) -> None:
    """G1: who asked sees them; no state, no timeline does."""
    step = "  - {name: a, run: [ps, -ef], changes: false, command_lines: true}"
    (record,) = (await run(write_book(step), Recorder())).records
    assert "ps -ef" in record.output
    assert record.kept.output.startswith("(not kept")


async def test_a_value_can_not_have_command_lines_shown(write_book: Write) -> None:
    """What was no such program when the book was read may become one."""
    book = write_book(
        '  - {name: a, run: [ps, -e, -o, --, "{columns}"], changes: false}',
        "  - {name: columns, type: str}",
    )
    plan = await run_runbook(read_runbook(book), {"columns": "x"}, Recorder(), dry_run=False)
    assert plan.records[0].outcome == "failed"
    (step,) = read_runbook(book).steps
    shown = replace(step, run=Argv(("ps", "-e", "-o", "args")))
    changed = replace(read_runbook(book), steps=(shown,), parameters=())
    (record,) = (await run_runbook(changed, {}, Recorder(), dry_run=False)).records
    assert (record.outcome, record.output) == ("failed", "")
    assert record.detail == "not run: it would show command lines"


async def test_known_secrets_are_hidden_before_anybody_keeps_them(write_book: Write) -> None:
    """In the act, in what was said, in the output: also for the file of the run."""
    kept: list[StepRecord] = []
    care = Care(
        note=lambda _number, record: kept.append(record), scrub=Redaction(["canary-word"]).scrub
    )
    book = read_runbook(write_book("  - {name: a, run: [echo, canary-word], changes: false}"))
    transcript = await run_plan(make_plan(book, {}, {}), Recorder(), care)
    assert "canary-word" not in repr(kept) + transcript.text
    assert kept[-1].output == "***\n"
