"""The ledger's rows, as values: one of each attempt, one of each request. Never content.

A field's name is its column's. Money is whole 10^-12 USD, times are whole microseconds: since the epoch, UTC,
or of a duration. None: not known, or not there.
"""

from __future__ import annotations

from typing import NamedTuple

INTENT = "intent"
"""Outcome of an attempt that was about to be sent; its end is not known yet."""
UNKNOWN = "unknown"
"""Outcome of an attempt whose process ended before it did: what it cost is an estimate."""


class AttemptRow(NamedTuple):
    """One attempt. Whoever it was for stands on it, so that its money can be summed without its request.

    Attributes:
        attempt_id: `request_id` and number, `9f..e1-1`; written once however often it is tried.
        request_id: 32 hex digits, as on receipts and spans.
        started_us: When it was sent.
        outcome: As on the receipt; or `intent`, or `unknown`.
        usage_source: `provider` or `estimated`; None: no tokens are known.
        price_id: Which price was used.
        cost_pico: None: not known.
        cost_source: `local`: our price; `provider`: what the backend itself said, where we have no price.
        provider_cost_pico: What the backend said that it cost, beside ours.
        list_cost_pico: What the same tokens would have cost at hosted APIs, of own machines.
        fixed_pico: Its share of what its backend costs by the month; None: its day is not settled yet, or its
            backend is not paid so.
        maybe_billed: 0 if the backend provably did no work for it.
        keys: The declared keys, a JSON object with its names in order; None: none.
        shadow: 1 if it belongs to a copy that was made for comparison, whose answer nobody got.
        trace_id: 32 hex digits, `span_id`: 16; None: no span was recorded.
    """

    attempt_id: str
    request_id: str
    number: int
    started_us: int
    backend: str
    region: str | None
    model: str
    model_asked: str
    model_served: str | None
    reason: str
    outcome: str
    error: str | None
    status_code: int | None
    duration_us: int | None
    first_token_us: int | None
    input_tokens: int | None
    output_tokens: int | None
    cached_input_tokens: int | None
    cache_write_tokens: int | None
    reasoning_tokens: int | None
    usage_source: str | None
    service_tier: str | None
    price_id: str | None
    cost_pico: int | None
    cost_source: str | None
    provider_cost_pico: int | None
    list_cost_pico: int | None
    fixed_pico: int | None
    maybe_billed: int
    policy: str
    route: str | None
    task: str | None
    tenant: str | None
    feature: str | None
    user_id: str | None
    session: str | None
    keys: str | None
    shadow: int
    trace_id: str | None
    span_id: str | None


class RequestRow(NamedTuple):
    """One request that has ended, with what a policy looked at: enough to decide it again, but no prompt.

    Attributes:
        residency: The tags that held, joined by commas; `residency_given`: the request's own.
        model_pinned: The model that the caller named.
        needs: Capabilities, in order, joined by commas; `tags`: the caller's tags, so too.
        candidates: `backend/model` in the plan's order, joined by commas.
        outcome: As on the receipt.
        success: 1 or 0 as the application said afterwards; None: it said nothing.
        cache: `hit` if it was answered from the response cache, `shared` if from a request under way.
        saved_pico: What that saved.
        escalated: Why a cascade went on to its better model; None: it did not.
        shadow_of: The request that it is a copy of; None: it is none.
        agreed: Of a copy: 1 if its answer agrees with the one that was given, 0 if not; None: not compared.
    """

    request_id: str
    started_us: int
    policy: str
    policy_version: str
    environment: str
    route: str | None
    operation: str
    task: str | None
    residency: str | None
    residency_given: str | None
    tenant: str | None
    feature: str | None
    user_id: str | None
    session: str | None
    keys: str | None
    priority: str | None
    stream: int
    model_pinned: str | None
    vector_space: str | None
    input_tokens_estimate: int
    input_tokens_total: int
    output_tokens_max: int | None
    answers: int
    max_cost_pico: int | None
    needs: str | None
    tags: str | None
    candidates: str
    attempts: int
    outcome: str
    error: str | None
    success: int | None
    served_backend: str | None
    served_model: str | None
    duration_us: int
    first_token_us: int | None
    cost_pico: int | None
    wasted_pico: int
    cost_complete: int
    list_cost_pico: int | None
    cache: str | None
    saved_pico: int | None
    escalated: str | None
    shadow_of: str | None
    agreed: int | None
