"""A picture per fault: answers, latency, who was asked and the breakers, over the time of the simulation.

The door to matplotlib (extra `plots`). Draws what was seen, and works nothing out that a table does not say.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import ceil, nan
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure

from hybridllm.cli.quantiles import quantile
from hybridllm.testing import Ending

if TYPE_CHECKING:
    from hybridllm.cli.chaos.catalogue import Trouble
    from hybridllm.cli.chaos.simulate import Course, Seen

# One colour per backend, told apart by colour-blind eyes too; in the policy's order.
_COLOURS = ("#2a78d6", "#eb6834", "#1baf7a", "#eda100", "#8b5cc7", "#d6478a", "#3aa6b9", "#8a6d3b")
_PHASES = {"closed": "#dfeee6", "half_open": "#f2c14e", "open": "#d64545"}
_INK, _QUIET, _TROUBLE = "#1f2430", "#6b7280", "#f3e3e3"
_WIDTH, _ROW = 3.3, 1.75
_STEP_S, _STEPS = 1.0, 30


def draw(trouble: Trouble, seen: Sequence[Seen], course: Course) -> Figure:
    """Return the picture of one fault: a column for each set of backends that it struck."""
    told = any(each.phases for each in seen)
    rows = 4 if told else 3
    size = (1.2 + _WIDTH * max(2, len(seen)), 1.3 + _ROW * rows)
    figure = Figure(figsize=size, dpi=110, layout="constrained")
    figure.suptitle(
        f"{trouble.name}: {trouble.words}",
        fontsize=12,
        color=_INK,
        x=0.01,
        ha="left",
        weight="bold",
    )
    grid = figure.subplots(rows, len(seen), sharex=True, sharey="row", squeeze=False)
    for column, each in enumerate(seen):
        axes = [grid[row][column] for row in range(rows)]
        for axis in axes:
            _prepare(axis, course)
        axes[0].set_title(each.struck.name if each.struck else "", fontsize=10, color=_INK)
        _answers(axes[0], each, course)
        _latency(axes[1], each, course)
        _requests(axes[2], each, course)
        if told:
            _breakers(axes[3], each, course)
        axes[-1].set_xlabel("seconds", fontsize=8, color=_QUIET)
    for row in (1, 2):
        grid[row][0].set_ylim(bottom=0)
    names = ("answered, %", "whole answer, s", "requests per s", "breakers")
    for row in range(rows):
        grid[row][0].set_ylabel(names[row], fontsize=8, color=_QUIET)
    _legend(figure, list(seen[0].arrivals_s), told=told)
    return figure


def _prepare(axis: Any, course: Course) -> None:
    axis.axvspan(course.from_s, course.until_s, color=_TROUBLE, lw=0, zorder=0)
    axis.set_xlim(0, course.seconds)
    axis.tick_params(labelsize=7, colors=_QUIET, length=2)
    axis.grid(axis="y", color="#e5e7eb", lw=0.6)
    axis.set_axisbelow(True)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axis.spines[side].set_color("#c4c8d0")


def _answers(axis: Any, seen: Seen, course: Course) -> None:
    asked, good = _buckets(course), _buckets(course)
    for journey in seen.journeys:
        place = _place(journey.ask.at_s, course)
        asked[place] += 1
        good[place] += journey.ending is Ending.ANSWERED
    shares = [100 * some / every if every else nan for some, every in zip(good, asked, strict=True)]
    axis.plot(_times(course), shares, color=_INK, lw=1.3)
    axis.set_ylim(-3, 103)


def _latency(axis: Any, seen: Seen, course: Course) -> None:
    durations: list[list[float]] = [[] for _ in _times(course)]
    for journey in seen.journeys:
        if journey.ending is Ending.ANSWERED:
            durations[_place(journey.ask.at_s, course)].append(journey.duration_s)
    for share, style in ((0.5, "-"), (0.95, ":")):
        found = [quantile(values, share) for values in durations]
        shown = [nan if value is None else value for value in found]  # where nobody answered, a gap
        axis.plot(_times(course), shown, color=_INK, lw=1.2, ls=style)


def _requests(axis: Any, seen: Seen, course: Course) -> None:
    for number, arrived in enumerate(seen.arrivals_s.values()):
        counts = _buckets(course)
        for at_s in arrived:
            counts[_place(at_s, course)] += 1
        rates = [count / _step_s(course) for count in counts]
        axis.plot(_times(course), rates, color=_colour(number), lw=1.2)


def _breakers(axis: Any, seen: Seen, course: Course) -> None:
    names = list(seen.arrivals_s)
    for row, name in enumerate(names):
        noted = [*seen.phases.get(name, []), (course.seconds, "")]
        for (from_s, phase), (until_s, _) in pairwise(noted):
            axis.barh(
                row, until_s - from_s, left=from_s, height=0.7, color=_PHASES.get(phase, "white")
            )
    axis.set_yticks(range(len(names)), names, fontsize=7)
    axis.set_ylim(len(names) - 0.4, -0.6)
    axis.grid(visible=False)


def _legend(figure: Figure, names: Sequence[str], *, told: bool) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    marks: list[Any] = [
        Line2D([], [], color=_colour(number), lw=2, label=name) for number, name in enumerate(names)
    ]
    marks += [
        Line2D([], [], color=_INK, lw=1.2, label="p50"),
        Line2D([], [], color=_INK, lw=1.2, ls=":", label="p95"),
        Patch(color=_TROUBLE, label="while it lasts"),
    ]
    if told:
        words = {"closed": "closed", "half_open": "half-open", "open": "open"}
        marks += [Patch(color=colour, label=words[phase]) for phase, colour in _PHASES.items()]
    figure.legend(
        handles=marks, loc="outside lower left", ncols=len(marks), fontsize=8, frameon=False
    )


def _colour(number: int) -> str:
    return _COLOURS[number % len(_COLOURS)]


def _buckets(course: Course) -> list[int]:
    return [0] * len(_times(course))


def _times(course: Course) -> list[float]:
    step_s = _step_s(course)
    return [(step + 0.5) * step_s for step in range(ceil(course.seconds / step_s))]


def _step_s(course: Course) -> float:
    return max(_STEP_S, course.seconds / _STEPS)


def _place(at_s: float, course: Course) -> int:
    return min(int(at_s / _step_s(course)), len(_times(course)) - 1)
