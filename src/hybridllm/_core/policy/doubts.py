"""What is allowed in a policy and yet is probably not what its author meant: the warnings of `check`.

Some of it is an error: what only the compiled policy shows, such as a ceiling that nobody is under.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from fnmatch import fnmatchcase
from itertools import pairwise

from hybridllm._core.decide.filters import environment_drop, residency_drop
from hybridllm._core.policy.compiled import Capability, Policy
from hybridllm._core.policy.document import (
    Findings,
    Node,
    Path,
    child,
    items,
    key_place,
    listed,
    value_place,
)
from hybridllm._core.policy.doubts_budgets import tell_budget_doubts
from hybridllm._core.policy.doubts_cache import tell_cache_doubts
from hybridllm._core.policy.doubts_capacity import tell_capacity_doubts
from hybridllm._core.policy.doubts_cascade import tell_cascade_doubts
from hybridllm._core.policy.doubts_constraints import tell_constraint_doubts
from hybridllm._core.policy.doubts_hybrid import tell_hybrid_doubts
from hybridllm._core.policy.doubts_routes import tell_route_doubts
from hybridllm._core.policy.doubts_shadow import tell_shadow_doubts
from hybridllm._core.policy.names import is_glob
from hybridllm._core.policy.references_when import names_under
from hybridllm._core.policy.repriced import at_its_cheapest
from hybridllm._core.policy.residency import Residency
from hybridllm._core.policy.schema import PolicySpec
from hybridllm._core.secret import Secret


def tell_doubts(
    policy: Policy, spec: PolicySpec, root: Node, environ: Mapping[str, str], findings: Findings
) -> None:
    """Add a warning for everything doubtful, and an error for what cannot be meant.

    Args:
        policy: Compiled.
        spec: What it was compiled from.
        root: The same file as a tree, for the places.
        environ: Variables, for keys that are missing.
        findings: Takes what is doubtful.
    """
    policy = at_its_cheapest(policy)
    doubts = _Doubts(policy, root, findings)
    doubts.backends(environ)
    doubts.models()
    doubts.tiers(spec.tiers)
    doubts.residency()
    doubts.conditions()
    tell_route_doubts(policy, spec, root, findings)
    tell_constraint_doubts(policy, spec, root, findings)
    tell_capacity_doubts(policy, spec, root, findings)
    tell_hybrid_doubts(policy, root, findings)
    tell_shadow_doubts(policy, root, findings)
    tell_budget_doubts(policy, root, findings)
    tell_cascade_doubts(policy, root, findings)
    tell_cache_doubts(policy, root, findings)


class _Doubts:
    def __init__(self, policy: Policy, root: Node, findings: Findings) -> None:
        self._policy = policy
        self._root = root
        self._findings = findings

    def _warn(self, path: Path, message: str) -> None:
        self._findings.warn(key_place(self._root, path), path, message)

    def backends(self, environ: Mapping[str, str]) -> None:
        serving = {c.backend.name for served in self._policy.candidates.values() for c in served}
        for name, backend in self._policy.backends.items():
            path: Path = ("backends", name)
            if name not in serving:
                self._warn(path, f"backend {name!r} serves no model; no request ever reaches it")
            if self._policy.residency and not backend.terms_declared:
                message = (
                    f"backend {name!r} declares neither region nor operator nor retention, so no request "
                    "with a residency tag ever reaches it"
                )
                self._warn(path, message)
            if backend.base_url.count("/") == 2:  # those of https://
                self._warn(
                    (*path, "base_url"), "base_url has no path; most servers answer under /v1 only"
                )
            if backend.api_key_env is not None:
                self._key(name, backend.api_key_env, environ)

    def _key(self, backend: str, variable: str, environ: Mapping[str, str]) -> None:
        path: Path = ("backends", backend, "api_key_env")
        if not environ.get(variable):
            message = (
                f"environment variable {variable} is not set; requests to {backend!r} will fail"
            )
            self._warn(path, message)
            return
        try:
            Secret(environ[variable], name=variable)
        except ValueError as error:
            self._warn(path, str(error))

    def models(self) -> None:
        first_of_space: dict[str, tuple[str, int]] = {}
        for name, model in self._policy.models.items():
            path: Path = ("models", name)
            if name not in self._policy.candidates:
                self._warn(path, f"nobody serves model {name!r}; name its backends in its `on`")
            if Capability.EMBEDDINGS not in model.capabilities:
                for key, has in (
                    ("dimensions", model.dimensions),
                    ("vector_space", model.vector_space),
                ):
                    if has:
                        message = f"model {name!r} has {key}, but `embeddings` is not among its capabilities"
                        self._warn((*path, key), message)
            if model.vector_space is not None and model.dimensions is not None:
                known = (name, model.dimensions)
                first, dimensions = first_of_space.setdefault(model.vector_space, known)
                if dimensions != model.dimensions:
                    message = (
                        f"vector space {model.vector_space!r} has {dimensions} dimensions with model "
                        f"{first!r} and {model.dimensions} with {name!r}; vectors of one space have the same "
                        "length"
                    )
                    where = (*path, "dimensions")
                    self._findings.error(value_place(self._root, where), where, message)
        self._unpriced()

    def tiers(self, bands: Mapping[str, tuple[Decimal, Decimal]]) -> None:
        """Tell of bands that overlap: a price in two of them belongs to the first."""
        ordered = sorted(bands.items(), key=lambda band: band[1])
        for (below, band), (above, next_band) in pairwise(ordered):
            if next_band[0] < band[1]:
                first, second = sorted((below, above), key=list(bands).index)
                message = f"overlaps tier {first!r}; a price in both belongs to {first!r}"
                self._warn(("tiers", second), message)

    def _unpriced(self) -> None:
        told: set[Path] = set()
        for name, served in self._policy.candidates.items():
            for candidate in served:
                if candidate.price is not None:
                    continue
                backend = candidate.backend
                own = backend.own
                path: Path = ("backends", backend.name) if own else ("models", name)
                if path in told:
                    continue
                told.add(path)
                if own:
                    what = f"backend {backend.name!r} is your own and has no price"
                    remedy = "write `price: free` if its tokens cost nothing, or what they cost"
                else:
                    what = f"the price of model {name!r} is not known"
                    remedy = "give it a price"
                self._warn(path, f"{what}, so its answers have no cost; {remedy}")

    def residency(self) -> None:
        tags = self._policy.residency
        restricting = [name for name, tag in tags.items() if _restricts(tag)]
        untagged_pass = self._policy.default_residency is None and not self._policy.deny_untagged
        if restricting and untagged_pass:
            self._warn(
                ("residency",),
                f"tags restrict where data may go ({', '.join(restricting)}), but a request without a tag "
                "may go anywhere; set default_residency to a tag, or to deny",
            )
        declared_regions = sorted({b.region for b in self._policy.backends.values() if b.region})
        for name, tag in tags.items():
            for region in sorted(tag.regions.difference(declared_regions)):
                hint = self._findings.hint(region, declared_regions)
                message = (
                    f"no backend is in region {region!r}; regions of backends: "
                    f"{listed(declared_regions)}{hint}"
                )
                self._warn(("residency", name, "regions"), message)
            if not self._is_served(tag):
                message = (
                    f"no backend that serves a model is allowed for tag {name!r} in environment "
                    f"{self._policy.environment!r}; every request with it is denied"
                )
                self._warn(("residency", name), message)

    def _is_served(self, tag: Residency) -> bool:
        return any(
            residency_drop(candidate, (tag,)) is None
            and environment_drop(candidate, self._policy.environment) is None
            for served in self._policy.candidates.values()
            for candidate in served
        )

    def conditions(self) -> None:
        """Tell of tasks that are nearly declared ones, and of buckets that no task is in."""
        tasks = self._policy.tasks
        buckets = {task.bucket.value for task in tasks.values() if task.bucket is not None}
        for section in ("routes", "constraints"):
            for index, rule in enumerate(items(child(self._root, section))):
                path: Path = (section, index, "when")
                for fact, scalar, where in names_under(child(rule, "when"), path):
                    if self._findings.full_of_warnings:
                        return
                    name = str(scalar.value)
                    if fact == "task" and not is_glob(name) and name not in tasks:
                        if hint := self._findings.hint(name, tasks):
                            message = f"task {name!r} is not declared under tasks{hint}"
                            self._findings.warn(scalar.place, where, message)
                    elif fact == "bucket" and not any(fnmatchcase(one, name) for one in buckets):
                        message = (
                            f"no task is in bucket {name!r}; buckets of tasks: {listed(buckets)}"
                        )
                        self._findings.warn(scalar.place, where, message)


def _restricts(tag: Residency) -> bool:
    return bool(tag.regions or tag.operators or tag.retention)
