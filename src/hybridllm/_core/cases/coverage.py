"""Which routes, overflows and constraints of a policy its tests touch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from hybridllm._core.cases.run import CaseResult
from hybridllm._core.decide.explain import Explanation
from hybridllm._core.decide.plan import Plan
from hybridllm._core.policy.compiled import Constraint, Policy, Route

_Touched = Route | Constraint | tuple[Route, int]
"""Of an overflow: its route, and its place there."""


@dataclass(frozen=True, slots=True)
class Covered:
    """A route, one of its overflows, or a constraint, and how many cases touch it.

    Attributes:
        kind: `route`, `overflow` or `constraint`.
        name: Of an overflow: that of its route; of the second and later ones with their number: `heavy, 2`.
        line: Of the policy file; of an overflow, that of its route.
        observe: True if it is in `mode: observe`.
        cases: Of a route: those that it decides, or would decide; of an overflow: those whose requests it
            makes leave; of a constraint: those that it fits.
    """

    kind: str
    name: str
    line: int
    observe: bool
    cases: int


@dataclass(frozen=True, slots=True)
class Coverage:
    """The routes of a policy, each with its overflows, and its constraints, in the order of the file."""

    rules: tuple[Covered, ...]

    @property
    def kinds(self) -> str:
        """What there is to cover, in words."""
        overflows = any(rule.kind == "overflow" for rule in self.rules)
        return "routes, overflows and constraints" if overflows else "routes and constraints"

    @property
    def uncovered(self) -> tuple[Covered, ...]:
        """Those that no case touches."""
        return tuple(rule for rule in self.rules if not rule.cases)

    @property
    def percent(self) -> float:
        """The share of those that a case touches, from 0 to 100."""
        return 100 * (len(self.rules) - len(self.uncovered)) / len(self.rules)

    def shortfall(self, percent_min: float) -> str:
        """Return that less is covered than is wanted, and what is not, in words."""
        names = ", ".join(f"{one.kind} {one.name!r} (line {one.line})" for one in self.uncovered)
        return (
            f"{self.percent:.4g} % of {self.kinds} are covered, and {percent_min:g} % are wanted; "
            f"no test touches {names}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        names = ("kind", "name", "line", "observe", "cases")
        return {
            "percent": round(self.percent, 1),
            "rules": [{name: getattr(rule, name) for name in names} for rule in self.rules],
        }


def coverage_of(policy: Policy, results: Iterable[CaseResult]) -> Coverage:
    """Return what the cases touch, whether they passed or not."""
    counts = Counter(touched for result in results for touched in _touched(result.explanation))
    rules = []
    for route in policy.routes:
        rules.append(Covered("route", route.name, route.line, route.observe, counts[route]))
        for place in range(len(route.overflows)):
            name = f"{route.name}, {place + 1}" if place else route.name
            cases = counts[route, place]
            rules.append(Covered("overflow", name, route.line, route.observe, cases))
    constraints = (
        Covered("constraint", one.name, one.line, one.observe, counts[one])
        for one in policy.constraints
    )
    return Coverage((*rules, *constraints))


def _touched(explanation: Explanation) -> Iterator[_Touched]:
    for considered in explanation.routes:
        if considered.failing is None:
            yield considered.route
            if considered.decides:
                yield from _overflows(explanation, considered.route)
    for constraint in explanation.constraints:
        if constraint.failing is None:
            yield constraint.constraint


def _overflows(explanation: Explanation, route: Route) -> Iterator[_Touched]:
    """Yield the overflows by which the request leaves: all that it may use of their sources are hot."""
    plan = explanation.plan
    if not isinstance(plan, Plan) or plan.left is None:
        return
    backends = {kept.candidate.backend.name for kept in plan.kept}
    for place, overflow in enumerate(route.overflows):
        sources = {(route.name, place, name) for name in overflow.sources if name in backends}
        if sources and sources <= plan.left.hot and not backends.isdisjoint(overflow.to):
            yield route, place
