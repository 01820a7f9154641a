"""`hybridllm report`: its options, and the file that it writes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hybridllm.cli import hints
from hybridllm.cli import ledger_options as options
from hybridllm.cli.output import print_json, usd
from hybridllm.cli.progress import Progress


def report(
    ledger: options.Ledger = options.DEFAULT_LEDGER,
    *,
    html: Annotated[
        Path,
        typer.Option(
            "--html", metavar="FILE", help="The page that is written.", show_default=False
        ),
    ],
    month: Annotated[
        str,
        typer.Option("--month", metavar="YYYY-MM", help="Or 'this month', 'last month'."),
    ] = "this month",
    policy: options.PolicyFile = None,
    as_json: hints.AsJson = False,
) -> None:
    """Write one month on a page: spend, waste, latency, own machines, what it would have cost elsewhere.

    One file without scripts that loads nothing from anywhere: it opens from disk, and can be mailed.

    Example: hybridllm report ledger.db --html november.html --month 2026-11
    """
    from hybridllm.cli.report.month import STEPS, gathered
    from hybridllm.cli.report.page import page

    progress = Progress(STEPS)
    with options.questions_told(as_json=as_json), progress:
        rules = options.policy_named(policy)
        found = gathered(ledger, month, policy=rules, on_step=progress.on)
    try:
        html.write_text(page(found), encoding="utf-8")
    except OSError as error:
        message = f"{html} cannot be written: {error.strerror}"
        raise typer.BadParameter(message, param_hint="'--html'") from None
    whole = found.tenants
    if as_json:
        print_json({"ok": True, "file": str(html), **whole.to_dict()})
    else:
        typer.echo(f"{html}: {whole.since:%B %Y}, {usd(whole.total.spent_usd)}")
