"""What constraints name that no backend has, and their ceilings. Whom they leave is the proof's to tell."""

from __future__ import annotations

from hybridllm._core.decide.filters import constraint_drop
from hybridllm._core.policy.compiled import Policy
from hybridllm._core.policy.document import Findings, Node, Path, listed, quoted, value_place
from hybridllm._core.policy.doubts_ceilings import tell_ceilings
from hybridllm._core.policy.schema import PolicySpec


def tell_constraint_doubts(
    policy: Policy, spec: PolicySpec, root: Node, findings: Findings
) -> None:
    """Tell of regions that no backend is in, and of ceilings that nobody is under."""
    regions = {backend.region for backend in policy.backends.values() if backend.region}
    served = [candidate for served in policy.candidates.values() for candidate in served]
    for index, (one, written) in enumerate(zip(policy.constraints, spec.constraints, strict=True)):
        path: Path = ("constraints", index)
        for place, region in enumerate(written.allow.regions or ()):
            if region not in regions:
                where = (*path, "allow", "regions", place)
                hint = findings.hint(region, regions)
                known = f"regions of backends: {listed(regions)}{hint}"
                message = f"no backend is in region {quoted(region)}; {known}"
                findings.warn(value_place(root, where), where, message)
        left = [candidate for candidate in served if constraint_drop(candidate, one) is None]
        tell_ceilings(written, left, root, path, findings, observe=one.observe)
