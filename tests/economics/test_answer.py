"""What an answer says beside the crossing: the months ahead, the tornado, how sure it is, the branch."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from math import ceil
from typing import Any

import pytest

from hybridllm import economics
from hybridllm.economics import Branch, Choice, Range

BASE = {"model": "gpt-4o", "tokens_per_day": "200M", "input_share": "0.7", "gpu": "2x A100 80GB"}


def answer(**changed: Any) -> economics.Answer:
    keys = {key: value for key, value in (BASE | changed).items() if value is not None}
    return economics.break_even(economics.scenario(**keys))


# The months ahead


def test_24_months_are_what_a_loop_makes_of_them() -> None:
    """By hand: volume times 1.05, price times 0.97, and as many sets as the volume of the month needs."""
    found = answer(
        growth="5%/month", price_decline="3%/month", redundancy="n+1", gpu_usd_per_month="1500",
        hidden={"monitoring": "100"}, days_per_month=30,
    )  # fmt: skip
    tokens, per_mtok = Decimal(200_000_000), Decimal("4.75")
    api_total = own_total = Decimal(0)
    for month in found.ahead.months:
        api = tokens * 30 / 1_000_000 * per_mtok
        sets = ceil(tokens / 50_000_000)
        own = (sets + 1) * 1_500 + 100
        assert month.own_usd == economics.exactly(own)
        assert abs(month.api_usd.likely - api) < Decimal("1e-12") * api
        api_total, own_total = api_total + api, own_total + own
        tokens, per_mtok = tokens * Decimal("1.05"), per_mtok * Decimal("0.97")
    assert len(found.ahead.months) == 24
    assert abs(found.ahead.api_usd.likely - api_total) < Decimal("1e-9")
    assert found.ahead.own_usd is not None
    assert found.ahead.own_usd.likely == own_total


def test_the_bands_hold_the_likely_months() -> None:
    """And become wider with a growth that nobody knows."""
    found = answer(growth="0..0.05..0.1", price_decline="0.01..0.03")
    for month in found.ahead.months:
        assert month.own_usd is not None
        for cost in (month.api_usd, month.own_usd):
            assert cost.low <= cost.likely <= cost.high
    first, last = found.ahead.months[0].api_usd, found.ahead.months[-1].api_usd
    assert last.high - last.low > first.high - first.low


def test_only_machines_in_the_cloud_become_cheaper() -> None:
    """What is reserved or bought is paid as agreed."""
    cheaper = {"gpu_price_decline": "2%", "gpu_usd_per_month": "1000", "hidden": "none"}
    cloud, bought = answer(**cheaper), answer(**cheaper, purchase="on-prem")
    assert cloud.ahead.own_usd is not None
    assert bought.ahead.own_usd is not None
    assert bought.ahead.own_usd.likely == 24 * bought.ahead.months[0].own_usd.likely  # type: ignore[union-attr]
    assert cloud.ahead.own_usd.likely < bought.ahead.own_usd.likely


def test_the_month_is_told_from_which_on_own_machines_cost_less() -> None:
    """In every month that comes after, too; none if they never do."""
    grows = answer(
        model="deepseek-v3", tokens_per_day="100M", growth="20%", gpu_tokens_per_day="2B"
    )
    month = grows.ahead.own_cheaper_from
    assert month is not None
    for one in grows.ahead.months:
        assert one.own_usd is not None
        assert (one.own_usd.likely <= one.api_usd.likely) is (one.number >= month)
    assert answer(model="qwen3-8b").ahead.own_cheaper_from is None


# The bill


def test_the_lines_of_a_bill_add_up_to_it() -> None:
    """On both sides."""
    found = answer(regions=2, redundancy="n+2", engineer_share="0.2..0.3", purchase="on-prem")
    assert found.own_usd is not None
    assert sum(term.usd_per_month.likely for term in found.own_terms) == found.own_usd.likely
    assert sum(part.usd_per_month for part in found.parts) == found.api_usd.likely
    names = [term.name for term in found.own_terms]
    assert "electricity" in names
    assert "devops_engineer_partial" not in names  # the engineer's share stands for it


def test_several_models_are_a_mix() -> None:
    """Each with its share of the tokens, at its own price."""
    found = answer(
        model=None, input_share=None,
        models={"gpt-4o": {"share": "0.1", "input_share": "1"}, "qwen3-8b": {"share": "0.9"}},
    )  # fmt: skip
    assert found.api_usd_per_mtok == Decimal("0.1") * Decimal("2.5") + Decimal("0.9") * Decimal(
        "0.01"
    )


def test_cached_prompts_cost_their_own_price_where_there_is_one() -> None:
    """Where none is known they are billed in full, and that is said."""
    flat = answer(cached="0.8")
    assert flat.api_usd == answer().api_usd
    assert "no cached price is known for gpt-4o" in "\n".join(flat.scenario.notes)
    known = answer(cached="0.8", price="2.5/10/1.25")
    assert (
        known.api_usd_per_mtok
        == Decimal("0.7") * (Decimal("2.5") * Decimal("0.2") + Decimal("1.25") * Decimal("0.8"))
        + Decimal("0.3") * 10
    )


def test_what_a_machine_can_do_is_never_made_up() -> None:
    """Of one machine the sources say it; of others one set is taken, and that is said."""
    known, unknown = answer(), answer(gpu="4x A100 80GB")
    assert known.sets_per_region == 4
    assert unknown.sets_per_region == 1
    assert "is not known, so one set is taken to be enough" in "\n".join(unknown.scenario.notes)


# The tornado


def test_a_tornado_moves_one_input_at_a_time() -> None:
    """Its ends are the crossings of scenarios in which that figure alone is another."""
    bars = {bar.name: bar for bar in answer(gpu_tokens_per_day="10B").tornado}
    for end, place in (("1000", "at_low"), ("2000", "at_high")):
        alone = answer(gpu_tokens_per_day="10B", gpu_usd_per_month=end).crossings
        assert alone is not None
        assert getattr(bars["GPU price"], place) == alone.likely.first
    assert not bars["GPU price"].assumed
    dearer = answer(gpu_tokens_per_day="10B", price="3/12").crossings
    assert dearer is not None
    assert bars["API price"].assumed
    assert bars["API price"].given == Range(Decimal("3.8"), Decimal("4.75"), Decimal("5.7"))
    assert bars["API price"].at_high == dearer.likely.first


def test_what_moves_the_crossing_most_comes_first() -> None:
    """What makes it come or go moves it most of all."""
    bars = answer(gpu_tokens_per_day="10B").tornado
    spans = [bar.span for bar in bars]
    assert spans == sorted(spans, key=lambda span: -(span or 0))
    edge = answer(
        model="deepseek-v3", gpu_usd_per_month="500..2000", hidden="none", input_share="0"
    )
    first = edge.tornado[0]
    assert first.span is None
    assert (first.at_low is None) is not (first.at_high is None)


def test_a_share_is_never_swung_beyond_all() -> None:
    """A fifth above 0.9 is 1."""
    bars = {bar.name: bar for bar in answer(input_share="0.9").tornado}
    assert bars["input share"].given.high == 1


def test_the_ends_of_the_crossing_hold_every_bar_of_known_range() -> None:
    """The best and the worst of all ranges together reach at least as far as each alone."""
    found = answer(gpu_tokens_per_day="10B", cached="0.2..0.8", price="2.5/10/1.25")
    assert found.crossings is not None
    low, high = found.crossings.low.first, found.crossings.high.first
    for bar in found.tornado:
        if not bar.assumed:
            for end in (bar.at_low, bar.at_high):
                assert low is not None
                assert high is not None
                assert end is not None
                assert low <= end <= high


# The branch


@pytest.mark.parametrize(
    ("changed", "branch", "choice"),
    [
        pytest.param(
            {"residency": "strict", "tokens_per_day": "1M"},
            Branch.RESIDENCY,
            Choice.OWN,
            id="residency",
        ),
        pytest.param({"environment": "staging"}, Branch.NOT_PRODUCTION, Choice.API, id="staging"),
        pytest.param(
            {"tokens_per_day": 49_999_999}, Branch.LITTLE_VOLUME, Choice.API, id="below-50M"
        ),
        pytest.param(
            {"tokens_per_day": 49_999_999, "idle_gpus": True},
            Branch.LITTLE_VOLUME,
            Choice.API,
            id="idle-below",
        ),
        pytest.param({"idle_gpus": True}, Branch.IDLE_GPUS, Choice.OWN_WITH_OVERFLOW, id="idle"),
        pytest.param({}, Branch.TOTAL_COST, Choice.OWN, id="dear-api"),
        pytest.param(
            {"tokens_per_day": "50M", "model": "qwen3-8b"},
            Branch.TOTAL_COST,
            Choice.API,
            id="cheap-api",
        ),
        pytest.param({"gpu": None}, Branch.TOTAL_COST, Choice.NOT_KNOWN, id="no-machines"),
    ],
)
def test_the_tree_ends_in_one_branch(
    changed: dict[str, Any], branch: Branch, choice: Choice
) -> None:
    """Residency first, then production, volume, idle machines; the total cost decides the rest."""
    found = answer(**changed).decision
    assert (found.branch, found.choice) == (branch, choice)
    assert found.reason


def test_a_branch_says_what_speaks_against_it() -> None:
    """Sums that say otherwise below 50M; volume and stability that the sources ask for above."""
    little = answer(tokens_per_day="49M", gpu_tokens_per_day="10B")
    assert "the sums say otherwise" in little.decision.caveats[0]
    bought = answer(stable_days=30).decision.caveats
    assert any("500M" in one for one in bought)
    assert any("30 days" in one for one in bought)
    assert answer(stable_days=90, tokens_per_day="600M").decision.caveats == ()


def test_it_is_sure_where_the_ranges_do_not_meet() -> None:
    """And says when they do."""
    assert economics.break_even(economics.source_scenario("growth")).sure is True
    assert (
        answer(model="deepseek-v3", tokens_per_day="300M", gpu_tokens_per_day="10B").sure is False
    )
    assert answer(gpu=None).sure is None


def test_an_answer_is_json() -> None:
    """Amounts are texts, so that none passes through a float."""
    told = answer().to_dict()
    assert isinstance(told["api_usd"]["likely"], str)
    assert Decimal(told["api_usd"]["likely"]) == answer().api_usd.likely
    assert told["decision"]["branch"] == "total_cost"


def test_a_scenario_is_a_value() -> None:
    """One that is changed is another; what is made of it, too."""
    scenario = economics.scenario(**BASE)
    doubled = replace(scenario, tokens_per_day=scenario.tokens_per_day.times(2))
    assert economics.break_even(doubled).api_usd.likely == 2 * answer().api_usd.likely
    with pytest.raises(ValueError, match="no machines"):
        economics.point(replace(scenario, machines=None))
