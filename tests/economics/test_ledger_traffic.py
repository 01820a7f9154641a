"""Real traffic as a scenario: mix, volume and cached shares from a ledger's rows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from sqlalchemy import create_engine

from hybridllm import Policy, Router, check, economics
from hybridllm._adapters.ledger.tables import ATTEMPTS, SCHEMA
from hybridllm._core.ledger.rows import AttemptRow
from hybridllm.errors import LedgerError

NOW = datetime(2026, 11, 1, tzinfo=UTC)
POLICY = """
version: 1
backends:
  cloud: {kind: api, base_url: "https://cloud.test/v1"}
  own: {kind: vllm, base_url: "https://own.test/v1", operator: self, price: free,
        capacity: {usd_per_month: 1500, hidden_usd_per_month: 300, tokens_per_day: 50M}}
models:
  m: {price: {input_per_1m: 1, output_per_1m: 4, cached_input_per_1m: 0.25}, on: {cloud: m, own: m}}
  qwen3-8b: {on: {cloud: q}}
routes: [{name: default, use: [m, qwen3-8b]}]
"""


def row(number: int, **changed: Any) -> dict[str, Any]:
    """One attempt of 700 + 300 tokens at the API, `days_ago` days before now."""
    days_ago = changed.pop("days_ago", 1)
    started = NOW - timedelta(days=days_ago)
    filled: dict[str, Any] = {
        name: 0 if kind is int else "x" if kind is str else None
        for name, kind in get_type_hints(AttemptRow).items()
    }
    filled |= {
        "attempt_id": f"{number:032x}-1", "request_id": f"{number:032x}", "number": 1, "model": "m",
        "backend": "cloud", "started_us": int(started.timestamp() * 1_000_000), "outcome": "served",
        "input_tokens": 700, "output_tokens": 300, "maybe_billed": 1,
    }  # fmt: skip
    return filled | changed


def ledger(folder: Path, *rows: dict[str, Any]) -> Path:
    file = folder / "ledger.db"
    engine = create_engine(f"sqlite:///{file}")
    SCHEMA.create_all(engine)
    with engine.begin() as connection:
        connection.execute(ATTEMPTS.insert(), list(rows))
    engine.dispose()
    return file


@pytest.fixture
def policy(tmp_path: Path) -> Policy:
    file = tmp_path / "policy.yaml"
    file.write_text(POLICY, encoding="utf-8")
    return check(file, environ={}).policy


def test_a_ledger_is_a_scenario(tmp_path: Path, policy: Policy) -> None:
    """Tokens per day over the days that it has, per model, with the rate that the API cached."""
    file = ledger(
        tmp_path,
        row(1, days_ago=10, cached_input_tokens=350),
        row(2, days_ago=5, cached_input_tokens=630),
        row(3, backend="own", cached_input_tokens=0),  # own servers cache less: not the API's rate
        row(4, model="qwen3-8b", input_tokens=1_000, output_tokens=0),
        row(5, shadow=1, input_tokens=10**9),  # a copy for comparison
        row(6, days_ago=60, input_tokens=10**9),  # too long ago
        row(7, input_tokens=None, output_tokens=None),  # nobody knows its tokens
        row(8, outcome="failed", input_tokens=None, output_tokens=None, maybe_billed=0),
    )
    found = economics.ledger_scenario(file, policy=policy, now=NOW)
    assert found.tokens_per_day == economics.exactly(400)  # 4,000 in ten days
    by_name = {part.model: part for part in found.traffic}
    assert by_name["m"].share == Decimal("0.75")
    assert by_name["m"].input_share == economics.exactly("0.7")
    assert by_name["m"].cached_share == economics.exactly("0.7")  # 980 of 1,400
    assert by_name["m"].price.price_id == "policy:m"
    assert by_name["qwen3-8b"].input_share == economics.exactly(1)
    assert "1 attempts are left out" in "\n".join(found.notes)
    machines = found.machines
    assert machines is not None
    assert machines.usd_per_month == economics.exactly(1_800)
    assert machines.tokens_per_day == economics.exactly(50_000_000)


def test_the_bill_is_the_live_weighings(tmp_path: Path, policy: Policy) -> None:
    """The route's condition and the command do the same sums on the same traffic."""
    from hybridllm._core.money.break_even import weigh

    file = ledger(
        tmp_path, row(1, days_ago=10, input_tokens=7_000_000_000, output_tokens=3_000_000_000)
    )
    answer = economics.break_even(economics.ledger_scenario(file, policy=policy, now=NOW))
    live = weigh(policy, {"m": (7e9, 3e9)}, {}, (), days=10)
    assert answer.api_usd.likely == live.api_usd_per_month
    assert answer.own_usd is not None
    assert answer.own_usd.likely == live.own_usd_per_month
    assert answer.crossings is not None
    assert answer.crossings.likely.first == live.crossing_tokens_per_day


def test_without_a_policy_the_book_has_the_prices(tmp_path: Path) -> None:
    """Machines are named by keys then."""
    file = ledger(tmp_path, row(1, model="gpt-4o"))
    found = economics.ledger_scenario(file, now=NOW, gpu="2x A100 80GB")
    assert found.traffic[0].price.price_id.startswith("gpt-4o@")
    assert found.machines is not None
    assert "days of traffic" in "\n".join(found.notes)  # one day is no month


def test_models_without_a_price_are_named_and_never_guessed(tmp_path: Path) -> None:
    """A few tokens are left out; of more nobody knows the bill."""
    few = [row(n, model="gpt-4o") for n in range(99)]
    (tmp_path / "few").mkdir()
    file = ledger(tmp_path / "few", *few, row(99, model="mine"))
    found = economics.ledger_scenario(file, now=NOW)
    assert found.unpriced_share == Decimal("0.01")
    assert "for want of a price: mine (1.0 % of the tokens)" in "\n".join(found.notes)
    half = ledger(tmp_path, row(1, model="gpt-4o"), row(2, model="mine"))
    with pytest.raises(LedgerError, match=r"50\.0 % of the tokens .* without a price: mine"):
        economics.ledger_scenario(half, now=NOW)


def test_an_empty_ledger_and_none_are_told(tmp_path: Path) -> None:
    """Nothing is made of nothing."""
    with pytest.raises(LedgerError, match=r"holds no tokens of 20.* to 20.* \(UTC\)"):
        economics.ledger_scenario(ledger(tmp_path, row(1, days_ago=60)), now=NOW)
    with pytest.raises(LedgerError, match="there is no ledger"):
        economics.ledger_scenario(tmp_path / "nowhere.db", now=NOW)


def test_a_policy_of_a_ledger_needs_no_router() -> None:
    """The policy of this page loads as a router's would."""
    assert Router.from_text(POLICY, environ={}) is not None
