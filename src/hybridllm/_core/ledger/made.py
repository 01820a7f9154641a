"""From what is known of a request and its attempts to the ledger's rows. Nothing of a prompt is looked at."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from functools import lru_cache

from hybridllm._core.decide.filters import OUTPUT_TOKENS_ASSUMED, expected_cost_atto, input_tokens
from hybridllm._core.ledger.periods import microseconds
from hybridllm._core.ledger.rows import INTENT, AttemptRow, RequestRow
from hybridllm._core.money.pico import pico_of
from hybridllm._core.money.usage import Usage, UsageSource
from hybridllm._core.policy.compiled import Candidate
from hybridllm._core.receipt import Attempt, AttemptReason, Receipt
from hybridllm._core.request.facts import Facts

_encoded = json.JSONEncoder(separators=(",", ":")).encode
_ATTO_PER_PICO = 1_000_000


def declared_keys(keys: Iterable[str], metadata: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Return the caller's metadata under the keys that a policy declares, in their order."""
    return tuple([(key, metadata[key]) for key in keys if key in metadata])


@lru_cache(maxsize=1_024)
def keys_text(keys: tuple[tuple[str, str], ...]) -> str | None:
    """Return declared keys as they stand in a row."""
    return _encoded(dict(sorted(keys))) if keys else None


def intent_row(
    request_id: str,
    number: int,
    candidate: Candidate,
    facts: Facts,
    *,
    started_at: datetime,
    reason: AttemptReason,
    policy: str,
    route: str,
    keys: str | None,
    shadow: bool,
) -> AttemptRow:
    """Return the row of an attempt that is about to be sent.

    Its tokens and its cost are what it may come to: an answer as long as the caller allows, or else of the
    length that ceilings on cost assume. That is all that will be known of it if this process dies.
    """
    output = facts.output_tokens_max
    tokens_in = input_tokens(facts)
    price = candidate.price
    if candidate.varies:
        price = candidate.price_at(started_at, tokens_in)
    atto = expected_cost_atto(candidate, facts, started_at)
    cost = None if atto is None else (atto + _ATTO_PER_PICO // 2) // _ATTO_PER_PICO
    return AttemptRow(
        f"{request_id}-{number}",
        request_id,
        number,
        microseconds(started_at),
        candidate.backend.name,
        candidate.backend.region,
        candidate.model.name,
        candidate.wire_model,
        None,
        reason.value,
        INTENT,
        None,
        None,
        None,
        None,
        tokens_in,
        (OUTPUT_TOKENS_ASSUMED if output is None else output) * facts.answers,
        None,
        None,
        None,
        UsageSource.ESTIMATED.value,
        None,
        None if price is None else price.price_id,
        cost,
        None if cost is None else "local",
        None,
        None,
        None,
        1,
        policy,
        route,
        facts.task,
        facts.tenant,
        facts.feature,
        facts.user_id,
        facts.session,
        keys,
        int(shadow),
        None,
        None,
    )


def unsettled(row: AttemptRow) -> AttemptRow:
    """Return an intent as a database shows it: what it may come to is no cost yet."""
    return row._replace(
        input_tokens=None, output_tokens=None, usage_source=None, cost_pico=None, cost_source=None
    )


def ended_row(intent: AttemptRow, attempt: Attempt) -> AttemptRow:
    """Return the row of an attempt that has ended; `intent` is the one that it began with."""
    price, cost, source = attempt.price, attempt.cost_usd, attempt.cost_source
    first_token_s = attempt.first_token_s
    return AttemptRow._make(
        (
            *intent[:8],
            attempt.model_served,
            attempt.reason.value,
            attempt.outcome.value,
            attempt.error,
            attempt.status_code,
            round(attempt.duration_s * 1e6),
            None if first_token_s is None else round(first_token_s * 1e6),
            *_tokens(attempt.usage),
            attempt.service_tier,
            None if price is None else price.price_id,
            _pico(cost),
            "local" if source is None and cost is not None else source,
            _pico(attempt.provider_cost_usd),
            _pico(attempt.list_cost_usd),
            None,
            int(attempt.maybe_billed),
            *intent[29:38],
            attempt.trace_id,
            attempt.span_id,
        )
    )


def _tokens(usage: Usage | None) -> tuple[int | str | None, ...]:
    if usage is None:
        return (None,) * 6
    return (
        usage.input_tokens,
        usage.output_tokens,
        usage.cached_input_tokens,
        usage.cache_write_tokens,
        usage.reasoning_tokens,
        usage.source.value,
    )


def request_row(receipt: Receipt, facts: Facts) -> RequestRow:
    """Return the row of a request that has ended, or was denied."""
    served, first_token_s = receipt.served, receipt.first_token_s
    return RequestRow(
        receipt.request_id,
        microseconds(receipt.started_at),
        receipt.policy,
        receipt.policy_version,
        facts.environment,
        receipt.route,
        receipt.operation,
        receipt.task,
        ",".join(receipt.residency_tags) if receipt.residency_tags else None,
        facts.residency,
        receipt.tenant,
        receipt.feature,
        receipt.user_id,
        receipt.session,
        keys_text(receipt.keys) if receipt.keys else None,
        facts.priority,
        int(receipt.stream),
        facts.model,
        facts.vector_space,
        facts.input_tokens_estimate,
        facts.input_tokens_total,
        facts.output_tokens_max,
        facts.answers,
        _pico(facts.max_cost_usd),
        ",".join(sorted(facts.needs)) if facts.needs else None,
        ",".join(sorted(facts.tags)) if facts.tags else None,
        ",".join(receipt.candidates),
        len(receipt.attempts),
        receipt.outcome.value,
        receipt.error,
        None,
        None if served is None else served.backend,
        None if served is None else served.model,
        round(receipt.duration_s * 1e6),
        None if first_token_s is None else round(first_token_s * 1e6),
        _pico(receipt.cost_usd),
        pico_of(receipt.cost_wasted_usd),
        int(receipt.cost_complete),
        _pico(receipt.list_cost_usd),
        receipt.cache,
        _pico(receipt.saved_usd),
        receipt.escalated,
        receipt.shadow_of,
        None if receipt.agreed is None else int(receipt.agreed),
    )


def _pico(usd: Decimal | None) -> int | None:
    return None if usd is None else pico_of(usd)
