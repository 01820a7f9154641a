"""`hybridllm audit`: whether each model earns its price at each task."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import typer

from hybridllm.cli import hints
from hybridllm.cli import ledger_options as options
from hybridllm.cli.costs.screen import NOBODY
from hybridllm.cli.output import note, paragraph, percent, print_json, seconds, usd
from hybridllm.cli.progress import Progress
from hybridllm.cli.tables import Coloured, Table, show

if TYPE_CHECKING:
    from hybridllm import Audited

_STEPS = 4
_CHEAPER = "a_cheaper_one_does_it"


def audit(
    ledger: options.Ledger = options.DEFAULT_LEDGER,
    *,
    since: options.Since = "7d",
    until: options.Until = None,
    policy: options.PolicyFile = None,
    as_json: hints.AsJson = False,
) -> None:
    """Tell, for each task and model, what a success cost, and who did the same for less.

    A cheaper model is named only if it succeeds as often: with 95 % confidence at most two points less, on 50
    requests each at least. Success is what the application said of its answers, else that there was one. Run
    it once a week.

    Example: hybridllm audit ledger.db --since 'last week'
    """
    import hybridllm

    progress = Progress(_STEPS)
    with options.questions_told(as_json=as_json), progress:
        found = hybridllm.audit(
            ledger,
            since=since,
            until=until,
            policy=options.policy_named(policy),
            on_step=progress.on,
        )
    if as_json:
        print_json({"ok": True, "since": since, "findings": [one.to_dict() for one in found]})
    else:
        _draw(found)


def _draw(found: tuple[Audited, ...]) -> None:
    if not found:
        typer.echo("no request was answered in this time")
        return
    right = ("requests", "success", "per success", "p99", "escalated", "cost")
    table = Table("task", "model", "tier", *right, "finding", right=right, prose=("finding",))
    for one in found:
        row = one.row
        latency_us = row.latency_p99_us
        words = Coloured(one.words, "yellow") if one.finding.value == _CHEAPER else one.words
        table.add_row(
            NOBODY if one.task is None else options.shown_text(one.task),
            options.shown_text(one.model or NOBODY),
            one.tier or "-",
            f"{row.requests:,}",
            percent(row.succeeded, row.requests),
            "-" if row.usd_per_success is None else usd(row.usd_per_success),
            seconds(None if latency_us is None else latency_us / 1_000_000),
            f"{row.escalations:,}",
            usd(row.spent_usd),
            words,
        )
    show(table)
    typer.echo()
    for one in found:
        if one.saved_usd is not None:
            task = NOBODY if one.task is None else options.shown_text(one.task)
            paragraph(f"{task}: {one.words}; it would have saved {usd(one.saved_usd)}")
    if not any(one.saved_usd for one in found):
        paragraph("nobody is shown to do a task as well for less")
    if sum(one.row.answers_known for one in found) == 0:
        note("success: nobody said whether an answer was right; those that were answered count")
    if any(one.row.fixed_pico for one in found):
        note(_machines(found))


def _machines(found: tuple[Audited, ...]) -> str:
    fixed = sum((Decimal(one.row.fixed_pico) for one in found), Decimal(0)).scaleb(-12)
    return f"costs hold {usd(fixed)} of machines that are paid by the month: less use saves nothing of it"
