"""What of a former policy goes on under another one: the endpoints that are still the same.

What was learnt of an endpoint (breaker, cool-off, latency) holds for that endpoint. A backend of the same
name at another place, or with another key, is another endpoint; so is a model under another name there.
"""

from __future__ import annotations

from collections.abc import Collection

from hybridllm._core.policy.compiled import Backend, Policy

Endpoint = tuple[str, str | None]
"""(backend, model), or (backend, None) for all of a backend."""


def endpoints(policy: Policy) -> frozenset[Endpoint]:
    """Return every endpoint that a policy knows."""
    pairs = {
        (candidate.backend.name, candidate.model.name)
        for served in policy.candidates.values()
        for candidate in served
    }
    return frozenset(pairs) | {(name, None) for name in policy.backends}


def carried_on(
    former: Policy, policy: Policy, *, rekeyed: Collection[str] = ()
) -> frozenset[Endpoint]:
    """Return the endpoints of `policy` that are what they were in `former`.

    Args:
        former: The policy before.
        policy: The policy now.
        rekeyed: Backends whose key has another value now, under the same name.
    """
    backends = {
        name
        for name, backend in policy.backends.items()
        if name not in rekeyed and _same_place(former.backends.get(name), backend)
    }
    before = {
        (candidate.name, candidate.wire_model)
        for served in former.candidates.values()
        for candidate in served
    }
    pairs = {
        (candidate.backend.name, candidate.model.name)
        for served in policy.candidates.values()
        for candidate in served
        if candidate.backend.name in backends and (candidate.name, candidate.wire_model) in before
    }
    return frozenset(pairs) | {(name, None) for name in backends}


def _same_place(former: Backend | None, backend: Backend) -> bool:
    return former is not None and _place(former) == _place(backend)


def _place(backend: Backend) -> tuple[object, ...]:
    return backend.kind, backend.base_url, backend.api_key_env, backend.private
