"""The sums that every comparison of APIs and own machines is made of, live or planned.

Own machines are bought whole, in steps: what is paid however much they do, and a step more for each so many
tokens. Tokens are of one month, whatever its length.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal

from hybridllm._core.money.price import Price

MTOK = Decimal(1_000_000)


def api_usd(tokens_in: Decimal, tokens_out: Decimal, cached_in: Decimal, price: Price) -> Decimal:
    """Return what tokens cost at an API; `cached_in` are those of `tokens_in` that it had cached."""
    usd = tokens_in * price.usd_per_mtok_in + tokens_out * price.usd_per_mtok_out
    if price.usd_per_mtok_cached_in is not None:
        usd += cached_in * (price.usd_per_mtok_cached_in - price.usd_per_mtok_in)
    return usd / MTOK


def steps_for(tokens: Decimal, tokens_per_step: Decimal | None) -> int:
    """Return how many steps of machines tokens need, one at least; one, too, where nobody knows."""
    if tokens_per_step is None:
        return 1
    return max(1, _ceil(tokens / tokens_per_step))


def level_tokens(
    *,
    usd_fixed: Decimal,
    usd_per_step: Decimal,
    tokens_per_step: Decimal | None,
    usd_saved_per_token: Decimal,
) -> Decimal | None:
    """Return the least volume at which both sides cost the same.

    Args:
        usd_fixed: Paid once, however many steps there are.
        usd_per_step: Paid for each step of machines.
        tokens_per_step: That a step can process; None: not known, and one is taken to be enough.
        usd_saved_per_token: By which a token at the API costs more than it adds to one's own bill.

    Returns:
        None: never, because a token on machines that are full costs more still.
    """
    if usd_saved_per_token <= 0:
        return None
    if tokens_per_step is None:
        return (usd_fixed + usd_per_step) / usd_saved_per_token
    gain = usd_saved_per_token * tokens_per_step - usd_per_step  # of a step that is full
    if gain < 0 or (gain == 0 and usd_fixed > 0):
        return None
    steps = max(1, _ceil(usd_fixed / gain)) if gain else 1
    return (usd_fixed + steps * usd_per_step) / usd_saved_per_token


def settled_tokens(
    *,
    usd_fixed: Decimal,
    usd_per_step: Decimal,
    tokens_per_step: Decimal | None,
    usd_saved_per_token: Decimal,
) -> Decimal | None:
    """Return the volume from which on own machines never cost more again; None: there is none.

    The step that comes next is empty when it is bought, and may cost more than it saves for a while.
    """
    if tokens_per_step is None or usd_saved_per_token <= 0:
        return level_tokens(
            usd_fixed=usd_fixed,
            usd_per_step=usd_per_step,
            tokens_per_step=tokens_per_step,
            usd_saved_per_token=usd_saved_per_token,
        )
    full = usd_saved_per_token * tokens_per_step
    gain = full - usd_per_step
    if gain <= 0:
        return None
    # The first step that pays from its first token on; in the one before, where it begins to.
    paying = max(1, _ceil((usd_fixed + full) / gain))
    before = paying - 1
    if not before:
        return Decimal(0)
    return (usd_fixed + before * usd_per_step) / usd_saved_per_token


def _ceil(number: Decimal) -> int:
    return int(number.to_integral_value(ROUND_CEILING))
