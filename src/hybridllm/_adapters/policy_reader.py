"""From the bytes of a policy file to the policy, through every check there is.

Loads PyYAML and pydantic, which is why `policy_files.py` loads this with the first file only.
"""

from __future__ import annotations

import hashlib

from hybridllm._adapters.book_data import shipped_book
from hybridllm._adapters.environment import Environment
from hybridllm._adapters.yaml_document import read_document
from hybridllm._core.policy.compile import compiled_policy
from hybridllm._core.policy.compiled import Policy
from hybridllm._core.policy.document import Findings
from hybridllm._core.policy.doubts import tell_doubts
from hybridllm._core.policy.problems import Problem
from hybridllm._core.policy.references import check_references
from hybridllm._core.policy.variables import with_variables
from hybridllm._core.policy.wording import validated


def read_policy(
    data: bytes, *, source: str, name: str, environ: Environment, environment: str | None
) -> tuple[Policy | None, tuple[Problem, ...]]:
    """Return the policy, if it is one, and every problem found, in the order of the file.

    Raises nothing for what is wrong with the file: the frames of an exception hold the text, and an
    error tracker that prints locals would print a key that somebody wrote into it.
    """
    findings = Findings(source)
    root = read_document(data, findings)
    if root is None:
        return None, findings.in_order()
    root = with_variables(root, environ, findings)
    spec = validated(root, findings)
    book = shipped_book()
    check_references(root, book, findings)
    if spec is None or findings.failed:
        return None, findings.in_order()
    policy = compiled_policy(
        spec,
        root,
        book=book,
        name=name,
        version=f"sha256:{hashlib.sha256(data).hexdigest()[:12]}",
        environment=environment,
    )
    tell_doubts(policy, root, environ, findings)
    return policy, findings.in_order()
