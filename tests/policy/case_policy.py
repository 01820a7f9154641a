"""A policy in which every key of a test makes a difference, and how to run cases on it."""

from __future__ import annotations

import json
from typing import Any

from hybridllm._adapters.environment import Environment
from hybridllm._adapters.policy_reader import Beside, Reading, read_policy
from hybridllm._core.cases.run import CaseResult

TEXT = """\
version: 1
environment: production
default_residency: public
backends:
  us: {kind: api, base_url: "https://us.test/v1", region: us, operator: third_party, retention: 30d}
  eu: {kind: api, base_url: "https://eu.test/v1", region: eu, operator: third_party, retention: none}
  own: {kind: vllm, base_url: "https://own.test/v1", region: eu, operator: self, retention: none, price: free,
        capacity: {usd_per_month: 1500}, cold_start: {takes: 15s}}
  lab: {kind: vllm, base_url: "https://lab.test/v1", environments: [staging], price: free, region: eu}
models:
  small: {context: 8K, price: {input_per_1m: 0.1, output_per_1m: 0.2}, on: {us: s, eu: s}}
  large:
    context: 32K
    capabilities: [tools, vision]
    price: {input_per_1m: 1, output_per_1m: 4}
    on: {us: l, own: L, lab: L}
  bge: {capabilities: [embeddings], vector_space: bge, on: {own: bge}}
  ada: {capabilities: embeddings, vector_space: ada, price: {input_per_1m: 1, output_per_1m: 0}, on: {us: a}}
residency:
  public: {}
  eu: {regions: [eu]}
  phi: {regions: [eu], operators: [self], retention: [none], taint: true}
tasks:
  classify: {bucket: bandwidth}
  summarize: {bucket: judgment}
routes:
  - {name: shadow, mode: observe, when: {task: summarize}, use: [large]}
  - {name: of-acme, when: {tenant: acme-*}, use: [large]}
  - {name: of-chat, when: {feature: chat}, use: [large, small], cascade: {first: large, then: small}}
  - {name: of-tags, when: {tags: beta}, use: [large]}
  - {name: of-pro, when: {metadata: {plan: pro, seats: {gte: 100}}}, use: [large]}
  - {name: of-streams, when: {stream: true}, use: [large], slo: {ttft_ms: {p90: 800}}}
  - {name: of-nights, when: {time: {from: "22:00", to: "06:00"}}, use: [large]}
  - {name: of-staging, when: {environment: staging}, use: [{model: large, on: [lab, us]}]}
  - {name: drawn, when: {task: draw}, use: [{split: {small: 50, large: 50}}]}
  - {name: vectors, when: {capability: embeddings}, use: [bge, ada]}
  - {name: of-volume, when: {volume: {tokens_per_day: {gte: 500M}, sustained: 90d}}, use: [large]}
  - {name: of-break-even, when: {break_even: above}, use: [large]}
  - name: leaves
    when: {task: spill}
    use: [{model: large, on: [own, us]}]
    overflow: {from: own, to: us, when: [saturated, outage]}
  - {name: quick, when: {task: quick}, use: [small], slo: {total_ms: {p50: 2000}}}
  - {name: default, use: [small], fallbacks: [{model: large, on: [own, us]}]}
constraints:
  - {name: no-own-for-summaries, when: {task: summarize}, deny: {backends: [own]}}
  - {name: never-met, when: {tenant: nobody}, deny: {backends: [own]}}
"""


def reading(*cases: dict[str, Any], text: str = TEXT, beside: str | None = None) -> Reading:
    """Return what the policy with these tests comes to; tests that fail are no problem."""
    tests = f"tests: {json.dumps(list(cases))}\n" if cases else ""
    return read_policy(
        (text + tests).encode(),
        source="p.yaml",
        name="p",
        environ=Environment({}),
        environment=None,
        beside=None if beside is None else Beside("p.test.yaml", beside.encode()),
        refuse_failing=False,
    )


def result_of(given: dict[str, Any], expect: dict[str, Any]) -> CaseResult:
    """Return what comes of one test."""
    read = reading({"given": given, "expect": expect})
    assert read.policy is not None, [str(problem) for problem in read.problems]
    (result,) = read.results
    return result
