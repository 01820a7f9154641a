"""What a backend says it used, read without trusting it.

Owns the reading of a `usage` object. Absent is not zero: a count that was not reported, is negative,
not whole or not finite is unknown, and unknown counts are estimated and marked, or left unpriced.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

TOKENS_MAX = 1_000_000_000  # far beyond any context; a larger count is a lie or an overflow


class UsageSource(StrEnum):
    """Who counted the tokens."""

    PROVIDER = "provider"
    ESTIMATED = "estimated"


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one attempt. Cached and cache-written ones are part of the input, reasoning of the output.

    Attributes:
        provider_cost_usd: What the backend says that they cost, to 10^-12 USD; None: it says nothing.
    """

    input_tokens: int
    output_tokens: int
    cached_input_tokens: int | None = None
    reasoning_tokens: int | None = None
    cache_write_tokens: int | None = None
    source: UsageSource = UsageSource.PROVIDER
    provider_cost_usd: Decimal | None = None
