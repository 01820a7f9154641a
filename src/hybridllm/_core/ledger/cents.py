"""Amounts rounded for the eye so that a column still sums to its total."""

from __future__ import annotations

from collections.abc import Sequence

from hybridllm._core.money.pico import PICO

_PLACES_MAX = 8


def places_for(amounts_pico: Sequence[int]) -> int:
    """Return how many decimals a column needs: cents from a hundred dollars on, more where all is small."""
    largest = max(map(abs, amounts_pico), default=0)
    if not largest:
        return 2
    places = 2
    while places < _PLACES_MAX and largest * 10 ** (places - 4) < PICO:
        places += 1
    return places


def rounded(amounts_pico: Sequence[int], places: int) -> list[int]:
    """Return amounts in units of 10^-places USD that sum to the rounded sum.

    Each is off by less than one unit; which ones are rounded up is by their largest remainders.
    """
    unit = PICO // 10**places
    found = [amount // unit for amount in amounts_pico]
    whole = (sum(amounts_pico) + unit // 2) // unit
    left = whole - sum(found)
    by_rest = sorted(range(len(found)), key=lambda place: -(amounts_pico[place] % unit))
    for place in by_rest[:left]:
        found[place] += 1
    return found
