"""Scripts that clean the bus: of what each is made, what it must give, and what failed inside."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from sentinel.adapters.redis.shape import judge_evaluated
from sentinel.errors import NotMeasurable, SubjectError, TargetError

_FOLDER = Path(__file__).with_name("lua")
_FAILED = re.compile(
    r"SENTINEL (?P<command>\S+) (?P<text>.*?)(?: script: ([0-9a-f]{40}, )?on @.*)?$", re.DOTALL
)
_NO_RIGHT = (
    "no permissions",
    "No permissions",
    "can't run this command",
    "can't access at least one",
)
_REFUSED_TRIMS = {b"", b"no_group", b"group_missing", b"unacknowledged", b"limit"}
_VERDICTS = {
    b"gone", b"moved", b"acknowledged", b"moved_already", b"in_work", b"few_deliveries", b"payload_gone",
    b"pending", b"heard", b"missing", b"type", b"has_groups", b"has_ttl", b"in_use",
}  # fmt: skip
"""The words of the scripts in `lua/`: another one is none of theirs."""


@dataclass(frozen=True, slots=True)
class CleaningScript:
    """One of `lua/`, of the files `parts`. `gives`: what its reply is, `trim`, `verdicts` (one for
    each thing; or `or_else` alone) or `verdict`.
    """

    parts: tuple[str, ...]
    gives: str = "verdicts"
    or_else: bytes = b""

    @property
    def text(self) -> str:
        """What EVAL is given."""
        return _read(*self.parts)

    def take(self, reply: Any, things: int = 0) -> Any:
        """The reply, if the script can have given it; raises what failed in it, in the words of that
        command.
        """
        judged = judge_evaluated(reply, lambda given: self._can_give(given, things))
        if isinstance(judged, TargetError):
            raise explain(judged)
        return judged

    def _can_give(self, reply: Any, things: int) -> bool:
        if self.gives == "verdict":
            return isinstance(reply, bytes) and reply in _VERDICTS
        if not isinstance(reply, list):
            return False
        if self.gives == "trim":
            kinds = [type(part) for part in reply]
            return kinds == [bytes] * 3 + [int] * 4 and reply[0] in _REFUSED_TRIMS
        if self.or_else and reply == [self.or_else]:
            return True
        known = [isinstance(word, bytes) and word in _VERDICTS for word in reply]
        return len(reply) == things and all(known)


TRIM = CleaningScript(("safe_trim",), "trim")
IDLE_CONSUMERS = CleaningScript(("idle_consumers",))
RECLAIM = CleaningScript(("pending", "reclaim"), or_else=b"no_heir")
DEAD_LETTER = CleaningScript(("pending", "dead_letter"))
EXPIRING = CleaningScript(("expiring",), "verdict")


@cache
def _read(*names: str) -> str:
    return "\n".join((_FOLDER / f"{name}.lua").read_text("utf-8") for name in ("prelude", *names))


def explain(error: TargetError) -> TargetError:
    """What failed inside a script, in the words of that command."""
    found = _FAILED.search(error.message)
    if found is None:
        return error
    command, text = found["command"].lower(), found["text"].removeprefix("ERR ")
    if any(sign in text for sign in _NO_RIGHT):
        message = f"permission denied: the '{command}' command in a script: {text}"
        return NotMeasurable(
            message, f"add +{command}, for these keys, to sentinel's ACL", code="NOPERM"
        )
    code = text.split(" ", 1)[0]
    kind = (
        SubjectError if code in {"WRONGTYPE", "NOGROUP"} or "no such key" in text else type(error)
    )
    return kind(f"{command}: {text}", error.guidance, code=code if code.isupper() else "")
