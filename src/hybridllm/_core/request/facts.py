"""What a policy may look at: the facts of one request, taken once from the call and its hints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from hybridllm._core.policy.compiled import Capability

NO_METADATA: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Facts:
    """What a policy may look at. Holds no prompt.

    Attributes:
        operation: `chat` or `embeddings`.
        model: Logical model that the caller pinned; None: the policy chooses.
        input_tokens_estimate: Prompt tokens, estimated from its text; of many inputs the longest.
        input_tokens_total: Of all inputs together, for money.
        output_tokens_max: `max_tokens` or `max_completion_tokens`, if given.
        answers: How many choices are wanted (`n`); each may be as long as `output_tokens_max`.
        max_cost_usd: Ceiling of what the request may be expected to cost, if the caller set one.
        needs: Capabilities without which a candidate cannot answer.
        tags: Words that the caller marked the request with; not residency tags.
        metadata: The caller's own keys; values are texts, numbers are written as texts.
        vector_space: That the caller wants vectors of; None: the policy chooses.
        taints: Residency tags that the request's session has carried before.
        prefix: By what requests that begin alike are known; None: nothing to know it by, or nobody asks.
            Never told to anybody.
        user_id: Whom the caller makes it for; money is attributed by it, nothing is decided.
    """

    operation: str = "chat"
    task: str | None = None
    residency: str | None = None
    tenant: str | None = None
    feature: str | None = None
    session: str | None = None
    priority: str | None = None
    environment: str = ""
    model: str | None = None
    stream: bool = False
    input_tokens_estimate: int = 0
    input_tokens_total: int = 0
    output_tokens_max: int | None = None
    answers: int = 1
    max_cost_usd: Decimal | None = None
    needs: frozenset[Capability] = frozenset()
    tags: frozenset[str] = frozenset()
    metadata: Mapping[str, str] = field(default_factory=lambda: NO_METADATA, repr=False)
    vector_space: str | None = None
    taints: tuple[str, ...] = ()
    prefix: int | None = field(default=None, repr=False)
    user_id: str | None = None


@dataclass(frozen=True, slots=True)
class Hints:
    """What only we are told with a call: OpenAI's API knows none of these."""

    task: str | None = None
    residency: str | None = None
    tenant: str | None = None
    feature: str | None = None
    session: str | None = None
    priority: str | None = None
    deadline_s: float | None = None
    max_cost_usd: Any = None
    tags: Any = None
    vector_space: str | None = None
    metadata: Any = field(default=None, repr=False)
    on_interrupt: str | None = None
    user_id: str | None = None
