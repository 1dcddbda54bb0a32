"""Figures as Grafana would write them, for the units that the dashboards use."""

from __future__ import annotations

from collections.abc import Callable, Mapping

SUFFIX = "suffix:"
"""How a unit begins that is a word of one's own."""
_LARGE = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_BINARY = ((2.0**40, "TiB"), (2.0**30, "GiB"), (2.0**20, "MiB"), (2.0**10, "KiB"))
_LONG = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"))
_SHORT = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))


def write_quantity(value: float, unit: str, decimals: int | None = None) -> str:
    """A value with its unit, short. Raises KeyError for a unit that no dashboard should have."""
    word = find_word(unit)
    if word:
        return f"{_write(value, decimals)} {word}"
    return UNITS[unit](value, decimals)


def find_word(unit: str) -> str:
    """The word of one's own that Grafana writes behind a figure, or ""."""
    return unit.removeprefix(SUFFIX) if unit.startswith(SUFFIX) else ""


def _write(value: float, decimals: int | None) -> str:
    if decimals is not None:
        return f"{value:.{decimals}f}"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def _short(value: float, decimals: int | None) -> str:
    for size, name in _LARGE:
        if abs(value) >= size:
            return f"{value / size:.3g} {name}"
    return _write(value, decimals)


def _percent(value: float, decimals: int | None) -> str:
    return f"{_write(value * 100, decimals)} %"


def _seconds(value: float, decimals: int | None) -> str:
    for size, name in (*_LONG, *_SHORT):
        if abs(value) >= size:
            return f"{value / size:.3g} {name}"
    return f"{_write(value, decimals)} s"


def _bytes(value: float, decimals: int | None) -> str:
    for size, name in _BINARY:
        if abs(value) >= size:
            return f"{value / size:.3g} {name}"
    return f"{_write(value, decimals)} B"


UNITS: Mapping[str, Callable[[float, int | None], str]] = {
    "short": _short,
    "percentunit": _percent,
    "s": _seconds,
    "bytes": _bytes,
    "Bps": lambda value, decimals: f"{_bytes(value, decimals)}/s",
    "cps": lambda value, decimals: f"{_short(value, decimals)}/s",
}
"""By Grafana's ids."""
