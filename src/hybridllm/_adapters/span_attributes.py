"""What a span says of a request and of its attempts: values in, attributes out.

Owns which fact stands under which name; knows nothing of spans. What was not observed is left out,
never written as 0. Texts that a caller or a backend chose are cut, and what a backend said of an
error is never read: only the one word that the attempt was classified with.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

from hybridllm._adapters import semconv
from hybridllm._adapters.dialects import attempt_dialects
from hybridllm._core.decide.plan import Denied, Plan
from hybridllm._core.ledger.made import declared_keys
from hybridllm._core.money.capacity import FixedCost
from hybridllm._core.money.usage import Usage
from hybridllm._core.policy.compiled import BackendKind, Candidate
from hybridllm._core.policy.telemetry import Dialect
from hybridllm._core.receipt import Attempt, AttemptOutcome, AttemptReason, Receipt, RequestOutcome
from hybridllm._runtime.ports import AnswerFacts

Value: TypeAlias = str | bool | int | float | Sequence[str]
Attributes: TypeAlias = dict[str, Value]

TEXT_LENGTH_MAX: Final = 128  # of a text that a caller or a backend chose
LIST_LENGTH_MAX: Final = 8
INTEGER_MAX: Final = 2**63 - 1  # the largest that OTLP carries

# `error.type` of the root, for the outcomes that raise at the caller; the others leave no status.
_ERROR_TYPES: Final = {
    RequestOutcome.ERROR: "error",
    RequestOutcome.DENIED: "policy_denied",
    RequestOutcome.REJECTED: "request_rejected",
    RequestOutcome.DEADLINE: "deadline_exceeded",
}

# The parameters that a span shows; True: a fraction, False: a whole number. What has another type is
# not shown: a parameter is the caller's, and may be anything.
_SHOWN_PARAMS: Final = (
    ("max_tokens", semconv.GEN_AI_REQUEST_MAX_TOKENS, False),
    ("max_completion_tokens", semconv.GEN_AI_REQUEST_MAX_TOKENS, False),
    ("temperature", semconv.GEN_AI_REQUEST_TEMPERATURE, True),
    ("top_p", semconv.GEN_AI_REQUEST_TOP_P, True),
    ("seed", semconv.GEN_AI_REQUEST_SEED, False),
)

_WORD: Final = re.compile(r"[A-Za-z0-9_]{1,64}")


def attribution(decision: Plan | Denied, request_id: str) -> Attributes:
    """Whose request it is, and under which residency; the same on the root and on every attempt."""
    facts = decision.facts
    residency = decision.residency[0] if decision.residency else facts.residency
    attributes: Attributes = {semconv.REQUEST_ID: request_id}
    for key, value in declared_keys(decision.policy.attribution, facts.metadata):
        attributes[semconv.ATTRIBUTION + key] = cut(value)
    if facts.tenant:
        attributes[semconv.TENANT_ID] = cut(facts.tenant)
    if facts.feature:
        attributes[semconv.FEATURE] = cut(facts.feature)
    if facts.task:
        attributes[semconv.TASK_CLASS] = cut(facts.task)
    if residency:
        attributes[semconv.RESIDENCY] = cut(residency)
    if facts.session:
        attributes[semconv.SESSION_ID] = cut(facts.session)
    if facts.user_id:
        attributes[semconv.USER_ID] = cut(facts.user_id)
    return attributes


def decision_attributes(decision: Plan | Denied) -> Attributes:
    """What is known of a request before anything is sent, the lists of candidates left out."""
    facts, policy = decision.facts, decision.policy
    rule = decision.route if isinstance(decision, Plan) else decision.rule
    attributes: Attributes = {
        semconv.OPERATION: facts.operation,
        semconv.REQUEST_STREAM: facts.stream,
        semconv.POLICY_NAME: policy.name,
        semconv.POLICY_VERSION: policy.version,
        semconv.POLICY_RULE: cut(rule),
    }
    if facts.model:
        attributes[semconv.REQUEST_MODEL] = cut(facts.model)
    return attributes


def receipt_attributes(receipt: Receipt, decision: Plan | Denied) -> Attributes:
    """What is known of a request when it has ended. What was not observed is left out, never 0."""
    attempts = receipt.attempts
    fallbacks = [attempt for attempt in attempts if attempt.reason is AttemptReason.FALLBACK]
    attributes: Attributes = {
        semconv.OUTCOME: str(receipt.outcome),
        semconv.ATTEMPT_COUNT: len(attempts),
        semconv.FALLBACK_COUNT: len(fallbacks),
    }
    if receipt.candidates:
        attributes[semconv.POLICY_CANDIDATES] = receipt.candidates[:LIST_LENGTH_MAX]
    if decision.dropped:
        attributes[semconv.POLICY_SKIPPED] = [
            f"{dropped.candidate.name}:{dropped.reason}"
            for dropped in decision.dropped[:LIST_LENGTH_MAX]
        ]
    if receipt.observed:
        attributes[semconv.POLICY_OBSERVED] = receipt.observed[:LIST_LENGTH_MAX]
    if attempts and attempts[-1].outcome is AttemptOutcome.SERVED:
        attributes[semconv.BACKEND_SERVED] = attempts[-1].backend
    if receipt.first_token_s is not None:
        attributes[semconv.REQUEST_FIRST_TOKEN] = receipt.first_token_s
    if attempts:
        _add_total(attributes, receipt)
    if receipt.cache is not None:
        attributes[semconv.REQUEST_CACHE] = receipt.cache
    if receipt.saved_usd is not None:
        attributes[semconv.REQUEST_SAVED] = float(receipt.saved_usd)
    if receipt.escalated is not None:
        attributes[semconv.REQUEST_ESCALATED] = cut(receipt.escalated)
    return attributes


def _add_total(attributes: Attributes, receipt: Receipt) -> None:
    """Add the sums under keys of their own: one key over all spans must not count twice."""
    attributes[semconv.REQUEST_COST_COMPLETE] = receipt.cost_complete
    if receipt.cost_usd is not None:
        attributes[semconv.REQUEST_COST_AMOUNT] = float(receipt.cost_usd)
        attributes[semconv.REQUEST_COST_WASTED] = float(receipt.cost_wasted_usd)
        attributes[semconv.REQUEST_COST_CURRENCY] = "USD"
    if receipt.list_cost_usd is not None:
        attributes[semconv.REQUEST_LIST_COST_AMOUNT] = float(receipt.list_cost_usd)


def request_error(receipt: Receipt) -> str | None:
    """`error.type` of the root; None if nothing was raised at the caller."""
    if receipt.outcome is RequestOutcome.ERROR and receipt.error is not None:
        return one_word(receipt.error)
    return _ERROR_TYPES.get(receipt.outcome)


@lru_cache(maxsize=1024)
def candidate_attributes(operation: str, candidate: Candidate) -> tuple[str, Mapping[str, Value]]:
    """Name and attributes that all attempts at one candidate share: made once, read often."""
    backend = candidate.backend
    # `openai` says which API is spoken, as the conventions want it of a compatible endpoint; who
    # runs it is told by `server.address` and by the backend's name. A name of the policy would make
    # a new provider of every region in every dashboard.
    attributes: Attributes = {
        semconv.GEN_AI_OPERATION: operation,
        semconv.GEN_AI_PROVIDER: "vllm" if backend.kind is BackendKind.VLLM else "openai",
        semconv.GEN_AI_REQUEST_MODEL: candidate.wire_model,
        semconv.BACKEND_NAME: backend.name,
        semconv.BACKEND_KIND: "self_hosted" if backend.own else "hosted",
    }
    address = urlsplit(backend.base_url)
    if address.hostname:
        attributes[semconv.SERVER_ADDRESS] = address.hostname
        attributes[semconv.SERVER_PORT] = address.port or (443 if address.scheme == "https" else 80)
    return f"{operation} {candidate.wire_model}", attributes


def add_params(attributes: Attributes, params: Mapping[str, Any]) -> None:
    """Add the parameters of the call that a span shows, where they are what they should be."""
    for param, name, fraction in _SHOWN_PARAMS:
        value = params.get(param)
        if value is None or isinstance(value, bool):
            continue
        right = isinstance(value, int) or (fraction and isinstance(value, float))
        if right and -INTEGER_MAX <= value <= INTEGER_MAX:
            attributes[name] = float(value) if fraction else value


def attempt_attributes(
    attempt: Attempt, answer: AnswerFacts | None, dialects: frozenset[Dialect]
) -> Attributes:
    """What is known of an attempt when it has ended. What was not observed is left out, never 0."""
    attributes: Attributes = {semconv.ATTEMPT_OUTCOME: str(attempt.outcome)}
    if attempt.status_code is not None:
        attributes[semconv.HTTP_STATUS_CODE] = attempt.status_code
    if attempt.first_token_s is not None:
        attributes[semconv.GEN_AI_FIRST_CHUNK] = attempt.first_token_s
    if attempt.model_served:
        attributes[semconv.GEN_AI_RESPONSE_MODEL] = cut(attempt.model_served)
    if attempt.usage is not None:
        _add_usage(attributes, attempt.usage)
    if attempt.cost_usd is not None:
        _add_cost(attributes, attempt)
    if attempt.fixed is not None:
        _add_fixed(attributes, attempt, attempt.fixed)
    if answer is not None:
        _add_answer(attributes, answer)
    if attempt.outcome is AttemptOutcome.FAILED and attempt.first_token_s is not None:
        # A cut stream has no finish reason; the conventions want this one in its place.
        attributes[semconv.GEN_AI_FINISH_REASONS] = ("error",)
    if dialects:
        attributes |= attempt_dialects(dialects, attempt)
    return attributes


def _add_answer(attributes: Attributes, answer: AnswerFacts) -> None:
    if answer.finish_reasons:
        reasons = answer.finish_reasons[:LIST_LENGTH_MAX]
        attributes[semconv.GEN_AI_FINISH_REASONS] = [cut(reason) for reason in reasons]
    if answer.response_id:
        attributes[semconv.GEN_AI_RESPONSE_ID] = cut(answer.response_id)
    if answer.service_tier:
        attributes[semconv.OPENAI_SERVICE_TIER] = cut(answer.service_tier)


def _add_usage(attributes: Attributes, usage: Usage) -> None:
    attributes[semconv.GEN_AI_INPUT_TOKENS] = usage.input_tokens
    attributes[semconv.GEN_AI_OUTPUT_TOKENS] = usage.output_tokens
    attributes[semconv.USAGE_SOURCE] = str(usage.source)
    if usage.cached_input_tokens is not None:
        attributes[semconv.GEN_AI_CACHE_READ_TOKENS] = usage.cached_input_tokens
    if usage.cache_write_tokens is not None:
        attributes[semconv.GEN_AI_CACHE_CREATION_TOKENS] = usage.cache_write_tokens
    if usage.reasoning_tokens is not None:
        attributes[semconv.GEN_AI_REASONING_TOKENS] = usage.reasoning_tokens


def _add_cost(attributes: Attributes, attempt: Attempt) -> None:
    """Money leaves `Decimal` here, and only for the trace: receipt and ledger stay exact."""
    amount = float(attempt.cost_usd or 0)
    attributes[semconv.COST_AMOUNT] = amount
    attributes[semconv.LLM_COST_TOTAL] = amount
    attributes[semconv.COST_CURRENCY] = "USD"
    attributes[semconv.COST_SOURCE] = attempt.cost_source or "local"
    if attempt.price is not None:
        attributes[semconv.COST_PRICE_ID] = attempt.price.price_id


def _add_fixed(attributes: Attributes, attempt: Attempt, fixed: FixedCost) -> None:
    """What a token costs where money is paid by the month, beside what hosted APIs ask."""
    for name, value in (
        (semconv.FIXED_AVERAGE, fixed.average_usd_per_mtok),
        (semconv.FIXED_FULL, fixed.full_usd_per_mtok),
        (semconv.FIXED_MARGINAL, fixed.marginal_usd_per_mtok),
        (semconv.FIXED_TOKENS_PER_S, fixed.tokens_per_s),
        (semconv.FIXED_UTILISATION, fixed.utilisation),
        (semconv.LIST_COST_AMOUNT, attempt.list_cost_usd),
    ):
        if value is not None:
            attributes[name] = float(value)
    if attempt.list_price is not None:
        attributes[semconv.LIST_PRICE_IN] = float(attempt.list_price.usd_per_mtok_in)
        attributes[semconv.LIST_PRICE_OUT] = float(attempt.list_price.usd_per_mtok_out)
        attributes[semconv.LIST_PRICE_ID] = attempt.list_price.price_id


def one_word(error: str | None) -> str:
    """Return `error` if it is a word of ours, as `503` or `connect`; a sentence may be a backend's."""
    return error if error is not None and _WORD.fullmatch(error) else "error"


def cut(chosen: str) -> str:
    r"""A text that a caller or a backend chose, cut, and such that an exporter can encode it.

    JSON may hold half of a surrogate pair (`"\ud800"`), and UTF-8 may not: the OTLP exporter drops
    such a value and writes a traceback into the application's log, for every span.
    """
    if chosen.isascii():
        return chosen[:TEXT_LENGTH_MAX]
    return chosen[:TEXT_LENGTH_MAX].encode("utf-8", "replace").decode()
