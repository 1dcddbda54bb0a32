"""The loop around the daemon."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from sentinel.cli.running import run_to_the_end


@pytest.fixture(autouse=True)
def loop() -> Iterator[None]:
    """Nothing is left behind."""
    yield
    asyncio.get_event_loop_policy().get_event_loop().close()
    asyncio.set_event_loop(None)


def test_an_exit_in_a_task_or_a_callback_ends_nothing() -> None:
    """It is said; the work comes to its own end."""
    done: list[str] = []

    async def plugin() -> None:
        sys.exit(3)

    async def work() -> None:
        task = asyncio.create_task(plugin())
        asyncio.get_running_loop().call_soon(sys.exit, 4)
        await asyncio.sleep(0.01)
        assert isinstance(task.exception(), SystemExit)
        done.append("work")

    with capture_logs() as lines:
        run_to_the_end(work())
    assert done == ["work"]
    assert sorted(line["error"] for line in lines) == ["SystemExit(3)", "SystemExit(4)"]


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(2)])
def test_what_the_work_itself_raises(error: BaseException) -> None:
    """That is the end."""

    async def work() -> None:
        raise error

    with pytest.raises(type(error)):
        run_to_the_end(work())
