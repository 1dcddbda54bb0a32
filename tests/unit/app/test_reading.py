"""A call in a thread beside the loop always has an answer."""

from __future__ import annotations

import asyncio

import pytest

from sentinel.app.reading import beside


class Panic(BaseException):
    """What a library in Rust raises."""


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (ValueError("x"), ValueError),
        (StopIteration(), RuntimeError),
        (SystemExit(1), RuntimeError),
        (Panic(), RuntimeError),
    ],
)
async def test_whatever_is_raised_arrives(error: BaseException, raised: type[Exception]) -> None:
    """A thread that ends without an answer would be waited for for ever."""

    def work() -> None:
        raise error

    async with asyncio.timeout(5):
        with pytest.raises(raised):
            await beside(work)
