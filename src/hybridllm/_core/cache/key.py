"""By what equal requests are known: a keyed hash of all that could make a difference between two answers."""

from __future__ import annotations

import json
from hashlib import blake2b
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hybridllm._core.decide.plan import Plan
    from hybridllm._core.request.read import Call

_OF_ONE_REQUEST = frozenset({"x-request-id", "idempotency-key"})


def request_key(plan: Plan, call: Call, body: bytes, *, secret: bytes) -> bytes:
    """Return the key of a request. No text of it can be told from that.

    Whose data it is comes first: tenant and every residency tag that holds; then the policy's version, the
    route, and who may be asked, under which names; then all that is sent, keys in order.

    Args:
        plan: Of the request.
        call: As its caller made it.
        body: Its fields in JSON.
        secret: Of this process, so that keys cannot be compared outside.
    """
    facts = plan.facts
    headers = call.headers or {}
    told = [
        facts.tenant,
        sorted(plan.residency),
        plan.policy.version,
        plan.route,
        facts.environment,
        facts.operation,
        facts.vector_space,
        call.stream,
        sorted((one.candidate.name, one.candidate.wire_model) for one in plan.kept),
        sorted((name, headers[name]) for name in headers.keys() - _OF_ONE_REQUEST),
        json.loads(body),
    ]
    canonical = json.dumps(told, sort_keys=True, separators=(",", ":"))
    return blake2b(canonical.encode(), key=secret, digest_size=32).digest()
