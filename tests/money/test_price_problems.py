"""What is wrong with a price is told at its place, with what would have been right."""

from __future__ import annotations

from pathlib import Path

import pytest

from hybridllm import PolicyError, load_price_sheet
from money.price_policies import FLAT, problems_of

BASE = "input_per_1m: 1, output_per_1m: 2"


@pytest.mark.parametrize(
    ("pair", "path", "told"),
    [
        ("17", "price", "17 is not a price; write free or {input_per_1m: 0.18"),
        ("[]", "price", "must not be empty"),
        ("{input_per_1m: 1}", "price.output_per_1m", "key 'output_per_1m' is missing"),
        ("{%s, input: 3}", "price.input", "unknown key 'input'"),
        ("{%s, per_request: -1}", "price.per_request", "-1 is out of range: from 0 to 100,000"),
        ("{%s, cache_write_per_1m: x}", "price.cache_write_per_1m", "'x' is not an amount of USD"),
        ("{%s, from: soon}", "price.from", "'soon' is neither a day nor a time with its zone"),
        ('{%s, from: "2026-11-01T09:00"}', "price.from", "write 2026-11-01 or 2026-11-01T09:00Z"),
        ('{%s, from: "2026-11-01T09:00:30Z"}', "price.from", "is not a whole minute"),
        ("{%s, from: 2026-02-30}", "price.from", "is neither a day"),
        (
            "[{%s}, {%s}]",
            "price",
            "a list holds two prices with the same `from`; which one holds nobody could tell",
        ),
        ("{%s, currency: euro}", "price.currency", "'euro' is not a currency; write its three"),
        ("{%s, currency: EUR}", "price.currency", "'EUR' has no rate, so nobody knows what it"),
        ("{%s, context_tiers: [{above: 0, input_per_1m: 1}]}", "price.context_tiers[0].above", "from 1"),
        ("{%s, context_tiers: [{above: 200K}]}", "price.context_tiers[0]", "this step changes nothing"),
        (
            "{%s, context_tiers: [{above: 200K, input_per_1m: 1}, {above: 200000, input_per_1m: 2}]}",
            "price",
            "this price has two context_tiers above the same number of tokens",
        ),
        (
            "{%s, service_tiers: {flex: {factor: 0.5, input_per_1m: 1}}}",
            "price.service_tiers.flex",
            "this tier takes either factor or rates; leave out input_per_1m",
        ),
        ("{%s, service_tiers: {flex: {}}}", "price.service_tiers.flex", "changes nothing; it takes"),
        (
            "{%s, service_tiers: {flex: {factor: -1}}}",
            "price.service_tiers.flex.factor",
            "-1 is not a factor",
        ),
        (
            "{%s, context_tiers: [{above: 9, input_per_1m: 1}], service_tiers: {flex: {input_per_1m: 1}}}",
            "price",
            "does not say what long prompts cost in service tier 'flex'",
        ),
        (
            "{%s, service_tiers: {flex: {factor: 2}}, hours: [{to: '06:00', input_per_1m: 1}]}",
            "price",
            "nobody knows which rate holds, so give the hours a factor",
        ),
        ("{%s, hours: [{factor: 0.5, from: '25:00'}]}", "price.hours[0].from", "not a time of day"),
        ("{%s, hours: [{factor: 0.5, zone: Mars/Base}]}", "price.hours[0].zone", "is not a time zone"),
        ("{%s, hours: [{factor: 0.5, from: '06:00', to: '06:00'}]}", "price.hours[0]", "this window is"),
    ],
)  # fmt: skip
def test_a_price_that_is_none_is_told(pair: str, path: str, told: str) -> None:
    """At line and column, under the path as people write it."""
    problems = problems_of(pair=pair.replace("%s", BASE))
    assert problems, "it was taken"
    assert all(problem.startswith("7:") for problem in problems)
    where = f"models.m.on.cloud.{path}: "
    assert any(where in problem and told in problem for problem in problems), problems


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (
            "currencies: {EUR: 0}",
            "9:19 currencies.EUR: 0 is not a rate; write the USD for one unit",
        ),
        ("currencies: {EUR: 1.123456789}", "at most 8 decimals"),
        ("currencies: {euro: 1}", "'euro' is not a currency"),
        ("currencies: {USD: 1}", "'USD' needs no rate: it is what all amounts become"),
        (f"prices: [{{model: x, {BASE}, backend: clod}}]", "unknown backend 'clod'; known: cloud"),
        (f"prices: [{{{BASE}}}]", "prices[0].model: key 'model' is missing"),
        (
            f"prices: [{{model: x, {BASE}}}, {{model: x, {BASE}}}]",
            "a price of 'x' for the same backend and from the same day stands in line 9 already",
        ),
        ("prices: {gpt: 1}", "must be a list"),
    ],
)
def test_a_price_sheet_that_is_none_is_told(more: str, told: str) -> None:
    """Names, currencies, and two prices for one thing."""
    problems = problems_of(more=more)
    assert any(told in problem for problem in problems), problems


def test_a_currency_that_is_nearly_declared_is_named() -> None:
    """With the nearest right name."""
    problems = problems_of(pair=f"{{{BASE}, currency: EUT}}", more="currencies: {EUR: 1.08}")
    assert "did you mean 'EUR'?" in problems[0]


def test_a_sheet_file_has_all_its_problems_told_at_once(tmp_path: Path) -> None:
    """As a policy has, at line and column."""
    path = tmp_path / "sheet.yaml"
    path.write_text(
        "version: 2\nprice: 3\nprices:\n  - {model: m, input_per_1m: x, output_per_1m: 1}\n"
        "  - {model: n, input_per_1m: 1, output_per_1m: 1, currency: SEK}\n"
    )
    with pytest.raises(PolicyError) as caught:
        load_price_sheet(path)
    told = [f"{one.line}:{one.column} {one.message}" for one in caught.value.problems]
    assert [text.split(";")[0] for text in told] == [
        "1:10 2 is not allowed here",
        "2:1 unknown key 'price'",
        "4:30 'x' is not an amount of USD",
        "5:61 currency 'SEK' has no rate, so nobody knows what it comes to in USD",
    ]


def test_a_sheet_that_is_not_there_is_told(tmp_path: Path) -> None:
    """By its name."""
    with pytest.raises(PolicyError, match="cannot be read: No such file"):
        load_price_sheet(tmp_path / "none.yaml")


def test_free_is_still_a_price() -> None:
    """And so is a mapping without anything new."""
    assert problems_of(pair="free", backend=FLAT) == []
