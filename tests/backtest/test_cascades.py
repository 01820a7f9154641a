"""Cascades and budgets in a ledger: what they did stands under the same policy."""

from __future__ import annotations

from pathlib import Path

from backtest.months import asks_of_a_month, played
from hybridllm import backtest
from hybridllm._adapters.policy_files import load_policy_text

CASCADE = "cascade: {first: small, then: large, escalate_if: {min_chars: 5000}}"
POLICY = f"""
version: 1
backends:
  a: {{kind: api, base_url: "https://a.test/v1"}}
  b: {{kind: api, base_url: "https://b.test/v1"}}
models:
  small: {{price: {{input_per_1m: 0.1, output_per_1m: 0.3}}, on: {{a: small}}}}
  large: {{price: {{input_per_1m: 2.5, output_per_1m: 10}}, on: {{b: large}}}}
routes:
  - {{name: all, use: [small], fallbacks: [large], {CASCADE}}}
"""
ONE = [{"task": "classify", "tenant": "acme", "stream": False}]


def test_what_escalated_stands_and_ends_with_the_cascade(tmp_path: Path) -> None:
    """Without the cascade the small model's answer is the answer, and its price the cost."""
    ledger = tmp_path / "ledger.db"
    played(POLICY, asks_of_a_month(100, ONE), ledger=ledger)
    assert backtest(ledger, load_policy_text(POLICY)[0]).same
    report = backtest(ledger, load_policy_text(POLICY.replace(f", {CASCADE}", ""))[0])
    assert report.moved == 100
    assert [one.name for one in report.candidates if one.requests.after] == ["a/small"]
    assert report.cost_usd.after < report.cost_usd.before / 5


def test_what_a_budget_took_out_stays_so(tmp_path: Path) -> None:
    """From half of it on only the small model may be asked, and at its end nobody: as recorded."""
    budget = (
        "budgets:\n  - {scope: {tenant: acme}, usd: 0.05, per: month, "
        "at: {50%: {use: [small]}, 100%: deny}}\n"
    )
    policy = POLICY.replace(f", {CASCADE}", "").replace(
        "[small], fallbacks: [large]", "[large, small]"
    )
    ledger = tmp_path / "ledger.db"
    told = played(policy + budget, asks_of_a_month(150, ONE), ledger=ledger)
    served = [one.receipt.served.model for one in told if one.receipt.served is not None]
    assert {"small", "large"} == set(served)
    assert backtest(ledger, load_policy_text(policy + budget)[0]).same
    assert backtest(ledger, load_policy_text(policy)[0]).moved >= served.count("small")
