"""A comparison for people: progress, one row per model, answers below each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from hybridllm.cli.output import headline, note, paragraph, percent, plural, seconds, usd
from hybridllm.cli.tables import Table, show

if TYPE_CHECKING:
    from hybridllm import Comparison, ShadowSummary

_CUT = 400
_CONTROL = {code: None for code in (*range(32), *range(127, 160)) if chr(code) != "\n"}


def draw(found: Comparison) -> None:
    """Print one row per model."""
    figures = ("answered", "cost", "per answer", "p50", "p99", "tokens in", "out", "agrees")
    judged = any(one.score is not None for one in found.models)
    expected = any(one.expected is not None for one in found.models)
    more = (("as expected",) if expected else ()) + (("judged",) if judged else ())
    table = Table("model", *figures, *more, right=(*figures, *more))
    for one in found.models:
        low, high = one.latency_s or (None, None)
        row = [
            one.model,
            f"{one.answered}/{one.asked}",
            usd(one.cost_usd) + (f" + {one.unknown} not known" if one.unknown else ""),
            usd(one.usd_per_answer),
            seconds(low),
            seconds(high),
            f"{one.tokens_in:,}",
            f"{one.tokens_out:,}",
            percent(one.agreement),
        ]
        row += [percent(one.expected)] if expected else []
        row += [percent(one.score)] if judged else []
        table.add_row(*row)
    show(table)
    note(f"agrees: with {found.models[0].model}, on prompts that both answered")


def draw_answers(found: Comparison, count: int) -> None:
    """Print the answers to the first prompts on which they differ, then to others."""
    rows = sorted(found.rows, key=lambda row: len({one.text for one in row}) == 1)
    for row in rows[:count]:
        headline(f"{row[0].key}: {_cut(found.prompts.get(row[0].key, ''), 100)}")
        for one in row:
            paragraph(
                f"{typer.style(one.model, bold=True)}: {_cut(one.text or f'({one.error})', _CUT)}"
            )
    left = len(found.rows) - count
    if count and left > 0:
        note(
            f"and {plural(left, 'prompt')} more: --show {len(found.rows)}, --json or --html page.html"
        )


def draw_live(found: Sequence[ShadowSummary]) -> None:
    """Print what shadow traffic tells."""
    if not found:
        typer.echo("no shadow traffic in this time; write `shadow` on a route of the policy")
        return
    figures = (
        "copies",
        "answered",
        "agree",
        "at least",
        "cost",
        "copy's cost",
        "p50",
        "copy's p50",
    )
    table = Table("route", "model", "shadow", *figures, right=figures)
    for one in found:
        table.add_row(
            one.route or "-",
            one.model,
            one.shadow_model,
            str(one.copies),
            percent(one.answered, one.copies),
            percent(one.agreement),
            percent(one.agreement_low),
            usd(one.cost_usd),
            usd(one.shadow_cost_usd),
            seconds(one.p50_s),
            seconds(one.shadow_p50_s),
        )
    show(table)
    note("at least: the lower end of the 95 % interval of the share of answers that agree")


def _cut(text: str, chars: int) -> str:
    """Keep a model's words from steering a terminal, and to one line."""
    bare = " ".join(text.translate(_CONTROL).split())
    return bare if len(bare) <= chars else bare[: chars - 3] + "..."
