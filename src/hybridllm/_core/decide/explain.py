"""A decision told to people: who would be asked, in which order, who not, and why.

Holds the decision and the world it was taken in; everything else is worked out when it is asked for.
How it is written lies beside it: `explain_facts.py` (JSON), `explain_tree.py` (text), `mermaid.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from hybridllm._core.decide.decide import decide
from hybridllm._core.decide.plan import Denied, Plan
from hybridllm._core.decide.snapshot import IDLE, Snapshot

if TYPE_CHECKING:
    from hybridllm._core.decide.considered import (
        ConsideredConstraint,
        ConsideredRoute,
        HeldTag,
    )
    from hybridllm._core.decide.world import Answering, World
    from hybridllm._core.policy.compiled import Policy
    from hybridllm._core.request.facts import Facts

DOWN = "down"
"""Why somebody who is down in a given world is passed over: it is asked, and does not answer."""

_NOBODY: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Explanation:
    """What the policy says of a request: as production would decide it now, or in a world that was given.

    Attributes:
        plan: The decision itself.
        refusals: Per place in the plan, why it would be passed over: a breaker, a cool-off, `down`.
        snapshot: Load, measured latency, time and chance that the decision saw.
        cooling: The places in the plan that a cool-off refuses.
        world: The state of the world that was given; None: it is the router's own, now.
        budgets: What is spent and reserved of the budgets that the request is about, in words.
        exceeded: True if they have room for nobody: it would be denied with `BudgetExceeded`.
    """

    plan: Plan | Denied
    refusals: Mapping[int, str] = field(default_factory=lambda: MappingProxyType({}))
    snapshot: Snapshot = IDLE
    cooling: frozenset[int] = _NOBODY
    world: World | None = None
    budgets: tuple[str, ...] = ()
    exceeded: bool = False

    @property
    def allowed(self) -> bool:
        """False if the policy denies the request."""
        return isinstance(self.plan, Plan)

    @property
    def route(self) -> str | None:
        """The route that decides; None if none applies."""
        return self.plan.route

    @property
    def candidates(self) -> tuple[str, ...]:
        """`backend/model` of those who may be asked, in order."""
        return self.plan.candidate_names if isinstance(self.plan, Plan) else ()

    @property
    def dropped(self) -> tuple[tuple[str, str], ...]:
        """(`backend/model`, reason in words) of those who may not."""
        return tuple((drop.candidate.name, drop.detail) for drop in self.plan.dropped)

    @property
    def rule(self) -> str | None:
        """What denies the request; None if it is allowed."""
        return self.plan.rule if isinstance(self.plan, Denied) else None

    @property
    def in_flight(self) -> Mapping[str, int]:
        """Requests under way per backend when it was decided."""
        return self.snapshot.in_flight

    @property
    def observed(self) -> tuple[str, ...]:
        """What routes and constraints in `mode: observe` would have done, in words."""
        return self.plan.observed

    @property
    def answering(self) -> Answering | None:
        """Who answers, and why that one; None if nobody does.

        In a given world, those who are down fail and the request goes on as it would. Otherwise it is
        who would be asked first now, and it is taken to answer.
        """
        if isinstance(self.plan, Denied) or self.exceeded:
            return None
        from hybridllm._core.decide.world import Answering, ending

        if self.world is not None:
            found = ending(self.plan, self.world)
            return found if isinstance(found, Answering) else None
        return self._asked_first(self.plan)

    @property
    def answer(self) -> str | None:
        """`backend/model` of who answers; None if nobody does."""
        found = self.answering
        return None if found is None else self.candidates[found.index]

    @property
    def error(self) -> str | None:
        """What is raised instead of an answer; None: there is one.

        `policy_denied`, `budget_exceeded`, `route_exhausted`, or `warming_up`: only a backend that sleeps
        could answer.
        """
        if isinstance(self.plan, Denied):
            return "policy_denied"
        if self.exceeded:
            return "budget_exceeded"
        if self.world is None:
            return "route_exhausted" if self.answering is None else None

        from hybridllm._core.decide.world import ending

        found = ending(self.plan, self.world)
        return found if isinstance(found, str) else None

    @property
    def routes(self) -> tuple[ConsideredRoute, ...]:
        """The routes that were looked at, in order, up to the one that decides."""
        from hybridllm._core.decide.considered import routes_considered

        return routes_considered(self.plan, self.snapshot)

    @property
    def constraints(self) -> tuple[ConsideredConstraint, ...]:
        """Every constraint of the policy: whether it applies, and what it did."""
        from hybridllm._core.decide.considered import constraints_considered

        return constraints_considered(self.plan, self.snapshot)

    @property
    def residency(self) -> tuple[HeldTag, ...]:
        """The residency tags that hold, each with who brought it."""
        from hybridllm._core.decide.considered import tags_held

        return tags_held(self.plan)

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON; amounts of money are texts."""
        from hybridllm._core.decide.explain_facts import explanation_dict

        return explanation_dict(self)

    def to_mermaid(self) -> str:
        """Return it as a flowchart in Mermaid's language, for a ```mermaid block of a page."""
        from hybridllm._core.decide.mermaid import flowchart

        return flowchart(self)

    def __str__(self) -> str:
        from hybridllm._core.decide.explain_tree import explanation_text

        return explanation_text(self)

    def _asked_first(self, plan: Plan) -> Answering | None:
        from hybridllm._core.decide.world import Answering
        from hybridllm._core.resilience.next_step import Call, next_step
        from hybridllm._core.resilience.standing import Standing

        step = next_step(
            kept=plan.kept,
            failures=(),
            retries_max=plan.policy.retries_max,
            attempts_max=plan.policy.attempts_max,
            remaining_s=float("inf"),
            jitter=0.0,
            standing=Standing(self.refusals, dict.fromkeys(self.cooling, float("inf"))),
            spilled=plan.spilled,
        )
        return Answering(step.index, step.reason) if isinstance(step, Call) else None


def explained_in(policy: Policy, facts: Facts, world: World) -> Explanation:
    """Return what a policy says of a request in a given world."""
    snapshot = world.snapshot(policy, facts)
    plan = decide(policy, facts, snapshot)
    if isinstance(plan, Denied):
        return Explanation(plan, snapshot=snapshot, world=world)

    from hybridllm._core.budget.admit import Balance
    from hybridllm._core.budget.foreseen import foreseen
    from hybridllm._core.decide.world import standing_in

    left = foreseen(
        plan, world.now_utc, lambda claim: Balance(world.spent.get(claim.budget.name, 0))
    )
    plan = left.plan
    standing = standing_in(plan, world)
    down = {
        place: DOWN
        for place, one in enumerate(plan.kept)
        if one.candidate.backend.name in world.down
    }
    refused = {**standing.refused, **down}
    return Explanation(
        plan,
        refused,
        snapshot,
        frozenset(standing.gates),
        world,
        budgets=left.told,
        exceeded=left.exceeded,
    )
