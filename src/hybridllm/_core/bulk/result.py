"""What became of one item of a bulk job, and the progress of the whole: values."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from hybridllm._core.bulk.paid import NOTHING_PAID, Paid

if TYPE_CHECKING:
    from hybridllm._core.receipt import Receipt


@dataclass(frozen=True, slots=True)
class BulkResult:
    """What became of one item.

    Attributes:
        index: Its place in the input, from 0.
        key: What the caller named it, if it was given as `(key, request)`.
        answer: An `openai` object; None if there is none.
        error: Why there is none; None if there is.
        receipt: Of its last request; None if it was not decided on, or comes from the journal.
        paid: What it cost, also where there is no receipt.
        resumed: True if the answer is an earlier run's, out of the journal.
        unknown_paid: True if an earlier run sent it and was killed before it knew the answer, which may
            have been paid for all the same.
        tries: How often it was asked for in this run; more than once if it was refused for a while.
    """

    index: int
    key: str | None
    answer: Any = field(default=None, repr=False)
    error: Exception | None = None
    receipt: Receipt | None = field(default=None, repr=False)
    paid: Paid = NOTHING_PAID
    resumed: bool = False
    unknown_paid: bool = False
    tries: int = 0

    @property
    def ok(self) -> bool:
        """Whether there is an answer."""
        return self.error is None


@dataclass(frozen=True, slots=True)
class BulkProgress:
    """Where a bulk job stands at one moment.

    Attributes:
        total: How many items there are; None: not known.
        done: How many have an answer, those of earlier runs included.
        failed: How many ended without one.
        under_way: How many are being worked on, those that wait included.
        waiting: How many of those were refused for now, and wait to be tried again.
        resumed: How many of those done came out of the journal.
        unknown_paid: How many an earlier run may have paid for without keeping the answer.
        cost_usd: What is known to have been paid so far, earlier runs included.
        cost_complete: False if more may have been paid.
        tokens_in: Prompt tokens.
        tokens_out: Completion tokens.
        elapsed_s: Since this run began.
        rate_per_s: Items that ended a second, lately; None: not known yet. What was asked of nobody (out
            of the journal, or wrong) does not count.
        left_s: How long the rest will take at that rate; None: not known.
    """

    total: int | None = None
    done: int = 0
    failed: int = 0
    under_way: int = 0
    waiting: int = 0
    resumed: int = 0
    unknown_paid: int = 0
    cost_usd: Decimal = Decimal(0)
    cost_complete: bool = True
    tokens_in: int = 0
    tokens_out: int = 0
    elapsed_s: float = 0.0
    rate_per_s: float | None = None
    left_s: float | None = None

    @property
    def ended(self) -> int:
        """How many have ended, one way or the other."""
        return self.done + self.failed
