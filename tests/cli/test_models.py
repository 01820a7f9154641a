"""`hybridllm models`: the model book, filtered and sorted."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from hybridllm import model_book


def _listed(hybridllm, *options: str) -> list[dict]:
    result = hybridllm("models", *options, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)["models"]


def test_every_model_of_the_book_is_listed(hybridllm) -> None:
    """As a table for people, and as an object whose amounts are exact texts."""
    table = hybridllm("models").stdout
    rows = _listed(hybridllm)

    assert {row["id"] for row in rows} == set(model_book().names())
    assert all(f"\n{row['id']} " in f"\n{table}" for row in rows)
    entry = next(row for row in rows if row["id"] == "gpt-4o")
    assert Decimal(entry["input_per_1m"]) == Decimal("2.5")
    assert f"{len(rows)} of {len(rows)} models" in table


def test_an_unknown_price_is_not_shown_as_zero(hybridllm) -> None:
    """Not known is not free."""
    (row,) = [line for line in hybridllm("models").stdout.splitlines() if "kimi-k2.6" in line]
    assert row.split()[2:4] == ["unknown", "unknown"]


@pytest.mark.parametrize(
    ("options", "holds"),
    [
        (("--filter", "qwen3"), lambda row: "qwen3" in row["id"]),
        (("--filter", "MOONSHOT"), lambda row: row["provider"] == "Moonshot"),
        (("--capability", "vision"), lambda row: "vision" in row["capabilities"]),
        (("--tier", "mid-range"), lambda row: row["tier"] == "mid-range"),
        (
            ("--max-output-price", "0.10"),
            lambda row: Decimal(row["output_per_1m"]) <= Decimal("0.10"),
        ),
        (("--min-context", "128K"), lambda row: row["context_tokens"] >= 131_072),
    ],
)
def test_a_filter_keeps_what_it_asks_for(hybridllm, options: tuple[str, ...], holds) -> None:
    """Something, but not everything; figures that nobody knows do not pass."""
    rows = _listed(hybridllm, *options)

    assert 0 < len(rows) < len(model_book())
    assert all(holds(row) for row in rows)


@pytest.mark.parametrize(
    ("sort", "first", "last_unknown"),
    [
        ("price", "glm-4.5-air", "output_per_1m"),
        ("input", "ernie-speed-128k", "input_per_1m"),
        ("context", "deepseek-v4-flash", "context_tokens"),
        ("name", "bytedance-seed-oss", None),
    ],
)
def test_sorting_puts_the_unknown_last(
    hybridllm, sort: str, first: str, last_unknown: str | None
) -> None:
    """Cheapest, cheapest prompt, longest, A to Z."""
    rows = _listed(hybridllm, "--sort", sort)

    assert len(rows) == len(model_book())
    if sort == "name":
        assert rows[0]["id"] == first
    if last_unknown is not None:
        known = [row[last_unknown] is not None for row in rows]
        assert known == sorted(known, reverse=True)
        assert known[-1] is False
        figures = [Decimal(row[last_unknown]) for row in rows if row[last_unknown] is not None]
        assert figures == sorted(figures, reverse=sort == "context")


@pytest.mark.parametrize(
    "options",
    [
        ("--capability", "telepathy"),
        ("--tier", "cheap"),
        ("--max-output-price", "few"),
        ("--min-context", "long"),
        ("--sort", "colour"),
    ],
)
def test_a_wrong_filter_is_wrong_usage(hybridllm, options: tuple[str, ...]) -> None:
    """It is told with its value, and nothing is listed."""
    result = hybridllm("models", *options)

    assert result.exit_code == 2
    assert repr(options[1]) in result.stderr
    assert result.stdout == ""
