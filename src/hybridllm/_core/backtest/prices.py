"""What recorded tokens cost at another policy's prices: the same sum as in production, to the last digit."""

from __future__ import annotations

from hybridllm._core.backtest.judge import Verdict
from hybridllm._core.backtest.rows import Asked, Tried
from hybridllm._core.ledger.periods import instant
from hybridllm._core.money.pico import pico_of
from hybridllm._core.money.price import Price, cost_usd
from hybridllm._core.money.usage import Usage
from hybridllm._core.policy.compiled import Candidate, Policy

PROVIDER = "provider"
Ways = tuple[tuple[Candidate, Price | None], ...]
"""Prices of candidates that differ from request to request."""

_MTOK = 1_000_000
_REMEMBERED_MAX = 100_000


class Prices:
    """The prices of a policy, by candidate."""

    def __init__(self, policy: Policy) -> None:
        self._candidates = {
            one.name: one for served in policy.candidates.values() for one in served
        }
        self._differ = policy.prices_differ
        self._rates: dict[Price, tuple[int, int] | None] = {}
        self._costs: dict[tuple[Price, Usage], int] = {}

    def cost_pico(self, tried: Tried) -> int | None:
        """Return what an attempt that was made costs; None: not known.

        What the policy has no price for, or nobody counted, costs what is recorded.
        """
        candidate = self._candidates.get(tried.candidate)
        price = None if candidate is None else self._price(candidate, tried)
        if price is None:
            return tried.cost_pico if tried.cost_source == PROVIDER else None
        tokens_in, tokens_out = tried.input_tokens, tried.output_tokens
        if tokens_in is None or tokens_out is None:
            return 0 if price.free else tried.cost_pico
        rates = self._rates[price] if price in self._rates else self._ready(price)
        if rates is not None and not tried.cached_input_tokens and not tried.cache_write_tokens:
            whole, rest = divmod(tokens_in * rates[0] + tokens_out * rates[1], _MTOK)
            if not rest:
                return whole
        return self._exact(price, tried, tokens_in, tokens_out)

    @staticmethod
    def _price(candidate: Candidate, tried: Tried) -> Price | None:
        if candidate.tariff is None:
            return candidate.price
        return candidate.price_at(
            instant(tried.started_us),
            tried.input_tokens,
            served=tried.model_served,
            service_tier=tried.service_tier,
        )

    def of(self, verdict: Verdict, asked: Asked) -> Ways:
        """Return the prices of everybody whom a request may go to, where the request has a say in them."""
        if not self._differ:
            return ()
        at, tokens = instant(asked.started_us), asked.input_tokens_total
        return tuple(
            (one, one.price_at(at, tokens))
            for target in (*verdict.targets, *verdict.drawn)
            for one in (target.candidate, target.behind, target.spill, target.then)
            if one is not None and one.tariff is not None
        )

    def _ready(self, price: Price) -> tuple[int, int] | None:
        """Return a price in whole 10^-12 USD per 1,000,000 tokens; None: it is not so simple."""
        pico = [one.scaleb(12) for one in (price.usd_per_mtok_in, price.usd_per_mtok_out)]
        simple = price.usd_per_request is None and all(one == int(one) for one in pico)
        self._rates[price] = (int(pico[0]), int(pico[1])) if simple else None
        return self._rates[price]

    def _exact(self, price: Price, tried: Tried, tokens_in: int, tokens_out: int) -> int:
        usage = Usage(
            tokens_in,
            tokens_out,
            tried.cached_input_tokens,
            cache_write_tokens=tried.cache_write_tokens,
        )
        key = (price, usage)
        found = self._costs.get(key)
        if found is None:
            if len(self._costs) >= _REMEMBERED_MAX:
                self._costs.clear()
            found = self._costs[key] = pico_of(cost_usd(usage, price))
        return found
