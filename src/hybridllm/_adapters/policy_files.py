"""Policy files: read, checked, compiled.

Every problem of a file is told at once: the YAML's, the schema's, and names that do not fit together.
What reads it (PyYAML, pydantic) is loaded with the first file: whoever only imports this pays nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from hybridllm._adapters.environment import environment_of
from hybridllm._core.policy.problems import Problem
from hybridllm.errors import PolicyError

if TYPE_CHECKING:
    from hybridllm._core.policy.compiled import Policy

_BYTES_READ_MAX = 2_097_152  # more than the reader takes, so that it tells of a file too large


def load_policy(
    path: str | Path, *, environ: Mapping[str, str] | None = None, environment: str | None = None
) -> tuple[Policy, tuple[Problem, ...]]:
    """Return a policy file compiled, and its warnings.

    Args:
        path: Of the file; its name without the ending becomes the policy's name.
        environ: Variables for `${NAME}` and keys. Default: those of this process.
        environment: Goes before the `environment` that the file says.

    Raises:
        PolicyError: With every problem found.
    """
    source = str(path)
    return load_policy_text(
        _content(path, source),
        source=source,
        name=Path(path).stem,
        environ=environment_of(environ),
        environment=environment,
    )


def _content(path: str | Path, source: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            return file.read(_BYTES_READ_MAX)
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL in it
        reason = error.strerror if isinstance(error, OSError) else str(error)
        problem = Problem(source, 0, 1, "", f"cannot be read: {reason}")
        raise PolicyError(source, (problem,)) from None


def load_policy_text(
    text: str | bytes,
    *,
    source: str = "<text>",
    name: str = "inline",
    environ: Mapping[str, str] | None = None,
    environment: str | None = None,
) -> tuple[Policy, tuple[Problem, ...]]:
    """Return a policy compiled from its text, and its warnings.

    Args:
        text: YAML; bytes must be UTF-8.
        source: What problems call the file.
        name: Of the policy.
        environ: Variables for `${NAME}` and keys. Default: those of this process.
        environment: Goes before the `environment` that the text says.

    Raises:
        PolicyError: With every problem found.
    """
    from hybridllm._adapters.policy_reader import read_policy

    environ = environment_of(environ)
    policy, problems = read_policy(
        text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"),
        source=source,
        name=name,
        environ=environ,
        environment=environment,
    )
    if policy is None:
        del text  # a traceback that shows locals must not show a key that somebody wrote into it
        raise PolicyError(source, problems)
    return policy, problems
