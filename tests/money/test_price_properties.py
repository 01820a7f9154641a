"""What holds of every price: parts add up, and no decision outlives the price that it was made by."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from hybridllm import load_price_sheet, with_prices
from hybridllm._adapters.price_sheets import read_price_sheet
from hybridllm._core.decide.decide import decide
from hybridllm._core.decide.plan import Denied, Plan
from hybridllm._core.decide.snapshot import Snapshot
from hybridllm._core.money.pico import pico_of, to_pico, usd_of
from hybridllm._core.money.price import Price, cost_usd
from hybridllm._core.money.usage import Usage
from hybridllm._core.policy.repriced import at_its_cheapest
from hybridllm._core.request.facts import Facts
from money.price_policies import candidate_of, plain, policy_of, utc

RATES = st.decimals(0, 100_000, places=12, allow_nan=False)
MAYBE = st.none() | RATES


@st.composite
def usages(draw: Any) -> Usage:
    """Tokens whose parts fit into their wholes."""
    prompt = draw(st.integers(0, 10**9))
    cached = draw(st.integers(0, prompt))
    return Usage(
        prompt,
        draw(st.integers(0, 10**9)),
        draw(st.sampled_from([None, cached])),
        cache_write_tokens=draw(st.sampled_from([None, prompt - cached])),
    )


@given(usages(), RATES, RATES, MAYBE, MAYBE, MAYBE)
@settings(max_examples=300, deadline=None)
def test_the_parts_of_a_cost_add_up(
    usage: Usage, rate_in: Decimal, rate_out: Decimal, cached: Any, written: Any, per_request: Any
) -> None:
    """Each token once, at one rate: the same sum with fractions, to the last pico-dollar."""
    price = Price(
        rate_in,
        rate_out,
        cached,
        usd_per_mtok_cache_write=written,
        usd_per_request=per_request,
    )
    n_cached, n_written = usage.cached_input_tokens or 0, usage.cache_write_tokens or 0
    exact = (
        (usage.input_tokens - n_cached - n_written) * Fraction(rate_in)
        + n_cached * Fraction(rate_in if cached is None else cached)
        + n_written * Fraction(rate_in if written is None else written)
        + usage.output_tokens * Fraction(rate_out)
    ) / 10**6 + Fraction(per_request or 0)
    cost = to_pico(cost_usd(usage, price))
    assert abs(Fraction(cost) - exact) <= Fraction(1, 2 * 10**12)
    assert usd_of(pico_of(cost)) == cost


@given(st.integers(0, 2 * 10**6), st.sampled_from([None, "flex"]), st.integers(0, 60 * 24 * 8))
@settings(max_examples=200, deadline=None)
def test_an_expected_cost_is_that_of_the_same_tokens(
    tokens: int, tier: str | None, minute: int
) -> None:
    """What decisions compare is what is charged, in the standard tier, at any time and length."""
    pair = """{input_per_1m: 1, output_per_1m: 10, per_request: 0.01,
      context_tiers: [{above: 200K, input_per_1m: 2}, {above: 1M, output_per_1m: 30}],
      service_tiers: {flex: {factor: 0.5}}, hours: [{from: "16:30", to: "00:30", factor: 0.25}]}"""
    candidate = candidate_of(policy_of(pair=pair))
    at = utc("2026-11-01T00:00") + timedelta(minutes=minute)
    price, atto = candidate.price_at(at, tokens), candidate.atto_at(at, tokens)
    other = candidate.price_at(at, tokens, service_tier=tier)
    assert None not in (price, atto, other)
    assert Decimal(atto.prompt * tokens + atto.completion * 7 + atto.request) / 10**18 == cost_usd(
        Usage(tokens, 7), price
    )
    assert cost_usd(Usage(tokens, 7), other) == cost_usd(Usage(tokens, 7), price) * (
        Decimal("0.5") if tier else 1
    )


MOVING = """\
prices:
  - {model: wire-m, backend: cloud, from: 2026-11-05, input_per_1m: 1, output_per_1m: 4,
     hours: [{from: "16:30", to: "00:30", factor: 0.5}]}
  - {model: wire-m, backend: cloud, from: 2026-11-20, input_per_1m: 1, output_per_1m: 9}
  - {model: wire-m, backend: other, input_per_1m: 2, output_per_1m: 6,
     context_tiers: [{above: 1000, output_per_1m: 7}]}
"""


@given(
    st.lists(st.integers(0, 60 * 24 * 30), min_size=2, max_size=12), st.sampled_from([10, 1_500])
)
@settings(max_examples=60, deadline=None)
def test_a_remembered_decision_is_never_stale(minutes: list[int], tokens: int) -> None:
    """In any order of times, a policy that remembers decides as one that has just been read."""
    policy = policy_of(
        more=MOVING.replace("prices:", "constraints: [{name: k, max_output_price: 6}]\nprices:")
    )
    facts = Facts(input_tokens_estimate=tokens, output_tokens_max=5)
    for minute in minutes:
        at = utc("2026-11-01T00:00") + timedelta(minutes=minute)
        fresh = policy_of(
            more=MOVING.replace("prices:", "constraints: [{name: k, max_output_price: 6}]\nprices:")
        )
        found, expected = (
            _asked(decide(one, facts, Snapshot(now_utc=at))) for one in (policy, fresh)
        )
        assert found == expected
        allowed = {
            one.name
            for one in policy.candidates["m"]
            if (price := one.price_at(at, tokens)) is not None and price.usd_per_mtok_out <= 6
        }
        assert set(found) == allowed


def _asked(decision: Plan | Denied) -> tuple[str, ...]:
    return decision.candidate_names if isinstance(decision, Plan) else ()


@given(st.integers(0, 60 * 24 * 40), st.integers(0, 3_000))
@settings(max_examples=60, deadline=None)
def test_the_proofs_policy_lets_through_whom_time_lets_through(minute: int, tokens: int) -> None:
    """Whoever is reached at some time, of some length, is reached at the least price."""
    policy = policy_of(
        more=MOVING.replace("prices:", "constraints: [{name: k, max_output_price: 5}]\nprices:")
    )
    at = utc("2026-11-01T00:00") + timedelta(minutes=minute)
    facts = Facts(input_tokens_estimate=tokens, output_tokens_max=5)
    reached = _asked(decide(policy, facts, Snapshot(now_utc=at)))
    cheap = _asked(decide(at_its_cheapest(policy), facts, Snapshot(now_utc=at)))
    assert set(reached) <= set(cheap)


SHEET = b"""\
version: 1
currencies: {EUR: 2}
prices:
  - {model: "wire-*", input_per_1m: 5, output_per_1m: 6, currency: EUR}
  - {model: wire-m, backend: own, input_per_1m: 7, output_per_1m: 8}
"""


def test_a_swapped_sheet_goes_before_everything() -> None:
    """Everywhere in the policy: candidates, routes, list prices; and nothing of what was decided is kept."""
    policy = policy_of(pair="{input_per_1m: 1, output_per_1m: 2}")
    decide(policy, Facts(), Snapshot())
    other = with_prices(policy, read_price_sheet(SHEET, source="s", name="s"))
    assert [plain(one.price) for one in other.candidates["m"]] == ["10 12", "10 12", "7 8"]
    assert [plain(one) for one in other.list_prices["m"]] == ["10 12"]
    in_routes = {one for route in other.routes for use in route.use for one in use.candidates}
    assert in_routes == set(other.candidates["m"])
    assert other.memo == {}
    assert other.version.startswith(f"{policy.version}+sha256:")
    assert plain(candidate_of(policy).price) == "1 2"


def test_what_a_swapped_sheet_does_not_price_stays(tmp_path: Any) -> None:
    """Also what moves: dated prices of the policy hold on under a sheet that knows other models."""
    path = tmp_path / "sheet.yaml"
    path.write_text("version: 1\nprices: [{model: else, input_per_1m: 1, output_per_1m: 1}]\n")
    pair = "[{input_per_1m: 1, output_per_1m: 2}, {from: 2026-11-01, input_per_1m: 3, output_per_1m: 4}]"
    candidate = candidate_of(with_prices(policy_of(pair=pair), load_price_sheet(path)))
    assert plain(candidate.price_at(utc("2026-10-31T00:00"))) == "1 2"
    assert plain(candidate.price_at(datetime(2026, 11, 1, tzinfo=UTC))) == "3 4"
    assert plain(candidate.price_at(utc("2026-10-31T00:00"), served="else")) == "1 1"
