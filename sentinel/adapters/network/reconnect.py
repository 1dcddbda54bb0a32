"""Exponential backoff of sentinel's own reconnects: a dead server is not hammered by every check
that needs it.
"""

from __future__ import annotations

from collections.abc import Callable

from sentinel.errors import TargetError


class Reconnect:
    """Admits a try, or repeats the last error until the next one is due. Times in seconds.

    After n failures in a row the next try waits `initial`·2^(n−1), at most `maximum`; refused
    credentials wait `credentials` at once, so that a wrong password never locks an account.
    """

    def __init__(
        self,
        name: str,
        monotonic: Callable[[], float],
        *,
        initial: float = 0.25,
        maximum: float = 5.0,
        credentials: float = 30.0,
    ) -> None:
        self._name = name
        self._monotonic = monotonic
        self._initial = initial
        self._maximum = maximum
        self._credentials = credentials
        self._failures = 0
        self._next = 0.0
        self._last: TargetError | None = None

    @property
    def wait(self) -> float:
        """Seconds until the next try."""
        return max(self._next - self._monotonic(), 0.0) if self._last is not None else 0.0

    def admit(self) -> None:
        """Pass, or raise the last error again with the time of the next try."""
        wait = self.wait
        if self._last is None or wait <= 0:
            return
        message = f"{self._last.message} (next try in {wait:.1f} s)"
        again = type(self._last)(message, self._last.guidance, code=self._last.code)
        again.matter = self._last.matter
        raise again

    def failed(self, error: TargetError) -> None:
        """Note a failure and set the time of the next try."""
        self._failures += 1
        self._last = error
        delay = min(self._initial * 2 ** min(self._failures - 1, 16), self._maximum)
        if error.code in {"NOAUTH", "WRONGPASS", "28P01", "28000"}:
            delay = self._credentials
        self._next = self._monotonic() + delay

    def succeeded(self) -> None:
        """Forget the past."""
        self._failures = 0
        self._last = None
