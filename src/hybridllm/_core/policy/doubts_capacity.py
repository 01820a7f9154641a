"""Orders by marginal price that order nothing new, and capacities that give no price."""

from __future__ import annotations

from collections.abc import Iterator

from hybridllm._core.policy.compile_routes import RouteCompiler
from hybridllm._core.policy.compiled import Policy
from hybridllm._core.policy.document import Findings, Node, Path, key_place
from hybridllm._core.policy.schema import PolicySpec
from hybridllm._core.policy.schema_routes import UseSpec

_MARGINAL_PRICE = "marginal_price"


def tell_capacity_doubts(policy: Policy, spec: PolicySpec, root: Node, findings: Findings) -> None:
    """Tell where the price of one more token is asked for and nobody has said what machines cost."""
    for path, entries in _ordered_by_marginal_price(spec):
        compiler = RouteCompiler(policy.models, policy.candidates, spec.buckets)
        uses = [use for entry in entries for use in compiler.uses_of(entry)]
        if not any(one.backend.capacity for use in uses for one in use.candidates):
            message = (
                "orders as price does: none of these backends has a capacity, so that one more token costs "
                "its price everywhere; say what own machines cost, such as capacity: {usd_per_month: 1500}"
            )
            findings.warn(key_place(root, path), path, message)
    for name, backend in policy.backends.items():
        capacity = backend.capacity
        if capacity is not None and capacity.elastic and not capacity.tokens_per_s:
            where: Path = ("backends", name, "capacity")
            message = (
                f"{name!r} is elastic and nothing says what it can do, so that a token on it has no price "
                "before it was measured, and too high a one while it is not full; write tokens_per_second"
            )
            findings.warn(key_place(root, where), where, message)


def _ordered_by_marginal_price(spec: PolicySpec) -> Iterator[tuple[Path, tuple[UseSpec, ...]]]:
    """Yield the place of each such order, and the entries that it orders."""
    lists: list[tuple[Path, tuple[UseSpec, ...]]] = [
        (("buckets", name.value, "use"), bucket.use) for name, bucket in spec.buckets.items()
    ]
    for index, route in enumerate(spec.routes):
        path: Path = ("routes", index)
        if route.order_by == _MARGINAL_PRICE:
            yield (*path, "order_by"), route.use
        lists += [((*path, "use"), route.use), ((*path, "fallbacks"), route.fallbacks or ())]
    for path, entries in lists:
        for number, entry in enumerate(entries):
            if entry.order_by == _MARGINAL_PRICE:
                yield (*path, number, "order_by"), (entry,)
