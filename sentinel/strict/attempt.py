"""Reading that nothing can end but its result: whatever is raised becomes a problem of its place."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

from sentinel.errors import ConfigurationError
from sentinel.strict.place import Place

P = ParamSpec("P")
AnswerT = TypeVar("AnswerT")
_HOUSE = Path(__file__).resolve().parents[1]
REMEDY = "simplify what stands there, and report this: every mistake should have its own words"


def attempt(
    place: Place, work: Callable[P, AnswerT], *args: P.args, **kwargs: P.kwargs
) -> AnswerT | None:
    """What the work gives, or None with the problem noted at the place, whatever was raised.

    A running daemon reads, too: an error that nobody foresaw must not end it.
    """
    try:
        return work(*args, **kwargs)
    except ConfigurationError:
        raise
    except Exception as error:  # noqa: BLE001 - see above
        place.note(f"can't be read: {describe_surprise(error)}", REMEDY)
        return None


def describe_surprise(error: BaseException) -> str:
    """An error that nobody foresaw: its type, and where in sentinel. Never its text, which may
    quote a password.
    """
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if Path(frame.filename).is_relative_to(_HOUSE)]
    where = f" ({Path(ours[-1].filename).name}:{ours[-1].lineno})" if ours else ""
    return f"{type(error).__name__}{where}"
