"""From the bytes of a policy file to the policy, through every check there is.

Loads PyYAML and pydantic, which is why `policy_files.py` loads this with the first file only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from hybridllm._adapters.book_data import shipped_book
from hybridllm._adapters.environment import Environment
from hybridllm._adapters.outside_checks import outside_checks
from hybridllm._adapters.yaml_document import read_document
from hybridllm._core.cases.run import CaseResult
from hybridllm._core.cases.suite import Suite, results_of
from hybridllm._core.policy.compile import compiled_policy
from hybridllm._core.policy.compiled import Policy
from hybridllm._core.policy.document import WHOLE_FILE, Findings, Scalar
from hybridllm._core.policy.doubts import tell_doubts
from hybridllm._core.policy.problems import Problem
from hybridllm._core.policy.references import check_references
from hybridllm._core.policy.variables import with_variables
from hybridllm._core.policy.wording import validated, validated_tests
from hybridllm._core.proof.doubts import denied_on_purpose, tell_proof


class Beside(NamedTuple):
    """The file of tests that lies beside a policy."""

    source: str
    data: bytes


class Reading(NamedTuple):
    """What a policy file came to.

    Attributes:
        policy: None: there is an error among the problems.
        problems: In the order of the file; after them those of the file beside it.
        results: Of the policy's tests.
    """

    policy: Policy | None
    problems: tuple[Problem, ...]
    results: tuple[CaseResult, ...] = ()


def read_policy(
    data: bytes,
    *,
    source: str,
    name: str,
    environ: Environment,
    environment: str | None,
    beside: Beside | None = None,
    refuse_failing: bool = True,
) -> Reading:
    """Return the policy, if it is one, and every problem found; and what came of its tests.

    Raises nothing for what is wrong with the file: the frames of an exception hold the text, and an
    error tracker that prints locals would print a key that somebody wrote into it.

    Args:
        data: The file.
        source: What problems call it.
        name: Of the policy.
        environ: Variables for `${NAME}` and keys.
        environment: Goes before the file's own.
        beside: The file of tests beside it, if there is one.
        refuse_failing: Whether a test that fails is an error of the policy.
    """
    findings = Findings(source)
    tests = _read_tests(beside, environ) if beside is not None else None
    policy, results = _read(
        data, findings, tests, name, environ, environment, refuse_failing=refuse_failing
    )
    problems = findings.in_order()
    failed = findings.failed
    if tests is not None:
        problems += tests.findings.in_order()
        failed = failed or tests.findings.failed
    return Reading(None if failed else policy, problems, results)


def _read_tests(beside: Beside, environ: Environment) -> Suite:
    findings = Findings(beside.source)
    root = read_document(beside.data, findings)
    if root is None:
        return Suite((), Scalar(None, WHOLE_FILE, ""), findings)
    root = with_variables(root, environ, findings)
    return Suite(validated_tests(root, findings), root, findings)


def _read(
    data: bytes,
    findings: Findings,
    tests: Suite | None,
    name: str,
    environ: Environment,
    environment: str | None,
    *,
    refuse_failing: bool,
) -> tuple[Policy | None, tuple[CaseResult, ...]]:
    root = read_document(data, findings)
    if root is None:
        return None, ()
    asked = _Asked(environ)
    root = with_variables(root, asked, findings)
    spec = validated(root, findings)
    book = shipped_book()
    check_references(root, book, findings)
    if spec is None:
        return None, ()
    checks = outside_checks(spec, root, findings)
    if findings.failed:
        return None, ()
    policy = compiled_policy(
        spec,
        root,
        book=book,
        name=name,
        version=_version(data, asked, environment),
        environment=environment,
        checks=checks,
    )
    tell_doubts(policy, spec, root, environ, findings)
    suites = (Suite(spec.tests, root, findings), *(() if tests is None else (tests,)))
    results = results_of(policy, suites, environment=spec.environment or "", refuse=refuse_failing)
    if not findings.full:  # of its warnings nobody would read
        tell_proof(policy, root, findings, meant=denied_on_purpose(results))
    return policy, results


class _Asked(Mapping[str, str]):
    """An environment that notes what the file's `${NAME}`s asked it for."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.values_of: dict[str, str | None] = {}

    def __getitem__(self, name: str) -> str:
        self.values_of[name] = self._environ.get(name)
        return self._environ[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._environ)

    def __len__(self) -> int:
        return len(self._environ)

    def __repr__(self) -> str:
        return f"_Asked({len(self.values_of)} variables)"


def _version(data: bytes, asked: _Asked, environment: str | None) -> str:
    """Return the digest of all that a policy was made of: two that differ never share one.

    Of a file without variables, loaded as it says, it is the digest of its bytes.
    """
    digest = hashlib.sha256(data)
    if asked.values_of or environment is not None:
        digest.update(repr((sorted(asked.values_of.items()), environment)).encode())
    return f"sha256:{digest.hexdigest()[:12]}"
