"""What there is to say about a policy file without running it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from hybridllm._core.policy.compiled import Policy
from hybridllm._core.policy.problems import Problem
from hybridllm._runtime.wall_clock import utc_now
from hybridllm.errors import PolicyError

if TYPE_CHECKING:
    from hybridllm._core.cases.run import CaseResult
    from hybridllm._core.proof.diff import PolicyDiff
    from hybridllm._core.proof.matrix import ReachMatrix


@dataclass(frozen=True, slots=True)
class PolicyReport:
    """A policy file that loads, and what is doubtful about it.

    Attributes:
        policy: Compiled; `Router(policy)` runs it.
        problems: Warnings, in the order of the file.
        results: Of its tests; all of them passed.
        checked_at: When it was loaded, in UTC; None if nobody looked at a clock.
    """

    policy: Policy
    problems: tuple[Problem, ...]
    results: tuple[CaseResult, ...] = ()
    checked_at: datetime | None = None
    _found: list[ReachMatrix] = field(default_factory=list, init=False, repr=False, compare=False)

    @property
    def matrix(self) -> ReachMatrix:
        """Which backends every residency tag can reach, by which routes; worked out when first asked for.

        Raises:
            PolicyError: If the proof fails, which is a mistake in this package and not in the policy.
        """
        if not self._found:
            from hybridllm._core.proof.fold import matrix_of

            with _proven(self.policy.name):
                self._found.append(matrix_of(self.policy))
        return self._found[0]


def check(
    path: str | Path, *, environ: Mapping[str, str] | None = None, environment: str | None = None
) -> PolicyReport:
    """Load a policy file and tell what is doubtful about it.

    Args:
        path: Of the file.
        environ: Variables for `${NAME}`. Default: this process's environment.
        environment: Goes before the `environment` that the file says.

    Raises:
        PolicyError: With every problem, if it does not load; a test of its own that fails is one.
    """
    from hybridllm._adapters.policy_files import load_tested

    policy, problems, results = load_tested(path, environ=environ, environment=environment)
    return PolicyReport(policy, problems, results, utc_now())


def diff(
    old: str | Path,
    new: str | Path,
    *,
    environ: Mapping[str, str] | None = None,
    environment: str | None = None,
) -> PolicyDiff:
    """Compare two policy files: which requests go another way, and what each residency tag gains and loses.

    Args:
        old: The one file.
        new: The other.
        environ: Variables for `${NAME}`. Default: this process's environment.
        environment: Goes before the `environment` that the files say.

    Raises:
        PolicyError: With every problem, if one of them does not load.
    """
    from hybridllm._core.proof.diff import diff_of

    before, after = (check(path, environ=environ, environment=environment) for path in (old, new))
    with _proven(after.policy.name):
        return diff_of(before.policy, after.policy)


@contextmanager
def _proven(policy: str) -> Iterator[None]:
    """Tell a proof that fails as what keeps a policy from being used."""
    from hybridllm._core.proof.reach import Disagreement

    try:
        yield
    except Disagreement as error:
        message = (
            f"the proof of this policy failed: {error}; this is a mistake in hybridllm, not in the policy; "
            "please report it"
        )
        raise PolicyError(policy, (Problem(policy, 0, 1, "", message),)) from error
