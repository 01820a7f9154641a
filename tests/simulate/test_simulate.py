"""Traffic that may come: sums that can be done by hand, bounds that hold, any size in seconds."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from time import perf_counter

import pytest
from typer.testing import CliRunner

from hybridllm import PolicyError, SimulationReport, simulate
from hybridllm.cli.app import app_with

POLICY = """
version: 1
backends:
  own: {kind: vllm, base_url: "http://own.internal:8000/v1", allow_plaintext: true, region: eu,
        operator: self, retention: none, capacity: {usd_per_month: 1000, tokens_per_second: 1000}}
  api: {kind: api, base_url: "https://api.test/v1", region: us, operator: third_party, retention: 30d}
models:
  m: {price: {input_per_1m: 1, output_per_1m: 2}, on: {own: m, api: m}}
default_residency: public
residency: {public: {}, phi: {operators: [self]}, nowhere: {regions: [mars]}}
tasks: {cheap: {}, bulk: {}}
routes:
  - {name: cheap, when: {task: cheap}, use: [{model: m, on: [api]}]}
  - name: rest
    use: [{model: m, on: [own, api]}]
    overflow: {from: own, to: api, when: saturated}
"""
FLAT = "input_tokens: {median: 900}, output_tokens: {median: 100}"
DAYS, TOKENS = 30.4375, 1_000


def simulated(
    tmp_path: Path, mix: str, *, policy: str = POLICY, more: str = "", **how: object
) -> SimulationReport:
    rules, traffic = tmp_path / "policy.yaml", tmp_path / "traffic.yaml"
    rules.write_text(policy)
    traffic.write_text(f"version: 1\nrequests_per_day: 1M\n{more}\nmix:\n{mix}\n")
    return simulate(rules, traffic, **{"months": 1, **how})  # type: ignore[arg-type]


def test_what_all_are_alike_in_is_exact(tmp_path: Path) -> None:
    """A million requests a day of 900 and 100 tokens at 1 and 2 USD: 0.0011 USD each."""
    report = simulated(tmp_path, f"  - {{share: 1, task: cheap, {FLAT}}}")
    (month,) = report.months
    assert float(month.cost_usd.value) == pytest.approx(1e6 * DAYS * 0.0011)
    assert month.cost_usd.low == month.cost_usd.high == month.cost_usd.value
    api = next(one for one in month.backends if one.name == "api")
    assert api.requests == pytest.approx(1e6 * DAYS)
    assert api.tokens_per_s == pytest.approx(1e6 * TOKENS / 86_400)


def test_what_is_too_much_for_a_machine_overflows(tmp_path: Path) -> None:
    """It can process 1,000 tokens a second of the 11,574 that come; the others are paid for at the API."""
    report = simulated(tmp_path, f"  - {{share: 1, {FLAT}}}")
    (month,) = report.months
    own = next(one for one in month.backends if one.name == "own")
    away = 1 - 1_000 * 86_400 / (1e6 * TOKENS)
    assert own.overflow == pytest.approx(away, rel=1e-3)
    assert own.utilisation_peak == pytest.approx(1e9 / 86_400 / 1_000, rel=1e-3)
    assert float(month.cost_usd.value) == pytest.approx(1e6 * DAYS * 0.0011 * away, rel=1e-3)
    assert float(month.list_usd or 0) == pytest.approx(1e6 * DAYS * 0.0011 * (1 - away), rel=0.01)
    assert month.machines_usd == 1_000


def test_what_may_not_leave_is_beyond(tmp_path: Path) -> None:
    """Regulated data has nowhere to overflow to: it is told, and nobody is paid."""
    report = simulated(tmp_path, f"  - {{share: 1, residency: phi, {FLAT}}}")
    (month,) = report.months
    own = next(one for one in month.backends if one.name == "own")
    assert own.overflow == 0
    assert own.beyond == pytest.approx(1 - 1_000 * 86_400 / (1e6 * TOKENS), rel=1e-3)
    assert month.cost_usd.high == 0


def test_a_rush_hour_overflows_where_the_day_would_not(tmp_path: Path) -> None:
    """Hours have weights, and a machine that is idle at night is full at noon."""
    hours = "hours: [" + ", ".join(["1"] * 12 + ["20"] + ["1"] * 11) + "]"
    report = simulated(tmp_path, f"  - {{share: 1, {FLAT}}}", more=hours, requests_per_day=60_000)
    own = report.months[0].backends[0]
    assert own.utilisation_peak == pytest.approx(
        60_000 * TOKENS * 20 / 43 / 3_600 / 1_000, rel=0.01
    )
    assert own.overflow > 0.2


def test_denials_are_told_by_rule(tmp_path: Path) -> None:
    """A tag that nobody may serve: its share of the requests, and the rule."""
    mix = f"  - {{share: 3, task: cheap, {FLAT}}}\n  - {{share: 1, residency: nowhere, {FLAT}}}"
    (month,) = simulated(tmp_path, mix).months
    assert month.denied == (("residency 'nowhere'", pytest.approx(0.25)),)


def test_bounds_hold_what_many_more_samples_say(tmp_path: Path) -> None:
    """Lengths that vary much: a small sample's bounds are wide, and hold a large sample's value."""
    lengths = "input_tokens: {median: 300, p95: 6000}, output_tokens: {median: 50, p95: 800}"
    mix = f"  - {{share: 1, task: cheap, {lengths}}}"
    exact = simulated(tmp_path, mix, samples=60_000, seed=99).months[0].cost_usd
    for seed in range(10):
        cost = simulated(tmp_path, mix, samples=1_000, seed=seed).months[0].cost_usd
        assert cost.low <= exact.value <= cost.high
        assert cost.high - cost.low > 4 * (exact.high - exact.low)


def test_growth_crosses_break_even(tmp_path: Path) -> None:
    """A tenth more each month: at first the machine costs more than the API would ask, later less."""
    report = simulated(
        tmp_path,
        f"  - {{share: 1, {FLAT}}}",
        requests_per_day=20_000,
        growth_per_month=0.1,
        months=12,
    )
    costs = [float(one.list_usd or 0) for one in report.months]
    assert costs[0] == pytest.approx(20_000 * DAYS * 0.0011)
    month = report.pays_from_month
    assert month is not None
    assert costs[month - 2] <= 1_000 < costs[month - 1]


def test_a_route_begins_when_there_is_enough_traffic(tmp_path: Path) -> None:
    """A condition on volume holds from the month on in which so much comes, and for so long."""
    volume = "{tokens_per_day: {gte: 100M}, sustained: 60d}"
    policy = (
        POLICY.replace(
            "  - name: rest",
            f"  - {{name: heavy, when: {{volume: {volume}}}, use: [{{model: m, on: [own]}}]}}\n"
            "  - name: rest",
        )
        .replace("use: [{model: m, on: [own, api]}]", "use: [{model: m, on: [api]}]")
        .replace("    overflow: {from: own, to: api, when: saturated}\n", "")
    )
    report = simulated(tmp_path, f"  - {{share: 1, {FLAT}}}", policy=policy, months=3)
    assert [bool(one.holding) for one in report.months] == [False, False, True]
    assert [one.backends[0].requests > 0 for one in report.months] == [False, False, True]


def test_the_internet_takes_seconds(tmp_path: Path) -> None:
    """10^12 requests a month for a year: no more decisions than for a thousand a day."""
    mix = f"  - {{share: 1, {FLAT}}}\n  - {{share: 1, task: cheap, {FLAT}}}"
    began = perf_counter()
    report = simulated(tmp_path, mix, requests_per_day=1e12 / DAYS, months=12)
    assert perf_counter() - began < 30
    assert report.months[0].requests == pytest.approx(1e12)
    assert report.sampled == 20_000


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("hours: [1, 2]", "hours has 2 weights; a day has 24"),
        ("speed: 3", "unknown key 'speed'"),
    ],
)
def test_a_traffic_file_that_will_not_do_is_told_with_its_place(
    tmp_path: Path, more: str, words: str
) -> None:
    """As of a policy file: every problem, file and line."""
    with pytest.raises(PolicyError, match=words) as raised:
        simulated(tmp_path, f"  - {{share: 1, {FLAT}}}", more=more)
    assert "traffic.yaml" in str(raised.value)


def test_the_command_tells_months_and_backends(tmp_path: Path) -> None:
    """Tables for people, one object for scripts."""
    simulated(tmp_path, f"  - {{share: 1, {FLAT}}}")
    rules, traffic = str(tmp_path / "policy.yaml"), str(tmp_path / "traffic.yaml")
    arguments = ["simulate", "--policy", rules, "--traffic", traffic, "--per-day", "1e6"]
    app = app_with(["simulate", "check"])
    result = CliRunner().invoke(app, [*arguments, "--months", "2", "--growth", "10"])
    assert result.exit_code == 0, result.output
    assert "What backends are asked to do in month 2" in result.stdout
    told = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).stdout)
    assert len(told["months"]) == 12
    assert Decimal(told["months"][0]["cost_usd"]["value"]) > 0
