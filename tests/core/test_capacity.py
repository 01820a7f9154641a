"""What a token costs on machines that are paid by the month: worked out by hand."""

from __future__ import annotations

from decimal import Decimal

import pytest

from hybridllm._core.money.capacity import FixedCost, Use, fixed_cost
from hybridllm._core.policy.hybrid import Capacity

# 2,629.80 USD a month are 0.001 USD a second: a month has 30.4375 days, 2,629,800 seconds.
OWN = Capacity(Decimal(2000), Decimal("629.80"), tokens_per_s=1_000.0)
UNDECLARED = Capacity(Decimal("2629.80"))
ELASTIC = Capacity(Decimal("2629.80"), tokens_per_s=1_000.0, elastic=True)


def usd(text: str) -> Decimal:
    return Decimal(text)


@pytest.mark.parametrize(
    ("tokens_per_s", "average", "marginal", "utilisation"),
    [
        pytest.param(0.0, None, "0", 0.0, id="idle"),
        pytest.param(100.0, "10", "0", 0.1, id="tenth"),
        pytest.param(250.0, "4", "0", 0.25, id="quarter"),
        pytest.param(999.9, None, "0", 0.9999, id="below-the-limit"),
        pytest.param(1_000.0, "1", None, 1.0, id="at-the-limit"),
        pytest.param(1_250.0, "0.8", None, 1.25, id="above-the-limit"),
    ],
)
def test_average_falls_with_use_and_one_more_token_is_free_while_there_is_room(
    tokens_per_s: float, average: str | None, marginal: str | None, utilisation: float
) -> None:
    """0.001 USD a second over 250 tokens a second are 4 USD per million; full, over 1,000, it is 1 USD."""
    found = fixed_cost(OWN, Use(tokens_per_s, 400.0))
    assert found.full_usd_per_mtok == 1
    assert found.utilisation == pytest.approx(utilisation)
    assert found.marginal_usd_per_mtok == (None if marginal is None else usd(marginal))
    assert found.has_room is (marginal is not None)
    assert found.tokens_per_s == tokens_per_s
    if average is not None:
        assert found.average_usd_per_mtok == usd(average)
    elif not tokens_per_s:
        assert found.average_usd_per_mtok is None


@pytest.mark.parametrize(
    ("use", "expected"),
    [
        pytest.param(Use(), FixedCost(marginal_usd_per_mtok=Decimal(0)), id="nothing"),
        pytest.param(
            Use(200.0, None),
            FixedCost(200.0, None, Decimal(5), None, Decimal(0)),
            id="only-the-present",
        ),
        pytest.param(
            Use(200.0, 500.0),
            FixedCost(200.0, 0.4, Decimal(5), Decimal(2), Decimal(0)),
            id="present-and-best",
        ),
        pytest.param(
            Use(500.0, 500.0),
            FixedCost(500.0, 1.0, Decimal(2), Decimal(2), Decimal(0)),
            id="at-its-best",
        ),
    ],
)
def test_the_best_measured_stands_in_for_a_limit_but_never_says_that_it_is_full(
    use: Use, expected: FixedCost
) -> None:
    """A machine that was never pushed is always at its best so far; nobody knows what it could do."""
    assert fixed_cost(UNDECLARED, use) == expected


@pytest.mark.parametrize("tokens_per_s", [None, 0.0, 10.0, 1_000.0, 5_000.0])
def test_a_token_on_an_elastic_backend_costs_its_share_of_a_busy_hour(
    tokens_per_s: float | None,
) -> None:
    """Idle machines are given back, and others come: one price whatever the use, and always room."""
    found = fixed_cost(ELASTIC, Use(tokens_per_s))
    prices = found.average_usd_per_mtok, found.full_usd_per_mtok, found.marginal_usd_per_mtok
    assert (prices, found.has_room) == ((Decimal(1),) * 3, True)


def test_an_elastic_backend_whose_speed_nobody_knows_has_no_price() -> None:
    """Unknown is not zero; the best measured will do."""
    elastic = Capacity(Decimal("2629.80"), elastic=True)
    assert fixed_cost(elastic, Use()).marginal_usd_per_mtok is None
    assert fixed_cost(elastic, Use(0.0, 500.0)).marginal_usd_per_mtok == 2


def test_every_price_can_be_worked_out_again_from_what_stands_beside_it() -> None:
    """Exact, however odd the rate: the month's cost over the month's tokens."""
    found = fixed_cost(OWN, Use(333.3333333333333))
    month = Decimal("333.3333333333333") * Decimal(2629800)
    assert found.average_usd_per_mtok == Decimal("2629.80") * 1_000_000 / month


def test_what_costs_nothing_and_can_nothing_divides_nothing() -> None:
    """A machine that is paid off has free tokens; a limit of 0 is none."""
    assert fixed_cost(Capacity(Decimal(0)), Use(10.0, 10.0)).average_usd_per_mtok == 0
    nothing = fixed_cost(Capacity(Decimal(1), tokens_per_s=0.0), Use(10.0))
    assert (nothing.full_usd_per_mtok, nothing.utilisation, nothing.has_room) == (None, None, True)
