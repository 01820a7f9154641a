"""Charts as SVG inside a page: stacked bars over days, and lines. Drawn here, so that nothing is loaded.

Colours are the page's classes, so that a chart is light or dark with it. Every text is escaped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from html import escape
from typing import NamedTuple

_HEIGHT = 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 8, 10, 24
WIDE, NARROW = 1160, 560
_STEPS = (1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8, 10)  # each has four equal parts that are round


class Series(NamedTuple):
    """Values under one name, one for each day; None: there is none."""

    name: str
    values: Sequence[float | None]
    style: str  # a class of the page


def stacked_bars(days: Sequence[str], series: Sequence[Series], *, unit: str, size: int) -> str:
    """Return bars over the days, the first series lowest; whoever points at a part reads what it is."""
    sums = [sum(one.values[place] or 0 for one in series) for place in range(len(days))]
    top = _nice(max(sums, default=0))
    width = (size - _LEFT - _RIGHT) / max(1, len(days))
    parts = [*_grid(top, unit, size), *_days(days, width)]
    for place, day in enumerate(days):
        below = 0.0
        for one in series:
            value = one.values[place] or 0
            if not value:
                continue
            high, low = _y(below + value, top), _y(below, top)
            x = _LEFT + place * width + width * 0.12
            told = escape(f"{day} {one.name}: {_told(value, unit)}")
            parts.append(
                f'<rect class="{one.style}" x="{x:.1f}" y="{high:.1f}" width="{width * 0.76:.1f}" '
                f'height="{max(0.4, low - high):.1f}"><title>{told}</title></rect>'
            )
            below += value
    return _svg(parts, "Bars: " + ", ".join(one.name for one in series), size)


def lines(days: Sequence[str], series: Sequence[Series], *, unit: str, size: int) -> str:
    """Return lines over the days; where a day has no value, a gap."""
    top = _nice(max((value or 0 for one in series for value in one.values), default=0))
    width = (size - _LEFT - _RIGHT) / max(1, len(days))
    parts = [*_grid(top, unit, size), *_days(days, width)]
    for one in series:
        for run in _runs(one.values):
            points = [(_LEFT + (place + 0.5) * width, _y(value, top)) for place, value in run]
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
            parts.append(f'<polyline class="{one.style}" points="{path}"/>')
            for (place, value), (x, y) in zip(run, points, strict=True):
                told = escape(f"{days[place]} {one.name}: {_told(value, unit)}")
                parts.append(
                    f'<circle class="{one.style}" cx="{x:.1f}" cy="{y:.1f}" r="2.2">'
                    f"<title>{told}</title></circle>"
                )
    return _svg(parts, "Lines: " + ", ".join(one.name for one in series), size)


def legend(series: Sequence[Series]) -> str:
    """Return the names beside their colours."""
    items = (f'<li><span class="key {one.style}"></span>{escape(one.name)}</li>' for one in series)
    return f'<ul class="legend">{"".join(items)}</ul>'


def _svg(parts: Sequence[str], label: str, size: int) -> str:
    return (
        f'<svg viewBox="0 0 {size} {_HEIGHT}" role="img" aria-label="{escape(label, quote=True)}">'
        + "".join(parts)
        + "</svg>"
    )


def _grid(top: float, unit: str, size: int) -> Iterator[str]:
    for step in range(5):
        value = top * step / 4
        y = _y(value, top)
        yield f'<line class="grid" x1="{_LEFT}" x2="{size - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        place = f'x="{_LEFT - 6}" y="{y + 3.5:.1f}" text-anchor="end"'
        yield f'<text class="axis" {place}>{_told(value, unit)}</text>'


def _days(days: Sequence[str], width: float) -> Iterator[str]:
    step = max(1, round(len(days) / 15))
    for place, day in enumerate(days):
        if place % step == 0:
            x = _LEFT + (place + 0.5) * width
            yield (
                f'<text class="axis" x="{x:.1f}" y="{_HEIGHT - 7}" text-anchor="middle">'
                f"{int(day[-2:])}</text>"
            )


def _y(value: float, top: float) -> float:
    return _HEIGHT - _BOTTOM - (value / top if top else 0) * (_HEIGHT - _TOP - _BOTTOM)


def _nice(largest: float) -> float:
    """The end of an axis: a round number at or above the largest value."""
    if largest <= 0:
        return 1.0
    power = 1.0
    while power * 10 <= largest:
        power *= 10
    while power > largest:
        power /= 10
    return next(power * step for step in _STEPS if power * step >= largest * 0.999999)


def _told(value: float, unit: str) -> str:
    """Three digits, and never an `E`."""
    small = 0 < value < 100
    digits = f"{Decimal(f'{value:.3g}').normalize():f}" if small else f"{value:,.0f}"
    return f"{unit}{digits}" if unit == "$" else f"{digits}{unit}"


def _runs(values: Sequence[float | None]) -> Iterator[list[tuple[int, float]]]:
    run: list[tuple[int, float]] = []
    for place, value in enumerate(values):
        if value is not None:
            run.append((place, value))
        elif run:
            yield run
            run = []
    if run:
        yield run
