"""All tests of one policy: those in its file, and those in the file beside it.

A policy whose own tests fail is refused like one with a typing mistake: each failing case is a problem
at its line.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hybridllm._core.cases.case import compiled_case
from hybridllm._core.cases.names import check_names
from hybridllm._core.cases.run import CaseResult, run_case
from hybridllm._core.policy.compiled import Policy
from hybridllm._core.policy.document import Findings, Node, Path, value_place
from hybridllm._core.policy.schema_tests import CaseSpec


@dataclass(frozen=True, slots=True)
class Suite:
    """The tests of one file.

    Attributes:
        root: The file as a tree, for the lines.
        findings: Takes what is wrong with them.
    """

    specs: tuple[CaseSpec, ...]
    root: Node
    findings: Findings


def results_of(
    policy: Policy, suites: Iterable[Suite], *, environment: str, refuse: bool
) -> tuple[CaseResult, ...]:
    """Return what comes of every case; nothing if a name in one of them is wrong.

    Args:
        policy: That is tested.
        suites: Its tests, each with its own findings.
        environment: Where a case runs that does not say.
        refuse: Whether a case that fails is told as a problem.
    """
    suites = tuple(suites)
    for suite in suites:
        check_names(suite.specs, suite.root, policy, suite.findings)
    if any(suite.findings.failed for suite in suites):
        return ()
    results: list[CaseResult] = []
    for suite in suites:
        for index, spec in enumerate(suite.specs):
            if suite.findings.full:
                break  # the policy is refused, and nothing more would be told
            path: Path = ("tests", index)
            place = value_place(suite.root, path)
            case = compiled_case(
                spec,
                policy,
                environment=environment,
                file=suite.findings.source,
                place=place,
                number=index + 1,
            )
            result = run_case(policy, case)
            results.append(result)
            if refuse and not result.passed:
                message = (
                    f"the policy fails its test {case.name!r}: {result.difference()}; "
                    "`hybridllm test` shows why"
                )
                suite.findings.error(place, path, message)
    return tuple(results)
