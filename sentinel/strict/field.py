"""Types of values as people write them: `5s`, `64KiB`, `99.5%`; seconds, bytes and ratios inside."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator

from sentinel.core.quantity import parse_bytes, parse_duration, parse_percentage

Duration = Annotated[float, BeforeValidator(parse_duration)]


Size = Annotated[int, BeforeValidator(parse_bytes)]


Percentage = Annotated[float, BeforeValidator(parse_percentage)]
