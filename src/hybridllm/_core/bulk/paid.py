"""What a request cost and who answered it: as much of its receipt as a journal keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hybridllm._core.receipt import Receipt


@dataclass(frozen=True, slots=True)
class Paid:
    """What one item cost, over all its attempts.

    Attributes:
        request_id: Of its last request, as on the receipt and the spans; None: nothing was decided.
        backend: That answered; None if none did.
        model: The logical model that answered.
        cost_usd: Sum over all attempts whose cost is known; None: none is known.
        cost_complete: False if something may have been paid that we do not know.
        tokens_in: Prompt tokens of all attempts, as far as known.
        tokens_out: Completion tokens of all attempts, as far as known.
    """

    request_id: str | None = None
    backend: str | None = None
    model: str | None = None
    cost_usd: Decimal | None = None
    cost_complete: bool = True
    tokens_in: int = 0
    tokens_out: int = 0


NOTHING_PAID = Paid()


def together(earlier: Paid, later: Paid) -> Paid:
    """Return what both came to; they were paid for the same item, one after the other."""
    if earlier == NOTHING_PAID:
        return later
    known = [paid.cost_usd for paid in (earlier, later) if paid.cost_usd is not None]
    return replace(
        later,
        cost_usd=sum(known, Decimal(0)) if known else None,
        cost_complete=later.cost_complete and earlier.cost_complete,
        tokens_in=later.tokens_in + earlier.tokens_in,
        tokens_out=later.tokens_out + earlier.tokens_out,
    )


def paid_of(receipt: Receipt | None) -> Paid:
    """Return what a receipt says was paid; without one nothing was sent."""
    if receipt is None:
        return NOTHING_PAID
    used = [attempt.usage for attempt in receipt.attempts if attempt.usage is not None]
    served = receipt.served
    return Paid(
        receipt.request_id,
        None if served is None else served.backend,
        None if served is None else served.model,
        receipt.cost_usd,
        receipt.cost_complete,
        sum(usage.input_tokens for usage in used),
        sum(usage.output_tokens for usage in used),
    )


def paid_json(paid: Paid) -> dict[str, Any]:
    """Return it ready for JSON, without what says nothing; money is a text."""
    told = {name: getattr(paid, name) for name in Paid.__dataclass_fields__}
    told |= {"cost_usd": None if paid.cost_usd is None else f"{paid.cost_usd:f}"}
    return {name: value for name, value in told.items() if value != getattr(NOTHING_PAID, name)}


def paid_from(told: Any) -> Paid:
    """Read what `paid_json` wrote.

    Raises:
        ValueError: If it is something else.
    """
    if not isinstance(told, Mapping) or not told.keys() <= Paid.__dataclass_fields__.keys():
        raise ValueError("what was paid cannot be read")
    cost = told.get("cost_usd")
    try:
        money = None if cost is None else Decimal(cost)
    except (InvalidOperation, TypeError, ValueError):
        raise ValueError("the cost cannot be read") from None
    return Paid(**{**told, "cost_usd": money})
