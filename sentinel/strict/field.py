"""Types of values as people write them: `5s`, `64KiB`, `99.5%`; names; one of some words."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from sentinel.core.foreign.expression import InvalidExpression, compile_expression
from sentinel.core.moment.zone import find_zone_fault
from sentinel.core.quantity import parse_bytes, parse_duration, parse_percentage
from sentinel.strict.explain import unknown_message

Duration = Annotated[float, BeforeValidator(parse_duration)]


Size = Annotated[int, BeforeValidator(parse_bytes)]


Percentage = Annotated[float, BeforeValidator(parse_percentage)]


HttpStatus = Annotated[int, Field(ge=100, le=599)]
"""A status of an HTTP answer: what is none is never judged as one."""


class Strict(BaseModel):
    """Unknown keys and wrong types are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def refusal(message: str, remedy: str) -> PydanticCustomError:
    """What a validator raises that knows the way out."""
    return PydanticCustomError("refused", "{message}", {"message": message, "remedy": remedy})


def _called(check: Callable[[str], str], words: str) -> AfterValidator:
    """The validator, with what it lets through in the words of who writes it: `describe_type`."""
    check.__dict__["words"] = words
    return AfterValidator(check)


def choice(what: str, known: Collection[str]) -> AfterValidator:
    """One of some words; another one is refused with the nearest that exists."""

    def check(word: str) -> str:
        if word not in known:
            raise refusal(*unknown_message(what, word, known))
        return word

    return _called(check, f"one of {', '.join(known)}")


def shaped(pattern: str, what: str, remedy: str) -> AfterValidator:
    """A text that matches a pattern as a whole; another one "is no …"."""
    compiled = re.compile(pattern)

    def check(text: str) -> str:
        if compiled.fullmatch(text) is None:
            raise refusal(f"{text[:60]!r} is no {what}", remedy)
        return text

    return _called(check, what)


def _not_blank(text: str) -> str:
    if not text.strip():
        raise refusal("is empty", "write something, or leave the key out")
    return text


Text = Annotated[str, AfterValidator(_not_blank)]
"""A text that says something."""
Name = Annotated[
    str,
    shaped(
        r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,99}",
        "name",
        "use letters, digits and . _ : - (at most 100, a letter or digit first)",
    ),
]
"""Names of components become names of log files, names of checks become labels: no path, no space,
no control.
"""


def _in_the_world(zone: str) -> str:
    fault = find_zone_fault(zone)
    if fault:
        raise refusal(fault, "a name of the IANA data base, such as Europe/Athens or UTC")
    return zone


Zone = Annotated[str, _called(_in_the_world, "time zone")]
"""A time zone that exists."""
ZONE = (
    "zone in which times without a zone are written here, such as Europe/Athens; default: what the"
    " catalog tells of the column and of the roles that write"
)
"""Description of the option `zone` of a mapping: the same wherever there are times."""


def _is_expression(text: str) -> str:
    try:
        compile_expression(text)
    except InvalidExpression as error:
        raise refusal(error.message, error.remedy) from error
    return text


RegularExpression = Annotated[str, AfterValidator(_is_expression)]
"""An expression for foreign values: matched in linear time, so without what can't be."""


def _is_json_path(path: str) -> str:
    from sentinel.core.foreign.document import check_path  # noqa: PLC0415 - few checks have paths

    try:
        return check_path(path)
    except InvalidExpression as error:
        raise refusal(f"{path[:60]!r}: {error.message}", error.remedy) from error
    except ValueError as error:
        raise refusal(str(error), "write a path of RFC 9535, such as $.items[0].status") from error


JsonPath = Annotated[str, AfterValidator(_is_json_path)]
"""A path into a foreign document."""


def _names_agent(text: str) -> str:
    if "agent" not in compile_expression(text).groups:
        raise refusal(
            f"{text[:60]!r} needs a group (?P<agent>…)", "let it tell which part is the agent"
        )
    return text


AgentExpression = Annotated[RegularExpression, AfterValidator(_names_agent)]
"""An expression that reads an agent from a name."""
