"""What an entry carries: names by template, values through nested JSON."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.core.bus.envelope import Envelope, Template, read_first

AGENT = Template("agent_messages:{agent}")


@pytest.mark.parametrize(
    ("text", "glob", "per_agent"),
    [
        ("agent_messages:{agent}", "agent_messages:*", True),
        ("a[1]:{agent}:in?", r"a\[1\]:*:in\?", True),
        ("tasks", "tasks", False),
        ("tasks*", r"tasks\*", False),
    ],
)
def test_template_as_a_pattern(text, glob, per_agent):
    """What is no place for the agent means itself."""
    assert Template(text).glob == glob
    assert Template(text).per_agent is per_agent


@pytest.mark.parametrize(
    ("text", "name", "agent"),
    [
        ("agent_messages:{agent}", "agent_messages:agent-1", "agent-1"),
        ("agent_messages:{agent}", "agent_messages:", None),
        ("agent_messages:{agent}", "other:agent-1", None),
        ("{agent}.in", "a.b.in", "a.b"),
        ("a.{agent}", "axb", None),
        ("tasks", "tasks", ""),
        ("tasks", "tasks2", None),
    ],
)
def test_whose_stream_it_is(text, name, agent):
    """The agent of its own stream, "" of a common one, None of another name."""
    assert Template(text).agent_of(name) == agent


@given(st.text(min_size=1).filter(lambda text: "\n" not in text))
def test_what_was_filled_in_is_found_again(agent):
    """Whatever the agent is called."""
    assert AGENT.agent_of(AGENT.fill(agent)) == agent
    assert fnmatchcase(AGENT.fill(agent), AGENT.glob)


NESTED = {
    "task_id": "t1",
    "a.b": "dotted",
    "body": json.dumps({"task": {"id": 7}, "ok": True, "text": json.dumps({"id": "deep"})}),
    "broken": "{",
    "list": "[1]",
    "empty": "",
}


@pytest.mark.parametrize(
    ("paths", "value"),
    [
        (["task_id"], "t1"),
        (["a.b"], "dotted"),
        (["body.task.id"], "7"),
        (["body.text.id"], "deep"),
        (["body.ok"], ""),
        (["body.task"], ""),
        (["body.nothing"], ""),
        (["broken.x"], ""),
        (["list.0"], ""),
        (["empty", "missing", "task_id"], "t1"),
        (["missing"], ""),
        ([], ""),
    ],
)
def test_first_path_that_leads_somewhere(paths, value):
    """Text or a whole number; truth values, objects and broken JSON are nothing."""
    assert read_first(NESTED, paths) == value


def test_body_of_absurd_depth_is_nothing():
    """It blames nobody and ends nothing."""
    assert read_first({"body": "[" * 100_000}, ["body.x"]) == ""


@pytest.mark.parametrize(
    ("types", "kind", "task"),
    [
        ((), "anything", "t1"),
        (("TASK",), "task", "t1"),
        (("task",), "result", ""),
        (("task",), "", ""),
    ],
)
def test_task_only_of_entries_of_the_right_type(types, kind, task):
    """Upper and lower case are the same; without types every entry counts."""
    envelope = Envelope(["task_id"], ["message_id"], ["type"], types)
    fields = {"task_id": "t1", "message_id": "m1", "type": kind}
    assert envelope.task_of(fields) == task
    assert envelope.message_of(fields) == "m1"
