"""Policy files: read, checked, compiled.

Every problem of a file is told at once: the YAML's, the schema's, and names that do not fit together.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from hybridllm._adapters.book_data import shipped_book
from hybridllm._adapters.environment import environment_of
from hybridllm._adapters.yaml_document import BYTES_MAX, read_document
from hybridllm._core.policy.compile import compiled_policy
from hybridllm._core.policy.compiled import Policy
from hybridllm._core.policy.document import WHOLE_FILE, Findings
from hybridllm._core.policy.doubts import tell_doubts
from hybridllm._core.policy.problems import Problem
from hybridllm._core.policy.references import check_references
from hybridllm._core.policy.variables import with_variables
from hybridllm._core.policy.wording import validated
from hybridllm.errors import PolicyError

Loaded = tuple[Policy, tuple[Problem, ...]]


def load_policy(
    path: str | Path, *, environ: Mapping[str, str] | None = None, environment: str | None = None
) -> Loaded:
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
            return file.read(BYTES_MAX + 1)  # one more than is allowed tells that it is too large
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL in it
        reason = error.strerror if isinstance(error, OSError) else str(error)
        problem = Problem(
            source, WHOLE_FILE.line, WHOLE_FILE.column, "", f"cannot be read: {reason}"
        )
        raise PolicyError(source, (problem,)) from None


def load_policy_text(
    text: str | bytes,
    *,
    source: str = "<text>",
    name: str = "inline",
    environ: Mapping[str, str] | None = None,
    environment: str | None = None,
) -> Loaded:
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
    environ = environment_of(environ)
    data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    version = f"sha256:{hashlib.sha256(data).hexdigest()[:12]}"
    findings = Findings(source)
    root = read_document(data, findings)
    # A traceback that shows locals must not show a key that somebody wrote into the file.
    del text, data
    if root is None:
        raise PolicyError(source, findings.in_order())
    root = with_variables(root, environ, findings)
    spec = validated(root, findings)
    check_references(root, shipped_book(), findings)
    if spec is None or findings.failed:
        raise PolicyError(source, findings.in_order())
    policy = compiled_policy(
        spec, root, book=shipped_book(), name=name, version=version, environment=environment
    )
    tell_doubts(policy, root, environ, findings)
    return policy, findings.in_order()
