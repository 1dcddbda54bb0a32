"""The live channel: the board while somebody looks, and everybody who is told by it.

What the engine tells wakes a round: what it changed goes to the board, each piece that is another is
rendered once, and everybody takes what is new to him. A round takes a tenth of the time at most,
so that a storm costs the checks little.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, TypeVar

import structlog

from sentinel.store import Changes, Reader
from sentinel.web.live.board import LiveBoard, PageModel, read_facts
from sentinel.web.live.frame import read_frame
from sentinel.web.live.piece import Piece
from sentinel.web.readers import Readers

log = structlog.get_logger()
T = TypeVar("T")

QUICK = 0.008
"""Seconds between two rounds at least."""
SHARE, PATIENT_SHARE = 0.1, 0.03
"""Of the time of the loop that rounds may take, when something presses and when nothing does."""
PATIENT = 1.0
"""Seconds for which what only has other figures may wait for company."""
BEAT = 5.0
"""Seconds after which everybody hears that we live, if nothing else was said."""
LINGER = 15.0
"""Seconds for which is heard what changes when nobody looks any more, or not yet."""
SLICE = 24
"""Pieces that are rendered before others have their turn."""
MAX_HEARD = 20_000
"""Words that may wait for the next round, while nobody looks a quarter of them; then the board is
read again.
"""
SAID = 8
"""Sentences in one message; of more their number is said."""

Leave = Callable[[], None]
Hear = Callable[[Callable[[], Changes] | None, bool], None]
Render = Callable[[Piece, datetime], str]


class Feed(Protocol):
    """Who tells what changes."""

    def listen(self, hear: Hear) -> Leave:
        """Call `hear(make, patient)` at every change, until what is returned is called."""
        ...


RESET = b"event: anew\ndata: {}\n\n"
"""What is to be seen can't be told as a difference: the whole page has to be asked for."""


@dataclass(slots=True)
class _Kept:
    """A board with its name, and what was rendered of it."""

    board: LiveBoard
    name: str = field(default_factory=lambda: secrets.token_hex(6))
    messages: dict[int, asyncio.Task[bytes]] = field(default_factory=dict)
    """What who has seen a turn is told to have the present one: made once for all of them."""
    texts: dict[str, tuple[int, str]] = field(default_factory=dict)
    """The newest turn of a piece that was rendered, with its text."""
    said: deque[tuple[int, str]] = field(default_factory=lambda: deque(maxlen=50))


class LiveChannel:
    """One for all who look. Belongs to the loop; without a feed every page is read anew."""

    def __init__(
        self,
        store: Reader,
        readers: Readers,
        feed: Feed | None,
        render: Render,
        now: Callable[[], datetime],
    ) -> None:
        self._store, self._readers, self._feed = store, readers, feed
        self._render, self._now = render, now
        self._kept: _Kept | None = None
        self._opening: asyncio.Task[_Kept] | None = None
        self._heard: list[Callable[[], Changes]] = []
        self._leave: Leave | None = None
        self._is_anew, self._is_closed = False, False
        self._task: asyncio.Task[None] | None = None
        self._wake, self._news = asyncio.Event(), asyncio.Event()
        self._followers, self._spent = 0, 0.0

    @property
    def is_live(self) -> bool:
        """Whether anybody tells what changes."""
        return self._feed is not None and not self._is_closed

    async def close(self) -> None:
        """Tell nobody any more."""
        self._is_closed = True
        self._shut()
        if self._task is not None:
            self._task.cancel()

    # -- the whole page ---------------------------------------------------------------------------

    async def show(self) -> tuple[PageModel, str]:
        """All that is on the page, and the mark by which its changes can be followed; "" where
        nobody tells them.
        """
        if not self.is_live:
            facts = await self._ask(read_facts)
            return LiveBoard.over(facts, self._now()).show(), ""
        kept = await self._keep()
        self._take_heard(kept)
        self._renew(kept)
        return kept.board.show(), _mark(kept)

    async def _ask(self, read: Callable[[Reader, datetime], T]) -> T:
        now = self._now()
        return await self._readers.call(lambda: read(self._store, now))

    async def _keep(self) -> _Kept:
        """The board, made by the first who asks for it."""
        if self._kept is not None and not self._is_anew:
            return self._kept
        if self._opening is None or self._opening.done():
            self._opening = asyncio.create_task(self._open())
        return await asyncio.shield(self._opening)

    async def _open(self) -> _Kept:
        """Listen first and read then: what is told meanwhile may be in both."""
        self._shut()
        if self._feed is not None:
            self._leave = self._feed.listen(self._hear)
        facts = await self._ask(read_facts)
        kept = self._kept = _Kept(LiveBoard.over(facts, self._now()))
        self._take_heard(kept)
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        return kept

    def _shut(self) -> None:
        """Forget the board; who follows it begins anew."""
        if self._leave is not None:
            self._leave()
        self._leave = self._kept = None
        self._is_anew = False
        self._heard.clear()
        self._tell_news()

    # -- what is told -----------------------------------------------------------------------------

    def _hear(self, make: Callable[[], Changes] | None, patient: bool) -> None:
        most = MAX_HEARD if self._followers else MAX_HEARD // 4
        if make is None or len(self._heard) >= most:
            self._is_anew = True
            self._heard.clear()
        elif not self._is_anew:
            self._heard.append(make)
        if self._is_anew or not patient or len(self._heard) > most // 4:
            self._wake.set()

    def _take_heard(self, kept: _Kept) -> None:
        heard, self._heard, now = self._heard, [], self._now()
        for make in heard:
            kept.board.take(make(), now)

    # -- rounds -----------------------------------------------------------------------------------

    async def _run(self) -> None:
        """Rounds while somebody looks, and for a while after."""
        loop = asyncio.get_running_loop()
        seen = loop.time()
        try:
            while self._followers or loop.time() - seen < LINGER:
                seen = loop.time() if self._followers else seen
                began, self._spent = loop.time(), 0.0
                if self._followers:
                    await self._go_round()
                await self._rest(began)
        except Exception as error:  # noqa: BLE001 - the page must not end for it: it begins anew
            log.error("live_page_failed", error=repr(error))
        finally:
            self._task = None
            self._shut()

    async def _rest(self, began: float) -> None:
        """Until something presses, or what is patient has waited for long enough."""
        loop = asyncio.get_running_loop()
        await asyncio.sleep(began + QUICK - loop.time())
        least = max(QUICK, self._spent / SHARE)
        await asyncio.sleep(began + least - loop.time())
        most = max(PATIENT, self._spent / PATIENT_SHARE)
        with suppress(TimeoutError):
            async with asyncio.timeout_at(began + max(least, most)):
                await self._wake.wait()
        self._wake.clear()

    async def _go_round(self) -> None:
        if self._is_anew or self._kept is None:
            await self._keep()
        kept, loop = self._kept, asyncio.get_running_loop()
        if kept is None:
            return
        began = loop.time()
        self._take_heard(kept)
        kept.board.follow_time(self._now())
        self._spent += loop.time() - began
        if kept.board.frame_is_old:
            kept.board.frame_is_old = False
            kept.board.take_frame(await self._ask(read_frame))
        began = loop.time()
        self._renew(kept)
        self._spent += loop.time() - began

    def _renew(self, kept: _Kept) -> None:
        if kept.board.renew():
            kept.messages.clear()
            turn = kept.board.book.turn
            kept.said.extend((turn, sentence) for sentence in kept.board.said)
            kept.board.said.clear()
            self._tell_news()
        if len(kept.texts) > 2 * len(kept.board.book.pieces):
            kept.texts = {
                name: text for name, text in kept.texts.items() if name in kept.board.book.pieces
            }

    def _tell_news(self) -> None:
        """Wake everybody who waits."""
        self._news.set()
        self._news = asyncio.Event()

    # -- who follows ------------------------------------------------------------------------------

    async def follow(self, mark: str) -> AsyncGenerator[bytes, None]:
        """Everything that is different since a mark, until it can't be told as a difference any
        more. However slowly it is taken, nothing piles up: who comes back is told what is now.
        """
        name, turn = _read_mark(mark)
        self._followers += 1
        self._wake.set()
        try:
            await self._keep()
            while (kept := self._kept) is not None and kept.name == name:
                if not kept.board.book.knows(turn):
                    break
                news = self._news
                if turn < kept.board.book.turn:
                    since, turn = turn, kept.board.book.turn
                    yield await self._tell(kept, since)
                    continue
                try:
                    async with asyncio.timeout(BEAT):
                        await news.wait()
                except TimeoutError:
                    yield _write({"now": self._stamp()}, "")
            if self.is_live:
                yield RESET
        finally:
            self._followers -= 1

    async def _tell(self, kept: _Kept, since: int) -> bytes:
        message = kept.messages.get(since)
        if message is None:
            message = kept.messages[since] = asyncio.create_task(self._compose(kept, since))
        return await asyncio.shield(message)

    async def _compose(self, kept: _Kept, since: int) -> bytes:
        """One message for all who have seen the same."""
        mark, turn, loop = _mark(kept), kept.board.book.turn, asyncio.get_running_loop()
        fresh, gone = kept.board.book.since(since)
        put = []
        for n, piece in enumerate(fresh, 1):
            began = loop.time()
            put.append([piece.home, piece.id, self._text_of(kept, piece)])
            self._spent += loop.time() - began
            if n % SLICE == 0:
                await asyncio.sleep(0)
        told = {"now": self._stamp(), "put": put, "drop": gone, "say": _say(kept, since, turn)}
        return _write(told, mark)

    def _text_of(self, kept: _Kept, piece: Piece) -> str:
        turn, text = kept.texts.get(piece.id, (-1, ""))
        if turn != piece.turn:
            text = self._render(piece, self._now())
            kept.texts[piece.id] = piece.turn, text
        return text

    def _stamp(self) -> int:
        """Now, in milliseconds, by the clock that all ages are counted by."""
        return int(self._now().timestamp() * 1000)


def _mark(kept: _Kept) -> str:
    return f"{kept.name}-{kept.board.book.turn}"


def _read_mark(mark: str) -> tuple[str, int]:
    """Name of a board and a turn of it; what is no mark names none."""
    name, _, turn = mark.partition("-")
    is_one = turn.isascii() and turn.isdigit() and len(turn) < 16
    return (name, int(turn)) if is_one else ("", 0)


def _say(kept: _Kept, since: int, turn: int) -> list[str]:
    """What whoever listens is told; of a crowd the first ones and how many more."""
    said = [sentence for at, sentence in kept.said if since < at <= turn]
    more = [f"and {len(said) - SAID} changes more"] if len(said) > SAID else []
    return said[:SAID] + more


def _write(told: Mapping[str, Any], mark: str) -> bytes:
    line = f"id: {mark}\n" if mark else ""
    return f"{line}data: {json.dumps(told, separators=(',', ':'))}\n\n".encode()
