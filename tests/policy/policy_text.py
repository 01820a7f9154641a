"""A small, good policy, and ways to make it wrong in one place."""

from __future__ import annotations

from hybridllm._adapters.policy_files import load_policy_text
from hybridllm._core.policy.compiled import Policy
from hybridllm._core.policy.problems import Problem
from hybridllm.errors import PolicyError

GOOD = """\
version: 1
environment: production
default_residency: public
backends:
  hosted-us: {kind: api, base_url: https://api.example.com/v1, region: us, operator: third_party}
  hosted-eu: {kind: api, base_url: https://eu.example.com/v1, region: eu, operator: third_party}
  own-eu:
    kind: vllm
    base_url: https://vllm.internal/v1
    region: eu
    operator: self
    retention: none
    price: free
models:
  qwen3-8b: {on: {hosted-us: qwen3-8b, hosted-eu: qwen3-8b}}
  qwen3-32b:
    capabilities: [tools, json_schema]
    on: {hosted-us: qwen3-32b, own-eu: Qwen/Qwen3-32B}
residency:
  public: {}
  eu: {regions: [eu]}
  phi: {regions: [eu], operators: [self], retention: [none]}
tasks:
  classify: {bucket: bandwidth, timeouts: {total: 10s}}
routes:
  - name: cheap
    when: {task: [classify, extract]}
    use: [qwen3-8b]
    fallbacks: [qwen3-32b]
  - name: default
    use: [{model: qwen3-32b, on: [own-eu, hosted-us]}]
"""

MARK = "«"
"""Stands in a changed text where its problem is to be told."""


def changed(old: str, new: str) -> str:
    """Return the good policy with one piece of it replaced."""
    assert GOOD.count(old) == 1, f"{old!r} stands {GOOD.count(old)} times in the good policy"
    return GOOD.replace(old, new)


def place_of_mark(text: str) -> tuple[str, tuple[int, int]]:
    """Return the text without its mark, and the line and column where it stood."""
    before, _, after = text.partition(MARK)
    return before + after, (before.count("\n") + 1, len(before.rpartition("\n")[2]) + 1)


def load(text: str | bytes, **environ: str) -> Policy:
    """Return the policy."""
    return load_policy_text(text, source="p.yaml", environ=environ)[0]


def problems_of(text: str | bytes, **environ: str) -> tuple[Problem, ...]:
    """Return what is wrong with a policy; nothing if nothing is."""
    try:
        load_policy_text(text, source="p.yaml", environ=environ)
    except PolicyError as error:
        return error.problems
    return ()


def warnings_of(text: str, **environ: str) -> tuple[Problem, ...]:
    """Return what is doubtful in a policy that loads."""
    _, problems = load_policy_text(text, source="p.yaml", environ=environ)
    assert all(problem.warning for problem in problems)
    return problems
