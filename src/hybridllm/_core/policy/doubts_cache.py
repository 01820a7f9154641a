"""Response caches that can never keep anything."""

from __future__ import annotations

from hybridllm._core.policy.compiled import Policy
from hybridllm._core.policy.document import Findings, Node, Path, key_place


def tell_cache_doubts(policy: Policy, root: Node, findings: Findings) -> None:
    """Tell of caches whose requests all carry a tag that lets nothing be kept."""
    default = policy.default_residency
    free = any(tag.cache for tag in policy.residency.values())
    if free or (default is None and not policy.deny_untagged):
        return
    for index, route in enumerate(policy.routes):
        if route.cache is not None:
            path: Path = ("routes", index, "cache")
            why = "no request is without a tag, and no tag allows answers to be kept"
            how = f"write `cache: true` under residency, in {default!r}" if default else ""
            how = how or "write `cache: true` in a tag under residency"
            findings.warn(key_place(root, path), path, f"has no effect: {why}; {how}")
