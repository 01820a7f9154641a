"""`hybridllm backtest` as its users meet it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from backtest.months import asks_of_a_month, played
from backtest.test_backtest import KINDS, POLICY, SERVICES
from hybridllm.cli.app import app_with


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ledger") / "ledger.db"
    played(POLICY, asks_of_a_month(300, KINDS), services=SERVICES, ledger=path)
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app_with(["backtest", "check"]), ["backtest", *map(str, arguments)])


def test_the_same_policy_is_told_in_a_line(ledger: Path) -> None:
    """Nothing changes, and the figures stand below it without bounds."""
    policy = ledger.with_name("same.yaml")
    policy.write_text(POLICY)
    result = run("--policy", policy, "--ledger", ledger)
    assert result.exit_code == 0, result.output
    assert "Nothing changes, for any request." in result.stdout
    assert "300 requests stand, 0 go to somebody else, 0 are denied now" in result.stdout


def test_another_policy_is_told_in_tables(ledger: Path) -> None:
    """Before, after, difference and bounds; who answers; what was assumed."""
    policy = ledger.with_name("other.yaml")
    policy.write_text(POLICY.replace("    use: [large]\n", "    use: [small]\n"))
    result = run("--policy", policy, "--ledger", ledger)
    assert result.exit_code == 0, result.output
    for words in ("before", "difference", "whole answer, p95", "strong/large", "Assumed"):
        assert words in result.stdout


def test_json_has_amounts_as_texts(ledger: Path) -> None:
    """As everywhere; bounds stand beside them."""
    policy = ledger.with_name("same.yaml")
    policy.write_text(POLICY)
    result = run("--policy", policy, "--ledger", ledger, "--json")
    told = json.loads(result.stdout)
    assert told["ok"] is True
    assert told["same"] is True
    assert told["cost_usd"]["before"] == told["cost_usd"]["high"]
    assert isinstance(told["cost_usd"]["before"], str)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--since", "soon"], "'soon' is no time; one is written 30d, 12h, 2w, 2026-11-01"),
        (["--prices", "none.yaml"], "there is no file none.yaml"),
    ],
)
def test_wrong_usage_is_told(ledger: Path, arguments: list[str], words: str) -> None:
    """With the value, and what would do."""
    policy = ledger.with_name("same.yaml")
    policy.write_text(POLICY)
    result = run("--policy", policy, "--ledger", ledger, *arguments)
    assert result.exit_code == 2
    assert words in " ".join(result.stderr.split())


def test_no_ledger_ends_with_1(ledger: Path) -> None:
    """And says how one comes about."""
    policy = ledger.with_name("same.yaml")
    policy.write_text(POLICY)
    result = run("--policy", policy, "--ledger", "none.db")
    assert result.exit_code == 1
    assert "there is no ledger none.db" in result.stderr
