"""A ledger decided again: by its own policy nothing changes, by another it comes out as it really would."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest
import yaml

from backtest.months import Told, asks_of_a_month, played
from hybridllm import backtest
from hybridllm._adapters.policy_files import load_policy_text
from hybridllm.testing import Fault, Service, SimulatedFleet

POLICY = """
version: 1
backends:
  cheap-us: {kind: api, base_url: "https://cheap-us.test/v1", region: us, operator: third_party,
             retention: 30d}
  cheap-eu: {kind: api, base_url: "https://cheap-eu.test/v1", region: eu, operator: third_party,
             retention: 30d}
  strong: {kind: api, base_url: "https://strong.test/v1", region: eu, operator: third_party,
           retention: none}
models:
  small: {price: {input_per_1m: 0.1, output_per_1m: 0.3}, on: {cheap-us: small, cheap-eu: small}}
  large: {price: {input_per_1m: 2.5, output_per_1m: 10}, on: {strong: large}}
default_residency: public
residency: {public: {}, eu: {regions: [eu]}, secret: {operators: [self]}}
tasks: {classify: {}, reason: {}, draft: {}}
routes:
  - name: reason
    when: {task: reason}
    use: [large]
  - name: draft
    when: {task: draft}
    use: [{split: {small: 70, large: 30}}]
  - name: rest
    use: [small]
    fallbacks: [large]
"""
KINDS = [
    *[{"task": "classify"}] * 20,
    *[{"task": "classify", "residency": "eu"}] * 20,
    *[{"task": "reason"}] * 20,
    *({"task": "draft", "session": f"s-{number}"} for number in range(40)),
    *[{"task": "classify", "residency": "secret"}] * 5,
]
SERVICES = {
    "cheap-us": Service(answer_tokens=48),
    "cheap-eu": Service(answer_tokens=48, first_token_s=0.6),
    "strong": Service(answer_tokens=90, first_token_s=0.9),
}


def ailing(fleet: SimulatedFleet) -> None:
    fleet.strike("cheap-us", Fault.status(500, probability=0.05))
    fleet.strike("cheap-eu", Fault.status(503), from_s=10 * 86_400, until_s=10.2 * 86_400)


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ledger") / "ledger.db"


@pytest.fixture(scope="module")
def month(ledger: Path) -> list[Told]:
    asks = asks_of_a_month(3_000, KINDS)
    return played(POLICY, asks, services=SERVICES, strike=ailing, ledger=ledger)


def rewritten(text: str) -> str:
    """The same rules in other words: keys sorted, block style, other digests."""
    return json.dumps(yaml.safe_load(text.replace(" on:", ' "on":')), sort_keys=True, indent=2)


@pytest.mark.parametrize("text", [POLICY, rewritten(POLICY)], ids=["same bytes", "rewritten"])
def test_its_own_policy_changes_nothing(month: list[Told], ledger: Path, text: str) -> None:
    """To the last digit, failures, draws and denials included, whatever the file's bytes."""
    report = backtest(ledger, load_policy_text(text)[0])
    assert report.same, report
    cost = sum((one.receipt.cost_usd or Decimal(0) for one in month), Decimal(0))
    assert report.cost_usd.before == report.cost_usd.after == cost
    assert report.kept == report.requests == len(month)
    for one in (report.answered, report.overflowed, report.cached):
        assert one.before == one.after == one.low == one.high
    for latency in report.latencies:
        assert latency.seconds.before == latency.seconds.after == latency.seconds.high
    for candidate in report.candidates:
        assert candidate.cost_usd.difference == 0


CHANGED = {
    "cheaper model": ("    use: [large]\n", "    use: [small]\n"),
    "dearer model": (
        "    use: [small]\n    fallbacks: [large]",
        "    use: [large]\n    fallbacks: [small]",
    ),
    "other weights": ("small: 70, large: 30", "small: 20, large: 80"),
    "no split": ("{split: {small: 70, large: 30}}", "small"),
    "one backend less": ("cheap-us: small, cheap-eu: small", "cheap-us: small"),
    "other prices": (
        "input_per_1m: 0.1, output_per_1m: 0.3",
        "input_per_1m: 0.12, output_per_1m: 0.2",
    ),
}


@pytest.mark.parametrize("change", CHANGED)
def test_another_policy_comes_out_as_it_really_does(
    month: list[Told], ledger: Path, change: str
) -> None:
    """The same month, really run under the other policy, lies within the stated bounds."""
    old, new = CHANGED[change]
    assert old in POLICY
    text = POLICY.replace(old, new)
    report = backtest(ledger, load_policy_text(text)[0])
    really = played(text, [one.ask for one in month], services=SERVICES, strike=ailing, seed=2)
    assert not report.same
    cost = sum((one.receipt.cost_usd or Decimal(0) for one in really), Decimal(0))
    told = f"{report.cost_usd.low} <= {cost} ({report.cost_usd.after}) <= {report.cost_usd.high}"
    assert report.cost_usd.low <= cost <= report.cost_usd.high, told
    assert report.cost_usd.high <= cost * Decimal("1.6"), told  # bounds that say something
    assert report.cost_usd.low >= cost * Decimal("0.6"), told
    answered = sum(one.receipt.served is not None for one in really)
    assert (report.answered.low or 0) <= answered <= (report.answered.high or 0)


def test_draws_are_told_by_how_often_they_were_drawn(tmp_path: Path) -> None:
    """Draws stand as long as they may be of the weights; of other weights, as many move as that takes."""
    drafts = asks_of_a_month(1_500, [{"task": "draft"}], seed=3)
    ledger = tmp_path / "ledger.db"
    told = played(POLICY, drafts, services=SERVICES, ledger=ledger)
    assert backtest(ledger, load_policy_text(POLICY)[0]).same
    text = POLICY.replace("small: 70, large: 30", "small: 20, large: 80")
    report = backtest(ledger, load_policy_text(text)[0])
    really = played(text, drafts, services=SERVICES, seed=2)
    cost = sum((one.receipt.cost_usd or Decimal(0) for one in really), Decimal(0))
    large = sum(one.receipt.candidates[0] == "strong/large" for one in told)
    assert report.moved == pytest.approx(1_500 * 0.8 - large)
    assert report.cost_usd.low <= cost <= report.cost_usd.high
