"""Money as whole numbers of 10^-12 USD: what sums are made of, so that they agree to the last digit.

A price with at most six decimals per 1,000,000 tokens is a whole number of them per token. What does not
come out even (discounts, other currencies) is rounded once, where a cost is made, and never again.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import ROUND_HALF_EVEN, Context, Decimal, getcontext, localcontext
from functools import wraps
from typing import ParamSpec, TypeVar

_P = ParamSpec("_P")
_R = TypeVar("_R")
PICO = 10**12
_EXACT = Context(prec=60, rounding=ROUND_HALF_EVEN)
_USUAL = Context(prec=28, Emax=999_999)  # what Python begins with
_UNIT = Decimal("1e-12")


def pico_of(usd: Decimal) -> int:
    """Return an amount in 10^-12 USD, rounded half to even."""
    return int(usd.scaleb(12, _EXACT).to_integral_value(ROUND_HALF_EVEN, _EXACT))


def to_pico(usd: Decimal) -> Decimal:
    """Return an amount in USD, rounded half to even to whole 10^-12; one that is whole stays as it is."""
    rounded = usd.quantize(_UNIT, ROUND_HALF_EVEN, _EXACT)
    return usd if rounded == usd else rounded


def usd_of(pico_usd: int) -> Decimal:
    """Return an amount in USD, exactly."""
    return _EXACT.multiply(pico_usd, _UNIT)


def _is_usual(context: Context) -> bool:
    """Whether sums of a request come out as in `_EXACT`: tokens times a price have 22 digits at most."""
    usual = _USUAL
    return (
        context.prec == usual.prec and context.Emax == usual.Emax and context.traps == usual.traps
    )


def exactly(work: Callable[_P, _R]) -> Callable[_P, _R]:
    """Return the same function, whose sums are exact whatever precision the application has set."""

    @wraps(work)
    def worked(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        if _is_usual(getcontext()):  # a third of the cost of another one
            return work(*args, **kwargs)
        with localcontext(_EXACT):
            return work(*args, **kwargs)

    return worked
