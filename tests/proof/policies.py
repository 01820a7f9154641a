"""A small policy to prove things about, and ways to change it."""

from __future__ import annotations

import json
from typing import Any

from hybridllm._adapters.policy_files import load_policy_text
from hybridllm._core.policy.compiled import Policy
from hybridllm._core.policy.problems import Problem

BASE = """\
version: 1
environment: production
default_residency: public
backends:
  us: {kind: api, base_url: https://us.test/v1, region: us, operator: third_party, price: free}
  eu: {kind: api, base_url: https://eu.test/v1, region: eu, operator: third_party, price: free}
  own: {kind: vllm, base_url: https://own.test/v1, region: eu, operator: self, retention: none, price: free}
models:
  small: {context: 8K, capabilities: [tools], on: {us: s, eu: s, own: s}}
  large: {context: 32K, capabilities: [tools, vision], on: {us: l, eu: l}}
residency:
  public: {}
  eu: {regions: [eu]}
  phi: {regions: [eu], operators: [self]}
tasks:
  classify: {bucket: bandwidth}
  review: {bucket: judgment}
routes:
  - {name: cheap, when: {task: classify}, use: [small]}
  - {name: default, use: [small], fallbacks: [large]}
"""


def policy(**sections: Any) -> Policy:
    """The policy with sections of its file put in place of its own; a text is YAML."""
    return load_policy_text(text(**sections), environ={})[0]


def warnings(**sections: Any) -> tuple[Problem, ...]:
    """What is told of the policy with sections put in place of its own."""
    return load_policy_text(text(**sections), source="p.yaml", environ={})[1]


def text(**sections: Any) -> str:
    """The file with sections put in place of its own; one that is None is left out."""
    parts: dict[str, str] = {}
    for line in BASE.splitlines(keepends=True):
        name = line.partition(":")[0] if line[0] not in " -" else [*parts][-1]
        parts[name] = parts.get(name, "") + line
    for section, content in sections.items():
        inside = content if isinstance(content, str) else json.dumps(content)
        parts[section] = f"{section}:\n" + "".join(f"  {line}\n" for line in inside.splitlines())
        if content is None:
            del parts[section]
    return "".join(parts.values())
