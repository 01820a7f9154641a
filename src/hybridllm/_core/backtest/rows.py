"""What a backtest reads of a ledger, and the facts that a request had, made again from it.

A field's name is its column's. Prompts are not there and not needed: no condition looks at one.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

from hybridllm._core.decide.decide import brought_tags
from hybridllm._core.money.pico import usd_of
from hybridllm._core.policy.compiled import Capability, Policy
from hybridllm._core.request.facts import NO_METADATA, Facts

_CAPABILITIES = {one.value: one for one in Capability}


class Asked(NamedTuple):
    """A request; see `RequestRow`."""

    request_id: str
    started_us: int
    policy_version: str
    route: str | None
    operation: str
    task: str | None
    residency: str | None
    residency_given: str | None
    tenant: str | None
    feature: str | None
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
    outcome: str
    served_backend: str | None
    served_model: str | None
    duration_us: int
    first_token_us: int | None
    cost_pico: int | None
    cache: str | None
    shadow_of: str | None

    @property
    def served(self) -> str | None:
        """`backend/model` of whom the answer is from; None: there is none, or nobody was asked for it."""
        if self.served_backend is None:
            return None
        return f"{self.served_backend}/{self.served_model}"


class Tried(NamedTuple):
    """An attempt of it; see `AttemptRow`."""

    number: int
    started_us: int
    backend: str
    model: str
    model_served: str | None
    reason: str
    outcome: str
    input_tokens: int | None
    output_tokens: int | None
    cached_input_tokens: int | None
    cache_write_tokens: int | None
    service_tier: str | None
    cost_pico: int | None
    cost_source: str | None

    @property
    def candidate(self) -> str:
        """`backend/model`."""
        return f"{self.backend}/{self.model}"


Replayed = tuple[Asked, Sequence[Tried]]
"""A request with its attempts, in their order."""


def names_in(joined: str | None) -> tuple[str, ...]:
    """Return names that a ledger keeps in one column, joined by commas."""
    return tuple(joined.split(",")) if joined else ()


def metadata_keys(keys: str | None) -> dict[str, str]:
    """Return the declared keys of a request: all of its metadata that a ledger keeps."""
    return dict(json.loads(keys)) if keys else {}


def facts_of(asked: Asked, policy: Policy) -> Facts:
    """Return the facts of a request as `policy` would have seen them.

    What its session carried is told by the tags that held, less those that it brought: of a request without
    a session these are a former policy's own, which say nothing under another.
    """
    needs = frozenset(
        _CAPABILITIES[name] for name in names_in(asked.needs) if name in _CAPABILITIES
    )
    return Facts(
        operation=asked.operation,
        task=asked.task,
        residency=asked.residency_given,
        tenant=asked.tenant,
        feature=asked.feature,
        session=asked.session,
        priority=asked.priority,
        environment=policy.environment,
        model=asked.model_pinned,
        stream=bool(asked.stream),
        input_tokens_estimate=asked.input_tokens_estimate,
        input_tokens_total=asked.input_tokens_total,
        output_tokens_max=asked.output_tokens_max,
        answers=asked.answers,
        max_cost_usd=None if asked.max_cost_pico is None else usd_of(asked.max_cost_pico),
        needs=needs,
        tags=frozenset(names_in(asked.tags)),
        metadata=metadata_keys(asked.keys) or NO_METADATA,
        vector_space=asked.vector_space,
        taints=_carried(asked, policy),
    )


def _carried(asked: Asked, policy: Policy) -> tuple[str, ...]:
    """Return the tags that the request's session had carried before, as far as the policy keeps any."""
    if asked.session is None or not policy.taints or not asked.residency:
        return ()
    own = brought_tags(policy, Facts(task=asked.task, residency=asked.residency_given))
    return tuple(
        tag for tag in names_in(asked.residency) if tag not in own and tag in policy.taints
    )
