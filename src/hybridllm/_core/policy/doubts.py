"""What is allowed in a policy and yet is probably not what its author meant: the warnings of `check`."""

from __future__ import annotations

from collections.abc import Mapping

from hybridllm._core.decide.filters import environment_drop, residency_drop
from hybridllm._core.policy.compiled import BackendKind, Capability, Policy, Residency
from hybridllm._core.policy.conditions import named
from hybridllm._core.policy.document import Findings, Node, Path, key_place
from hybridllm._core.policy.names import is_glob
from hybridllm._core.policy.problems import nearest
from hybridllm._core.secret import Secret


def tell_doubts(policy: Policy, root: Node, environ: Mapping[str, str], findings: Findings) -> None:
    """Add a warning for everything doubtful."""
    doubts = _Doubts(policy, root, findings)
    doubts.backends(environ)
    doubts.models()
    doubts.residency()
    doubts.routes()


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
        for name, model in self._policy.models.items():
            path: Path = ("models", name)
            if name not in self._policy.candidates:
                self._warn(path, f"nobody serves model {name!r}; name its backends in its `on`")
            if model.dimensions and Capability.EMBEDDINGS not in model.capabilities:
                message = (
                    f"model {name!r} has dimensions, but `embeddings` is not among its capabilities"
                )
                self._warn((*path, "dimensions"), message)
        self._unpriced()

    def _unpriced(self) -> None:
        told: set[Path] = set()
        for name, served in self._policy.candidates.items():
            for candidate in served:
                if candidate.price is not None:
                    continue
                backend = candidate.backend
                own = backend.kind is BackendKind.VLLM or backend.operator == "self"
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
                known = ", ".join(declared_regions) or "none"
                hint = nearest(region, declared_regions) or nearest(
                    region.lower(), declared_regions
                )
                message = f"no backend is in region {region!r}; regions of backends: {known}{hint}"
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

    def routes(self) -> None:
        policy, routes = self._policy, self._policy.routes
        for index, route in enumerate(routes):
            path: Path = ("routes", index)
            for task in sorted(named(route.when, "task").difference(policy.tasks)):
                hint = "" if is_glob(task) else nearest(task, policy.tasks)
                if hint:
                    message = f"task {task!r} is not declared under tasks{hint}"
                    self._warn((*path, "when", "task"), message)


def _restricts(tag: Residency) -> bool:
    return bool(tag.regions or tag.operators or tag.retention)
