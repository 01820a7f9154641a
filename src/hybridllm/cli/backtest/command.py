"""`hybridllm backtest`: its options and its course."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from hybridllm.cli import hints
from hybridllm.cli.borders import errors_told
from hybridllm.cli.output import print_json
from hybridllm.cli.policy_files import policy_path

_UNITS_S = {"h": 3_600, "d": 86_400, "w": 7 * 86_400}

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
Since = Annotated[
    str | None,
    typer.Option(
        "--since", metavar="TIME", help="30d, 12h or 2026-11-01; UTC. Default: all of it."
    ),
]
Until = Annotated[
    str | None,
    typer.Option("--until", metavar="TIME", help="Itself left out. Default: all of it."),
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
    ledger: Ledger = "ledger.db",
    since: Since = None,
    until: Until = None,
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
    times = (_time("--since", since), _time("--until", until))
    if prices is not None and not prices.exists():
        raise typer.BadParameter(f"--prices: there is no file {prices}")

    from hybridllm import backtest as backtested
    from hybridllm.cli.backtest.screen import draw

    with errors_told(as_json=as_json), _progress() as on_progress:
        report = backtested(
            ledger,
            path,
            prices=prices,
            since=times[0],
            until=times[1],
            environment=environment,
            on_progress=on_progress,
        )
    if as_json:
        print_json({"ok": True, **report.to_dict()})
    else:
        draw(report)


def _time(option: str, given: str | None) -> datetime | timedelta | None:
    """Return a point in time: a date, or how long ago.

    Raises:
        typer.BadParameter: If it is neither.
    """
    if given is None:
        return None
    number, unit = given[:-1], given[-1:]
    if number.isascii() and number.isdigit() and unit in _UNITS_S and len(number) <= 6:
        return timedelta(seconds=int(number) * _UNITS_S[unit])
    try:
        at = datetime.fromisoformat(given)
    except ValueError:
        message = (
            f"{option}: {given!r} is neither so long ago (30d, 12h, 2w) nor a date (2026-11-01)"
        )
        raise typer.BadParameter(message) from None
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None] | None]:
    """Yield what draws a bar on standard error; nothing in a pipe."""
    import sys

    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("requests", total=None)

        def on_progress(done: int, whole: int) -> None:
            bar.update(task, completed=done, total=whole)

        yield on_progress
