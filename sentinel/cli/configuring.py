"""Commands of the configuration: is it right, what does it say, what may it say?"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

from sentinel.app.exposure import find_exposure
from sentinel.app.runbooks.places import check_runbooks
from sentinel.cli.columns import Columns, Line, show
from sentinel.cli.manual import options_table, to_rows
from sentinel.cli.place import Arguments, print_json
from sentinel.cli.tables import clean
from sentinel.config import Configuration, Overrides, load
from sentinel.config.model import PlatformSettings
from sentinel.config.shown import DEFAULT, show_configuration
from sentinel.errors import ConfigurationError, UsageError
from sentinel.store.document import to_json
from sentinel.strict.describe import OptionRow, describe_options


def validate(arguments: Arguments) -> int:
    """`sentinel validate`"""
    try:
        configuration = _load_faultless(arguments.config)
    except ConfigurationError as error:
        if arguments.json:
            print_json(
                {"valid": False, "problems": [to_json(problem) for problem in error.problems]}
            )
            return error.exit_code
        raise
    counts = {
        "resources": len(configuration.resources),
        "components": len(configuration.components),
        "checks": len(configuration.checks),
    }
    sources = {
        name: each.password_from
        for name, each in configuration.resources.items()
        if each.password_from
    }
    if arguments.json:
        document = {"valid": True, "platform": configuration.platform, **counts}
        return print_json({**document, "passwords": sources})
    told = [_count(counts[word], word) for word in ("checks", "components", "resources")]
    print(f"valid: {', '.join(told)}")
    for name, source in sources.items():
        print(f"  password of {name}: from {source}")
    return 0


def _count(number: int, plural: str) -> str:
    return f"{number:,} {plural.removesuffix('s') if number == 1 else plural}"


def _load_faultless(path: Path) -> Configuration:
    """Stricter than what a daemon starts with: what has lapsed is refused, too."""
    configuration = load(path)
    problems = [*configuration.lapsed, *find_exposure(configuration, configuration.state)]
    try:
        check_runbooks(configuration)
    except ConfigurationError as error:
        problems += error.problems
    if problems:
        raise ConfigurationError(problems)
    return configuration


def config_show(arguments: Arguments) -> int:
    """`sentinel config show`: the configuration as it is read here and now."""
    rows = show_configuration(arguments.config, os.environ)
    found = [row for row in rows if is_below(row.key, arguments.prefix)]
    if not found:
        raise _refuse_prefix(arguments.prefix, [row.key for row in rows])
    if arguments.json:
        return print_json([asdict(row) for row in found])
    table = Columns(("key", "value", "where"))
    for row in found:
        is_default = row.where.startswith(DEFAULT)
        cells = (clean(row.key), clean(row.value), clean(row.where))
        table.add(*(Line(cell, "dim" if is_default else "") for cell in cells))
    show(table)
    return 0


def config_keys(arguments: Arguments) -> int:
    """`sentinel config keys`: every key that may stand in the files, and what the environment may
    say.
    """
    rows = [*describe_options(PlatformSettings), *_describe_environment()]
    found = [row for row in rows if is_below(row.option, arguments.prefix)]
    if not found:
        raise _refuse_prefix(arguments.prefix, [row.option for row in rows])
    if arguments.json:
        return print_json(to_rows(found))
    show(options_table(found))
    return 0


def _describe_environment() -> Iterator[OptionRow]:
    for row in describe_options(Overrides):
        yield replace(row, option=f"SENTINEL_{row.option.upper()}", example="")


def is_below(key: str, prefix: str) -> bool:
    """Whether a key is the one that is asked for, or within it; NAME stands for any name, and the
    number of an item may be left out.
    """
    wanted = re.sub(r"\[\d*\]", "", prefix).strip(".").split(".") if prefix else []
    parts = re.sub(r"\[\d*\]", "", key).split(".")
    return len(parts) >= len(wanted) and all(
        part in {word, "NAME"} for part, word in zip(parts, wanted, strict=False)
    )


def _refuse_prefix(prefix: str, known: list[str]) -> UsageError:
    tops = list(dict.fromkeys(re.split(r"[.\[]", key)[0] for key in known))
    return UsageError(f"there is no key {prefix!r}", f"known: {', '.join(tops)}")
