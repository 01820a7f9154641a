"""What there is to say about a policy file without running it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hybridllm._core.policy.compiled import Policy
from hybridllm._core.policy.problems import Problem


@dataclass(frozen=True, slots=True)
class PolicyReport:
    """A policy file that loads, and what is doubtful about it.

    Attributes:
        policy: Compiled; `Router(policy)` runs it.
        problems: Warnings, in the order of the file.
    """

    policy: Policy
    problems: tuple[Problem, ...]


def check(
    path: str | Path, *, environ: Mapping[str, str] | None = None, environment: str | None = None
) -> PolicyReport:
    """Load a policy file and tell what is doubtful about it.

    Args:
        path: Of the file.
        environ: Variables for `${NAME}`. Default: this process's environment.
        environment: Goes before the `environment` that the file says.

    Raises:
        PolicyError: With every problem, if it does not load.
    """
    from hybridllm._adapters.policy_files import load_policy

    policy, problems = load_policy(path, environ=environ, environment=environment)
    return PolicyReport(policy, problems)
