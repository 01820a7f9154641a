"""What a share of values does not exceed."""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil


def quantile(values: Iterable[float], share: float) -> float | None:
    """Return the value that `share` of all values do not exceed; None: there are none."""
    ordered = sorted(values)
    return ordered[max(0, ceil(share * len(ordered)) - 1)] if ordered else None
