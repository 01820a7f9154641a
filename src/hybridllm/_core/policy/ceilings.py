"""What a candidate may cost at most, made ready."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Ceilings:
    """What a candidate may cost at most; None: no limit. A price that is not known is above any.

    Attributes:
        output_price: USD per 1,000,000 completion tokens.
        request_cost: USD that the request at hand is expected to cost.
    """

    output_price: Decimal | None = None
    request_cost: Decimal | None = None

    def folded(self, other: Ceilings) -> Ceilings:
        """Return the lower of each."""
        if other is NO_CEILINGS or other == self:
            return self
        return Ceilings(
            _lower(self.output_price, other.output_price),
            _lower(self.request_cost, other.request_cost),
        )


NO_CEILINGS = Ceilings()


def _lower(one: Decimal | None, other: Decimal | None) -> Decimal | None:
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)
