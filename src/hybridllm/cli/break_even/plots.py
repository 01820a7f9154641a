"""A picture of an answer: cost over volume with the crossing, and the months ahead with their bands.

A door to matplotlib (extra `plots`).
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure

from hybridllm.economics import Answer, Scenario, api_usd_at, own_usd, point

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hybridllm.economics import Range

_API, _OWN = "#2a78d6", "#eb6834"
_INK, _QUIET = "#1f2430", "#6b7280"
_POINTS = 600


def draw(answer: Answer) -> Figure:
    """Return the picture."""
    figure = Figure(figsize=(11, 4.4), dpi=110, layout="constrained")
    left, right = figure.subplots(1, 2)
    for axis in (left, right):
        _prepare(axis)
    _over_volume(left, answer)
    _ahead(right, answer)
    figure.suptitle(answer.scenario.name, fontsize=12, color=_INK, x=0.01, ha="left", weight="bold")
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=6, fontsize=8, frameon=False)
    return figure


def _prepare(axis: Any) -> None:
    axis.tick_params(labelsize=8, colors=_QUIET, length=2)
    axis.grid(axis="y", color="#e5e7eb", lw=0.6)
    axis.set_axisbelow(True)
    axis.yaxis.set_major_formatter("{x:,.0f}")
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axis.spines[side].set_color("#c4c8d0")


def _over_volume(axis: Any, answer: Answer) -> None:
    scenario = answer.scenario
    now = scenario.tokens_per_day.likely
    crossed = answer.crossings.likely.first if answer.crossings is not None else None
    most = max(now * 2, crossed * Decimal("1.5") if crossed is not None else Decimal(0))
    volumes = [most * step / _POINTS for step in range(1, _POINTS + 1)]
    at = [float(volume) / 1e6 for volume in volumes]
    api = [float(api_usd_at(scenario, volume)) for volume in volumes]
    axis.plot(at, api, color=_API, lw=1.6, label="API")
    if scenario.machines is not None:
        _own_lines(axis, scenario, at, volumes)
    axis.axvline(float(now) / 1e6, color=_QUIET, lw=1, ls=":", label="now")
    if crossed is not None:
        level = float(api_usd_at(scenario, crossed))
        axis.plot([float(crossed) / 1e6], [level], "o", color=_INK, ms=5, label="level")
    axis.set_title("a month, by volume", fontsize=10, color=_INK)
    axis.set_xlabel("million tokens a day", fontsize=9, color=_QUIET)
    axis.set_ylabel("USD a month", fontsize=9, color=_QUIET)
    axis.set_xlim(0, at[-1])
    axis.set_ylim(bottom=0)


def _own_lines(
    axis: Any, scenario: Scenario, at: Sequence[float], volumes: Sequence[Decimal]
) -> None:
    from hybridllm.economics import best_for_own, worst_for_own

    likely, best, worst = (
        point(scenario, ends) for ends in ({}, best_for_own(scenario), worst_for_own(scenario))
    )
    low, high = ([float(own_usd(each, v)) for v in volumes] for each in (best, worst))
    axis.fill_between(at, low, high, color=_OWN, alpha=0.18, lw=0, label="low to high")
    axis.plot(
        at, [float(own_usd(likely, v)) for v in volumes], color=_OWN, lw=1.6, label="own machines"
    )


def _ahead(axis: Any, answer: Answer) -> None:
    months = answer.ahead.months
    at = [month.number for month in months]
    _band(axis, at, [month.api_usd for month in months], _API)
    owns = [month.own_usd for month in months if month.own_usd is not None]
    if owns:
        _band(axis, at, owns, _OWN)
    axis.set_title(f"the next {len(months)} months", fontsize=10, color=_INK)
    axis.set_xlabel("month", fontsize=9, color=_QUIET)
    axis.set_ylabel("USD a month", fontsize=9, color=_QUIET)
    axis.set_xlim(1, max(2, at[-1]))
    axis.set_ylim(bottom=0)


def _band(axis: Any, at: Sequence[int], costs: Sequence[Range], colour: str) -> None:
    low, high = [float(one.low) for one in costs], [float(one.high) for one in costs]
    axis.fill_between(at, low, high, color=colour, alpha=0.18, lw=0)
    axis.plot(at, [float(one.likely) for one in costs], color=colour, lw=1.6)
