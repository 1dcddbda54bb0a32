"""What every driver of a foreign manager does: it tells an end once, and believes the start id, not
the reply.
"""

from __future__ import annotations

import pytest

from sentinel.errors import NotMeasurable, ReplyLost, TargetRejected
from sentinel.remediation import (
    ACTIONS,
    Observation,
    Outcome,
    OutsideDriver,
    load_drivers,
)

RUNS = Observation(True, "a", 7, "runs")
AGAIN = Observation(True, "b", 8, "runs again")
ENDED = Observation(False, detail="crashed")
BLIND = Observation(None, detail="nobody tells")


class Script:
    """A manager that shows one observation after the other (the last one stays) and has one answer."""

    actions = ACTIONS

    def __init__(self, *seen, answer=None) -> None:
        self.seen, self.answer, self.asked = list(seen), answer or Outcome(True, "done"), []

    async def look(self) -> Observation:
        seen = self.seen.pop(0) if len(self.seen) > 1 else self.seen[0]
        if isinstance(seen, Exception):
            raise seen
        return seen

    async def act(self, action: str, key: str) -> Outcome:
        self.asked.append((action, key))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def close(self) -> None:
        self.asked.append("closed")


async def test_it_remembers_what_it_saw():
    """Process id and start id of the last look; the start id outlives the component."""
    driver = OutsideDriver(Script(RUNS, ENDED))
    await driver.observe()
    assert (driver.pid, driver.start_id, driver.how_ended) == (7, "a", "")
    await driver.observe()
    assert (driver.pid, driver.start_id, driver.how_ended) == (None, "a", "crashed")


async def test_an_end_is_told_once():
    """Only when it was seen to run before, and not for as long as nothing can be seen."""
    driver = OutsideDriver(Script(ENDED, RUNS, BLIND, RUNS, ENDED, ENDED, BLIND, ENDED))
    told = []
    driver.watch(told.append)
    for _ in range(8):
        await driver.observe()
    assert told == ["crashed"]


async def test_what_can_not_be_seen_is_unknown():
    """An error of the adapter is no death: the reason and its remedy are kept."""
    driver = OutsideDriver(Script(NotMeasurable("no rights", "get some")))
    seen = await driver.observe()
    assert (seen.running, seen.detail, seen.guidance, driver.how_ended) == (
        None,
        "no rights",
        "get some",
        "",
    )


async def test_nothing_is_adopted_but_the_start_id_is_remembered():
    """Its manager holds it."""
    driver = OutsideDriver(Script(BLIND))
    assert driver.adopt("former") is False
    assert driver.start_id == "former"


@pytest.mark.parametrize("action", ["start", "stop", "restart", "reload"])
async def test_every_action_gets_its_key(action):
    """And the start id that is seen after it."""
    script = Script(RUNS, AGAIN)
    outcome = await getattr(OutsideDriver(script), action)("7/1")
    assert (outcome.word, outcome.start_id, script.asked) == ("done", "b", [(action, "7/1")])


async def test_an_end_during_an_action_is_no_end():
    """A stop that was asked for is not told as a death."""
    driver = OutsideDriver(Script(RUNS, ENDED))
    told = []
    driver.watch(told.append)
    await driver.stop()
    assert (told, driver.how_ended) == ([], "")


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (NotMeasurable("no rights"), "failed"),
        (TargetRejected("no"), "failed"),
        (ReplyLost("?"), "unknown"),
    ],
)
async def test_an_error_is_an_outcome(error, word):
    """Nothing is raised; a reply that was lost leaves open what happened."""
    outcome = await OutsideDriver(Script(RUNS, answer=error)).restart("7/1")
    assert (outcome.word, outcome.detail) == (word, error.message)


@pytest.mark.parametrize(
    ("action", "before", "after", "word"),
    [
        ("restart", RUNS, AGAIN, "done"),
        ("restart", RUNS, RUNS, "unknown"),
        ("restart", RUNS, ENDED, "unknown"),
        ("restart", RUNS, BLIND, "unknown"),
        ("restart", RUNS, Observation(True, "", 8), "unknown"),
        ("restart", BLIND, AGAIN, "unknown"),
        ("restart", ENDED, AGAIN, "done"),
        ("start", ENDED, RUNS, "done"),
        ("start", ENDED, Observation(True), "unknown"),
        ("stop", RUNS, ENDED, "done"),
        ("stop", RUNS, RUNS, "unknown"),
        ("stop", RUNS, BLIND, "unknown"),
        ("reload", RUNS, RUNS, "unknown"),
        ("reload", RUNS, AGAIN, "unknown"),
    ],
)
async def test_a_lost_reply(action, before, after, word):
    """F17: only a new start id (or, for a stop, nothing that runs) proves that it happened."""
    outcome = await getattr(OutsideDriver(Script(before, after, answer=ReplyLost("lost"))), action)(
        "7/1"
    )
    assert outcome.word == word


async def test_what_the_manager_can_not_do_is_refused():
    """And never asked for."""
    script = Script(RUNS)
    script.actions = frozenset({"restart"})
    driver = OutsideDriver(script)
    assert (await driver.reload()).detail == "refused: this driver has no reload for it"
    assert script.asked == []
    driver.close()
    assert script.asked == ["closed"]


def test_every_file_of_the_shelf_is_a_driver():
    """One file for each driver; only one of them is the parent of what it starts."""
    drivers = load_drivers()
    assert set(drivers) == {"command", "docker", "http", "process", "systemd"}
    assert [name for name, kind in drivers.items() if kind.supervises] == ["process"]
    assert all(kind.summary and not kind.unavailable for kind in drivers.values())


def test_every_key_of_a_driver_is_explained():
    """`description` is what people read."""
    fields = [
        field for kind in load_drivers().values() for field in kind.options.model_fields.values()
    ]
    assert all(field.description for field in fields)


async def test_what_ended_right_after_its_start_has_ended():
    """The manager said that it runs, and it does not: no need to wait for the grace to pass."""
    driver = OutsideDriver(Script(ENDED, ENDED))
    assert (await driver.restart()).done
    assert driver.how_ended == "crashed"


@pytest.mark.parametrize(
    ("prompt", "answer"), [(False, Outcome(True, "202")), (True, ReplyLost("?"))]
)
async def test_what_was_only_taken_on_has_not_ended(prompt, answer):
    """The start may not be over yet, or its reply was lost: until it was seen to run, its absence
    is no end.
    """
    driver = OutsideDriver(
        Script(ENDED, ENDED, ENDED, ENDED, RUNS, ENDED, answer=answer), prompt=prompt
    )
    told = []
    driver.watch(told.append)
    await driver.observe()
    assert driver.how_ended == "crashed"
    await driver.restart()
    await driver.observe()
    assert driver.how_ended == ""
    await driver.observe()
    await driver.observe()
    assert (driver.how_ended, told) == ("crashed", ["crashed"])


async def test_what_its_manager_is_at_work_on_has_not_ended():
    """systemd's auto-restart: it does not run, and that is not its end."""
    driver = OutsideDriver(
        Script(RUNS, Observation(False, detail="is being restarted", busy=True), ENDED)
    )
    for _ in range(2):
        await driver.observe()
    assert driver.how_ended == ""
    await driver.observe()
    assert driver.how_ended == "crashed"
