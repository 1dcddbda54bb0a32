"""Reads and renders of the page, beside the loop and beside everything else that runs in threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from sentinel.errors import StateError

AnswerT = TypeVar("AnswerT")
MOST = 2
"""Threads of the page: more would only fight for the interpreter with the loop."""


class Readers:
    """So many calls at a time, in threads that hold up no end.

    A thread that hangs (a disk that is away) keeps its place until it returns: whoever has given
    up waiting for it takes none from the others, and starts none in its stead.
    """

    def __init__(self, most: int = MOST) -> None:
        self._places = asyncio.Semaphore(most)

    async def call(self, work: Callable[[], AnswerT]) -> AnswerT:
        """The answer of a call, or what it raises."""
        await self._places.acquire()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[AnswerT] = loop.create_future()

        def settle(found: Callable[[], AnswerT]) -> None:
            self._places.release()
            if answer.cancelled():
                return
            try:
                answer.set_result(found())
            except Exception as error:  # noqa: BLE001 - raised again by who waits
                answer.set_exception(error)

        def run() -> None:
            found = _keep(work)
            with suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(settle, found)

        try:
            threading.Thread(target=run, name="page", daemon=True).start()
        except RuntimeError as error:
            self._places.release()
            raise StateError(
                "the system gives no thread to read with", "how many may this process have?"
            ) from error
        return await answer


def _keep(work: Callable[[], AnswerT]) -> Callable[[], AnswerT]:
    """What a call gave or raised, to be given or raised again."""
    try:
        found = work()
    except Exception as error:  # noqa: BLE001 - see above
        raised = error

        def fail() -> AnswerT:
            raise raised

        return fail
    return lambda: found
