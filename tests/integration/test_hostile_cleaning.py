"""Chores on a Redis that is almost one: nothing but our own errors, and nothing of what it made up
is counted as cleaned.
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Awaitable, Callable, Sequence

import pytest

from sentinel.adapters.bus.housekeeping import BusCleaner, TrimOrder
from sentinel.adapters.redis import RedisClient
from sentinel.errors import TargetError, WrongTarget
from tests.hostile import Script, serve
from tests.hostile_redis import AlmostRedis, pack

IDS = ("1-0", "2-0")
VERDICTS = {"gone", "moved", "acknowledged", "moved_already", "in_work", "few_deliveries", "pending",
            "payload_gone", "heard", "missing", "type", "has_groups", "has_ttl", "in_use", "no_heir"}  # fmt: skip

Act = Callable[[BusCleaner], Awaitable[Sequence[str]]]


async def _trim(cleaner: BusCleaner) -> Sequence[str]:
    await cleaner.trim(TrimOrder("agent:a", 10, 0, 1, ("g",)), go=True)
    return ()


ACTS: dict[str, Act] = {
    "trim": _trim,
    "remove_consumers": lambda c: c.remove_consumers("agent:a", "g", 0, ("a", "b")),
    "reclaim": lambda c: c.reclaim("agent:a", "g", "c", IDS, idle=0, alive_within=9),
    "dead_letter": lambda c: c.dead_letter(
        "agent:a", "g", "dead", IDS, idle=0, deliveries=0, reason="x"
    ),
    "expire": lambda c: c.expire(("a", "b"), "expire", 9, 0, ("string", "stream")),
}


async def clean(act: Act, greet: Callable[[bytes], bytes]) -> TargetError | None:
    """Do it; what it raised of ours."""
    async with serve(Script("", (b"",)), greet) as port:
        client = RedisClient("bus", f"redis://127.0.0.1:{port}/0", timeout=0.3)
        try:
            assert set(await act(BusCleaner(client))) <= VERDICTS
        except TargetError as error:
            return error
        finally:
            await client.close()
    return None


@pytest.mark.parametrize("scripts", [True, False])
@pytest.mark.parametrize("name", ACTS)
async def test_an_almost_redis_is_cleaned_or_refused(name: str, scripts: bool) -> None:
    """With a script and without one."""
    seed = int(os.environ.get("HOSTILE_SEED") or random.SystemRandom().randrange(1 << 32))
    sys.stdout.write(f"HOSTILE_SEED={seed}\n")
    for n in range(40):
        draw = random.Random(f"{seed}/{n}")
        others = {"EVAL": pack(1)} if scripts else {"EVAL": b"-NOPERM no\r\n"}
        await clean(ACTS[name], AlmostRedis(draw, others))


@pytest.mark.parametrize("name", [name for name in ACTS if name != "expire"])
async def test_a_script_that_gives_nonsense_has_cleaned_nothing(name: str) -> None:
    """The server takes scripts, and answers each with 1."""
    error = await clean(ACTS[name], AlmostRedis(random.Random(1), {"EVAL": pack(1)}, spoils=False))
    assert isinstance(error, WrongTarget)


async def test_a_claim_that_gives_nonsense_has_moved_nothing() -> None:
    """Where scripts are not permitted."""
    others = {
        "EVAL": b"-NOPERM no\r\n",
        "XPENDING": pack([["1-0", "another", 5, 1]]),
        "XCLAIM": pack([1, "moved"]),
    }
    error = await clean(ACTS["reclaim"], AlmostRedis(random.Random(1), others, spoils=False))
    assert isinstance(error, WrongTarget)
