"""A ledger's requests, one after the other, under another policy. Nothing of a request is kept but sums."""

from __future__ import annotations

from collections.abc import Sequence

from hybridllm._core.backtest.groups import Alike, Same
from hybridllm._core.backtest.judge import DENIED, Judge
from hybridllm._core.backtest.prices import Prices
from hybridllm._core.backtest.report import BacktestReport
from hybridllm._core.backtest.rows import Asked, Tried
from hybridllm._core.backtest.seen import SeenAll
from hybridllm._core.backtest.summary import summary_of
from hybridllm._core.policy.compiled import Policy

_OK = "ok"


class Replay:
    """Takes requests, in their order, and tells what came of them.

    Args:
        policy: That decides them.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._judge = Judge(policy)
        self._prices = Prices(policy)
        self._seen = SeenAll()
        self._groups: dict[tuple[object, ...], Alike] = {}
        self._first_us: int | None = None
        self._last_us: int | None = None

    def add(self, asked: Asked, tried: Sequence[Tried]) -> None:
        """Take one more request, with its attempts in their order."""
        if self._first_us is None:
            self._first_us = asked.started_us
        self._last_us = asked.started_us
        live = frozenset(self._policy.live)
        verdict = self._judge.verdict(asked, tried, unsure=live)
        if tried and asked.shadow_of is None:
            self._seen.add(asked, tried)
        # By the verdict's id: its hash is worked out anew each time, and there is one of each.
        prices = self._prices.of(verdict, asked)
        cached = asked.cache is not None
        key = (id(verdict), asked.served, asked.task, asked.outcome, cached, prices)
        group = self._groups.get(key)
        if group is None:
            outcome = asked.outcome
            same = Same(
                verdict,
                asked.served,
                asked.task,
                outcome == _OK,
                outcome == DENIED,
                cached,
                prices,
            )
            group = self._groups[key] = Alike(same)
        cost = self._prices.cost_pico
        group.add(asked, tried, [cost(one) for one in tried])

    def report(self, ledger: str) -> BacktestReport:
        """Return what came of all of them; `ledger` is where they are from."""
        return summary_of(
            self._groups.values(),
            self._seen,
            self._policy,
            ledger=ledger,
            first_us=self._first_us,
            last_us=self._last_us,
        )
