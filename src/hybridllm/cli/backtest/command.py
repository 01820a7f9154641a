"""`hybridllm backtest`: its options and its course."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from hybridllm.cli import hints, ledger_options
from hybridllm.cli.output import print_json
from hybridllm.cli.policy_files import policy_path
from hybridllm.cli.progress import Progress

PolicyName = Annotated[
    str,
    typer.Option(
        "--policy", metavar="POLICY", help="That decides: a policy file, or a shipped one."
    ),
]
Ledger = Annotated[
    str,
    typer.Option("--ledger", metavar="LEDGER", help="An SQLite file, or a database's URL."),
]
Prices = Annotated[
    Path | None,
    typer.Option(
        "--prices", metavar="SHEET", help="A price sheet; goes before the policy's prices."
    ),
]


def backtest(
    *,
    policy: PolicyName,
    ledger: Ledger = ledger_options.DEFAULT_LEDGER,
    since: ledger_options.Since = None,
    until: ledger_options.Until = None,
    prices: Prices = None,
    environment: hints.Environment = None,
    as_json: hints.AsJson = False,
) -> None:
    """Decide the requests of a ledger again, by another policy or at other prices, and tell what changes.

    Cost, latency, overflow, and whom rules would have treated otherwise: before, after, and between which
    bounds where that is an estimate. Prompts are not needed; nothing is sent to anybody. By the policy that
    wrote the ledger nothing changes.

    Example: hybridllm backtest --policy new.yaml --ledger ledger.db --since 30d
    """
    path = policy_path(policy)
    if prices is not None and not prices.exists():
        raise typer.BadParameter(f"--prices: there is no file {prices}")

    from hybridllm import backtest as backtested
    from hybridllm.cli.backtest.screen import draw

    with ledger_options.questions_told(as_json=as_json), Progress() as progress:
        report = backtested(
            ledger,
            path,
            prices=prices,
            since=since,
            until=until,
            environment=environment,
            on_progress=partial(progress.at, what="requests"),
        )
    if as_json:
        print_json({"ok": True, **report.to_dict()})
    else:
        draw(report)
