"""A test of a policy, made ready: a request, a state of the world, and what must come of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from hybridllm._core.decide.given import GivenLoad, GivenVolume
from hybridllm._core.decide.snapshot import Latency
from hybridllm._core.decide.world import MONDAY_NOON, World
from hybridllm._core.money.pico import pico_of
from hybridllm._core.policy.compile_routes import percentile_values
from hybridllm._core.policy.compiled import Capability, Policy
from hybridllm._core.policy.document import Place
from hybridllm._core.policy.hybrid import Measure, Window
from hybridllm._core.policy.schema_given import GivenLoadSpec, GivenVolumeSpec
from hybridllm._core.policy.schema_hybrid import RATES
from hybridllm._core.policy.schema_routes import PercentilesSpec
from hybridllm._core.policy.schema_tests import CaseSpec, ExpectSpec, GivenSpec
from hybridllm._core.request.facts import Facts, Hints
from hybridllm._core.request.read import Call, facts_of


@dataclass(frozen=True, slots=True)
class Expected:
    """What must come of a case; None, or nothing: it may be anything.

    Attributes:
        route: That decides, or `(pinned)`.
        backend: That answers; so are `model` and `reason`.
        error: `policy_denied` or `route_exhausted`.
        rule: That denies.
        candidates: All of them, in order.
        never: Backends that are not among the candidates.
        escalates_to: Model that a cascade asks next.
    """

    route: str | None = None
    backend: str | None = None
    model: str | None = None
    reason: str | None = None
    error: str | None = None
    rule: str | None = None
    candidates: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    escalates_to: str | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """A test of a policy.

    Attributes:
        name: As the file has it, or `test 3` for the third.
        file: Where it stands, as given to the loader; `line` and `column` from 1.
    """

    name: str
    facts: Facts
    world: World
    expected: Expected
    file: str = "<text>"
    line: int = 0
    column: int = 1


def compiled_case(
    spec: CaseSpec, policy: Policy, *, environment: str, file: str, place: Place, number: int
) -> Case:
    """Return a case whose names are known to be right.

    Args:
        spec: As the file has it.
        policy: That it tests.
        environment: Where it runs if it does not say.
        file: Where it stands.
        place: Of it in the file.
        number: Of it among the cases of the file, from 1.
    """
    name = " ".join((spec.name or "").split())  # a line of its own in lists, whatever is in it
    return Case(
        name or f"test {number}",
        given_facts(spec.given, policy, environment=environment),
        given_world(spec.given),
        _expected(spec.expect),
        file,
        place.line,
        place.column,
    )


def given_facts(given: GivenSpec, policy: Policy, *, environment: str) -> Facts:
    """Return the facts of a request, made as those of a call are."""
    embeds = given.operation == "embeddings"
    call = Call(
        given.operation,
        {},
        None,
        Hints(
            task=given.task,
            residency=given.residency,
            tenant=given.tenant,
            feature=given.feature,
            session=given.session,
            tags=frozenset(given.tags),
            vector_space=given.vector_space,
            metadata=given.metadata or None,
        ),
        given.model,
        given.stream,
        given.input_tokens,
        given.input_tokens,
        0 if embeds else given.max_tokens,
        given.max_cost_usd,
        frozenset(given.needs) | ({Capability.EMBEDDINGS} if embeds else frozenset()),
    )
    facts = facts_of(call, policy, _kept(given, policy))
    return replace(facts, environment=given.environment or environment)


def _kept(given: GivenSpec, policy: Policy) -> tuple[str, ...]:
    """Return the tags that the session keeps: those that it has carried, where the policy says so."""
    return tuple(tag for tag in policy.taints if tag in (given.carried or ()))


def given_world(given: GivenSpec) -> World:
    """Return the state of the world that a request meets."""
    return World(
        frozenset(given.down),
        given.in_flight,
        _latency(given.ttft_ms, given.total_ms),
        given.now or MONDAY_NOON,
        float(given.chance),
        {name: _load(said) for name, said in given.load.items()},
        tuple(_volume(said) for said in given.volume),
        None if given.break_even is None else given.break_even == "above",
        {name: pico_of(usd) for name, usd in given.spent.items()},
    )


def _load(said: GivenLoadSpec) -> GivenLoad:
    return GivenLoad(
        saturated=said.saturated,
        waiting=said.waiting,
        kv_used=None if said.kv_cache_pct is None else float(said.kv_cache_pct / 100),
        wait_s=None if said.predicted_wait_ms is None else float(said.predicted_wait_ms / 1_000),
        rate_limited=said.rate_limited,
        out=said.out,
        budget=said.budget,
        cold_s=None if said.cold is None else float(said.cold),
    )


def _volume(said: GivenVolumeSpec) -> GivenVolume:
    amounts = {}
    for rate in RATES:
        amount = getattr(said, rate)
        if amount is not None:
            measure, _, window = rate.partition("_per_")
            amounts[Measure(measure), Window(window)] = amount
    return GivenVolume(amounts, said.sustained or 0, said.of)


def _latency(
    ttft_ms: Mapping[str, PercentilesSpec], total_ms: Mapping[str, PercentilesSpec]
) -> dict[str, Latency]:
    return {
        who: Latency(_percentiles(ttft_ms.get(who)), _percentiles(total_ms.get(who)))
        for who in (*ttft_ms, *total_ms)
    }


def _percentiles(spec: PercentilesSpec | None) -> dict[int, float]:
    return {} if spec is None else percentile_values(spec)


def _expected(expect: ExpectSpec) -> Expected:
    return Expected(
        expect.route,
        expect.backend,
        expect.model,
        expect.reason,
        expect.error,
        expect.rule,
        expect.candidates or (),
        expect.never or (),
        expect.escalates_to,
    )
