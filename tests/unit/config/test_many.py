"""Many checks: what is equal is one value, and no check costs more because there are others."""

from __future__ import annotations

import sys
from pathlib import Path
from types import FrameType
from typing import Any

from sentinel.config import Configuration, load


def write(folder: Path, count: int, first: str = "") -> Configuration:
    """A configuration of so many checks, components and resources."""
    lines = [first, "platform: many", "resources:"]
    lines += [f"  web{n}: {{http: 'http://127.0.0.1:{8000 + n}'}}" for n in range(count)]
    lines += ["  bus: {redis: 'redis://127.0.0.1:6379/0'}", "components:"]
    lines += [f"  c{n}: {{}}" for n in range(count)]
    lines.append("checks:")
    for n in range(count):
        lines.append(f"  - {{name: w{n}, kind: http, component: c{n}, resource: web{n}}}")
        lines.append(f"  - {{name: b{n}, kind: redis_server, component: c{n}}}")
    (folder / "x.yaml").write_text("\n".join(lines) + "\n")
    return load(folder, {})


def count_steps(folder: Path, count: int) -> int:
    """Lines of Python that are gone through to read so many."""
    steps = 0

    def trace(_frame: FrameType, event: str, _arg: Any) -> Any:
        nonlocal steps
        steps += event == "line"
        return trace

    write(folder, count)
    sys.settrace(trace)
    try:
        load(folder, {})
    finally:
        sys.settrace(None)
    return steps


def test_a_check_costs_the_same_among_many(tmp_path):
    """Four times as many checks, components and resources take four times as many steps."""
    few = count_steps(tmp_path, 20)
    assert count_steps(tmp_path, 80) < 4.5 * few


def test_what_is_equal_is_one_value(tmp_path):
    """Ten thousand checks hold what they have in common once."""
    checks = write(tmp_path, 3).checks
    assert len({id(check.health) for check in checks}) == 1
    assert len({id(check.options) for check in checks if check.kind == "redis_server"}) == 1
    assert len({id(check.kind) for check in checks}) == 2
    assert len({id(check.resources) for check in checks if check.kind == "redis_server"}) == 1
