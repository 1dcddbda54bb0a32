"""`housekeeping:` in the configuration: what is right becomes a chore, what is wrong is named with
its place.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from sentinel.config import load
from sentinel.errors import ConfigurationError

BASE = """
resources: {bus: {redis: "redis://127.0.0.1:1/0"}}
components: {bus: {resource: bus}}
checks: [{name: server, kind: redis_server, component: bus}]
housekeeping:
"""
GOOD = "- {name: trim, kind: safe_trim, streams: {include: [a]}"
RECLAIM = "- {name: r, kind: reclaim, streams: {include: [a]}, handler_time: 1m, to_consumer: x"
KEYS = "- {name: k, kind: keys_without_ttl"


def read(folder: Path, text: str):
    """The chores of this section."""
    (folder / "sentinel.yaml").write_text(BASE + text)
    return load(folder, {}).chores


def test_a_chore_with_its_defaults(tmp_path):
    """By hand, dry run, 1,000 an hour, ten minutes of rest after a failover; the only Redis is
    taken.
    """
    (chore,) = read(tmp_path, GOOD + "}")
    assert (chore.name, chore.kind, chore.resource) == ("trim", "safe_trim", "bus")
    assert (chore.every, chore.cron, chore.dry_run, chore.max_per_hour, chore.settle) == (
        None,
        None,
        True,
        1000,
        600.0,
    )
    assert chore.options.keep_entries == 1000
    assert chore.settings == {"streams": {"include": ["a"]}}


def test_times_and_calendars(tmp_path):
    """`every` in seconds, a cron line in its time zone."""
    text = (
        GOOD
        + ", every: 15m, dry_run: false}\n"
        + RECLAIM
        + ', min_idle: 1m, cron: "*/15 * * * *", timezone: Asia/Tokyo}'
    )
    trim, reclaim = read(tmp_path, text)
    assert (trim.every, trim.dry_run) == (900.0, False)
    assert (reclaim.cron, reclaim.timezone) == ("*/15 * * * *", "Asia/Tokyo")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- {name: trim, kind: safe_trimm, streams: {include: [a]}}", "did you mean `safe_trim`"),
        ("- just a word", "is no chore"),
        (GOOD + "}\n" + GOOD + "}", "given twice"),
        (GOOD + ", resource: nope}", "unknown resource"),
        (GOOD + ", every: 1m, cron: '* * * * *'}", "exclude each other"),
        (GOOD + ", cron: 'tomorrow'}", "is no cron line"),
        (GOOD + ", cron: '* * * * *', timezone: Mars/X}", "unknown time zone"),
        (GOOD + ", cron: '* * * * *', timezone: posixrules}", "unknown time zone"),
        (GOOD + ", cron: '* * * * *', timezone: right/UTC}", "unknown time zone"),
        (GOOD + ", cron: '* * * * *', timezone: asia/tokyo}", "write Asia/Tokyo"),
        (GOOD + ", cron: '*/61 * * * *'}", "a step of 61 leads out of 0 to 59"),
        (GOOD + ", keep_entries: 0}", "keep_entries"),
        (GOOD + ", maxlen: 0}", "unknown key `maxlen`"),
        (GOOD + ", max_per_hour: 0}", "max_per_hour"),
        (GOOD + ", evry: 1m}", "did you mean `every`"),
        ("- {name: trim, kind: safe_trim, streams: {include: []}}", "include"),
        (RECLAIM + ", min_idle: 59s}", "handed out a second time"),
        (RECLAIM + ", min_idle: 1m, dead_letter: d}", "exactly one of to_consumer and dead_letter"),
        (
            "- {name: d, kind: drain, streams: {include: [a]}, handler_time: 1m, every: 1h}",
            "by hand only",
        ),
        (KEYS + ", prefixes: []}", "prefixes"),
        (KEYS + ", prefixes: ['*']}", "is no prefix to clean"),
        (KEYS + ", prefixes: ['']}", "is no prefix to clean"),
        (KEYS + ", prefixes: ['sentinel:x']}", "is no prefix to clean"),
        (KEYS + ", prefixes: ['cache:'], ttl: 0s}", "at least 1s"),
        (
            "- {name: i, kind: idle_consumers, streams: {include: [a]}, silent_for: 1ms}",
            "at least 1s",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_place(tmp_path, text, said):
    """Each problem has file, line, key and remedy."""
    with pytest.raises(ConfigurationError) as error:
        read(tmp_path, text)
    (problem,) = error.value.problems
    assert said in f"{problem.message} {problem.remedy} {problem.key}"
    assert problem.line >= 6
    assert problem.key.startswith("housekeeping")
    assert problem.remedy
