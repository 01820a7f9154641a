"""A cost report as one picture: bars, stacked over the days where days are asked for.

A door to matplotlib (extra `plots`). Draws what the report says, and works nothing out that it does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from math import ceil
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure

from hybridllm.cli.costs.screen import IDLE, key_cells

if TYPE_CHECKING:
    from hybridllm import CostReport, CostRow

# Told apart by colour-blind eyes too.
_COLOURS = ("#2a78d6", "#eb6834", "#1baf7a", "#eda100", "#8b5cc7", "#d6478a", "#3aa6b9", "#8a6d3b")
_INK, _QUIET, _FIXED = "#1f2430", "#6b7280", "#9db7d8"
_BARS_MAX, _STACKS_MAX = 20, 7
_OTHERS = "all others"


def draw(report: CostReport) -> Figure:
    """Return the picture."""
    timed = next((name for name in ("day", "hour") if name in report.by), None)
    figure = Figure(figsize=(9.6, 4.8), dpi=110, layout="constrained")
    axis = figure.subplots()
    title = rf"{report.since:%Y-%m-%d} to {report.until:%Y-%m-%d} (UTC): \${report.total.spent_usd:,.2f}"
    axis.set_title(title, fontsize=12, color=_INK, loc="left", weight="bold")
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    axis.tick_params(labelsize=8, colors=_QUIET, length=2)
    axis.set_axisbelow(True)
    if timed is None:
        _bars(axis, report)
    else:
        _over_time(axis, report, report.by.index(timed))
    return figure


def _bars(axis: Any, report: CostReport) -> None:
    rows = report.rows[:_BARS_MAX][::-1]
    names = [_name(row) for row in rows]
    tokens = [_usd(row.cost_pico) for row in rows]
    fixed = [_usd(row.fixed_pico) for row in rows]
    axis.barh(names, tokens, color=_COLOURS[0], label="by the token", height=0.65)
    axis.barh(names, fixed, left=tokens, color=_FIXED, label="share of machines", height=0.65)
    axis.set_xlabel("USD", fontsize=8, color=_QUIET)
    axis.grid(axis="x", color="#e5e7eb", lw=0.6)
    axis.legend(fontsize=8, frameon=False, loc="lower right")


def _over_time(axis: Any, report: CostReport, place: int) -> None:
    times = sorted({row.key[place] or "" for row in report.rows})
    sums: dict[str, dict[str, int]] = {}
    for row in report.rows:
        name = _name(row, without=place) or "cost"
        here = sums.setdefault(name, {})
        time = row.key[place] or ""
        here[time] = here.get(time, 0) + row.spent_pico
    below = [0.0] * len(times)
    paid = {name: found for name, found in sums.items() if any(found.values())}
    for number, (name, found) in enumerate(_dearest(paid).items()):
        heights = [_usd(found.get(time, 0)) for time in times]
        axis.bar(times, heights, bottom=below, label=name, color=_COLOURS[number], width=0.8)
        below = [low + height for low, height in zip(below, heights, strict=True)]
    axis.set_ylabel("USD", fontsize=8, color=_QUIET)
    axis.grid(axis="y", color="#e5e7eb", lw=0.6)
    step = max(1, ceil(len(times) / 8))
    axis.set_xticks(range(0, len(times), step), times[::step])
    axis.set_ylim(0, axis.get_ylim()[1] * 1.08)
    if paid:
        axis.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))


def _dearest(sums: dict[str, dict[str, int]]) -> dict[str, dict[str, int]]:
    """Return the dearest few, and the others as one."""
    names = sorted(sums, key=lambda name: -sum(sums[name].values()))
    found = {name: sums[name] for name in names[:_STACKS_MAX]}
    others: dict[str, int] = {}
    for name in names[_STACKS_MAX:]:
        for time, amount in sums[name].items():
            others[time] = others.get(time, 0) + amount
    return found | {_OTHERS: others} if others else found


def _name(row: CostRow, *, without: int | None = None) -> str:
    cells: Sequence[str] = [cell for n, cell in enumerate(key_cells(row)) if n != without]
    # A dollar sign would begin a formula.
    name = " / ".join(cell[:40] for cell in cells).replace("$", r"\$")
    return f"{name} {IDLE}" if row.idle and IDLE not in name else name


def _usd(amount_pico: int) -> float:
    return float(Decimal(amount_pico).scaleb(-12))
