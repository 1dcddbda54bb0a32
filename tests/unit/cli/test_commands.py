"""The table of commands is whole."""

import importlib

import pytest

from sentinel.cli.commands import COMMANDS, TOPICS, Command


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.words)
def test_a_command_calls_what_there_is(command: Command) -> None:
    """The table names functions in text, so nothing else would notice a wrong name."""
    module, _, name = command.call.partition(".")
    assert callable(getattr(importlib.import_module(f"sentinel.cli.{module}"), name))


def test_every_topic_has_commands() -> None:
    """And every first word of two has a help."""
    topics = {each.words.split()[0] for each in COMMANDS if " " in each.words}
    assert topics == TOPICS.keys()
