"""A ledger replayed under another policy: for the command line, and for whoever asks in Python."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from hybridllm._core.backtest.report import BacktestReport
from hybridllm._core.ledger.periods import microseconds, period
from hybridllm._core.policy.compiled import Policy
from hybridllm._core.policy.repriced import PriceSheet, with_prices
from hybridllm._runtime.wall_clock import utc_now

if TYPE_CHECKING:
    from hybridllm._adapters.ledger.reader import LedgerReader

_TOLD_EVERY = 5_000


def backtest(
    ledger: str | Path | LedgerReader,
    policy: str | Path | Policy,
    *,
    prices: str | Path | PriceSheet | None = None,
    since: str | None = None,
    until: str | None = None,
    environ: Mapping[str, str] | None = None,
    environment: str | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> BacktestReport:
    """Decide the requests of a ledger again, by another policy or other prices; nothing is sent to anybody.

    Args:
        ledger: An SQLite file's path, a database's URL, or a reader of one.
        policy: A policy file's path, or a policy.
        prices: A price sheet's path, or a sheet: it goes before all prices of the policy. Default: none.
        since: `30d`, `2026-11-01`, `2026-11`, `last month`; None: from the beginning.
        until: A time like that, itself left out; None: until now, or where the period `since` ends.
        environ: Variables for `${NAME}`. Default: this process's environment.
        environment: Goes before the `environment` that the file says.
        on_progress: Called with the number of requests done, and of all.

    Raises:
        LedgerError: If there is no ledger, or it cannot be read.
        PolicyError: If the policy or the price sheet does not load.
        ValueError: If a time is none.
    """
    from hybridllm._adapters.ledger.reader import LedgerReader
    from hybridllm._adapters.ledger.replay import replayed, requests_count
    from hybridllm._core.backtest.replay import Replay

    if not isinstance(policy, Policy):
        from hybridllm._adapters.policy_files import load_policy

        policy, _ = load_policy(policy, environ=environ, environment=environment)
    if prices is not None:
        from hybridllm._adapters.price_sheets import load_price_sheet

        sheet = prices if isinstance(prices, PriceSheet) else load_price_sheet(prices)
        policy = with_prices(policy, sheet)
    since_us, until_us = period(since, until, now_us=microseconds(utc_now()))
    reader = ledger if isinstance(ledger, LedgerReader) else LedgerReader(ledger)
    whole = requests_count(reader, since_us, until_us) if on_progress is not None else 0
    replay = Replay(policy)
    for done, (asked, tried) in enumerate(replayed(reader, since_us, until_us)):
        if on_progress is not None and done % _TOLD_EVERY == 0:
            on_progress(done, whole)
        replay.add(asked, tried)
    return replay.report(reader.name)
