"""A copy of a request, begun: decided under the same rules, and under every tag of its original."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from hybridllm._core.decide.decide import decide
from hybridllm._core.decide.plan import Denied, Plan
from hybridllm._core.policy.timeouts import total_s
from hybridllm._core.request.read import Call, facts_of
from hybridllm._runtime.fleet import Fleet
from hybridllm._runtime.listeners import Listeners
from hybridllm._runtime.ports import Clock
from hybridllm._runtime.request_id import RequestIds
from hybridllm._runtime.run import Run
from hybridllm._runtime.stay import Passage


def begun_copy(
    call: Call,
    plan: Plan,
    original: str,
    *,
    fleet: Fleet,
    clock: Clock,
    draw: Callable[[], float],
    passage: Passage,
    listeners: Listeners,
    ids: RequestIds,
) -> Run | None:
    """Return the run of a copy; None: the policy leaves nobody to ask.

    Args:
        call: The copy's, with its model pinned.
        plan: The original's; the copy keeps its policy and its tags.
        original: The original's request id.
        fleet: What is known of the backends.
        clock: Time.
        draw: A number in [0, 1], drawn anew at each call.
        passage: Through the router, of the copy's own task.
        listeners: Who hears of it.
        ids: Makes its id.
    """
    started_s, started_at = clock.monotonic_s(), clock.utc_now()
    snapshot = fleet.snapshot(plan.policy, now_utc=started_at, chance=draw(), two_of=draw())
    decision = decide(plan.policy, facts_of(call, plan.policy, plan.residency), snapshot)
    if isinstance(decision, Denied):
        return None
    asked = {one.candidate.name for one in plan.kept if one.candidate.model.name == call.model}
    if asked:  # where the route itself names backends of the model, no others get a copy
        kept = tuple([one for one in decision.kept if one.candidate.name in asked])
        decision = replace(decision, kept=kept)
    if not decision.kept:
        return None
    request_id, limit_s = ids.new(started_at), total_s(decision.task)
    return Run(
        request_id,
        call,
        decision,
        started_at,
        started_s,
        limit_s,
        started_s + limit_s,
        passage,
        listeners.traced(decision, request_id, call),
        ledger=listeners.ledger,
        shadow_of=original,
        metrics=listeners.metered,
    )
