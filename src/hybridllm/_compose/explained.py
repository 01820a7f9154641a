"""What `Router.explain` does: the decision of a call, taken in the router's state or in a given one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from hybridllm._compose.namespaces import read_call
from hybridllm._core.budget.admit import NOTHING, Balance
from hybridllm._core.budget.claims import Account
from hybridllm._core.budget.foreseen import foreseen
from hybridllm._core.decide import explain
from hybridllm._core.decide.decide import decide
from hybridllm._core.decide.explain import Explanation
from hybridllm._core.decide.match import Held
from hybridllm._core.decide.plan import Plan
from hybridllm._core.decide.snapshot import Snapshot
from hybridllm._core.policy.compiled import Capability, Policy
from hybridllm._core.policy.problems import nearest
from hybridllm._core.request.read import Call, facts_of
from hybridllm._runtime.baggage import with_baggage
from hybridllm.errors import InvalidRequest

if TYPE_CHECKING:
    from hybridllm._compose.world import World
    from hybridllm._runtime.engine import Engine
    from hybridllm._runtime.volumes import Volumes

OPERATIONS = ("chat", "embeddings")


def call_to_explain(
    params: Mapping[str, Any], *, operation: str, input_tokens: int | None, needs: Iterable[str]
) -> Call:
    """Read a call whose content may be left out.

    Raises:
        InvalidRequest: If the call is wrong.
    """
    if operation not in OPERATIONS:
        raise InvalidRequest(f"operation: {operation!r} is not one of {', '.join(OPERATIONS)}")
    content: dict[str, Any] = {"messages": []} if operation == "chat" else {"input": "x"}
    call = read_call({**content, **params}, operation=operation)
    if not isinstance(call, Call):
        raise call
    if input_tokens is not None:
        call.input_tokens_estimate = call.input_tokens_total = input_tokens
    call.needs |= _capabilities(needs)
    return call


def explained_now(
    call: Call,
    policy: Policy,
    engine: Engine | None,
    volumes: Volumes | None,
    known: Mapping[Account, Balance],
    *,
    now_utc: datetime,
) -> Explanation:
    """Decide a call in the state that the router is in; `engine` None: it has not sent anything yet.

    `known` are the balances of its budgets.

    Nothing is drawn for a split with nothing to stick to: the same call is explained alike each time.
    """
    if wanted := policy.telemetry.from_baggage:
        from hybridllm._adapters.otel import in_baggage

        call = with_baggage(call, wanted, in_baggage)
    tags = () if engine is None else engine.taints.of(call.hints.session, policy)
    facts = facts_of(call, policy, tags)
    held = frozenset[Held]()
    if volumes is not None:
        held = volumes.held_now(tenant=facts.tenant, task=facts.task)
    if engine is None:
        snapshot = Snapshot(now_utc=now_utc, held=held)
        plan = decide(policy, facts, snapshot)
        if not isinstance(plan, Plan):
            return Explanation(plan, snapshot=snapshot)
        left = foreseen(plan, now_utc, lambda claim: known.get(claim.account, NOTHING))
        return Explanation(left.plan, snapshot=snapshot, budgets=left.told, exceeded=left.exceeded)
    snapshot = engine.fleet.snapshot(
        policy, now_utc=now_utc, chance=0.0, stream=call.stream, held=held
    )
    plan = decide(policy, facts, snapshot)
    # Told even where the policy does not look at it.
    snapshot = replace(snapshot, latency=engine.fleet.latencies.snapshot())
    if not isinstance(plan, Plan):
        return Explanation(plan, snapshot=snapshot)
    left = foreseen(plan, now_utc, lambda claim: known.get(claim.account, NOTHING))
    standing = engine.fleet.standings.now(left.plan.kept, stream=call.stream)
    return Explanation(
        left.plan,
        standing.refused,
        snapshot,
        frozenset(standing.gates),
        budgets=left.told,
        exceeded=left.exceeded,
    )


def explained_in(call: Call, policy: Policy, world: World, *, now_utc: datetime) -> Explanation:
    """Decide a call in a given state of the world.

    Raises:
        InvalidRequest: If it names what the policy does not have.
    """
    from hybridllm._compose.world import resolved, tags_kept

    state = resolved(world, policy, now_utc=now_utc)
    facts = facts_of(call, policy, tags_kept(world, policy))
    if world.environment is not None:
        facts = replace(facts, environment=world.environment)
    return explain.explained_in(policy, facts, state)


def _capabilities(names: Iterable[str]) -> frozenset[Capability]:
    allowed = [capability.value for capability in Capability]
    names = (names,) if isinstance(names, str) else tuple(names)
    for name in names:
        if name not in allowed:
            raise InvalidRequest(
                f"needs: {name!r} is not one of {', '.join(allowed)}{nearest(name, allowed)}"
            )
    return frozenset(Capability(name) for name in names)
