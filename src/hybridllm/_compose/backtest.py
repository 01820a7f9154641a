"""A ledger replayed under another policy: for the command line, and for whoever asks in Python."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from hybridllm._core.backtest.report import BacktestReport
from hybridllm._core.policy.compiled import Policy
from hybridllm._core.policy.repriced import PriceSheet, with_prices
from hybridllm._runtime.wall_clock import utc_now
from hybridllm.errors import InvalidRequest

if TYPE_CHECKING:
    from hybridllm._adapters.ledger.reader import LedgerReader

_TOLD_EVERY = 5_000


def backtest(
    ledger: str | Path | LedgerReader,
    policy: str | Path | Policy,
    *,
    prices: str | Path | PriceSheet | None = None,
    since: datetime | timedelta | None = None,
    until: datetime | timedelta | None = None,
    environ: Mapping[str, str] | None = None,
    environment: str | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> BacktestReport:
    """Decide the requests of a ledger again, by another policy or other prices; nothing is sent to anybody.

    Args:
        ledger: An SQLite file's path, a database's URL, or a reader of one.
        policy: A policy file's path, or a policy.
        prices: A price sheet's path, or a sheet: it goes before all prices of the policy. Default: none.
        since: Only requests that began from then on; or so long ago.
        until: Only requests that began before; or so long ago.
        environ: Variables for `${NAME}`. Default: this process's environment.
        environment: Goes before the `environment` that the file says.
        on_progress: Called with the number of requests done, and of all.

    Raises:
        LedgerError: If there is no ledger, or it cannot be read.
        PolicyError: If the policy or the price sheet does not load.
        InvalidRequest: If a time has no zone.
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
    since_us = 0 if since is None else _us_of(since, "since")
    until_us = None if until is None else _us_of(until, "until")
    reader = ledger if isinstance(ledger, LedgerReader) else LedgerReader(ledger)
    whole = requests_count(reader, since_us, until_us) if on_progress is not None else 0
    replay = Replay(policy)
    for done, (asked, tried) in enumerate(replayed(reader, since_us, until_us)):
        if on_progress is not None and done % _TOLD_EVERY == 0:
            on_progress(done, whole)
        replay.add(asked, tried)
    return replay.report(reader.name)


def _us_of(at: datetime | timedelta, name: str) -> int:
    """Return a time in microseconds since the epoch.

    Raises:
        InvalidRequest: If it has no zone.
    """
    if isinstance(at, timedelta):
        at = utc_now() - at
    if at.tzinfo is None:
        raise InvalidRequest(
            f"{name}: {at.isoformat()} has no zone; give it one, as in {at.isoformat()}Z"
        )
    return int(at.timestamp()) * 1_000_000 + at.microsecond
