"""The pictures of docs/hybrid.md: a burst, and a cold start."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from hybrid.bursts import BURSTS, CALM_S, RUSH_S, SLO_S, capacity_per_s, play
from hybrid.sleeps import END_S, SleepFigures
from hybridllm.testing import Journey, run_in_virtual_time
from volume.years import DAYS, a_year, traffic_of

_OWN, _API, _INK, _QUIET, _BAND = "#2a78d6", "#eb6834", "#1f2430", "#6b7280", "#f3f4f6"
_STEP_S = 2.0


def draw_burst(file: Path) -> None:
    """Play one burst with true metrics, and draw who served it and how soon."""
    burst = BURSTS[0]
    journeys, _, _ = play(burst)
    end_s = max(one.ask.at_s for one in journeys)
    figure, (served, waits) = _figure()
    for axis in (served, waits):
        axis.axvspan(CALM_S, CALM_S + RUSH_S, color=_BAND, lw=0)
        axis.set_xlim(0, end_s)
    _served(served, journeys, end_s)
    served.axhline(
        capacity_per_s(burst.own), color=_INK, lw=1, ls=":", label="what the machine can do"
    )
    served.set_title(
        "Three times what the own machine can do, for 40 s: only the surplus leaves",
        fontsize=10, color=_INK, loc="left",
    )  # fmt: skip
    _first_tokens(waits, journeys)
    waits.axhline(SLO_S, color=_INK, lw=1, ls=":")
    figure.legend(loc="outside lower left", ncols=3, fontsize=8, frameon=False)
    figure.savefig(file)


def draw_sleep(journeys: Sequence[Journey], found: SleepFigures, file: Path) -> None:
    """Draw a cold start."""
    public = [one for one in journeys if one.ask.kind == "public"]
    figure, (served, waits) = _figure()
    for axis in (served, waits):
        axis.axvspan(0, found.awake_s, color=_BAND, lw=0)
        axis.set_xlim(0, END_S)
    _served(served, public, END_S)
    served.set_title(
        f"The own machine sleeps, and is awake after {found.awake_s:.0f} s: the API bridges it",
        fontsize=10, color=_INK, loc="left",
    )  # fmt: skip
    _first_tokens(waits, public)
    figure.legend(loc="outside lower left", ncols=3, fontsize=8, frameon=False)
    figure.savefig(file)


def draw_year(file: Path) -> None:
    """Play a year of traffic, and draw it with the days on which a sustained volume holds."""
    machine, _ = run_in_virtual_time(a_year(1))
    (begun, _), (ended, _) = machine.crossings
    figure = Figure(figsize=(8, 2.8), dpi=110, layout="constrained")
    axis = figure.subplots()
    axis.axvspan(begun, ended, color=_BAND, lw=0, label="the condition holds")
    axis.step(
        range(DAYS),
        [traffic_of(day) / 1e6 for day in range(DAYS)],
        color=_OWN,
        lw=1.4,
        where="post",
    )
    axis.axhline(500, color=_INK, lw=1, ls=":", label="500M tokens a day")
    axis.set_xlim(0, DAYS - 1)
    axis.set_ylim(bottom=0)
    axis.set_xlabel("days", fontsize=9, color=_QUIET)
    axis.set_ylabel("million tokens a day", fontsize=9, color=_QUIET)
    axis.tick_params(labelsize=8, colors=_QUIET, length=2)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    axis.set_title(
        "sustained: 90d. Ten days of four times as much are no ninety days; one dead day ends nothing",
        fontsize=10, color=_INK, loc="left",
    )  # fmt: skip
    figure.legend(loc="outside lower left", ncols=2, fontsize=8, frameon=False)
    figure.savefig(file)


def _figure() -> tuple[Figure, Any]:
    figure = Figure(figsize=(8, 4.6), dpi=110, layout="constrained")
    axes = figure.subplots(2, 1, sharex=True)
    for axis, label in zip(axes, ("requests/s", "first token, s"), strict=True):
        axis.set_ylabel(label, fontsize=9, color=_QUIET)
        axis.tick_params(labelsize=8, colors=_QUIET, length=2)
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
    axes[1].set_xlabel("seconds", fontsize=9, color=_QUIET)
    return figure, axes


def _served(axis: Any, journeys: Sequence[Journey], end_s: float) -> None:
    places = [number * _STEP_S for number in range(int(end_s / _STEP_S) + 1)]
    rates = []
    for name in ("own", "api"):
        count = Counter(int(one.ask.at_s / _STEP_S) for one in journeys if one.served_by == name)
        rates.append([count[number] / _STEP_S for number in range(len(places))])
    axis.stackplot(
        places, *rates, colors=(_OWN, _API), labels=("own machine", "API"), lw=0, step="post"
    )


def _first_tokens(axis: Any, journeys: Sequence[Journey]) -> None:
    for name, colour in (("own", _OWN), ("api", _API)):
        mine = [one for one in journeys if one.served_by == name]
        axis.plot(
            [one.ask.at_s for one in mine],
            [one.first_token_s for one in mine],
            ".", color=colour, ms=3,
        )  # fmt: skip
    axis.set_ylim(bottom=0)
