"""A decision told to people: who would be asked, in which order, who not, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from hybridllm._core.decide.filters import expected_cost_usd
from hybridllm._core.decide.plan import Denied, Plan

_TOLD = (
    "task",
    "residency",
    "tenant",
    "feature",
    "model",
    "environment",
    "input_tokens_estimate",
    "output_tokens_max",
    "max_cost_usd",
)


@dataclass(frozen=True, slots=True)
class Explanation:
    """What the policy says of a request, as production would decide it now.

    Attributes:
        plan: The decision itself.
        refusals: Per place in the plan, why a breaker or a cool-off would pass it over now.
        in_flight: Requests under way per backend when it was decided.
    """

    plan: Plan | Denied
    refusals: Mapping[int, str] = field(default_factory=lambda: MappingProxyType({}))
    in_flight: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))

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

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON; amounts of money are texts."""
        plan = self.plan
        told: dict[str, Any] = {
            "allowed": self.allowed,
            "policy": plan.policy.name,
            "policy_version": plan.policy.version,
            "route": plan.route,
            "residency": list(plan.residency),
            "request": self._request(),
            "candidates": self._candidates(),
            "dropped": [
                {
                    "candidate": drop.candidate.name,
                    "reason": drop.reason.value,
                    "detail": drop.detail,
                }
                for drop in plan.dropped
            ],
        }
        if isinstance(plan, Denied):
            told |= {"rule": plan.rule, "message": plan.message}
        return told

    def __str__(self) -> str:
        plan = self.plan
        asked = ", ".join(f"{name} {value}" for name, value in self._request().items())
        if plan.residency and plan.residency != (plan.facts.residency,):
            # Of the task, or the policy's default: the request itself did not bring it.
            asked += f", under residency {' and '.join(plan.residency)}"
        lines = [f"policy {plan.policy.name} {plan.policy.version}: {asked or 'a plain request'}"]
        if isinstance(plan, Denied):
            lines.append(f"DENIED by {plan.rule}; nothing would be sent")
        else:
            lines.append(f"route {plan.route}")
            for place, kept in enumerate(plan.kept):
                refusal = self.refusals.get(place)
                mark = f"  (now passed over: {refusal})" if refusal else ""
                lines.append(f"  {place + 1}. {kept.candidate.name}  {kept.reason}{mark}")
        lines += [f"  -  {name}  {detail}" for name, detail in self.dropped]
        return "\n".join(lines)

    def _request(self) -> dict[str, Any]:
        facts = self.plan.facts
        told: dict[str, Any] = {"operation": facts.operation}
        for name in _TOLD:
            value = getattr(facts, name)
            if value not in (None, "", 0):
                told[name] = value if isinstance(value, str | int) else str(value)
        if facts.needs:
            told["needs"] = sorted(facts.needs)
        if facts.stream:
            told["stream"] = True
        return told

    def _candidates(self) -> list[dict[str, Any]]:
        if isinstance(self.plan, Denied):
            return []
        rows = []
        for place, kept in enumerate(self.plan.kept):
            candidate = kept.candidate
            price = candidate.price
            cost = expected_cost_usd(candidate, self.plan.facts)
            rows.append(
                {
                    "candidate": candidate.name,
                    "backend": candidate.backend.name,
                    "region": candidate.backend.region,
                    "model": candidate.model.name,
                    "wire_model": candidate.wire_model,
                    "fallback": kept.fallback,
                    "reason": kept.reason,
                    "passed_over": self.refusals.get(place),
                    "in_flight": self.in_flight.get(candidate.backend.name, 0),
                    "price_id": price.price_id if price else None,
                    "usd_per_mtok_in": str(price.usd_per_mtok_in) if price else None,
                    "usd_per_mtok_out": str(price.usd_per_mtok_out) if price else None,
                    "expected_cost_usd": str(cost) if cost is not None else None,
                }
            )
        return rows
