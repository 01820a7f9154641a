"""The figures as tables: for a terminal, and for the documentation."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from survive.bars import Bar
from survive.figures import Figures
from survive.textbook import TextbookFigures
from survive.worlds import Cell


@dataclass(frozen=True, slots=True)
class Shown:
    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def bars_table(judged: Sequence[Bar]) -> Shown:
    said = {True: "met", False: "NOT MET", None: "-"}
    return Shown(
        "Bars",
        ("", "what", "bar", "measured", ""),
        tuple((bar.key, bar.what, bar.bar, bar.figure, said[bar.met]) for bar in judged),
    )


def textbook_table(
    cells: Sequence[Cell], ours: Sequence[Figures], theirs: Sequence[TextbookFigures]
) -> Shown:
    rows = [
        (
            f"{cell.name}, {cell.rate:g}/s, {cell.fault_s:g} s",
            str(cell.seed),
            f"{100 * us.success:.1f} %",
            f"{us.amplification:.3f}",
            f"{100 * them.success:.1f} %",
            f"{them.amplification:.3f}",
        )
        for cell, us, them in zip(cells, ours, theirs, strict=True)
    ]
    headings = ("fault", "seed", "answered", "attempts", "textbook answered", "textbook attempts")
    return Shown("Beside the textbook's breaker", headings, tuple(rows))


def cells_table(found: Sequence[Figures]) -> Shown:
    """One row per fault and load, the worst of the seeds in each column."""
    groups: dict[tuple[str, float], list[Figures]] = defaultdict(list)
    for each in found:
        groups[each.cell.name, each.cell.rate].append(each)
    rows = []
    for (name, rate), group in sorted(groups.items()):
        asked = sum(f.asked for f in group)
        rows.append(
            (
                name,
                f"{rate:g}",
                f"{asked:,}",
                _percent(min(f.success for f in group)),
                f"{max(f.amplification for f in group):.3f}",
                _seconds(_worst(f.base_p99_s for f in group)),
                _seconds(_worst(f.fault_p99_s for f in group)),
                _seconds(_worst(f.trip_s for f in group)),
                _seconds(_worst(f.closed_s for f in group)),
                _seconds(_worst(f.back_s for f in group)),
            )
        )
    headings = (
        "fault", "per s", "requests", "answered", "attempts", "p99 before", "p99 in it", "open after",
        "closed after", "share back",
    )  # fmt: skip
    return Shown("Every simulation: the worst of the seeds", headings, tuple(rows))


def notes(found: Sequence[Figures], *, took_s: float) -> list[str]:
    rates = sorted({f.cell.rate for f in found})
    seeds = sorted({f.cell.seed for f in found})
    return [
        f"{len(found)} simulations, {sum(f.requests for f in found):,} requests; "
        f"{rates[0]:g} to {rates[-1]:g} requests/s; seeds {', '.join(map(str, seeds))}; {took_s:.0f} s.",
        "Lognormal time to the first token, median 0.4 s, sigma 0.39; its limit 2 s; honest health pages; "
        "a quarter of the requests are streams.",
    ]


def plain(shown: Sequence[Shown], said: Sequence[str]) -> str:
    lines: list[str] = []
    for table in shown:
        rows = [table.headings, *table.rows]
        widths = [max(len(row[place]) for row in rows) for place in range(len(table.headings))]
        lines += ["", table.title]
        lines += [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
    return "\n".join([*lines, "", *said])


def markdown(shown: Sequence[Shown], said: Sequence[str], *, level: int = 2) -> str:
    parts: list[str] = []
    for table in shown:
        rows = ["| " + " | ".join(row) + " |" for row in (table.headings, *table.rows)]
        rows.insert(1, "|" + "---|" * len(table.headings))
        parts.append(f"{'#' * level} {table.title}\n\n" + "\n".join(rows))
    return "\n\n".join([*parts, *said]) + "\n"


def _worst(values: object) -> float | None:
    there = [value for value in values if value is not None]  # type: ignore[attr-defined]
    return max(there, default=None)


def _seconds(value: float | None) -> str:
    if value is None:
        return "-"
    return "never" if value == math.inf else f"{value:.2f} s"


def _percent(share: float) -> str:
    return f"{100 * share:.3f} %"
