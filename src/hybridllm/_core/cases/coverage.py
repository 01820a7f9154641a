"""Which routes and constraints of a policy its tests touch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from hybridllm._core.cases.run import CaseResult
from hybridllm._core.decide.explain import Explanation
from hybridllm._core.policy.compiled import Constraint, Policy, Route


@dataclass(frozen=True, slots=True)
class Covered:
    """A route or a constraint, and how many cases touch it.

    Attributes:
        kind: `route` or `constraint`.
        line: Of the policy file.
        observe: True if it is in `mode: observe`.
        cases: Of a route: those that it decides, or would decide; of a constraint: those that it fits.
    """

    kind: str
    name: str
    line: int
    observe: bool
    cases: int


@dataclass(frozen=True, slots=True)
class Coverage:
    """The routes and constraints of a policy, in the order of the file."""

    rules: tuple[Covered, ...]

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
            f"{self.percent:.4g} % of routes and constraints are covered, and {percent_min:g} % are "
            f"wanted; no test touches {names}"
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
    rules: tuple[Route | Constraint, ...] = (*policy.routes, *policy.constraints)
    counts = dict.fromkeys(rules, 0)
    for result in results:
        for rule in _touched(result.explanation):
            counts[rule] += 1
    return Coverage(
        tuple(
            Covered(
                "route" if isinstance(rule, Route) else "constraint",
                rule.name,
                rule.line,
                rule.observe,
                cases,
            )
            for rule, cases in counts.items()
        )
    )


def _touched(explanation: Explanation) -> Iterator[Route | Constraint]:
    for route in explanation.routes:
        if route.failing is None:
            yield route.route
    for constraint in explanation.constraints:
        if constraint.failing is None:
            yield constraint.constraint
