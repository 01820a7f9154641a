"""The picture of docs/survival.md: a brown-out through the router, and through textbook breakers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from hybridllm.testing import Ending
from survive.textbook import run_textbook
from survive.worlds import Cell, run

CELL = Cell("20 % errors", 3, 3, 200.0, 1, calm_s=10.0, fault_s=90.0, after_s=40.0, streams=0.0)
_OURS, _THEIRS, _INK, _QUIET, _TROUBLE = "#2a78d6", "#eb6834", "#1f2430", "#6b7280", "#f3e3e3"


def draw(file: Path, cell: Cell = CELL) -> None:
    """Run both, and draw what share of the requests of each second was answered."""
    course = run(cell)
    asked = Counter(int(j.ask.at_s) for j in course.journeys)
    good = Counter(int(j.ask.at_s) for j in course.journeys if j.ending is Ending.ANSWERED)
    seconds = range(int(cell.end_s))
    ours = [100 * good[second] / asked[second] for second in seconds]
    theirs = [100 * some / every for every, some in run_textbook(cell).per_second]
    _drawn(cell, list(seconds), ours, theirs).savefig(file)


def _drawn(
    cell: Cell, seconds: Sequence[int], ours: Sequence[float], theirs: Sequence[float]
) -> Figure:
    figure = Figure(figsize=(8, 3.4), dpi=110, layout="constrained")
    axis = figure.subplots()
    axis.axvspan(cell.calm_s, cell.healed_s, color=_TROUBLE, lw=0)
    axis.plot(seconds, theirs, color=_THEIRS, lw=1.6, label="a breaker of the textbook per backend")
    axis.plot(seconds, ours, color=_OURS, lw=1.6, label="hybridllm")
    axis.set_xlim(0, cell.end_s - 1)
    axis.set_ylim(-2, 104)
    axis.set_xlabel("seconds", fontsize=9, color=_QUIET)
    axis.set_ylabel("requests answered, %", fontsize=9, color=_QUIET)
    axis.tick_params(labelsize=8, colors=_QUIET, length=2)
    axis.grid(axis="y", color="#e5e7eb", lw=0.6)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    axis.set_title(
        f"All three backends fail 20 % of their requests for {cell.fault_s:g} s ({cell.rate:g} requests/s)",
        fontsize=10, color=_INK, loc="left",
    )  # fmt: skip
    figure.legend(loc="outside lower left", ncols=2, fontsize=9, frameon=False)
    return figure
