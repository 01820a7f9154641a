"""Whether APIs cost more than own machines: the sums of the planning documents, done again by hand."""

from __future__ import annotations

from decimal import Decimal
from math import inf

import pytest

from hybridllm._adapters.policy_files import load_policy_text
from hybridllm._core.money.break_even import Weighed, weigh
from hybridllm._core.policy.compiled import Policy

# USD per 1M tokens as the model book has them: deepseek-v4-flash 0.18 in, 0.25 out; qwen3-32b 0.18, 0.28;
# gpt-4o 2.50, 10.00; deepseek-v3 0.27, 1.10; gpt-4o-mini 0.15, 0.60; glm-5 has no price.
MODELS = ("deepseek-v4-flash", "qwen3-32b", "gpt-4o", "gpt-4o-mini", "deepseek-v3", "glm-5")
THIRTY_DAYS = 30  # a month in the planning documents


def policy(capacity: str = "{usd_per_month: 1000}", more: str = "") -> Policy:
    served = "\n".join(f"  {name}: {{on: {{cloud: x, own: x}}}}" for name in MODELS)
    text = f"""
version: 1
backends:
  cloud: {{kind: api, base_url: "https://cloud.test/v1"}}
  own: {{kind: vllm, base_url: "https://own.test/v1", operator: self, price: free, capacity: {capacity}}}
{more}
models:
{served}
routes: [{{name: default, use: qwen3-32b}}]
"""
    return load_policy_text(text)[0]


PLAIN = policy()


def weighed(
    tokens_in: float,
    tokens_out: float,
    *,
    model: str = "deepseek-v4-flash",
    by: Policy = PLAIN,
    cached: float = 0.0,
) -> Weighed:
    return weigh(by, {model: (tokens_in, tokens_out)}, {model: cached}, ())


@pytest.mark.parametrize(
    ("model", "tokens_a_day", "usd"),
    [
        pytest.param("deepseek-v4-flash", 1e6, "7.50", id="early"),  # printed as 12.50 there
        pytest.param("deepseek-v4-flash", 50e6, "375", id="growth"),
        pytest.param("deepseek-v4-flash", 500e6, "3750", id="enterprise"),
        pytest.param("qwen3-32b", 500e6, "4200", id="enterprise-qwen"),
    ],
)
def test_the_bills_of_the_planning_documents_as_they_add_up(
    model: str, tokens_a_day: float, usd: str
) -> None:
    """All tokens at the output price and thirty days, as there."""
    found = weighed(0, tokens_a_day * THIRTY_DAYS, model=model)
    assert found.api_usd_per_month == Decimal(usd)


@pytest.mark.parametrize(
    ("model", "share_in", "tokens_a_month", "usd"),
    [
        pytest.param("gpt-4o", 0.7, 300e6, "1425", id="ten-million-a-day"),
        pytest.param("gpt-4o", 0.7, 50e6, "237.50", id="gpt-4o"),  # printed as 500 to 1,500
        pytest.param("deepseek-v3", 1, 100e6, "27", id="v3-in"),  # printed as 3,000 to 10,000
        pytest.param("deepseek-v3", 0, 100e6, "110", id="v3-out"),
        pytest.param("gpt-4o-mini", 1, 100e6, "15", id="mini-in"),
        pytest.param("gpt-4o-mini", 0, 100e6, "60", id="mini-out"),
    ],
)
def test_sums_that_were_printed_wrong_come_out_right(
    model: str, share_in: float, tokens_a_month: float, usd: str
) -> None:
    """Each from the source's own prices."""
    found = weighed(tokens_a_month * share_in, round(tokens_a_month * (1 - share_in)), model=model)
    assert found.api_usd_per_month == Decimal(usd)


@pytest.mark.parametrize(("own", "wins_by"), [(1_000, "2.67"), (2_000, "5.33")])
def test_at_growth_the_api_wins_and_the_machines_cannot_be_filled_far_enough(
    own: int, wins_by: str
) -> None:
    """50M tokens a day are 375 USD; two GPUs for 1,000 USD and more are full then, at 0.66 USD per 1M."""
    by = policy(f"{{usd_per_month: {own}, tokens_per_day: 50M}}")
    found = weighed(0, 1.5e9, by=by)
    assert found.own_usd_per_month == own
    assert found.ratio is not None
    assert f"{1 / found.ratio:.2f}" == wins_by
    assert found.crossing_tokens_per_day is None
    assert found.text.endswith("own machines never cost less, not even full")


@pytest.mark.parametrize(
    ("own", "crossing"),
    [pytest.param(13_000, "2.737", id="low"), pytest.param(15_000, "3.158", id="high")],
)
def test_where_a_reserved_machine_meets_gpt_4o(own: int, crossing: str) -> None:
    """Per month 2.737e9 to 3.158e9 tokens at 4.75 USD per 1M; not 50M to 80M, as was printed."""
    found = weighed(0.7e9, 0.3e9, model="gpt-4o", by=policy(f"{{usd_per_month: {own}}}"))
    assert found.crossing_tokens_per_day is not None
    a_month = found.crossing_tokens_per_day * Decimal("30.4375")
    assert f"{a_month / 10**9:.3f}" == crossing


def test_hidden_costs_are_part_of_what_own_machines_cost() -> None:
    """Early: 7.50 against 400 is 53 times, not 32; with 700 of hidden costs it is 147 times."""
    bare = weighed(0, 30e6, by=policy("{usd_per_month: 400}"))
    assert bare.ratio is not None
    assert f"{1 / bare.ratio:.0f}" == "53"
    hidden = weighed(0, 30e6, by=policy("{usd_per_month: 400, hidden_usd_per_month: 700}"))
    assert hidden.own_usd_per_month == 1_100


@pytest.mark.parametrize(
    ("tokens_a_day", "sets"),
    [(1e6, 1), (50e6, 1), (50_000_001, 2), (100e6, 2), (100.1e6, 3)],
)
def test_machines_come_whole(tokens_a_day: float, sets: int) -> None:
    """What does not fit a set of them needs another one; a set that is just full is enough."""
    by = policy("{usd_per_month: 1000, hidden_usd_per_month: 100, tokens_per_day: 50M}")
    found = weigh(by, {"gpt-4o": (tokens_a_day, 0)}, {}, ("own",), days=1)
    assert found.sets == sets
    assert found.own_usd_per_month == 1_100 * sets
    assert found.tokens_per_month == Decimal(str(tokens_a_day)) * Decimal("30.4375")


def test_several_machines_are_one_set() -> None:
    """Costs add up and so does what they can do; where one of them says nothing of that, nobody knows."""
    second = (
        "  two: {kind: vllm, base_url: 'https://two.test/v1', operator: self, capacity: CAPACITY}"
    )
    one = "{usd_per_month: 1000, tokens_per_second: 100}"
    both = policy(one, second.replace("CAPACITY", "{usd_per_month: 500, tokens_per_second: 400}"))
    tokens = {"qwen3-32b": (0, 1_000 * 2_629_800)}  # 1,000 tokens a second
    found = weigh(both, tokens, {}, ())
    assert (found.backends, found.sets) == (("own", "two"), 2)
    assert found.own_usd_per_month == 3_000
    assert weigh(both, tokens, {}, ("two",)).own_usd_per_month == 3 * 500
    half = policy(one, second.replace("CAPACITY", "{usd_per_month: 500}"))
    found = weigh(half, tokens, {}, ())
    assert found.sets is None
    assert found.own_usd_per_month == 1_500
    assert "own and two, if that is enough" in found.text


def test_cached_tokens_are_weighed_at_the_cached_price() -> None:
    """1M prompt tokens of which 800,000 cached: 0.2 x 1.00 + 0.8 x 0.10 = 0.28; without such a price 1.00."""
    text = """
version: 1
backends:
  cloud: {kind: api, base_url: "https://cloud.test/v1"}
models:
  a: {price: {input_per_1m: 1, output_per_1m: 2, cached_input_per_1m: 0.1}, on: {cloud: a}}
  b: {price: {input_per_1m: 1, output_per_1m: 2}, on: {cloud: b}}
routes: [{name: default, use: a}]
"""
    by = load_policy_text(text)[0]
    assert weighed(1e6, 0, model="a", by=by, cached=0.8).api_usd_per_month == Decimal("0.28")
    assert weighed(1e6, 0, model="b", by=by, cached=0.8).api_usd_per_month == 1
    found = weighed(1e6, 0, model="a", by=by)
    assert (found.own_usd_per_month, found.ratio, found.sets) == (None, None, None)
    assert found.text == (
        "hosted APIs 1.00 USD a month for 1.0M tokens at 1.0000 per 1M; no backend has a capacity"
    )


@pytest.mark.parametrize(
    ("unknown", "usd"),
    [
        pytest.param(5e6, "23.75", id="at-the-limit"),
        pytest.param(5.1e6, None, id="above-the-limit"),
    ],
)
def test_models_without_a_price_are_left_out_and_named_and_many_of_them_leave_nothing_known(
    unknown: float, usd: str | None
) -> None:
    """Up to 5 % of the tokens; nobody's price is guessed. A model that the policy has not is one of them."""
    tokens = {"deepseek-v4-flash": (0.0, 95e6), "glm-5": (unknown / 2, 0), "gone": (0, unknown / 2)}
    found = weigh(PLAIN, tokens, {}, ())
    assert found.unknown == ("glm-5", "gone")
    assert found.api_usd_per_month == (None if usd is None else Decimal(usd))
    assert (found.ratio is None) is (usd is None)
    assert "left out, for want of a price: glm-5, gone (5." in found.text
    assert found.tokens_per_month == 95_000_000


@pytest.mark.parametrize(
    ("mix", "usd"),
    [pytest.param((1e6, 0), "0.1", id="prompts"), pytest.param((0, 1e6), "0.2", id="answers")],
)
def test_of_several_apis_the_one_that_is_cheapest_for_the_mix_counts(
    mix: tuple[float, float], usd: str
) -> None:
    """Not the one of another environment, nor a server of one's own that speaks the same API."""
    text = """
version: 1
environment: production
backends:
  one: {kind: api, base_url: "https://one.test/v1"}
  two: {kind: api, base_url: "https://two.test/v1"}
  stub: {kind: api, base_url: "https://stub.test/v1", price: free, environments: [dev]}
  home: {kind: api, base_url: "https://home.test/v1", operator: self, price: free}
models:
  m:
    on:
      one: {name: m, price: {input_per_1m: 0.1, output_per_1m: 9}}
      two: {name: m, price: {input_per_1m: 9, output_per_1m: 0.2}}
      stub: m
      home: m
routes: [{name: default, use: m}]
"""
    by = load_policy_text(text)[0]
    assert weigh(by, {"m": mix}, {}, ()).api_usd_per_month == Decimal(usd)
    assert len(by.list_prices["m"]) == 2


def test_a_model_that_is_served_at_home_alone_has_its_list_price() -> None:
    """The policy's own, else the model book's; a price on the home backend says nothing of APIs."""
    text = """
version: 1
backends:
  own: {kind: vllm, base_url: "https://own.test/v1", operator: self, price: free}
models:
  qwen3-32b: {on: {own: x}}
  listed: {price: {input_per_1m: 3, output_per_1m: 4}, on: {own: x}}
  nobody-knows: {on: {own: x}}
routes: [{name: default, use: qwen3-32b}]
"""
    prices = load_policy_text(text)[0].list_prices
    assert [price.usd_per_mtok_out for price in prices["qwen3-32b"]] == [Decimal("0.28")]
    assert [price.usd_per_mtok_in for price in prices["listed"]] == [3]
    assert prices["nobody-knows"] == ()


def test_elastic_machines_cost_what_is_used_of_them() -> None:
    """1,000 USD of a full month, half used: 500, and the hidden 100. Equal where the hidden part is saved."""
    by = policy(
        "{usd_per_month: 1000, hidden_usd_per_month: 100, tokens_per_second: 1000, elastic: true}"
    )
    found = weighed(0, 500 * 2_629_800, model="gpt-4o", by=by)
    assert found.own_usd_per_month == pytest.approx(600)
    crossing = found.crossing_tokens_per_day
    assert crossing is not None
    per_token = Decimal("0.00001") - Decimal(1_000) / (1_000 * 2_629_800)
    assert crossing * Decimal("30.4375") == pytest.approx(100 / per_token)


def test_no_traffic_costs_nothing_and_machines_that_are_paid_off_always_win() -> None:
    """0 over 1,000 is 0, which is known; anything over nothing is without end."""
    nothing = weigh(PLAIN, {}, {}, ())
    assert nothing.api_usd_per_month == 0
    assert nothing.ratio == 0
    assert nothing.crossing_tokens_per_day is None
    paid_off = weighed(0, 1e6, by=policy("{usd_per_month: 0}"))
    assert paid_off.ratio == inf
    assert paid_off.crossing_tokens_per_day == 0
    assert weigh(policy("{usd_per_month: 0}"), {}, {}, ()).ratio is None


def test_the_sums_read_in_one_line() -> None:
    """As an event of a crossing tells them."""
    found = weighed(7e9, 3e9, model="gpt-4o", by=policy("{usd_per_month: 23040}"))
    assert found.text == (
        "hosted APIs 47,500.00 USD a month for 10,000.0M tokens at 4.7500 per 1M; "
        "own machines 23,040.00 USD (own, if that is enough); the APIs cost 2.06 times as much; "
        "equal at 159.4M tokens a day"
    )
