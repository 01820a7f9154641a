"""What a backtest says of rules: who was answered by somebody whom they forbid, and who is denied now."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from backtest.months import Told, asks_of_a_month, played
from hybrid.worlds import own_and_api
from hybridllm import LedgerError, backtest, load_price_sheet
from hybridllm._adapters.policy_files import load_policy_text
from hybridllm.testing import VllmService

ROUTE = """use: [{model: m, on: [own, api]}],
           overflow: {from: own, to: api, when: {inflight: {gt: 2}}}"""
POLICY = own_and_api("saturation: {max_inflight: 4}", ROUTE)


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ledger") / "ledger.db"


@pytest.fixture(scope="module")
def month(ledger: Path) -> list[Told]:
    """Nine minutes that are too much for the machine: some of it overflows to the API."""
    asks = asks_of_a_month(900, [{}, {"residency": "phi"}], days=1 / 160, seed=5)
    services = {"own": VllmService(), "api": VllmService()}
    return played(POLICY, asks, services=services, ledger=ledger)


def test_overflow_stands_under_the_policy_that_made_it(month: list[Told], ledger: Path) -> None:
    """A ledger keeps no loads: that somebody had too much to do is told by who was asked first."""
    report = backtest(ledger, load_policy_text(POLICY)[0])
    assert report.same
    spilled = sum(
        one.receipt.served is not None and one.receipt.served.reason == "overflow" for one in month
    )
    assert spilled > 20
    assert report.overflowed.before == report.overflowed.after == spilled


def test_without_the_overflow_nothing_leaves(month: list[Told], ledger: Path) -> None:
    """What overflowed stays with the machine then, and the API is paid nothing."""
    text = own_and_api("saturation: {max_inflight: 4}", "use: [{model: m, on: [own, api]}]")
    report = backtest(ledger, load_policy_text(text)[0])
    assert report.moved == report.overflowed.before
    assert report.overflowed.high == 0
    assert report.cost_usd.before > 0
    assert report.cost_usd.after == 0


def test_whom_a_rule_forbids_is_told_with_examples(month: list[Told], ledger: Path) -> None:
    """A stricter tag: those that were answered where it forbids, by the rule, with ids and no more."""
    text = POLICY.replace("public: {}", "public: {regions: [eu]}")
    report = backtest(ledger, load_policy_text(text)[0])
    (found,) = report.violations
    assert (found.kind, found.rule) == ("forbidden", "residency 'public'")
    at_api = {
        one.receipt.request_id
        for one in month
        if one.receipt.served is not None and one.receipt.served.backend == "api"
    }
    assert found.requests == len(at_api)
    assert set(found.examples) <= at_api


def test_who_is_denied_now_is_told(month: list[Told], ledger: Path) -> None:
    """Nobody is left for a tag: all of its requests are denied, by that rule, and nobody answers them."""
    text = POLICY.replace("phi: {operators: [self]}", "phi: {retention: [7d]}")
    report = backtest(ledger, load_policy_text(text)[0])
    phi = [one for one in month if one.receipt.residency == "phi"]
    answered = sum(one.receipt.served is not None for one in phi)
    assert report.denied == len(phi)
    assert [one.rule for one in report.violations if one.kind == "denied"] == ["residency 'phi'"]
    assert report.answered.difference == -answered


def test_a_price_sheet_goes_before_the_policys_prices(
    month: list[Told], ledger: Path, tmp_path: Path
) -> None:
    """Nobody moves; what the API was paid is what the sheet says, exactly."""
    sheet = tmp_path / "sheet.yaml"
    sheet.write_text(
        "version: 1\nprices:\n  - {model: m, backend: api, input_per_1m: 0.2, output_per_1m: 0.4}\n"
    )
    report = backtest(ledger, load_policy_text(POLICY)[0], prices=load_price_sheet(sheet))
    assert report.kept == report.requests
    assert report.cost_usd.after == report.cost_usd.high == 2 * report.cost_usd.before
    assert backtest(ledger, load_policy_text(POLICY)[0], prices=sheet) == report


def test_only_a_part_of_a_ledger_is_looked_at_if_that_is_asked(
    month: list[Told], ledger: Path
) -> None:
    """From a time on and before another; what is no time is refused."""
    policy = load_policy_text(POLICY)[0]
    began = min(one.receipt.started_at for one in month)
    half = began + timedelta(minutes=4)
    first = backtest(ledger, policy, until=half.isoformat())
    second = backtest(ledger, policy, since=half.isoformat())
    assert first.requests + second.requests == len(month)
    with pytest.raises(ValueError, match="'soon' is no time"):
        backtest(ledger, policy, since="soon")


def test_a_ledger_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    """With the path, and how one comes about."""
    with pytest.raises(LedgerError, match="there is no ledger"):
        backtest(tmp_path / "none.db", load_policy_text(POLICY)[0])
