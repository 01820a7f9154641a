"""What constraints leave: regions nobody is in, ceilings nobody is under, nobody at all."""

from __future__ import annotations

from hybridllm._core.decide.filters import constraint_drop
from hybridllm._core.policy.compiled import Constraint, Policy
from hybridllm._core.policy.document import Findings, Node, Path, quoted, value_place
from hybridllm._core.policy.doubts_ceilings import tell_ceilings
from hybridllm._core.policy.names import listed
from hybridllm._core.policy.schema import PolicySpec
from hybridllm._core.policy.schema_routes import ConstraintSpec


def tell_constraint_doubts(
    policy: Policy, spec: PolicySpec, root: Node, findings: Findings
) -> None:
    """Tell of constraints that leave nobody, or that name what no backend has."""
    regions = {backend.region for backend in policy.backends.values() if backend.region}
    for index, (one, written) in enumerate(zip(policy.constraints, spec.constraints, strict=True)):
        path: Path = ("constraints", index)
        for place, region in enumerate(written.allow.regions or ()):
            if region not in regions:
                where = (*path, "allow", "regions", place)
                hint = findings.hint(region, regions)
                known = f"regions of backends: {listed(regions)}{hint}"
                message = f"no backend is in region {quoted(region)}; {known}"
                findings.warn(value_place(root, where), where, message)
        _tell_left(policy, one, written, root, path, findings)


def _tell_left(
    policy: Policy,
    constraint: Constraint,
    written: ConstraintSpec,
    root: Node,
    path: Path,
    findings: Findings,
) -> None:
    served = [candidate for served in policy.candidates.values() for candidate in served]
    left = [one for one in served if constraint_drop(one, constraint) is None]
    if not left and served:
        message = f"constraint {quoted(constraint.name)} leaves nobody; every request that it fits is denied"
        findings.warn(value_place(root, path), path, message)
    tell_ceilings(written, left, root, path, findings, observe=constraint.observe)
