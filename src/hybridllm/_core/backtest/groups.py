"""Requests that share a verdict and whoever answered them: their sums, and nothing of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from hybridllm._core.backtest.histogram import Histogram
from hybridllm._core.backtest.judge import OVERFLOW, Verdict
from hybridllm._core.backtest.prices import Ways
from hybridllm._core.backtest.rows import Asked, Tried
from hybridllm._core.money.price import Price
from hybridllm._core.policy.compiled import Candidate

EXAMPLES_MAX = 5


class Same(NamedTuple):
    """What the requests of a group share."""

    verdict: Verdict
    served: str | None
    task: str | None
    answered: bool
    denied: bool
    cache: bool
    prices: Ways = ()

    def price_of(self, candidate: Candidate) -> Price | None:
        """Return the price of a candidate for these requests; None: not known."""
        for one, price in self.prices:
            if one is candidate:
                return price
        return candidate.price


class Alike:
    """The sums of one group, as recorded; and what those that stand cost now.

    Attributes:
        cost_pico: As far as it is known; `unpriced` requests had an attempt whose cost is not.
        now_pico: The same at the prices of the policy at hand.
        tokens_in: Of answers, as billed; `estimated_in` of all, as estimated before they were sent.
        whole: How long those took that were answered; `first`: to the first token of streams.
        overflowed: Answered by somebody because others had too much to do.
        examples: Ids of a few.
    """

    __slots__ = (
        "cached_in",
        "cost_pico",
        "counted",
        "estimated_in",
        "examples",
        "first",
        "now_pico",
        "overflowed",
        "requests",
        "same",
        "tokens_in",
        "tokens_out",
        "unpriced",
        "unpriced_now",
        "whole",
    )

    def __init__(self, same: Same) -> None:
        self.same = same
        self.requests = self.cost_pico = self.now_pico = 0
        self.unpriced = self.unpriced_now = self.overflowed = self.counted = 0
        self.tokens_in = self.tokens_out = self.cached_in = self.estimated_in = 0
        self.whole, self.first = Histogram(), Histogram()
        self.examples: list[str] = []

    def add(self, asked: Asked, tried: Sequence[Tried], costs: Sequence[int | None]) -> None:
        """Add a request; `costs` are what its attempts cost now."""
        self.requests += 1
        if len(self.examples) < EXAMPLES_MAX:
            self.examples.append(asked.request_id)
        self.estimated_in += max(asked.input_tokens_total, asked.input_tokens_estimate)
        if self.same.answered:
            self.whole.add(asked.duration_us)
            if asked.first_token_us is not None:
                self.first.add(asked.first_token_us)
        for one, now in zip(tried, costs, strict=True):
            if one.cost_pico is None:
                self.unpriced += 1
            else:
                self.cost_pico += one.cost_pico
            if now is None:
                self.unpriced_now += 1
            else:
                self.now_pico += now
            if one.outcome == "served":
                self._answer(one)

    def _answer(self, tried: Tried) -> None:
        if tried.reason == OVERFLOW:
            self.overflowed += 1
        if tried.input_tokens is not None and tried.output_tokens is not None:
            self.counted += 1
            self.tokens_in += tried.input_tokens
            self.tokens_out += tried.output_tokens
            self.cached_in += tried.cached_input_tokens or 0
