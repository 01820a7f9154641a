"""What there is to say about a policy file without running it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hybridllm._core.policy.compiled import Policy
from hybridllm._core.policy.problems import Problem

if TYPE_CHECKING:
    from hybridllm._core.cases.run import CaseResult


@dataclass(frozen=True, slots=True)
class PolicyReport:
    """A policy file that loads, and what is doubtful about it.

    Attributes:
        policy: Compiled; `Router(policy)` runs it.
        problems: Warnings, in the order of the file.
        results: Of its tests; all of them passed.
    """

    policy: Policy
    problems: tuple[Problem, ...]
    results: tuple[CaseResult, ...] = ()


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
    return PolicyReport(policy, problems, results)
