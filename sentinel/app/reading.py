"""Read files beside a running daemon: nothing that a file does holds the daemon up, or its end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from sentinel.config import Configuration, load
from sentinel.errors import ConfigurationError, Problem

PATIENCE = 120.0
"""Seconds for a whole folder; each file has its own limit, and there may be many."""
AnswerT = TypeVar("AnswerT")


async def load_beside(
    path: Path, environment: Mapping[str, str] | None = None, patience: float = PATIENCE
) -> Configuration:
    """`load`, without standing still meanwhile. Raises ConfigurationError."""
    try:
        async with asyncio.timeout(patience):
            return await beside(lambda: load(path, environment))
    except TimeoutError:
        message = f"could not be read within {patience:g} s"
        remedy = "is its file system there, and is it small enough?"
        raise ConfigurationError([Problem(str(path), 0, "", message, remedy)]) from None


async def beside(work: Callable[[], AnswerT]) -> AnswerT:
    """The answer of a call in a thread of its own. Whoever is cancelled waits no longer, and the
    thread holds up no end: those of the loop's executor would be joined.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[AnswerT] = loop.create_future()

    def settle(found: AnswerT | None, error: BaseException | None) -> None:
        if answer.done():  # given up, or cancelled
            return
        if error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(found)  # type: ignore[arg-type]

    def run() -> None:
        found: AnswerT | None = None
        raised: BaseException | None = None
        try:
            found = work()
        except Exception as error:  # noqa: BLE001 - raised again by who waits
            raised = error
        except BaseException as error:  # noqa: BLE001 - no thread may end without an answer
            raised = RuntimeError(repr(error))
        if isinstance(raised, StopIteration):  # no future takes it
            raised = RuntimeError(repr(raised))
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(settle, found, raised)

    threading.Thread(target=run, name="beside", daemon=True).start()
    return await answer
