"""Policy files: read, checked, compiled, tested.

Every problem of a file is told at once: the YAML's, the schema's, names that do not fit together, and
tests of its own that fail. The tests of `NAME.yaml` may also lie in `NAME.test.yaml` beside it.
What reads it (PyYAML, pydantic) is loaded with the first file: whoever only imports this pays nothing.
"""

from __future__ import annotations

import os.path
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from hybridllm._adapters.environment import environment_of
from hybridllm._core.policy.problems import Problem
from hybridllm.errors import PolicyError

if TYPE_CHECKING:
    from hybridllm._adapters.policy_reader import Reading
    from hybridllm._core.cases.run import CaseResult
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
    environ = environment_of(environ)  # a traceback that shows locals must not show a key
    policy, problems, _ = load_tested(path, environ=environ, environment=environment)
    return policy, problems


def load_tested(
    path: str | Path,
    *,
    environ: Mapping[str, str] | None = None,
    environment: str | None = None,
    refuse_failing: bool = True,
) -> tuple[Policy, tuple[Problem, ...], tuple[CaseResult, ...]]:
    """Return a policy file compiled, its warnings, and what came of its tests; see `load_policy`.

    Args:
        path: Of the file.
        environ: Variables for `${NAME}` and keys.
        environment: Goes before the `environment` that the file says.
        refuse_failing: Whether a test that fails is a problem of the policy.

    Raises:
        PolicyError: With every problem found.
    """
    environ = environment_of(environ)
    reading = _read_file(path, environ, environment, refuse_failing=refuse_failing)
    return _policy_of(reading, str(path)), reading.problems, reading.results


def load_policy_text(
    text: str | bytes,
    *,
    source: str = "<text>",
    name: str = "inline",
    environ: Mapping[str, str] | None = None,
    environment: str | None = None,
    tests: bytes | None = None,
    tests_source: str = "<tests>",
) -> tuple[Policy, tuple[Problem, ...]]:
    """Return a policy compiled from its text, and its warnings.

    Args:
        text: YAML; bytes must be UTF-8.
        source: What problems call the file.
        name: Of the policy.
        environ: Variables for `${NAME}` and keys. Default: those of this process.
        environment: Goes before the `environment` that the text says.
        tests: Of the file of tests beside it, if there is one.
        tests_source: What problems call that.

    Raises:
        PolicyError: With every problem found.
    """
    environ = environment_of(environ)
    beside = None if tests is None else (tests_source, tests)
    reading = _read(text, beside, source, name, environ, environment, refuse_failing=True)
    del text, tests, beside  # a traceback that shows locals must not show a key written into them
    return _policy_of(reading, source), reading.problems


def tests_path(path: str | Path) -> Path:
    """Return where the tests of a policy file lie, if not in the file itself."""
    ending = ".yml" if Path(path).suffix == ".yml" else ".yaml"
    return Path(path).parent / f"{Path(path).stem}.test{ending}"


def _policy_of(reading: Reading, source: str) -> Policy:
    if reading.policy is None:
        raise PolicyError(source, reading.problems)
    return reading.policy


def _read_file(
    path: str | Path,
    environ: Mapping[str, str] | None,
    environment: str | None,
    *,
    refuse_failing: bool,
) -> Reading:
    source, name = str(path), Path(path).stem
    data = content(path, source)
    tests = tests_path(path)
    try:
        beside = (str(tests), content(tests, str(tests))) if os.path.lexists(tests) else None
    except PolicyError:
        del data  # as above
        raise
    return _read(data, beside, source, name, environ, environment, refuse_failing=refuse_failing)


def _read(
    text: str | bytes,
    beside: tuple[str, bytes] | None,
    source: str,
    name: str,
    environ: Mapping[str, str] | None,
    environment: str | None,
    *,
    refuse_failing: bool,
) -> Reading:
    from hybridllm._adapters.policy_reader import Beside, read_policy

    return read_policy(
        text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"),
        source=source,
        name=name,
        environ=environment_of(environ),
        environment=environment,
        beside=None if beside is None else Beside(*beside),
        refuse_failing=refuse_failing,
    )


def content(path: str | Path, source: str) -> bytes:
    """Return the bytes of a file; `source` is what a problem calls it.

    Raises:
        PolicyError: If it cannot be read.
    """
    try:
        with Path(path).open("rb") as file:
            return file.read(_BYTES_READ_MAX)
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL in it
        reason = error.strerror if isinstance(error, OSError) else str(error)
        problem = Problem(source, 0, 1, "", f"cannot be read: {reason}")
        raise PolicyError(source, (problem,)) from None
