"""Whether what a backend says something cost is what our price makes of it."""

from __future__ import annotations

from decimal import Decimal

DRIFT_MAX = Decimal("0.01")
"""A share of the backend's amount; what differs less is told nowhere."""


def drift(ours: Decimal, theirs: Decimal) -> float | None:
    """Return how far our amount is from a backend's, as a share of that: below 0 we say less.

    None: it says that it cost nothing, and we say something.
    """
    if ours == theirs:
        return 0.0
    return float(ours / theirs - 1) if theirs else None


def drifts(ours: Decimal, theirs: Decimal | None) -> bool:
    """Return whether two amounts differ by more than `DRIFT_MAX` of the backend's."""
    return theirs is not None and abs(ours - theirs) > DRIFT_MAX * theirs
