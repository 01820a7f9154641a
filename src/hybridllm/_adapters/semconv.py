"""Every name that a span of ours carries, and which release of the conventions it is from.

Owns spelling only. The standard names are those of semantic-conventions 1.41, the last release that
holds `gen_ai.*`; a newer one is adopted here and nowhere else. No name is the beginning of another
plus a dot: some backends unfold the dots into objects, and would lose one of the two.

Source: https://github.com/open-telemetry/semantic-conventions/tree/v1.41.0/docs/gen-ai
"""

from __future__ import annotations

from typing import Final

SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.41.0"
SCOPE: Final = "hybridllm"

# On every span: whose request it is. Known when a span is made, so that samplers and filters see it.
REQUEST_ID: Final = "hybridllm.request.id"
TENANT_ID: Final = "hybridllm.tenant.id"
FEATURE: Final = "hybridllm.feature"
TASK_CLASS: Final = "hybridllm.task_class"
RESIDENCY: Final = "hybridllm.attribution.residency"
SESSION_ID: Final = "session.id"
USER_ID: Final = "user.id"
ATTRIBUTION: Final = "hybridllm.attribution."  # and a key that the policy declares

# On the root. None of them is `gen_ai.*`: a backend that sees a model or usage on the root counts the
# request twice, or leaves the attempts out.
OPERATION: Final = "hybridllm.operation"
REQUEST_MODEL: Final = "hybridllm.request.model"
REQUEST_STREAM: Final = "hybridllm.request.stream"
POLICY_NAME: Final = "hybridllm.policy.name"
POLICY_VERSION: Final = "hybridllm.policy.version"
POLICY_RULE: Final = "hybridllm.policy.rule"
POLICY_CANDIDATES: Final = "hybridllm.policy.candidates"
POLICY_SKIPPED: Final = "hybridllm.policy.skipped"
POLICY_OBSERVED: Final = "hybridllm.policy.observed"
ATTEMPT_COUNT: Final = "hybridllm.attempt.count"
FALLBACK_COUNT: Final = "hybridllm.fallback.count"
BACKEND_SERVED: Final = "hybridllm.backend.served"
OUTCOME: Final = "hybridllm.outcome"
REQUEST_FIRST_TOKEN: Final = "hybridllm.request.time_to_first_token"  # noqa: S105 - no secret
REQUEST_COST_AMOUNT: Final = "hybridllm.request.cost.amount"
REQUEST_COST_WASTED: Final = "hybridllm.request.cost.wasted"
REQUEST_COST_CURRENCY: Final = "hybridllm.request.cost.currency"
REQUEST_COST_COMPLETE: Final = "hybridllm.request.cost.complete"
REQUEST_CACHE: Final = "hybridllm.request.cache"
REQUEST_SAVED: Final = "hybridllm.request.cost.saved"
REQUEST_ESCALATED: Final = "hybridllm.request.escalated"
REQUEST_LIST_COST_AMOUNT: Final = "hybridllm.request.list_cost.amount"

# On metrics alone.
TOKEN_TYPE: Final = "gen_ai.token.type"  # noqa: S105 - no secret
BACKEND_FROM: Final = "hybridllm.backend.from"
BACKEND_TO: Final = "hybridllm.backend.to"
REASON: Final = "hybridllm.reason"

# A metric: how reloads of the policy file ended; with `OUTCOME` and `POLICY_NAME`.
POLICY_RELOADS: Final = "hybridllm.policy.reloads"
# Another: transitions of breakers; with `BACKEND_NAME`, `REQUEST_MODEL` and these two.
BREAKER_TRANSITIONS: Final = "hybridllm.backend.breaker.transitions"
LOAD_RUNNING: Final = "hybridllm.backend.load.running"
LOAD_QUEUED: Final = "hybridllm.backend.load.queued"
LOAD_KV_USED: Final = "hybridllm.backend.load.kv_used"
LOAD_WAIT: Final = "hybridllm.backend.load.wait"
LOAD_SATURATED: Final = "hybridllm.backend.load.saturated"
BREAKER_FROM: Final = "hybridllm.breaker.from"
BREAKER_TO: Final = "hybridllm.breaker.to"

# On an attempt, ours.
BACKEND_NAME: Final = "hybridllm.backend.name"
BACKEND_KIND: Final = "hybridllm.backend.kind"
ATTEMPT_NUMBER: Final = "hybridllm.attempt.number"
ATTEMPT_REASON: Final = "hybridllm.attempt.reason"
ATTEMPT_OUTCOME: Final = "hybridllm.attempt.outcome"
BREAKER_STATE: Final = "hybridllm.breaker.state"
USAGE_SOURCE: Final = "hybridllm.usage.source"
COST_AMOUNT: Final = "hybridllm.cost.amount"
COST_CURRENCY: Final = "hybridllm.cost.currency"
COST_SOURCE: Final = "hybridllm.cost.source"
COST_PRICE_ID: Final = "hybridllm.cost.price_id"
# Of a backend that is paid by the month; and what hosted APIs ask for the same.
FIXED_AVERAGE: Final = "hybridllm.fixed.average_usd_per_mtok"
FIXED_FULL: Final = "hybridllm.fixed.full_usd_per_mtok"
FIXED_MARGINAL: Final = "hybridllm.fixed.marginal_usd_per_mtok"
FIXED_TOKENS_PER_S: Final = "hybridllm.fixed.tokens_per_s"
FIXED_UTILISATION: Final = "hybridllm.fixed.utilisation"
LIST_PRICE_IN: Final = "hybridllm.list_price.usd_per_mtok_in"
LIST_PRICE_OUT: Final = "hybridllm.list_price.usd_per_mtok_out"
LIST_PRICE_ID: Final = "hybridllm.list_price.id"
LIST_COST_AMOUNT: Final = "hybridllm.list_cost.amount"

# On an attempt, standard (and `llm.cost.total`, OpenInference's public name for what we call the cost).
GEN_AI_OPERATION: Final = "gen_ai.operation.name"
GEN_AI_PROVIDER: Final = "gen_ai.provider.name"
GEN_AI_REQUEST_MODEL: Final = "gen_ai.request.model"
GEN_AI_REQUEST_STREAM: Final = "gen_ai.request.stream"
GEN_AI_REQUEST_MAX_TOKENS: Final = "gen_ai.request.max_tokens"
GEN_AI_REQUEST_TEMPERATURE: Final = "gen_ai.request.temperature"
GEN_AI_REQUEST_TOP_P: Final = "gen_ai.request.top_p"
GEN_AI_REQUEST_SEED: Final = "gen_ai.request.seed"
GEN_AI_RESPONSE_MODEL: Final = "gen_ai.response.model"
GEN_AI_RESPONSE_ID: Final = "gen_ai.response.id"
GEN_AI_FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
GEN_AI_FIRST_CHUNK: Final = "gen_ai.response.time_to_first_chunk"
GEN_AI_INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
GEN_AI_OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
GEN_AI_CACHE_READ_TOKENS: Final = "gen_ai.usage.cache_read.input_tokens"
GEN_AI_CACHE_CREATION_TOKENS: Final = "gen_ai.usage.cache_creation.input_tokens"
GEN_AI_REASONING_TOKENS: Final = "gen_ai.usage.reasoning.output_tokens"
OPENAI_SERVICE_TIER: Final = "openai.response.service_tier"
SERVER_ADDRESS: Final = "server.address"
SERVER_PORT: Final = "server.port"
HTTP_STATUS_CODE: Final = "http.response.status_code"
ERROR_TYPE: Final = "error.type"
LLM_COST_TOTAL: Final = "llm.cost.total"

# What one tool calls it (`telemetry: {dialects: [...]}`).
MLFLOW_COST: Final = "mlflow.llm.cost"
OPENINFERENCE_KIND: Final = "openinference.span.kind"
OPENINFERENCE_METADATA: Final = "metadata"
LLM_COST_PROMPT: Final = "llm.cost.prompt"
LLM_COST_COMPLETION: Final = "llm.cost.completion"
LLM_REASONING_TOKENS: Final = "llm.token_count.completion_details.reasoning"
LANGFUSE_COST: Final = "langfuse.observation.cost_details"
LANGFUSE_FIRST_TOKEN: Final = "langfuse.observation.completion_start_time"  # noqa: S105 - nor this
LANGFUSE_METADATA: Final = "langfuse.trace.metadata."
LOGFIRE_COST: Final = "operation.cost"

EXCEPTION_EVENT: Final = "exception"
EXCEPTION_TYPE: Final = "exception.type"
