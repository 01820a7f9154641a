"""Routes, buckets and constraints, from the schema's models to what the router runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC

from hybridllm._core.cache.rule import Cache
from hybridllm._core.cascade.rule import NO_CHECKS, Cascade, OutsideChecks
from hybridllm._core.policy.ceilings import NO_CEILINGS, Ceilings
from hybridllm._core.policy.compile_hybrid import (
    compiled_break_even,
    compiled_overflows,
    compiled_volume,
)
from hybridllm._core.policy.compile_shadow import compiled_shadow
from hybridllm._core.policy.compiled import (
    Bucket,
    Candidate,
    Capability,
    Constraint,
    Model,
    OrderBy,
    Route,
    Use,
)
from hybridllm._core.policy.conditions import (
    ALWAYS,
    METADATA,
    AnyOf,
    Condition,
    Flag,
    Hours,
    Not,
    Number,
    Text,
    When,
)
from hybridllm._core.policy.objectives import NO_SLO, Slo
from hybridllm._core.policy.schema_cache import CacheSpec
from hybridllm._core.policy.schema_cascade import CascadeSpec
from hybridllm._core.policy.schema_routes import (
    BucketSpec,
    CeilingsSpec,
    ConstraintSpec,
    PercentilesSpec,
    RouteSpec,
    SloSpec,
    UseSpec,
)
from hybridllm._core.policy.schema_when import BoundsSpec, MetadataTestSpec, WhenSpec
from hybridllm._core.policy.zones import zone_of

Candidates = Mapping[str, tuple[Candidate, ...]]
_TEXTS = (
    "task", "bucket", "residency", "tenant", "feature", "session", "environment", "capability", "tags",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class RouteCompiler:
    """Resolves the names in routes; all of them are known to be right.

    Attributes:
        checks: Of cascades, those that are not ours.
    """

    models: Mapping[str, Model]
    candidates: Candidates
    buckets: Mapping[Bucket, BucketSpec]
    checks: OutsideChecks = NO_CHECKS

    def route(self, spec: RouteSpec, *, line: int) -> Route:
        """Return a route; its `order_by` makes one entry of all that it uses."""
        uses = tuple(self._uses(spec.use, fallback=False, begin=1))
        if spec.order_by is not None:
            together = tuple(dict.fromkeys(one for use in uses for one in use.candidates))
            what = "all models of the route"
            # All entries have the same ceilings: anything else has been refused (doubts_routes.py).
            uses = (Use(together, what, OrderBy(spec.order_by), ceilings=uses[0].ceilings),)
        uses += tuple(self._uses(spec.fallbacks or (), fallback=True, begin=len(spec.use) + 1))
        return Route(
            spec.name,
            compiled_when(spec.when),
            uses,
            compiled_ceilings(spec),
            compiled_slo(spec.slo),
            observe=spec.mode == "observe",
            line=line,
            overflows=compiled_overflows(spec.overflow),
            shadow=compiled_shadow(spec.shadow),
            cache=compiled_cache(spec.cache),
            cascade=None if spec.cascade is None else self._cascade(spec.cascade),
        )

    def _cascade(self, spec: CascadeSpec) -> Cascade:
        checks = spec.escalate_if
        return Cascade(
            spec.first,
            spec.then,
            checks.phrases or (),
            checks.min_chars,
            None if checks.low_logprob is None else float(checks.low_logprob),
            checks.schema_invalid,
            checks.python,
            None if checks.python is None else self.checks.functions.get(checks.python),
            self.checks.misfit if checks.schema_invalid else None,
        )

    def uses_of(self, spec: UseSpec) -> tuple[Use, ...]:
        """Return what one entry comes to, wherever it stands."""
        return tuple(self._entry(spec, 1))

    def _uses(self, specs: Iterable[UseSpec], *, fallback: bool, begin: int) -> Iterator[Use]:
        for place, spec in enumerate(specs, start=begin):
            for use in self._entry(spec, place):
                yield replace(use, fallback=fallback) if fallback else use

    def _entry(self, spec: UseSpec, place: int) -> Iterator[Use]:
        ceilings = compiled_ceilings(spec)
        if spec.bucket is not None:
            bucket = self.buckets[spec.bucket]
            ceilings = ceilings.folded(compiled_ceilings(bucket))
            for number, inner in enumerate(bucket.use, start=1):
                for use in self._entry(inner, number):
                    yield self._narrowed(use, spec, f"bucket {spec.bucket.value!r}, ", ceilings)
            return
        if spec.split is not None:
            yield self._split(spec, ceilings)
            return
        if spec.tier is not None:
            models = [name for name, model in self.models.items() if self._is_in(model, spec.tier)]
            what, order_by = f"tier {spec.tier!r}", OrderBy.PRICE
        else:
            models = [spec.model] if spec.model is not None else []
            what, order_by = f"model {place}", OrderBy.LOAD
        found = tuple(one for name in models for one in self._on(name, spec))
        if spec.on is not None:
            found = _in_order(found, spec.on)
            order_by = OrderBy.FILE if order_by is OrderBy.LOAD else order_by
        order_by = OrderBy(spec.order_by) if spec.order_by is not None else order_by
        yield Use(found, what, order_by, on_order=spec.on is not None, ceilings=ceilings)

    def _split(self, spec: UseSpec, ceilings: Ceilings) -> Use:
        weights = tuple((name, float(weight)) for name, weight in (spec.split or {}).items())
        shares = ":".join(f"{weight.normalize():f}" for weight in (spec.split or {}).values())
        found = tuple(one for name, _ in weights for one in self._on(name, spec))
        return Use(
            found,
            f"split {shares}",
            OrderBy.SPLIT,
            weights,
            spec.sticky_by or "session",
            on_order=spec.on is not None,
            ceilings=ceilings,
        )

    def _is_in(self, model: Model, tier: str) -> bool:
        return model.tier == tier and Capability.EMBEDDINGS not in model.capabilities

    def _on(self, model: str, spec: UseSpec) -> tuple[Candidate, ...]:
        served = self.candidates.get(model, ())
        if spec.on is None:
            return served
        by_backend = {candidate.backend.name: candidate for candidate in served}
        return tuple(by_backend[name] for name in spec.on if name in by_backend)

    def _narrowed(self, use: Use, spec: UseSpec, prefix: str, ceilings: Ceilings) -> Use:
        """Apply what an entry says of a bucket to one of the bucket's own entries."""
        found, order_by = use.candidates, use.order_by
        if spec.on is not None:
            found = _in_order([one for one in found if one.backend.name in spec.on], spec.on)
            order_by = OrderBy.FILE if order_by is OrderBy.LOAD else order_by
        if spec.order_by is not None:
            order_by = OrderBy(spec.order_by)
        return replace(
            use,
            candidates=found,
            what=prefix + use.what,
            order_by=OrderBy.SPLIT if use.weights else order_by,
            on_order=use.on_order or spec.on is not None,
            ceilings=use.ceilings.folded(ceilings),
        )


def _in_order(candidates: Iterable[Candidate], on: Sequence[str]) -> tuple[Candidate, ...]:
    """Return candidates by the place of their backends in `on`; models keep their order on each."""
    return tuple(sorted(candidates, key=lambda one: on.index(one.backend.name)))


def compiled_constraint(spec: ConstraintSpec, *, line: int) -> Constraint:
    """Return a constraint."""
    allow, deny = spec.allow, spec.deny
    return Constraint(
        spec.name,
        compiled_when(spec.when),
        regions=frozenset(allow.regions or ()),
        operators=frozenset(allow.operators or ()),
        retention=frozenset(allow.retention or ()),
        backends=frozenset(allow.backends or ()),
        models=frozenset(allow.models or ()),
        denied_backends=frozenset(deny.backends or ()),
        denied_models=frozenset(deny.models or ()),
        ceilings=compiled_ceilings(spec),
        observe=spec.mode == "observe",
        line=line,
    )


def compiled_cache(spec: CacheSpec | None) -> Cache | None:
    """Return a route's response cache."""
    if spec is None:
        return None
    return Cache(float(spec.ttl), spec.entries, spec.bytes, always=spec.when == "always")


def compiled_ceilings(spec: CeilingsSpec) -> Ceilings:
    """Return the ceilings that a mapping sets."""
    if spec.max_output_price is None and spec.max_request_cost is None:
        return NO_CEILINGS
    return Ceilings(spec.max_output_price, spec.max_request_cost)


def compiled_slo(spec: SloSpec | None) -> Slo:
    """Return a latency objective."""
    if spec is None:
        return NO_SLO
    return Slo(_percentiles(spec.ttft_ms), _percentiles(spec.total_ms))


def _percentiles(spec: PercentilesSpec | None) -> tuple[tuple[int, float], ...]:
    return tuple(percentile_values(spec).items()) if spec is not None else ()


def percentile_values(spec: PercentilesSpec) -> dict[int, float]:
    """Return percentile -> milliseconds of those that are set."""
    return {int(name[1:]): float(ms) for name, ms in spec if ms is not None}


def compiled_when(spec: WhenSpec) -> When:
    """Return conditions, in the order of the schema."""
    conditions = tuple(_conditions(spec))
    return When(conditions) if conditions else ALWAYS


def _conditions(spec: WhenSpec) -> Iterator[Condition]:
    for fact in _TEXTS:
        patterns = getattr(spec, fact)
        if patterns is not None:
            yield Text(fact, frozenset(patterns))
    if spec.stream is not None:
        yield Flag("stream", spec.stream)
    if spec.input_tokens is not None:
        yield _number("input_tokens", spec.input_tokens)
    for key, test in (spec.metadata or {}).items():
        yield _metadata(METADATA + key, test)
    if spec.time is not None:
        time = spec.time
        weekdays = frozenset(time.weekdays)
        zone = zone_of(time.zone) or UTC  # any other has been refused (references_when.py)
        yield Hours(time.from_, time.to, weekdays, zone, time.zone)
    if spec.volume is not None:
        yield compiled_volume(spec.volume)
    if spec.break_even is not None:
        yield compiled_break_even(spec.break_even)
    if spec.not_ is not None:
        yield Not(compiled_when(spec.not_))
    if spec.any is not None:
        yield AnyOf(tuple(compiled_when(one) for one in spec.any))


def _metadata(fact: str, test: MetadataTestSpec) -> Condition:
    return _number(fact, test) if test.names is None else Text(fact, frozenset(test.names))


def _number(fact: str, bounds: BoundsSpec) -> Number:
    return Number(fact, bounds.gte, bounds.gt, bounds.lte, bounds.lt)
