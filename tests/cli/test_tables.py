"""Tables and figures as the terminal shows them."""

from __future__ import annotations

import re
from decimal import Decimal

import pytest

from hybridllm.cli import output
from hybridllm.cli.tables import Coloured, Table


def _table() -> Table:
    table = Table("", "name", "cost", "why", right=("", "cost"), prose=("why",))
    table.add_row(
        "1", "global-us/qwen3-8b", "$0.10", "the first of the models that the route names"
    )
    table.add_row("12", "own/large", "free", Coloured("short", "red"))
    return table


def _plain(lines) -> list[str]:
    return [re.sub(r"\x1b\[\d+m", "", line) for line in lines]


def test_without_a_width_every_row_is_one_line() -> None:
    """As a pipe wants it: aligned, unbroken, without spaces at its end."""
    lines = _plain(_table().lines(width=None))

    assert lines == [
        "    name                 cost  why",
        " 1  global-us/qwen3-8b  $0.10  the first of the models that the route names",
        "12  own/large            free  short",
    ]


@pytest.mark.parametrize("width", [50, 60, 70])
def test_in_a_narrow_terminal_only_prose_is_broken(width: int) -> None:
    """Names and figures stay whole; the rest goes on below its column."""
    lines = _plain(_table().lines(width=width))

    assert all(len(line) <= width for line in lines)
    assert any("global-us/qwen3-8b" in line for line in lines)
    words = " ".join(" ".join(lines).split())
    assert all(word in words for word in ("first", "models", "route", "names"))


def test_a_terminal_too_narrow_for_the_names_gets_them_whole() -> None:
    """Better a line that the terminal breaks than half a name."""
    assert any("global-us/qwen3-8b" in line for line in _plain(_table().lines(width=10)))


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        (None, "unknown"),
        (Decimal(0), "$0"),
        (Decimal("0.00000025"), "$0.000000250"),
        (Decimal("0.0123456"), "$0.0123"),
        (Decimal("0.999"), "$0.999"),
        (Decimal(1), "$1.00"),
        (Decimal("1234.5"), "$1,234.50"),
    ],
)
def test_money_is_rounded_for_the_eye_only(amount: Decimal | None, shown: str) -> None:
    """Three digits that say something; never an exponent, never zero for the unknown."""
    assert output.usd(amount) == shown


@pytest.mark.parametrize(
    ("price", "shown"),
    [(None, "unknown"), ("0.1", "0.10"), ("3", "3.00"), ("0.075", "0.075"), ("1E+1", "10.00")],
)
def test_a_price_is_shown_exactly(price: str | None, shown: str) -> None:
    """All its digits, two at least."""
    assert output.usd_per_mtok(None if price is None else Decimal(price)) == shown


def test_only_zero_for_both_is_free() -> None:
    """A model with a free prompt and a paid answer is not free; an unknown price is not either."""
    assert output.price_columns(Decimal(0), Decimal(0)) == ("free", "free")
    assert output.price_columns(Decimal(0), Decimal("0.2")) == ("0.00", "0.20")
    assert output.price_columns(None, None) == ("unknown", "unknown")


@pytest.mark.parametrize(
    ("part", "whole", "shown"),
    [
        (0, 0, "-"),
        (1, 3, "33.3 %"),
        (99_999, 100_000, "99.99 %"),
        (999_999, 1_000_000, "99.99 %"),
        (5, 5, "100 %"),
    ],
)
def test_less_than_all_is_never_100_percent(part: int, whole: int, shown: str) -> None:
    """A success rate is not rounded up."""
    assert output.percent(part, whole) == shown


@pytest.mark.parametrize(
    ("duration_s", "shown"), [(None, "-"), (0.0123, "12 ms"), (0.9, "900 ms"), (1.5, "1.50 s")]
)
def test_durations(duration_s: float | None, shown: str) -> None:
    """Milliseconds below one second."""
    assert output.seconds(duration_s) == shown


@pytest.mark.parametrize(
    ("count", "shown"), [(None, "-"), (32_768, "32K"), (8_000, "8,000"), (0, "0")]
)
def test_token_counts(count: int | None, shown: str) -> None:
    """As a policy file writes them."""
    assert output.tokens(count) == shown
