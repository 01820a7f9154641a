"""The tests of a policy file, run: for the command line, and for whoever has tests of his own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hybridllm._core.cases.coverage import Coverage, coverage_of
from hybridllm._core.cases.run import CaseResult
from hybridllm._core.policy.compiled import Policy


@dataclass(frozen=True, slots=True)
class CasesReport:
    """What came of a policy's tests.

    Attributes:
        file: The policy file, as given.
        policy: That was tested.
        results: Of each test: those of the file, then those of the file beside it.
    """

    file: str
    policy: Policy = field(repr=False)
    results: tuple[CaseResult, ...]

    @property
    def passed(self) -> bool:
        """Whether no test failed."""
        return not self.failures

    @property
    def failures(self) -> tuple[CaseResult, ...]:
        """Of the tests that failed."""
        return tuple(result for result in self.results if not result.passed)

    @property
    def coverage(self) -> Coverage:
        """Which routes, overflows and constraints the tests touch."""
        return coverage_of(self.policy, self.results)

    def assert_passed(self, *, min_coverage: float = 0) -> None:
        """Raise `AssertionError` if a test failed, or too little is covered.

        Args:
            min_coverage: Share of the policy's routes, overflows and constraints that some test must touch,
                in percent.
        """
        told = [str(result) for result in self.failures]
        coverage = self.coverage
        if coverage.percent < min_coverage:
            told.append(f"{self.file}: {coverage.shortfall(min_coverage)}")
        if told:
            raise AssertionError("\n".join(told))

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return {
            "file": self.file,
            "policy": self.policy.name,
            "policy_version": self.policy.version,
            "passed": self.passed,
            "tests": [result.to_dict() for result in self.results],
            "coverage": self.coverage.to_dict(),
        }

    def __str__(self) -> str:
        count, failed = len(self.results), len(self.failures)
        verdict = f"{count - failed} of {count} tests passed"
        return "\n".join([f"{self.file}: {verdict}", *(str(result) for result in self.failures)])


def check_cases(
    path: str | Path, *, environ: Mapping[str, str] | None = None, environment: str | None = None
) -> CasesReport:
    """Run the tests of a policy file, and of `NAME.test.yaml` beside it. Nothing is sent to anybody.

    Args:
        path: Of the policy file.
        environ: Variables for `${NAME}`. Default: this process's environment.
        environment: Goes before the `environment` that the file says. The tests run in the file's own all the
            same, if they do not say where.

    Raises:
        PolicyError: If it does not load, for another reason than a test that fails.
    """
    from hybridllm._adapters.policy_files import load_tested

    policy, _, results = load_tested(
        path, environ=environ, environment=environment, refuse_failing=False
    )
    return CasesReport(str(path), policy, results)
