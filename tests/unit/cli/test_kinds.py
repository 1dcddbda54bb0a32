"""`sentinel kinds`: what a person can write in a check."""

from sentinel.cli.commands import _describe_kind
from sentinel.probes import load_kinds


def test_options_within_options_are_shown() -> None:
    """Nobody can guess the keys of `children` or `begun_when`."""
    options = {each["option"]: each for each in _describe_kind(load_kinds()["flows"])["options"]}
    assert options["children.join"]["default"] == "required"
    assert options["children.begun_when.progress"]["what"]
    assert options["second_status.conflicts.status"]["what"]
    assert all(each["what"] for name, each in options.items() if "." in name)
