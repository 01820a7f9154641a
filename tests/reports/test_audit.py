"""Whether a model earns its price at a task: proposed is only who is shown to succeed as often, for less."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

import hybridllm
from hybridllm._core.ledger.audit import Finding, audited
from hybridllm._core.ledger.costs import CostRow
from reports.months import month, written


def row(model: str, requests: int, succeeded: int, usd: str, **values: int) -> CostRow:
    spent = int(Decimal(usd).scaleb(12))
    return CostRow(
        ("classify", model), requests=requests, succeeded=succeeded, cost_pico=spent, **values
    )


@pytest.mark.parametrize(
    ("cheap", "finding"),
    [
        pytest.param(row("small", 5_000, 4_900, "1"), Finding.CHEAPER, id="as-good"),
        pytest.param(row("small", 5_000, 4_500, "1"), Finding.EARNS, id="worse"),
        pytest.param(
            row("small", 5_000, 4_800, "1"), Finding.EARNS, id="two-points-less-is-too-near"
        ),
        pytest.param(row("small", 60, 59, "0.01"), Finding.EARNS, id="good-but-hardly-sure"),
        pytest.param(row("small", 49, 49, "0.01"), Finding.FEW, id="hardly-tried"),
        pytest.param(
            row("small", 5_000, 4_900, "1", attempts=5_000, unknown=251),
            Finding.FEW,
            id="cost-unknown",
        ),
        pytest.param(row("small", 5_000, 4_900, "100"), Finding.EARNS, id="not-cheaper-at-all"),
    ],
)
def test_a_dear_model_is_judged_by_the_cheaper_ones(cheap: CostRow, finding: Finding) -> None:
    """98 % against as many of so many."""
    dear = row("large", 5_000, 4_900, "10")
    by_model = {one.model: one for one in audited([dear, cheap], {"large": "premium"})}
    assert by_model["large"].finding is finding
    assert by_model["large"].tier == "premium"
    assert by_model["small"].finding is not Finding.CHEAPER or cheap.spent_usd == 100


def test_what_would_have_been_saved_is_for_the_same_successes() -> None:
    """The dear one's bill less its successes at the cheap one's price."""
    found = audited([row("large", 1_000, 980, "98"), row("small", 2_000, 1_970, "1.97")], {})
    assert found[0].cheaper == "small"
    assert found[0].saved_usd == Decimal(98) - Decimal("0.98")
    assert found[0].to_dict()["would_save_usd"] == "97.020000000000"


def test_who_is_alone_is_compared_with_nobody() -> None:
    """Idle machines are no model, and a request that nobody served is none's."""
    rows = [
        row("large", 80, 80, "1"),
        CostRow(("classify", None), requests=3),
        CostRow((None, None), idle=True),
    ]
    assert [one.finding for one in audited(rows, {})] == [Finding.ALONE]


def test_an_audit_of_a_ledger_looks_at_its_last_week(tmp_path: Path) -> None:
    """Unless it is told another time."""
    path = written(tmp_path / "l.db", month(400))
    now = datetime(2026, 11, 30, 23, 59, tzinfo=UTC)
    week, whole = hybridllm.audit(path, now=now), hybridllm.audit(path, since="60d", now=now)
    assert 0 < sum(one.row.requests for one in week) < sum(one.row.requests for one in whole)
    assert {one.task for one in whole} == {"answer", "classify", "extract"}
