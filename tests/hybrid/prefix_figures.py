"""Measure prefix affinity: `PYTHONPATH=tests python -m hybrid.prefix_figures [--picture FILE]`.

Conversations over four replicas, by prefix, by load and by chance, at loads from idle to busy.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from statistics import fmean

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hybrid.conversations import Figures, Order, Scene, figures, play

SCENES = (
    Scene(rate=0.1, until_s=800.0, kv_blocks=250),
    Scene(rate=0.5, until_s=240.0, kv_blocks=300),
    Scene(rate=1.5, until_s=100.0, kv_blocks=350),
    Scene(),
    Scene(rate=8.0, until_s=50.0, kv_blocks=700),
)
ORDERS: tuple[Order, ...] = ("random", "load", "prefix")
_SEEDS = range(1, 6)
_COLOURS = {"prefix": "#2a78d6", "load": "#eb6834", "random": "#6b7280"}
_NAMES = {"prefix": "order_by: prefix", "load": "order_by: load", "random": "by chance"}
_HEAD = """\
| at once, each | order | cached | possible | requests, most/mean | at once, most/mean | first token p50/p95 |
|---|---|---|---|---|---|---|"""
_INK, _QUIET = "#1f2430", "#6b7280"


def main() -> None:
    parser = argparse.ArgumentParser(prog="prefix_figures", description=__doc__.splitlines()[0])
    parser.add_argument("--picture", type=Path, help="draw docs/hybrid-prefix.png too")
    asked = parser.parse_args()
    found: dict[Order, list[Figures]] = {order: [] for order in ORDERS}
    print(_HEAD)
    for scene in SCENES:
        for order in ORDERS:
            one = measured(scene, order)
            found[order].append(one)
            half_s, most_s = one.first_token_s
            print(f"| {one.under_way:.1f} | {_NAMES[order]} | {one.hit_share:.0%} | {one.possible:.0%} "
                  f"| {one.requests_max:.2f} | {one.under_way_max:.2f} "
                  f"| {half_s * 1e3:.0f}/{most_s * 1e3:.0f} ms |", flush=True)  # fmt: skip
    if asked.picture is not None:
        draw(asked.picture, found)


def measured(scene: Scene, order: Order) -> Figures:
    """Return the means over some seeds."""
    runs = [replace(scene, seed=seed) for seed in _SEEDS]
    each = [figures(run, play(run, order)) for run in runs]
    return Figures(
        sum(one.requests for one in each),
        fmean(one.hit_share for one in each),
        fmean(one.possible for one in each),
        fmean(one.requests_max for one in each),
        fmean(one.under_way_max for one in each),
        fmean(one.under_way for one in each),
        fmean(one.computed_max for one in each),
        (fmean(one.first_token_s[0] for one in each), fmean(one.first_token_s[1] for one in each)),
    )


def draw(file: Path, found: dict[Order, list[Figures]]) -> None:
    """Draw what was cached, and who had how much to do, over the load."""
    figure = Figure(figsize=(8, 3.4), dpi=110, layout="constrained")
    cached, waits = figure.subplots(1, 2)
    for order in ORDERS:
        each = found[order]
        load = [one.under_way for one in each]
        colour = _COLOURS[order]
        cached.plot(load, [100 * one.hit_share for one in each], "o-", color=colour, ms=3, lw=1.6,
                    label=_NAMES[order])  # fmt: skip
        waits.plot(
            load, [1e3 * one.first_token_s[1] for one in each], "o-", color=colour, ms=3, lw=1.6
        )
    possible = [100 * one.possible for one in found["prefix"]]
    cached.plot([one.under_way for one in found["prefix"]], possible, ":", color=_INK, lw=1,
                label="possible")  # fmt: skip
    cached.set_ylim(40, 100)
    waits.set_ylim(0, None)
    _dressed(cached, "prompt tokens cached, %")
    _dressed(waits, "first token, 95 of 100, ms")
    figure.legend(loc="outside lower left", ncols=4, fontsize=9, frameon=False)
    figure.savefig(file)


def _dressed(axis: Axes, title: str) -> None:
    axis.set_title(title, fontsize=10, color=_INK, loc="left")
    axis.set_xscale("log")
    axis.set_xticks([0.5, 1, 2, 5, 10, 20], [".5", "1", "2", "5", "10", "20"], minor=False)
    axis.set_xlabel("requests at once on each of four replicas", fontsize=9, color=_QUIET)
    axis.tick_params(labelsize=8, colors=_QUIET, length=2)
    axis.minorticks_off()
    axis.grid(axis="y", color="#e5e7eb", lw=0.6)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)


if __name__ == "__main__":
    main()
