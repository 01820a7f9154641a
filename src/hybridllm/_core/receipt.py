"""What became of a request: route, reasons, attempts, cost and times.

A receipt is a value: it is built once, when the request has ended, and never changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from hybridllm._core.money.capacity import FixedCost
from hybridllm._core.money.price import Price
from hybridllm._core.money.usage import Usage
from hybridllm._core.receipt_text import receipt_dict, receipt_text


class AttemptReason(StrEnum):
    """Why an attempt was made."""

    PRIMARY = "primary"
    RETRY = "retry"  # the same candidate again
    FAILOVER = "failover"  # another backend for the same model
    FALLBACK = "fallback"  # another model
    OVERFLOW = "overflow"  # another backend, because the one that was meant had too much to do
    HEDGE = "hedge"  # another backend, because the first took long
    ESCALATION = "escalation"  # a better model, because an answer did not pass its cascade's checks


class AttemptOutcome(StrEnum):
    """How an attempt ended."""

    SERVED = "served"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST_HEDGE = "lost_hedge"  # another attempt, made at the same time, answered first
    ESCALATED = "escalated"  # it answered, and the answer did not pass its cascade's checks


class RequestOutcome(StrEnum):
    """How a request ended."""

    OK = "ok"
    ERROR = "error"
    CANCELLED = "cancelled"
    DENIED = "denied"
    REJECTED = "rejected"
    DEADLINE = "deadline"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One HTTP request to one candidate.

    Attributes:
        number: From 1, in the order made.
        model: The logical model; `model_asked` is its name on the wire, `model_served` what came back.
        error: Why it failed, in one word: `503`, `connect`, `first_token_timeout`; None if it served.
        first_token_s: Seconds from sending to the first semantic token; streams only.
        price: Used for `cost_usd`; None: not known.
        cost_usd: None: not known, because the price or the tokens are not.
        maybe_billed: False if the backend provably did no work for it.
        fixed: What a token costs on a backend that is paid by the month, when the attempt ended; None: it is
            not paid so.
        list_price: What hosted APIs ask for the same model, of several the cheapest for these tokens; only
            beside `fixed`. None: not known.
        list_cost_usd: What the same tokens would have cost at it; None: not known.
        service_tier: That the backend says it served with; it may change the price.
        provider_cost_usd: What the backend said that it cost, beside ours; None: it said nothing.
        cost_source: `local`: `cost_usd` is by our price; `provider`: by the backend's own words, for we have
            no price; None: it is not known.
        trace_id: 32 hex digits, `span_id`: 16; None: no span was recorded of it.
        own_cost_usd: What its tokens cost on machines that are paid by the month, at their average price when
            it ended: its own backend's, else the cheapest one's that serves the model. None: there are none,
            or nobody knows their use.
    """

    number: int
    backend: str
    region: str | None
    model: str
    model_asked: str
    model_served: str | None
    reason: AttemptReason
    outcome: AttemptOutcome
    error: str | None
    status_code: int | None
    started_at: datetime
    duration_s: float
    first_token_s: float | None
    usage: Usage | None
    price: Price | None
    cost_usd: Decimal | None
    maybe_billed: bool
    fixed: FixedCost | None = None
    list_price: Price | None = None
    list_cost_usd: Decimal | None = None
    service_tier: str | None = None
    provider_cost_usd: Decimal | None = None
    cost_source: str | None = None
    trace_id: str | None = None
    span_id: str | None = None
    own_cost_usd: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of one request.

    Attributes:
        request_id: 32 hex digits; the same on the spans.
        route: Name of the route that decided; None: it was denied before any route applied.
        candidates: `backend/model` in the plan's order.
        dropped: (`backend/model`, reason in words) of those the policy took out.
        residency: The first tag that held for it; `residency_tags` are all of them: its own, its task's and
            those that its session keeps.
        cost_usd: Sum over all attempts whose cost is known; None: none is known.
        cost_wasted_usd: The part of it that did not buy the answer.
        cost_complete: False if an attempt may have cost something that we do not know.
        observed: What rules in `mode: observe` would have done, in words.
        list_cost_usd: What the tokens of attempts on backends that are paid by the month would have cost at
            hosted APIs, as far as known; None: nothing of it is known, or there were none.
        user_id: Whom the caller made it for; never sent to a backend.
        keys: Of the caller's metadata, the keys that the policy declares for attribution; by name, in order.
        cache: `hit` if it was answered from the response cache, `shared` if by an equal request that was
            under way; None: it was sent.
        saved_usd: What that saved; None: nothing, or not known.
        escalated: Why a cascade went on to its better model, in words; None: it did not.
        not_escalated: Why an answer that did not pass its cascade's checks was handed out all the same: what
            did not pass, and why nobody better answered; None: it passed, or there was no check.
        cascade_saved_usd: What the better model would have cost alone less what all attempts did: known of
            its own attempt, or estimated for the same tokens; negative where both were asked. None: unknown.
        shadow_of: The request that it is a copy of, made for comparison; None: it is none.
        agreed: Whether the copy's answer agrees with the one that was given; None: it was not compared.
        all_api_usd: What the tokens of its attempts would have cost at hosted APIs alone, as far as attempts
            told their tokens; None: of one of them it is not known.
        all_own_usd: The same on machines that are paid by the month alone: their average price at the time.
    """

    request_id: str
    policy: str
    policy_version: str
    route: str | None
    operation: str
    task: str | None
    residency: str | None
    tenant: str | None
    feature: str | None
    session: str | None
    stream: bool
    candidates: tuple[str, ...]
    reasons: tuple[str, ...]
    dropped: tuple[tuple[str, str], ...]
    attempts: tuple[Attempt, ...]
    outcome: RequestOutcome
    error: str | None
    started_at: datetime
    duration_s: float
    first_token_s: float | None
    cost_usd: Decimal | None
    cost_wasted_usd: Decimal
    cost_complete: bool
    residency_tags: tuple[str, ...] = ()
    observed: tuple[str, ...] = ()
    list_cost_usd: Decimal | None = None
    user_id: str | None = None
    keys: tuple[tuple[str, str], ...] = ()
    cache: str | None = None
    saved_usd: Decimal | None = None
    escalated: str | None = None
    shadow_of: str | None = None
    agreed: bool | None = None
    not_escalated: str | None = None
    cascade_saved_usd: Decimal | None = None
    all_api_usd: Decimal | None = None
    all_own_usd: Decimal | None = None

    @property
    def served(self) -> Attempt | None:
        """The attempt that bought the answer; None if there is no answer."""
        for attempt in reversed(self.attempts):
            if attempt.outcome is AttemptOutcome.SERVED:
                return attempt
            if attempt.outcome is AttemptOutcome.ESCALATED and self.not_escalated is not None:
                return attempt
        return None

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON; amounts of money are texts, durations are seconds."""
        return receipt_dict(self)

    def __str__(self) -> str:
        return receipt_text(self)
