"""What spans say besides, in names that one tool reads: so that it shows our costs, not its own guess.

All of them get the same amounts. A tool that the policy does not name (`telemetry: {dialects: [...]}`) finds
nothing of its own on a span, but for `llm.cost.total`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from hybridllm._adapters import semconv
from hybridllm._core.policy.telemetry import Dialect

if TYPE_CHECKING:
    from hybridllm._core.receipt import Attempt

_TOKENS_PER_MTOK = Decimal(1_000_000)


def root_dialects(
    dialects: frozenset[Dialect], whose: Mapping[str, object]
) -> dict[str, str | bool | int | float]:
    """Return what a root says besides.

    Args:
        dialects: Of the policy.
        whose: The attributes that say whose request it is.
    """
    said: dict[str, str | bool | int | float] = {}
    named = {name: value for name, value in whose.items() if isinstance(value, str)}
    if Dialect.OPENINFERENCE in dialects:
        said[semconv.OPENINFERENCE_KIND] = "CHAIN"
        said[semconv.OPENINFERENCE_METADATA] = json.dumps(named)
    if Dialect.LANGFUSE in dialects:
        for name, value in named.items():
            said[semconv.LANGFUSE_METADATA + name.rpartition(".")[2]] = value
    return said


def attempt_dialects(
    dialects: frozenset[Dialect], attempt: Attempt
) -> dict[str, str | bool | int | float]:
    """Return what an attempt says besides: its cost, in parts where they are known."""
    said: dict[str, str | bool | int | float] = {}
    if Dialect.LANGFUSE in dialects and attempt.first_token_s is not None:
        seen_at = attempt.started_at + timedelta(seconds=attempt.first_token_s)
        said[semconv.LANGFUSE_FIRST_TOKEN] = seen_at.isoformat()
    usage = attempt.usage
    if (
        Dialect.OPENINFERENCE in dialects
        and usage is not None
        and usage.reasoning_tokens is not None
    ):
        said[semconv.LLM_REASONING_TOKENS] = usage.reasoning_tokens
    if attempt.cost_usd is None:
        return said
    total, parts = float(attempt.cost_usd), _parts(attempt)
    if Dialect.LOGFIRE in dialects:
        said[semconv.LOGFIRE_COST] = total
    if Dialect.MLFLOW in dialects:
        # It leaves out a cost of which a part is missing.
        of_input, of_output = parts or (total, 0.0)
        costs = {"input_cost": of_input, "output_cost": of_output, "total_cost": total}
        said[semconv.MLFLOW_COST] = json.dumps(costs)
    if Dialect.LANGFUSE in dialects:
        named = {} if parts is None else {"input": parts[0], "output": parts[1]}
        said[semconv.LANGFUSE_COST] = json.dumps({**named, "total": total})
    if Dialect.OPENINFERENCE in dialects and parts is not None:
        said[semconv.LLM_COST_PROMPT], said[semconv.LLM_COST_COMPLETION] = parts
    return said


def _parts(attempt: Attempt) -> tuple[float, float] | None:
    """Return what its input and its output cost; None: only the sum is known."""
    cost, price, usage = attempt.cost_usd, attempt.price, attempt.usage
    if cost is None or price is None or usage is None or attempt.cost_source == "provider":
        return None
    output = usage.output_tokens * price.usd_per_mtok_out / _TOKENS_PER_MTOK
    return float(cost - output), float(output)
