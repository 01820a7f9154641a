"""The algebra of restrictions, over generated policies, requests and worlds: it can only shrink.

What is compared is who may be asked at all; order is another matter.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from counted import PartOf
from hybridllm._adapters.policy_files import load_policy_text
from hybridllm._core.decide.decide import decide
from hybridllm._core.decide.plan import Plan
from hybridllm._core.decide.snapshot import Latency, Snapshot
from hybridllm._core.policy.compiled import Capability, Policy
from hybridllm._core.request.facts import Facts
from hybridllm.errors import PolicyError
from runtime import generated
from runtime.generated_rules import constraint

POLICIES, REQUESTS_EACH = 900, 125


def loaded(document: dict[str, Any]) -> Policy | None:
    try:
        return load_policy_text(generated.as_text(document), environ={})[0]
    except PolicyError:  # it leaves nobody, say; other tests look at those
        return None


def facts_of(rng: Random, policy: Policy, asked: generated.Request) -> Facts:
    """The facts of a generated request, as a call would give them."""
    hints = dict(asked.hints)
    if hints.get("model") in policy.tasks:
        hints["task"] = hints.pop("model")
    needs = {Capability.TOOLS} if asked.tools else set()
    if asked.way == "embeddings":
        needs = {Capability.EMBEDDINGS}
    cost = hints.pop("max_cost_usd", None)
    return Facts(
        operation="embeddings" if asked.way == "embeddings" else "chat",
        environment=policy.environment,
        stream=asked.way == "stream",
        needs=frozenset(needs),
        tags=frozenset(hints.pop("tags", ())),
        metadata=hints.pop("metadata", {}),
        input_tokens_estimate=rng.choice((1, 20, 5_000)),
        output_tokens_max=rng.choice((None, 1, 4_000)),
        max_cost_usd=None if cost is None else Decimal(cost),
        taints=tuple(tag for tag in policy.taints if rng.random() < 0.2),
        **hints,
    )


def world(rng: Random, policy: Policy) -> Snapshot:
    """Any load, latency, hour and chance."""
    latency = {
        candidate.name: Latency({50: rng.random() * 500}, {90: rng.random() * 500})
        for served in policy.candidates.values()
        for candidate in served
        if rng.random() < 0.5
    }
    load = {name: rng.randint(0, 9) for name in policy.backends}
    now = datetime(2026, 1, 5, tzinfo=UTC) + timedelta(minutes=rng.randint(0, 10_080))
    return Snapshot(load, latency, now, rng.random())


def asked(policy: Policy, facts: Facts, snapshot: Snapshot) -> set[str]:
    """Everybody who may be asked; nobody if it is denied."""
    plan = decide(policy, facts, snapshot)
    return set(plan.candidate_names) if isinstance(plan, Plan) else set()


def reachable(policy: Policy, facts: Facts, snapshot: Snapshot) -> set[str]:
    """Everybody whom no rule forbids, on whatever route: what pins can reach."""
    free = replace(facts, max_cost_usd=None, vector_space=None)
    pins = [replace(free, model=model) for model in policy.candidates]
    return set().union(*(asked(policy, pin, snapshot) for pin in pins))


def narrowed(rng: Random, policy: Policy, facts: Facts) -> Facts:
    """The same request with one hint more that narrows."""
    spaces = [model.vector_space for model in policy.models.values() if model.vector_space]
    more = [
        {"max_cost_usd": Decimal(rng.choice(("0", "0.0001", "0.01")))},
        {"model": rng.choice(list(policy.candidates))},
        {"taints": tuple(policy.residency)},
    ]
    if Capability.EMBEDDINGS in facts.needs:
        more.append({"vector_space": rng.choice(spaces)})
    task = policy.tasks.get(facts.task or "")
    if facts.residency is None and task is not None and task.residency is not None:
        more.append({"residency": rng.choice(list(policy.residency))})
    return replace(facts, **rng.choice(more))


def compared(seed: int, tally: Counter[str]) -> None:
    rng = Random(seed)
    policy, document = generated.loaded(rng)
    more = constraint(rng, 99, list(document["backends"]), list(document["models"]))
    with_more = document | {"constraints": [*document.get("constraints", ()), more]}
    restricted = loaded(with_more)
    for _ in range(REQUESTS_EACH):
        facts = facts_of(rng, policy, generated.request(rng, document))
        snapshot = world(rng, policy)
        before = asked(policy, facts, snapshot)
        tally["compared"] += 1
        if restricted is not None:
            after = asked(restricted, facts, snapshot)
            assert after <= before
            tally["shrunk"] += after < before
        if tally["compared"] % 4 == 0:
            everybody = reachable(policy, facts, snapshot)
            assert before <= everybody
            hinted = asked(policy, narrowed(rng, policy, facts), snapshot)
            assert hinted <= everybody
            tally["narrowed"] += bool(hinted) and hinted < everybody


def test_a_constraint_never_adds_a_candidate_and_a_hint_never_widens(part_of: PartOf) -> None:
    """Over 10^5 policies x requests x worlds: with one constraint more, with one narrowing hint more.

    A tenth of them, without `--full`.
    """
    tally: Counter[str] = Counter()
    policies = part_of(POLICIES)

    @settings(max_examples=policies, database=None)
    @given(st.integers(0, 2**63))
    def run(seed: int) -> None:
        compared(seed, tally)

    run()
    assert tally["compared"] == policies * REQUESTS_EACH
    assert min(tally["shrunk"], tally["narrowed"]) > tally["compared"] / 20
