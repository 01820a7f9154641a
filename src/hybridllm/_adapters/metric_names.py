"""Every metric of requests, attempts, backends and the ledger, by name. What stands on them: `semconv`.

The standard ones are those of semantic-conventions 1.41.

Source: https://github.com/open-telemetry/semantic-conventions/blob/v1.41.0/docs/gen-ai/gen-ai-metrics.md
"""

from __future__ import annotations

from typing import Final

OPERATION_DURATION: Final = "gen_ai.client.operation.duration"
TOKEN_USAGE: Final = "gen_ai.client.token.usage"  # noqa: S105 - no secret
TIME_TO_FIRST_CHUNK: Final = "gen_ai.client.operation.time_to_first_chunk"
COST: Final = "hybridllm.cost"
USAGE_MISSING: Final = "hybridllm.usage.missing"
REQUEST_DURATION: Final = "hybridllm.request.duration"
REQUEST_FIRST_TOKEN: Final = "hybridllm.request.time_to_first_token"  # noqa: S105 - no secret
REQUEST_ATTEMPTS: Final = "hybridllm.request.attempts"
FAILOVERS: Final = "hybridllm.failovers"
REJECTIONS: Final = "hybridllm.backend.rejections"
INFLIGHT: Final = "hybridllm.backend.inflight"
BREAKER_STATES: Final = "hybridllm.backend.breaker.state"
LEDGER_ERRORS: Final = "hybridllm.ledger.errors"
