"""The sums of a report against sums made row by row, in Python."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import hybridllm
from hybridllm import LedgerReader
from reports.months import attempt, machine, month, request, us, written

NOW = datetime(2026, 12, 2, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A settled month."""
    path = written(
        tmp_path_factory.mktemp("ledger") / "ledger.db", month(700), [machine("2026-11-01")]
    )
    hybridllm.settle(path, now=NOW)
    return path


def told(ledger: Path, by: str) -> dict[str | None, dict[str, Any]]:
    """Each group, added up the slow way."""
    groups: dict[str | None, dict[str, Any]] = defaultdict(lambda: defaultdict(int))
    reader = LedgerReader(ledger)
    of_requests = {"backend": "served_backend", "model": "served_model"}
    for row in reader.attempts():
        group = groups[getattr(row, by)]
        spent = (row.cost_pico or 0) + (row.fixed_pico or 0)
        group["attempts"] += 1
        group["cost_pico"] += row.cost_pico or 0
        group["fixed_pico"] += row.fixed_pico or 0
        group["wasted_pico"] += spent if row.outcome != "served" else 0
        group["escalations"] += row.outcome == "escalated"
        group["unknown"] += row.cost_pico is None and row.backend != "vllm-fra"
        group["input_tokens"] += row.input_tokens or 0
        group["output_tokens"] += row.output_tokens or 0
        group["cached_input_tokens"] += row.cached_input_tokens or 0
    durations: dict[str | None, list[int]] = defaultdict(list)
    for asked in reader.requests():
        key = getattr(asked, of_requests.get(by, by))
        group = groups[key]
        group["requests"] += 1
        group["succeeded"] += (
            asked.outcome == "ok" if asked.success is None else bool(asked.success)
        )
        group["answers_known"] += asked.success is not None
        group["saved_pico"] += asked.saved_pico or 0
        group["cache_hits"] += asked.cache is not None
        if asked.outcome == "ok":
            durations[key].append(asked.duration_us)
    for key, found in durations.items():
        found.sort()
        groups[key]["latency_p50_us"] = found[-(-len(found) * 50 // 100) - 1]
        groups[key]["latency_p99_us"] = found[-(-len(found) * 99 // 100) - 1]
    return groups


@pytest.mark.parametrize("by", ["tenant", "feature", "task", "route", "backend", "model"])
def test_a_report_is_the_sum_of_its_rows(ledger: Path, by: str) -> None:
    """Every figure of every group, exactly."""
    report = hybridllm.costs(ledger, by=[by], now=NOW)
    slow = told(ledger, by)
    rows = [row for row in report.rows if not row.idle]
    assert {row.key[0] for row in rows} == slow.keys()
    for row in rows:
        expected = slow[row.key[0]]
        assert {name: getattr(row, name) for name in expected} == expected
    assert report.total.spent_pico == sum(row.spent_pico for row in report.rows)
    assert report.total.requests == 700


@pytest.mark.parametrize(
    "by",
    [(), ("day",), ("hour", "tenant"), ("tenant", "feature", "task"), ("team",), ("team", "day")],
)
def test_however_it_is_grouped_the_total_is_the_same(ledger: Path, by: tuple[str, ...]) -> None:
    """Declared keys too; nothing falls between two groups."""
    plain = hybridllm.costs(ledger, now=NOW)
    report = hybridllm.costs(ledger, by=by, now=NOW)
    assert report.total == plain.total
    assert sum(report.rounded_usd()[:-1]) == report.rounded_usd()[-1]
    assert report.what_if == plain.what_if


def test_a_time_is_cut_at_its_ends(ledger: Path) -> None:
    """What began at its beginning is in it, what began at its end is not; days sum to the month."""
    days = [f"2026-11-{n:02d}" for n in range(1, 31)]
    ends = [*days[1:], "2026-12-01"]
    parts = [
        hybridllm.costs(ledger, since=day, until=end, now=NOW).total
        for day, end in zip(days, ends, strict=True)
    ]
    whole = hybridllm.costs(ledger, since="2026-11", now=NOW).total
    assert sum(one.spent_pico for one in parts) == whole.spent_pico
    assert sum(one.requests for one in parts) == whole.requests


def test_sums_do_not_overflow(tmp_path: Path) -> None:
    """Twelve million dollars are more than 64 bits of 10^-12 dollars."""
    rows = [attempt(f"{n:032x}", cost_pico=4 * 10**18 + 7) for n in range(3)]
    path = written(tmp_path / "l.db", [(request("0" * 32), rows)])
    assert hybridllm.costs(path, now=NOW).total.spent_usd == Decimal("12000000.000000000021")


def test_an_empty_ledger_has_no_rows(tmp_path: Path) -> None:
    """And no sum is anything but 0."""
    report = hybridllm.costs(written(tmp_path / "l.db", []), by=["tenant", "team"], now=NOW)
    assert report.rows == ()
    assert report.total.spent_pico == 0
    assert report.rounded_usd() == [Decimal("0.00")]


def test_copies_for_comparison_are_counted_apart(tmp_path: Path) -> None:
    """Their money is in the sum, and is no waste; they are no requests of anybody."""
    made = [
        (request("a" * 32), [attempt("a" * 32)]),
        (request("b" * 32, shadow_of="a" * 32), [attempt("b" * 32, shadow=1, outcome="failed")]),
    ]
    total = hybridllm.costs(written(tmp_path / "l.db", made), now=NOW).total
    assert (total.requests, total.attempts, total.wasted_pico) == (1, 2, 0)
    assert total.shadow_pico == 28_000_000
    assert total.cost_pico == 2 * 28_000_000


def test_what_nobody_knows_is_counted_and_not_summed(tmp_path: Path) -> None:
    """Unless it was provably not billed."""
    made = [
        (
            request("a" * 32),
            [
                attempt("a" * 32, 1, outcome="failed", cost_pico=None, maybe_billed=0),
                attempt("a" * 32, 2, outcome="unknown", cost_pico=None),
                attempt("a" * 32, 3),
            ],
        )
    ]
    report = hybridllm.costs(written(tmp_path / "l.db", made), model="glm-4-9b", now=NOW)
    assert report.total.unknown == 1
    assert report.total.cost_pico == 28_000_000
    assert report.what_if is not None
    assert report.what_if.all_api.high_usd is None


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"by": ["tennat"]}, "'tennat' is none of tenant.*declared keys in this ledger: team"),
        ({"by": ["tenant", "tenant"]}, "same twice"),
        ({"since": "soon"}, "'soon' is no time"),
        ({"model": "qwen3-8"}, "did you mean 'qwen3-8b'"),
    ],
)
def test_a_question_that_is_none_is_refused(
    ledger: Path, asked: dict[str, Any], words: str
) -> None:
    """With the names that would have been right."""
    with pytest.raises(ValueError, match=words):
        hybridllm.costs(ledger, now=NOW, **asked)


def test_elsewhere_is_told_with_bounds(tmp_path: Path) -> None:
    """At APIs by list prices, on own machines in whole sets, on a model by the same tokens."""
    own = {"backend": "vllm-fra", "model": "qwen3-32b", "cost_pico": 0}
    hour = us("2026-11-30", 10)
    made = [
        (request("a" * 32), [attempt("a" * 32, cost_pico=5 * 10**12)]),
        (
            request("b" * 32),
            [
                attempt("b" * 32, 1, outcome="failed", **own, list_cost_pico=10**12),
                attempt("b" * 32, 2, **own, list_cost_pico=2 * 10**12, started_us=hour)._replace(
                    input_tokens=3_000_000, output_tokens=1_000_000, cached_input_tokens=None
                ),
            ],
        ),
    ]
    path = written(tmp_path / "l.db", made, [machine("2026-11-01")])
    found = hybridllm.costs(path, since="2026-11", model="glm-4-9b", now=NOW).what_if
    assert found is not None
    assert (found.all_api.low_usd, found.all_api.high_usd) == (Decimal(8), Decimal(8))
    # 4M tokens in an hour are 1,111 a second: two of what does 600.
    assert (found.all_own.low_usd, found.all_own.high_usd) == (Decimal(1800), Decimal(3600))
    price = hybridllm.model_book().get("glm-4-9b").price
    assert found.all_on_model is not None
    low = 3_000_100 * price.usd_per_mtok_in + 1_000_050 * price.usd_per_mtok_out
    assert found.all_on_model.low_usd == low / 1_000_000
    assert found.all_on_model.high_usd > found.all_on_model.low_usd


def test_what_the_application_says_of_answers_is_their_success(tmp_path: Path) -> None:
    """The last word holds; of requests that are not there, the ids come back."""
    made = [(request(each * 32), [attempt(each * 32)]) for each in "abc"]
    path = written(tmp_path / "l.db", made)
    assert hybridllm.record_success(path, {"a" * 32: True, "b" * 32: True}) == set()
    assert hybridllm.record_success(path, {"b" * 32: False, "d" * 32: True}) == {"d" * 32}
    assert hybridllm.record_success(path, {}) == set()
    total = hybridllm.costs(path, now=NOW).total
    assert (total.requests, total.succeeded, total.answers_known) == (3, 2, 2)
