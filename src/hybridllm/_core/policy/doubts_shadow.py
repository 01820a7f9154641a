"""Copies that would never be sent, and parity that could change nothing."""

from __future__ import annotations

from hybridllm._core.policy.compiled import Capability, Policy, Route
from hybridllm._core.policy.document import Findings, Node, Path, key_place, listed
from hybridllm._core.policy.shadow import Shadow


def tell_shadow_doubts(policy: Policy, root: Node, findings: Findings) -> None:
    """Add an error for every `shadow` that cannot be meant."""
    for index, route in enumerate(policy.routes):
        if route.shadow is not None:
            path: Path = ("routes", index, "shadow")
            message = _wrong(policy, route, route.shadow)
            if message is not None:
                findings.error(key_place(root, path), path, message)


def _wrong(policy: Policy, route: Route, shadow: Shadow) -> str | None:
    name = shadow.model
    served = policy.candidates.get(name, ())
    asked = list(dict.fromkeys(one.model.name for use in route.use for one in use.candidates))
    if asked == [name]:
        return f"route {route.name!r} asks {name!r} itself; a copy goes to another model"
    if Capability.EMBEDDINGS in policy.models[name].capabilities:
        return f"{name!r} embeds; only chat completions are copied"
    if not any(one.price is not None for one in served):
        return (
            f"no backend that serves {name!r} has a known price, so that max_usd_per_day lets no copy "
            "through; give the model a price"
        )
    if shadow.shifts and name not in asked:
        return (
            f"parity.then: shift changes the order of those that the route asks, and {name!r} is none "
            f"of them; name it in `fallbacks`; asked are: {listed(asked)}"
        )
    return None
