"""Scenario files: read as policies are, and everything wrong with one told at its place."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from hybridllm import economics
from hybridllm.errors import PolicyError

GOOD = """\
name: support desk
models:
  gpt-4o: {share: 0.25, input_share: 0.9, cached: [0.5, 0.7], price: 2.50/10/1.25}
  qwen3-32b: {share: 75%, input_share: 0.6}
tokens_per_day: [80M, 120M]
gpu: 4x A100 80GB
purchase: on-prem
gpu_tokens_per_day: 150M
utilisation: 0.4..0.5..0.7
redundancy: n+1
regions: 2
hidden: {monitoring_and_alerting: [50, 200], rack: 300}
engineer_share: 0.25
growth: 4%/month
price_decline: 2%
months: 36
days_per_month: 30
"""


def written(folder: Path, text: str) -> Path:
    file = folder / "scenario.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def test_a_file_says_all_that_options_say(tmp_path: Path) -> None:
    """Ranges in three spellings, shares as percent, names of costs of one's own."""
    found = economics.scenario_file(written(tmp_path, GOOD))
    assert found.name == "support desk"
    assert found.tokens_per_day == economics.between(Decimal(80_000_000), Decimal(120_000_000))
    assert [part.share for part in found.traffic] == [Decimal("0.25"), Decimal("0.75")]
    machines = found.machines
    assert machines is not None
    assert machines.utilisation.likely == Decimal("0.5")
    assert (machines.spare_sets, machines.regions, found.months) == (1, 2, 36)
    assert [(one.name, one.per) for one in machines.hidden] == [
        ("monitoring_and_alerting", economics.Per.REGION),
        ("rack", economics.Per.ONCE),
    ]
    assert found.growth_per_month == economics.exactly("0.04")


def test_what_is_given_goes_before_the_file(tmp_path: Path) -> None:
    """As an option on the command line does."""
    found = economics.scenario_file(written(tmp_path, GOOD), regions=1, tokens_per_day="1M")
    assert found.tokens_per_day == economics.exactly(1_000_000)
    assert found.machines is not None
    assert found.machines.regions == 1


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        pytest.param(
            "model: gpt-4o\ntokens_per_day: 5M\ngrwth: 2%",
            "3:1",
            "did you mean 'growth'?",
            id="key",
        ),
        pytest.param(
            "model: gpt-4o\ntokens_per_day: many", "2:17", "'many' is not a count", id="count"
        ),
        pytest.param(
            "model: gpt-4\ntokens_per_day: 5M", "1:8", "did you mean 'gpt-4o'?", id="model"
        ),
        pytest.param(
            "model: glm-5\ntokens_per_day: 5M", "1:8", "has no known price", id="no-price"
        ),
        pytest.param(
            "model: gpt-4o\ntokens_per_day: 5M\ncached: 1.5", "3:9", "from 0 to 1", id="share"
        ),
        pytest.param(
            "model: gpt-4o\ntokens_per_day: [9M, 5M]",
            "2:17",
            "9000000 is above 5000000",
            id="order",
        ),
        pytest.param(
            "model: gpt-4o\ntokens_per_day: 5M\ngpu: 3x B200",
            "3:6",
            "they know 1x A100 40GB",
            id="gpu",
        ),
        pytest.param(
            "model: gpt-4o\ntokens_per_day: 5M\ngpu: 2x A100 80GB\npurchase: reserved",
            "4:11",
            "known: cloud, on-prem",
            id="form",
        ),
        pytest.param(
            "model: gpt-4o\ntokens_per_day: 5M\npurchase: leased",
            "3:11",
            "allowed: cloud, reserved, on-prem",
            id="word",
        ),
        pytest.param(
            "model: gpt-4o\ntokens_per_day: 5M\nredundancy: 2n", "3:13", "n+1", id="redundancy"
        ),
        pytest.param(
            "model: gpt-4o\ntokens_per_day: 5M\ndays_per_month: 12",
            "3:17",
            "from 28 to 31",
            id="month",
        ),
        pytest.param("model: gpt-4o", "1:1", "'tokens_per_day' is missing", id="missing"),
        pytest.param("tokens_per_day: 5M", "1:1", "exactly one of model and models", id="no-model"),
        pytest.param(
            "models: {gpt-4o: {share: 0.5}}\ntokens_per_day: 5M",
            "1:1",
            "shares make 0.5, not 1",
            id="sum",
        ),
        pytest.param(
            "models: {gpt-4o: {share: 2}}\ntokens_per_day: 5M", "1:26", "from 0 to 1", id="much"
        ),
        pytest.param("model: gpt-4o\ntokens_per_day: &a 5M", "2:17", "anchor", id="alias"),
        pytest.param("- model", "1:1", "must be a mapping", id="list"),
        pytest.param(
            "model: gpt-4o\ngrowth:\ntokens_per_day: 5M", "2:1", "has no value", id="blank"
        ),
        pytest.param(
            "model: gpt-4o\ntokens_per_day: 5M\ngrowth: 60%", "3:9", "from -0.5 to 0.5", id="growth"
        ),
        pytest.param(
            "model: gpt-4o\ntokens_per_day: 5M\nhidden: {x: lots}",
            "3:13",
            "is not an amount of USD",
            id="usd",
        ),
    ],
)
def test_what_is_wrong_is_told_at_its_place(
    text: str, place: str, words: str, tmp_path: Path
) -> None:
    """The value, what is allowed, and where to change it."""
    file = written(tmp_path, text)
    with pytest.raises(PolicyError) as raised:
        economics.scenario_file(file)
    problem = raised.value.problems[0]
    assert str(problem).startswith(f"{file}:{place}: "), str(problem)
    assert words in problem.message, problem.message


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    """With its name."""
    with pytest.raises(PolicyError, match=r"nowhere\.yaml:0:1: cannot be read"):
        economics.scenario_file(tmp_path / "nowhere.yaml")


def test_an_unknown_scenario_of_the_sources_is_told_with_the_known() -> None:
    """And the nearest."""
    with pytest.raises(PolicyError, match=r"they have early, growth.*did you mean 'growth'"):
        economics.source_scenario("growht")
