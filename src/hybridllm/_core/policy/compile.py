"""From the schema's models to the policy that the router runs.

Everything that could be wrong has been told before: here every name is known, every unit read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from hybridllm._core.cascade.rule import NO_CHECKS, OutsideChecks
from hybridllm._core.money.book import Book, BookEntry, Tier, tier_of
from hybridllm._core.money.tariff import Entry
from hybridllm._core.policy.base_url import private_by_default
from hybridllm._core.policy.compile_budgets import compiled_budgets
from hybridllm._core.policy.compile_hybrid import (
    compiled_capacity,
    compiled_cold_start,
    compiled_saturation,
)
from hybridllm._core.policy.compile_limits import (
    compiled_budget,
    compiled_concurrency,
    compiled_hedge,
    health_url,
)
from hybridllm._core.policy.compile_routes import (
    Candidates,
    RouteCompiler,
    compiled_constraint,
    compiled_slo,
)
from hybridllm._core.policy.compiled import (
    Backend,
    BackendKind,
    Candidate,
    Capability,
    Model,
    OrderBy,
    Policy,
    Route,
    Task,
)
from hybridllm._core.policy.conditions import Live, When, facts_looked_at, leaves, named
from hybridllm._core.policy.document import Node, key_place
from hybridllm._core.policy.objectives import Timeouts
from hybridllm._core.policy.pricing import Prices, price_fields
from hybridllm._core.policy.references import DENY
from hybridllm._core.policy.residency import Residency
from hybridllm._core.policy.schema import (
    BackendSpec,
    BackendTimeoutsSpec,
    ModelSpec,
    PolicySpec,
    ResidencySpec,
    TaskSpec,
)
from hybridllm._core.policy.telemetry import Telemetry

# A vLLM queues what it has no room for; its first token is later, yet it is coming.
_BALANCED = (OrderBy.LOAD, OrderBy.SPLIT, OrderBy.PREFIX, OrderBy.MARGINAL_PRICE)
_FIRST_TOKEN_S = {BackendKind.API: 10.0, BackendKind.VLLM: 20.0}


def compiled_policy(
    spec: PolicySpec,
    root: Node,
    *,
    book: Book,
    name: str,
    version: str,
    environment: str | None = None,
    checks: OutsideChecks = NO_CHECKS,
) -> Policy:
    """Return the policy.

    Args:
        spec: Of a file without errors.
        root: The same file as a tree, for the lines of its routes.
        book: Gives what the file leaves out about models.
        name: Of the file, without its ending.
        version: Digest of the file.
        environment: Goes before the file's own.
        checks: Of cascades, those that are not ours.
    """
    backends = {key: _backend(key, backend) for key, backend in spec.backends.items()}
    entries = {key: book.get(model.like or key) for key, model in spec.models.items()}
    prices = Prices(spec, entries)
    listed = {key: prices.listed(key) for key in spec.models}
    models = _models(spec, entries, listed, book.tiers)
    candidates = _candidates(spec, backends, models, prices)
    compiler = RouteCompiler(models, candidates, spec.buckets, checks)
    routes = tuple(
        compiler.route(route, line=key_place(root, ("routes", index)).line)
        for index, route in enumerate(spec.routes)
    )
    constraints = tuple(
        compiled_constraint(one, line=key_place(root, ("constraints", index)).line)
        for index, one in enumerate(spec.constraints)
    )
    whens = [*(one.when for one in routes), *(one.when for one in constraints)]
    by_prefix = _by_prefix(routes)
    used_in = environment if environment is not None else spec.environment or ""
    return Policy(
        name=name,
        version=version,
        environment=used_in,
        backends=MappingProxyType(backends),
        models=MappingProxyType(models),
        candidates=candidates,
        residency=MappingProxyType({k: _residency(k, tag) for k, tag in spec.residency.items()}),
        tasks=MappingProxyType({key: _task(key, task) for key, task in spec.tasks.items()}),
        routes=routes,
        constraints=constraints,
        looks_at=frozenset().union(*(facts_looked_at(when) for when in whens)),
        splits=any(use.weights for route in routes for use in route.use),
        taints=_taints(spec),
        measures=_measures(routes, spec),
        attribution=() if spec.attribution is None else spec.attribution.keys,
        shadows=MappingProxyType({one.name: one.shadow for one in routes if one.shadow}),
        default_residency=None if spec.default_residency == DENY else spec.default_residency,
        deny_untagged=spec.default_residency == DENY,
        known_tasks=frozenset(spec.tasks).union(*(named(when, "task") for when in whens)),
        retries_max=spec.retries.same_backend_max,
        attempts_max=spec.retries.attempts_max,
        balances=_balances(routes),
        budget=compiled_budget(spec.retries.budget),
        loaded=_loaded(routes) | by_prefix,
        prefixes=bool(by_prefix),
        live=_live(whens),
        **price_fields(candidates, listed, used_in),
        budgets=compiled_budgets(spec.budgets, root),
        telemetry=_telemetry(spec),
    )


def _telemetry(spec: PolicySpec) -> Telemetry:
    return Telemetry(
        spec.telemetry.metrics.attribution,
        frozenset(spec.telemetry.metrics.tenants or ()),
        frozenset(spec.telemetry.dialects),
        () if spec.attribution is None else tuple(spec.attribution.from_baggage.items()),
    )


def _taints(spec: PolicySpec) -> Mapping[str, float]:
    kept = {name: tag.taint for name, tag in spec.residency.items() if tag.taint is not None}
    return MappingProxyType(kept)


def _live(whens: Iterable[When]) -> tuple[Live, ...]:
    """Return the conditions on volume and on break-even, each once."""
    found = (leaf for when in whens for leaf in leaves(when) if isinstance(leaf, Live))
    return tuple(dict.fromkeys(found))


def _balances(routes: tuple[Route, ...]) -> bool:
    """Return whether load orders candidates anywhere."""
    uses = (use for route in routes for use in route.use)
    return any(use.order_by in _BALANCED and len(use.candidates) > 1 for use in uses)


def _loaded(routes: tuple[Route, ...]) -> frozenset[str]:
    """Return the backends whose load decides: those that overflows leave, and whose room makes them cheap."""
    left = {name for route in routes for one in route.overflows for name in one.sources}
    return frozenset(left).union(
        one.backend.name
        for route in routes
        for use in route.use
        for one in use.candidates
        if use.order_by is OrderBy.MARGINAL_PRICE and one.backend.capacity is not None
    )


def _backend(name: str, spec: BackendSpec) -> Backend:
    own_vllm = spec.kind is BackendKind.VLLM and spec.operator == "self"
    return Backend(
        name=name,
        kind=spec.kind,
        base_url=spec.base_url,
        api_key_env=spec.api_key_env,
        region=spec.region,
        operator=spec.operator,
        retention=spec.retention,
        environments=frozenset(spec.environments or ()),
        headers=tuple(spec.headers.items()),
        timeouts=_timeouts(spec),
        propagate_trace=own_vllm if spec.propagate_trace is None else spec.propagate_trace,
        private=_is_private(spec) if spec.private is None else spec.private,
        prefill=spec.prefill,
        concurrency=compiled_concurrency(spec.concurrency),
        health_url=health_url(spec.health, spec.base_url, spec.kind),
        saturation=compiled_saturation(spec.saturation),
        capacity=compiled_capacity(spec.capacity),
        cold_start=compiled_cold_start(spec.cold_start),
    )


def _is_private(spec: BackendSpec) -> bool:
    """Whoever runs a server himself has it in a network of his own, or may; a hosted API is public."""
    own = spec.kind is BackendKind.VLLM or spec.operator == "self"
    return own or private_by_default(spec.base_url)


def _timeouts(spec: BackendSpec) -> Timeouts:
    return Timeouts(
        **{"first_token_s": _FIRST_TOKEN_S[spec.kind], **_seconds_by_field(spec.timeouts)}
    )


def _seconds_by_field(spec: BackendTimeoutsSpec) -> dict[str, float]:
    """Return the limits that are set, under the names of `Timeouts`."""
    return {f"{key}_s": float(value) for key, value in spec if value is not None}


def _models(
    spec: PolicySpec,
    entries: Mapping[str, BookEntry | None],
    listed: Mapping[str, tuple[Entry, ...]],
    book_tiers: tuple[Tier, ...],
) -> dict[str, Model]:
    tiers = tuple(Tier(key, *band) for key, band in spec.tiers.items()) or book_tiers
    return {
        key: _model(key, model, entries[key], _tier(model, listed[key], entries[key], tiers))
        for key, model in spec.models.items()
    }


def _model(name: str, spec: ModelSpec, entry: BookEntry | None, tier: str | None) -> Model:
    capabilities = spec.capabilities
    if capabilities is None:
        capabilities = tuple(entry.capabilities) if entry else ()
    context = spec.context
    if "context" not in spec.model_fields_set and entry:
        context = entry.context_tokens
    space = spec.vector_space
    if space is None and Capability.EMBEDDINGS in capabilities:
        space = name  # comparable with itself only
    return Model(name, frozenset(capabilities), context, spec.dimensions, space, tier)


def _tier(
    spec: ModelSpec,
    listed: tuple[Entry, ...],
    entry: BookEntry | None,
    tiers: tuple[Tier, ...],
) -> str | None:
    """Return a model's price tier: declared, else by its last list price, else what the book calls it."""
    if spec.tier is not None:
        return spec.tier
    output = listed[0].price.usd_per_mtok_out if spec.price is not None else None
    if output is None and entry is not None:
        output = entry.usd_per_mtok_out
    if output is not None:
        return tier_of(output, tiers)
    return entry.stated_tier if entry is not None else None


def _measures(routes: tuple[Route, ...], spec: PolicySpec) -> bool:
    """Return whether measured latency has a say anywhere."""
    return any(task.slo for task in spec.tasks.values()) or any(
        route.slo or any(use.order_by is OrderBy.LATENCY for use in route.use) for route in routes
    )


def _by_prefix(routes: tuple[Route, ...]) -> frozenset[str]:
    """Return the backends among which prefixes decide somewhere."""
    found: frozenset[str] = frozenset()
    for use in (use for route in routes for use in route.use):
        backends = {one.backend.name for one in use.candidates}
        if use.order_by is OrderBy.PREFIX and len(backends) > 1:
            found |= backends
    return found


def _candidates(
    spec: PolicySpec,
    backends: Mapping[str, Backend],
    models: Mapping[str, Model],
    prices: Prices,
) -> Candidates:
    by_model = {}
    for key, model in spec.models.items():
        if not model.on:
            continue
        by_model[key] = tuple(
            prices.charged(Candidate(backends[backend], models[key], served.name), served)
            for backend, served in model.on.items()
        )
    return MappingProxyType(by_model)


def _residency(tag: str, spec: ResidencySpec) -> Residency:
    return Residency(
        tag,
        regions=frozenset(spec.regions or ()),
        operators=frozenset(spec.operators or ()),
        retention=frozenset(spec.retention or ()),
        taint_s=spec.taint,
        cache=spec.cache,
    )


def _task(name: str, spec: TaskSpec) -> Task:
    timeouts = MappingProxyType(_seconds_by_field(spec.timeouts))
    return Task(
        name,
        spec.bucket,
        spec.residency,
        timeouts,
        compiled_slo(spec.slo),
        spec.priority,
        compiled_hedge(spec.hedge),
    )
