"""The planning documents: every scenario, every sum that does not add up, from their own prices."""

from __future__ import annotations

from decimal import Decimal

import pytest

from economics import sheet
from hybridllm import economics, model_book
from hybridllm._core.economics.sums import api_usd

FACTS = economics.facts()


def bill(model: str, *, tokens_in: float = 0, tokens_out: float = 0) -> Decimal:
    entry = model_book().get(model)
    assert entry is not None
    assert entry.price is not None
    return api_usd(Decimal(tokens_in), Decimal(tokens_out), Decimal(0), entry.price)


@pytest.mark.parametrize(
    ("name", "usd"),
    [("early", "7.50"), ("growth", "375"), ("enterprise", "3750"), ("gpt-4o", "1425")],
)
def test_a_scenario_costs_what_its_own_figures_make(name: str, usd: str) -> None:
    """And not what is printed: 12.50 for the first."""
    answer = economics.break_even(economics.source_scenario(name))
    assert answer.api_usd == economics.exactly(usd)
    source = FACTS.scenario(name)
    assert source is not None
    assert source.api_usd_recomputed == Decimal(usd)


def test_the_enterprise_costs_more_with_the_other_model() -> None:
    """4,200 a month, beside the 3,750."""
    (other,) = economics.break_even(economics.source_scenario("enterprise")).also
    assert (other.model, other.usd_per_month) == ("qwen3-32b", Decimal(4_200))
    answer = economics.break_even(economics.source_scenario("enterprise", model="qwen3-32b"))
    assert answer.api_usd.likely == Decimal(4_200)


def test_a_day_of_ten_million_at_gpt_4o() -> None:
    """47.50, as printed."""
    answer = economics.break_even(economics.source_scenario("gpt-4o"))
    assert answer.api_usd_per_day == Decimal("47.50")
    assert answer.own_usd is None


def test_a_scenario_with_a_wrong_sum_says_so() -> None:
    """The printed figure stands beside the right one."""
    notes = "\n".join(economics.source_scenario("early").notes)
    assert "12.50" in notes
    assert "7.50" in notes
    assert "12.50" not in "\n".join(economics.source_scenario("growth").notes)


@pytest.mark.parametrize(("form", "usd"), [("cloud", (4_000, 8_000)), ("on-prem", (2_000, 4_000))])
def test_the_enterprise_has_two_forms_of_machines(form: str, usd: tuple[int, int]) -> None:
    """GPUs alone, as the source counts."""
    found = economics.source_scenario("enterprise", purchase=form)
    own = economics.own_bill(found)
    assert own is not None
    assert (own.low, own.high) == usd


def gpt_4o_crossover() -> tuple[Decimal, Decimal]:
    """Tokens a month, of the reserved machine at either end of its price."""
    found = economics.scenario(
        model="gpt-4o", input_share="0.7", tokens_per_day="10M", gpu="p4d.24xlarge",
        purchase="reserved", hidden="none", days_per_month=30,
    )  # fmt: skip
    crossings = economics.break_even(found).crossings
    assert crossings is not None
    assert crossings.low.first is not None
    assert crossings.high.first is not None
    return crossings.low.first * 30, crossings.high.first * 30


WRONG = {
    "API bill at 1M tokens/day": lambda: 2 * (bill("deepseek-v4-flash", tokens_out=30e6),),
    "API bill at 100M tokens/month, DeepSeek V3": lambda: (
        bill("deepseek-v3", tokens_in=100e6),
        bill("deepseek-v3", tokens_out=100e6),
    ),
    "the same, GPT-4o-mini": lambda: (
        bill("gpt-4o-mini", tokens_in=100e6),
        bill("gpt-4o-mini", tokens_out=100e6),
    ),
    "API bill under 50M tokens/month": lambda: (
        bill("gpt-4o"),
        bill("gpt-4o", tokens_in=35e6, tokens_out=15e6),
    ),
    "crossover of GPT-4o": gpt_4o_crossover,
    "hidden costs without electricity": lambda: tuple(
        sum(getattr(one.usd_per_month, end) for one in FACTS.hidden) for end in ("low", "high")
    ),
}


@pytest.mark.parametrize("wrong", FACTS.wrong_sums, ids=lambda one: one.what[:30])
def test_a_sum_that_does_not_add_up_is_done_again(wrong: economics.WrongSum) -> None:
    """From the sources' prices, by this package's sums; the printed figure is another."""
    (again,) = (make for what, make in WRONG.items() if wrong.what.startswith(what))
    low, high = again()
    places = Decimal("1e6") if wrong.unit != "USD" else Decimal("0.01")
    assert (low.quantize(places), high.quantize(places)) == tuple(
        end.quantize(places) for end in wrong.recomputed
    )
    assert wrong.stated != wrong.recomputed


def test_every_wrong_sum_of_the_file_is_known() -> None:
    """None is left out on the way from the file."""
    assert len(FACTS.wrong_sums) == len(sheet.rows()["wrong_sums"]) == len(WRONG)


def test_hidden_costs_on_premises_are_as_printed() -> None:
    """900 to 4,900: with electricity the sum is right."""
    hidden = (*FACTS.hidden, *FACTS.hidden_on_prem)
    assert sum(one.usd_per_month.low for one in hidden) == 900
    assert sum(one.usd_per_month.high for one in hidden) == 4_900


def test_the_other_figures_of_the_file_are_read() -> None:
    """Labour, cache rates, claims; in the file's own numbers."""
    file = sheet.rows()
    low, high = (Decimal(end) for end in file["engineer"]["salary_usd_year"])
    assert (FACTS.engineer_usd_per_year.low, FACTS.engineer_usd_per_year.high) == (low, high)
    rates = file["prompt_cache_hit_rate"]
    assert [str(FACTS.api_cached_share.low), str(FACTS.own_cached_share.high)] == [
        rates["hosted_api"][0],
        rates["self_hosted"][1],
    ]
    assert len(FACTS.claims) == len(file["break_even_claims"])
    assert FACTS.engineer_share.low == Decimal("0.20")
