"""Whom routes and buckets come to: tiers nobody is in, backends that serve none of them, mixed vectors."""

from __future__ import annotations

from collections.abc import Iterable

from hybridllm._core.policy.compile_routes import RouteCompiler
from hybridllm._core.policy.compiled import Bucket, Candidate, Policy, Use
from hybridllm._core.policy.document import (
    Findings,
    Node,
    Path,
    key_place,
    listed,
    quoted,
    value_place,
)
from hybridllm._core.policy.doubts_ceilings import tell_ceilings
from hybridllm._core.policy.schema import PolicySpec
from hybridllm._core.policy.schema_routes import BucketSpec, CeilingsSpec, RouteSpec, UseSpec


def tell_route_doubts(policy: Policy, spec: PolicySpec, root: Node, findings: Findings) -> None:
    """Tell of entries, routes and buckets that come to nobody, or to less than they say."""
    doubts = _RouteDoubts(policy, spec, root, findings)
    for name, bucket in spec.buckets.items():
        doubts.bucket(name, bucket)
    for index, route in enumerate(spec.routes):
        doubts.route(index, route)


class _RouteDoubts:
    def __init__(self, policy: Policy, spec: PolicySpec, root: Node, findings: Findings) -> None:
        self._policy = policy
        self._spec = spec
        self._root = root
        self._findings = findings
        self._compiler = RouteCompiler(policy.models, policy.candidates, spec.buckets)
        self._used = _buckets_used(spec)

    def bucket(self, name: Bucket, spec: BucketSpec) -> None:
        path: Path = ("buckets", name.value)
        self._entries(spec.use, (*path, "use"))
        if name not in self._used:
            message = (
                f"no route uses bucket {name.value!r}; write `use: [{{bucket: {name.value}}}]`"
            )
            self._findings.warn(key_place(self._root, path), path, message)
        if _has_ceiling(spec):
            tell_ceilings(spec, self._candidates(spec.use), self._root, path, self._findings)

    def route(self, index: int, spec: RouteSpec) -> None:
        path: Path = ("routes", index)
        self._entries(spec.use, (*path, "use"))
        self._entries(spec.fallbacks or (), (*path, "fallbacks"))
        if _has_ceiling(spec):
            entries = (*spec.use, *(spec.fallbacks or ()))
            tell_ceilings(spec, self._candidates(entries), self._root, path, self._findings)
        if spec.order_by is not None:
            self._one_order(spec, path)
        if spec.order_by == "prefix":
            self._one_replica(spec.use, path)
        self._one_space(index, spec, path)

    def _entries(self, entries: tuple[UseSpec, ...], path: Path) -> None:
        """Judge each entry of a list that needs it; the list comes to nobody if all of them do."""
        empty: list[tuple[Path, str]] = []
        for index, entry in enumerate(entries):
            where = (*path, index)
            if entry.tier is not None or entry.bucket is not None:
                why = self._group(entry, where)
                if why is not None:
                    empty.append((where, why))
            if _has_ceiling(entry):
                tell_ceilings(entry, self._candidates((entry,)), self._root, where, self._findings)
            if entry.order_by == "prefix":
                self._one_replica((entry,), where)
        tell = self._findings.error if len(empty) == len(entries) else self._findings.warn
        for where, why in empty:
            tell(value_place(self._root, where), where, why)

    def _group(self, entry: UseSpec, path: Path) -> str | None:
        """Tell of backends that serve nobody of a tier or bucket; return why it comes to nobody, if so."""
        whole = self._candidates((entry.model_copy(update={"on": None}),))
        if not whole and entry.tier is not None:
            tiers = listed({model.tier for model in self._policy.models.values() if model.tier})
            return f"no model that anybody serves is in tier {quoted(entry.tier)}; tiers of models: {tiers}"
        backends = {candidate.backend.name for candidate in whole}
        for index, name in enumerate(entry.on or ()):
            if backends and name not in backends:
                where = (*path, "on", index)
                hint = self._findings.hint(name, backends)
                message = (
                    f"backend {quoted(name)} serves nobody of this entry; these do: "
                    f"{listed(backends)}{hint}"
                )
                self._findings.error(value_place(self._root, where), where, message)
        return None

    def _one_order(self, spec: RouteSpec, path: Path) -> None:
        """Tell of ceilings of single entries where all entries are ordered together."""
        uses = [use for entry in spec.use for use in self._uses(entry)]
        if len({use.ceilings for use in uses}) > 1:
            where = (*path, "order_by")
            message = (
                "orders all entries together, so that they can have no ceilings of their own; set one on the "
                "route, or `order_by` on each entry"
            )
            self._findings.error(value_place(self._root, where), where, message)

    def _one_replica(self, entries: tuple[UseSpec, ...], path: Path) -> None:
        """Tell of an order by prefix that has nobody to choose from."""
        backends = {one.backend.name for one in self._candidates(entries)}
        if len(backends) == 1:
            where = (*path, "order_by")
            message = f"has no effect: {quoted(backends.pop())} is the only backend to choose from"
            self._findings.warn(value_place(self._root, where), where, message)

    def _one_space(self, index: int, spec: RouteSpec, path: Path) -> None:
        """Tell of embedding models that look like fallbacks and are none.

        Models with declared spaces side by side in `use` are no doubt: requests name the space they want.
        """
        first: str | None = None
        for use in self._policy.routes[index].use:
            for candidate in use.candidates:
                model = candidate.model
                if model.vector_space is None:
                    continue
                first = model.vector_space if first is None else first
                declared = self._spec.models[model.name].vector_space is not None
                if model.vector_space != first and (use.fallback or not declared):
                    message = (
                        f"embedding model {model.name!r} is in vector space {model.vector_space!r}, not in "
                        f"{first!r} as the first one: it is no fallback; declare the `vector_space` of each, "
                        "side by side in `use`, and name it with the request"
                    )
                    where = _entry_of(model.name, spec, path, fallback=use.fallback)
                    self._findings.warn(value_place(self._root, where), where, message)
                    return

    def _candidates(self, entries: Iterable[UseSpec]) -> list[Candidate]:
        return [one for entry in entries for use in self._uses(entry) for one in use.candidates]

    def _uses(self, entry: UseSpec) -> tuple[Use, ...]:
        return self._compiler.uses_of(entry)


def _has_ceiling(spec: CeilingsSpec) -> bool:
    return spec.max_output_price is not None or spec.max_request_cost is not None


def _entry_of(model: str, spec: RouteSpec, path: Path, *, fallback: bool) -> Path:
    """Return the path of the entry that names a model; of the first one if that is a tier or a bucket."""
    key = "fallbacks" if fallback else "use"
    entries = (spec.fallbacks if fallback else spec.use) or ()
    named = (at for at, one in enumerate(entries) if model in (one.model, *(one.split or ())))
    return (*path, key, next(named, 0))


def _buckets_used(spec: PolicySpec) -> frozenset[Bucket]:
    """Return the buckets that a route leads to, itself or by another bucket."""
    used: set[Bucket] = set()
    waiting = [
        entry.bucket for route in spec.routes for entry in (*route.use, *(route.fallbacks or ()))
    ]
    while waiting:
        bucket = waiting.pop()
        if bucket is not None and bucket not in used:
            used.add(bucket)
            waiting += [entry.bucket for entry in spec.buckets[bucket].use]
    return frozenset(used)
