"""A case, run: by the decision and the steps that production takes, and compared with what it expects."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from hybridllm._core.cases.case import Case, Expected
from hybridllm._core.decide.explain import Explanation, explained_in
from hybridllm._core.decide.plan import Denied
from hybridllm._core.policy.compiled import Policy

DENIED = "policy_denied"
_NO_ERROR, _NOBODY = "no error", "nobody"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that a case expects, and what came.

    Attributes:
        key: Of `expect`; `error` also where none was expected, and one came.
        expected: In words, as the file writes it; so is `actual`.
    """

    key: str
    expected: str
    actual: str
    holds: bool


@dataclass(frozen=True, slots=True)
class CaseResult:
    """What came of a test of a policy.

    Attributes:
        explanation: Of the decision, as production would take it: who would be asked, who not, and why.
        checks: Each thing that the case expects, in the order of the schema.
    """

    case: Case
    explanation: Explanation = field(repr=False)
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether all that the case expects has come."""
        return all(check.holds for check in self.checks)

    @property
    def where(self) -> str:
        """`file:line` of the case."""
        return f"{self.case.file}:{self.case.line}"

    def difference(self) -> str:
        """Return what differs, in one line."""
        return "; ".join(
            f"{check.key}: expected {check.expected}, got {check.actual}"
            for check in self.checks
            if not check.holds
        )

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON; a failed case with its explanation."""
        told: dict[str, Any] = {
            "name": self.case.name,
            "file": self.case.file,
            "line": self.case.line,
            "passed": self.passed,
            "checks": [
                {"key": one.key, "expected": one.expected, "actual": one.actual, "holds": one.holds}
                for one in self.checks
            ],
        }
        return told if self.passed else told | {"explanation": self.explanation.to_dict()}

    def __str__(self) -> str:
        if self.passed:
            return f"{self.where}: {self.case.name}: passed"
        lines = [f"{self.where}: {self.case.name}: FAILED"]
        for check in self.checks:
            sign = "=" if check.holds else "≠"
            lines.append(f"  {check.key}: expected {check.expected} {sign} got {check.actual}")
        lines += [f"  {line}" for line in str(self.explanation).splitlines()]
        return "\n".join(lines)


def run_case(policy: Policy, case: Case) -> CaseResult:
    """Return what comes of a case."""
    explanation = explained_in(policy, case.facts, case.world)
    return CaseResult(case, explanation, tuple(_checks(case.expected, _Outcome.of(explanation))))


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What came, under the keys of `expect`."""

    route: str | None
    backend: str | None
    model: str | None
    reason: str | None
    error: str | None
    rule: str | None
    candidates: tuple[str, ...]
    escalates_to: str | None = None

    @classmethod
    def of(cls, explanation: Explanation) -> _Outcome:
        plan, answers = explanation.plan, explanation.answering
        if isinstance(plan, Denied):
            return cls(plan.route, None, None, None, DENIED, plan.rule, ())
        names = plan.candidate_names
        if answers is None:
            return cls(plan.route, None, None, None, explanation.error, None, names)
        one = plan.kept[answers.index].candidate
        reason, cascade = answers.reason.value, plan.cascade
        then = cascade.then if cascade is not None and cascade.first == one.model.name else None
        return cls(plan.route, one.backend.name, one.model.name, reason, None, None, names, then)


def _checks(expected: Expected, came: _Outcome) -> Iterator[Check]:
    if expected.route is not None:
        yield _check("route", expected.route, came.route, absent="none")
    for key in ("backend", "model", "reason", "escalates_to"):
        wanted = getattr(expected, key)
        if wanted is not None:
            yield _check(key, wanted, getattr(came, key), absent=_NOBODY)
    if expected.error is not None and expected.error == came.error:
        yield Check("error", expected.error, expected.error, holds=True)
    elif expected.error is not None or _unexpected(expected, came):
        yield Check("error", expected.error or _NO_ERROR, _error(came), holds=False)
    if expected.rule is not None:
        yield _check("rule", expected.rule, came.rule, absent="no denial")
    if expected.candidates:
        holds = expected.candidates == came.candidates
        yield Check("candidates", _listed(expected.candidates), _listed(came.candidates), holds)
    if expected.never:
        there = [one for one in came.candidates if one.partition("/")[0] in expected.never]
        yield Check("never", _listed(expected.never), _listed(there), holds=not there)


def _unexpected(expected: Expected, came: _Outcome) -> bool:
    """Whether an error came that the case does not speak of, and that its expectations exclude.

    Where every backend is down, the route and the candidates are what they are. A case that only says who
    is never asked is content with a denial.
    """
    if expected.rule is not None or came.error is None:
        return False
    answer = expected.backend or expected.model or expected.reason or expected.escalates_to
    if came.error != DENIED:
        return bool(answer)
    return bool(answer or expected.route or expected.candidates)


def _error(came: _Outcome) -> str:
    if came.error is None:
        return _NO_ERROR
    return came.error if came.rule is None else f"{came.error} ({came.rule})"


def _check(key: str, expected: str, actual: str | None, *, absent: str) -> Check:
    return Check(key, expected, actual if actual is not None else absent, expected == actual)


def _listed(names: tuple[str, ...] | list[str]) -> str:
    return ", ".join(names) or _NOBODY
