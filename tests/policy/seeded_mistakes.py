"""A policy as a team would write it, and mistakes that people make in such a policy.

Each mistake is a small edit, written like a piece of a diff: lines that stay begin with a blank, lines
that go with -, lines that come with +; `...` skips to another place. A mark stands on the line where the
problem is told. The last line is a part of what is told: an error after `!`, a warning after `?`.
Without the edit the policy has no problem at all.
"""

from __future__ import annotations

from typing import NamedTuple

from policy.policy_text import place_of_mark
from policy.seeded_hybrid import HYBRID
from policy.seeded_names import NAMES
from policy.seeded_shapes import SHAPES, WHENS

KEYS = {"GLOBAL_API_KEY": "not-a-real-key"}

POLICY = """\
version: 1
environment: production
default_residency: public
tiers:
  cheap: [0, 0.15]
  middle: [0.15, 1]
  best: [1, 50]
  dear: [50, 500]
backends:
  hosted-us:
    kind: api
    base_url: https://api.example.com/v1
    api_key_env: GLOBAL_API_KEY
    region: us
    operator: third_party
    retention: 30d
  hosted-eu:
    kind: api
    base_url: https://eu.example.com/v1
    api_key_env: GLOBAL_API_KEY
    region: eu
    operator: third_party
    retention: 30d
  vllm-fra:
    kind: vllm
    base_url: https://vllm-fra.internal/v1
    region: eu
    operator: self
    retention: none
    price: free
    timeouts: {first_token: 20s}
    capacity: {usd_per_month: 1500, tokens_per_day: 50M}
    saturation: {queue_depth: 8, kv_cache_pct: 90, stale_after: 2s}
    cold_start: {takes: 15s, wake: "https://control.internal/wake", when_cold: wait}
models:
  qwen3-8b:
    on: {hosted-us: qwen3-8b, hosted-eu: qwen3-8b, vllm-fra: Qwen/Qwen3-8B}
  qwen3-32b:
    capabilities: [tools, json_schema]
    on: {hosted-us: qwen3-32b, vllm-fra: Qwen/Qwen3-32B}
  deepseek-v4-flash:
    on: {hosted-us: deepseek-v4-flash, hosted-eu: deepseek-v4-flash}
  big:
    tier: best
    context: 128K
    price: {input_per_1m: 2.50, output_per_1m: 10}
    on: {hosted-us: big-1}
  bge-m3:
    capabilities: [embeddings]
    vector_space: bge-m3
    dimensions: 1024
    on: {vllm-fra: BAAI/bge-m3}
  nomic: {capabilities: [embeddings], vector_space: nomic, dimensions: 768, on: {vllm-fra: nomic}}
residency:
  public: {}
  eu: {regions: [eu]}
  phi: {regions: [eu], operators: [self], retention: [none], taint: 30d}
tasks:
  classify: {bucket: bandwidth, timeouts: {total: 10s}}
  summarize: {bucket: judgment, slo: {ttft_ms: {p50: 400, p90: 1200}}}
  triage: {bucket: judgment, residency: phi}
buckets:
  bandwidth:
    use: [{tier: cheap}]
    max_output_price: 0.15
  judgment:
    use:
      - model: qwen3-32b
        order_by: load
    max_request_cost: 0.05
routes:
  - name: vectors
    when: {capability: embeddings}
    use: [bge-m3]
  - name: bulk
    when:
      bucket: bandwidth
      not: {tenant: internal-*}
    use: [{bucket: bandwidth}]
    fallbacks: [deepseek-v4-flash]
  - name: patients
    when: {residency: phi}
    use:
      - model: qwen3-32b
        on: [vllm-fra]
  - name: experiment
    when:
      feature: [chat, draft-*]
      any:
        - {metadata: {plan: [pro, ent-*]}}
        - {input_tokens: {gte: 8K, lt: 32K}}
    use:
      - split: {qwen3-32b: 70, deepseek-v4-flash: 30}
        sticky_by: session
  - name: nights
    when:
      time:
        from: "22:00"
        to: "06:00"
        weekdays: [mon-fri]
        zone: Europe/Berlin
    use: [qwen3-8b, qwen3-32b]
    order_by: price
    slo: {total_ms: {p50: 2000}}
  - name: heavy
    when:
      bucket: judgment
      volume: {tokens_per_day: {gte: 500M}, sustained: 90d, of: "model:qwen3-32b"}
    use: [{model: qwen3-32b, on: [vllm-fra, hosted-us]}]
    overflow:
      from: vllm-fra
      to: [hosted-us]
      when: [saturated, outage]
      queue_ms: 500
  - name: worth-it
    when: {task: summarize, break_even: {is: above, of: vllm-fra}}
    use: [{model: qwen3-8b, on: [hosted-us, vllm-fra]}]
    overflow: {from: hosted-us, to: vllm-fra, when: {budget: {usd: 50, per: day}, rate_limited: true}}
  - name: judged
    when: {bucket: judgment}
    use: [{bucket: judgment}]
    max_request_cost: 0.10
  - name: default
    use: [deepseek-v4-flash]
    fallbacks: [qwen3-8b]
constraints:
  - name: acme-in-the-eu
    when: {tenant: acme-*}
    allow: {regions: [eu], operators: [self, third_party]}
  - name: no-experiments-for-banks
    when: {metadata: {sector: bank}}
    deny: {models: [big]}
    max_output_price: 5
retries: {attempts_max: 4}
"""

RULES = """\
@@ default-tag
-default_residency: public
+default_residency: «publik
! did you mean 'public'?
@@ no-default
-default_residency: public
...
 «residency:
   public: {}
? a request without a tag may go anywhere
@@ task-tag
-  triage: {bucket: judgment, residency: phi}
+  triage: {bucket: judgment, residency: «pii}
! unknown residency tag 'pii'
@@ unknown-region
-  eu: {regions: [eu]}
+  eu: {«regions: [eu, EU-west]}
? no backend is in region 'EU-west'
@@ impossible-tag
-  phi: {regions: [eu], operators: [self], retention: [none], taint: 30d}
+  «phi: {regions: [us], operators: [self], retention: [none], taint: 30d}
? no backend that serves a model is allowed for tag 'phi'
@@ empty-tag
-  eu: {regions: [eu]}
+  eu: {regions: «[]}
! must not be empty
@@ operator
-  phi: {regions: [eu], operators: [self], retention: [none], taint: 30d}
+  phi: {regions: [eu], operators: [«us], retention: [none], taint: 30d}
! allowed: self, third_party
@@ taint
-  phi: {regions: [eu], operators: [self], retention: [none], taint: 30d}
+  phi: {regions: [eu], operators: [self], retention: [none], taint: «30}
! is neither true, false nor a duration
@@ undeclared-terms
   «hosted-eu:
     kind: api
     base_url: https://eu.example.com/v1
     api_key_env: GLOBAL_API_KEY
-    region: eu
-    operator: third_party
-    retention: 30d
? declares neither region nor operator nor retention
@@ ceiling-too-low
-    use: [deepseek-v4-flash]
+    use: [{model: deepseek-v4-flash, max_output_price: «0.10}]
! 0.10 leaves nobody to ask; the cheapest is hosted-us/deepseek-v4-flash, with 0.25 USD
@@ ceiling-too-low-for-a-bucket
-      - model: qwen3-32b
-        order_by: load
-    max_request_cost: 0.05
+      - model: deepseek-v4-flash
+        order_by: load
+    max_output_price: «0.05
! 0.05 leaves nobody to ask
@@ ceiling-of-0-on-a-route
     use: [deepseek-v4-flash]
-    fallbacks: [qwen3-8b]
+    max_request_cost: «0
! 0 leaves nobody to ask
@@ ceiling-of-a-constraint
     when: {tenant: acme-*}
-    allow: {regions: [eu], operators: [self, third_party]}
+    allow: {regions: [us]}
+    max_output_price: «0.001
! 0.001 leaves nobody to ask; the cheapest is hosted-us/qwen3-8b, with 0.01 USD
@@ price-unknown
     retention: none
-    price: free
...
-    max_output_price: 0.15
+    max_output_price: «0.15
? no price is known of vllm-fra/qwen3-8b: never asked under max_output_price; give a price
@@ no-price-under-a-ceiling
     retention: none
-    price: free
...
         on: [vllm-fra]
+        max_request_cost: «0.01
! 0.01 leaves nobody to ask; no price is known of vllm-fra/qwen3-32b
@@ constraint-twice
-  - name: no-experiments-for-banks
+  - name: «acme-in-the-eu
! constraint 'acme-in-the-eu' stands here twice
@@ constraint-of-nothing
   - name: «acme-in-the-eu
     when: {tenant: acme-*}
-    allow: {regions: [eu], operators: [self, third_party]}
! restricts nothing; it takes at least one of allow, deny, max_output_price and max_request_cost
@@ constraint-model
-    deny: {models: [big]}
+    deny: {models: [«bigg]}
! unknown model 'bigg'
@@ constraint-backend
-    deny: {models: [big]}
+    deny: {backends: [«hosted-uk]}
! did you mean 'hosted-us'?
@@ constraint-region
-    allow: {regions: [eu], operators: [self, third_party]}
+    allow: {regions: [eu, «de], operators: [self, third_party]}
? no backend is in region 'de'; regions of backends: eu, us
@@ constraint-of-nobody
   - «name: acme-in-the-eu
     when: {tenant: acme-*}
-    allow: {regions: [eu], operators: [self, third_party]}
+    allow: {regions: [us], operators: [self]}
? constraint 'acme-in-the-eu' leaves nobody
@@ allowed-and-denied
-    deny: {models: [big]}
+    allow: {models: [big, qwen3-8b]}
+    deny: {models: [«big]}
! 'big' is allowed and denied
@@ observed-residency
-    allow: {regions: [eu], operators: [self, third_party]}
+    mode: «observe
+    allow: {regions: [eu]}
! where data may go is enforced or not said
@@ constraint-ceiling
-    max_output_price: 5
+    max_output_price: «-5
! -5 is out of range
@@ dead-route
+  - name: everything
+    use: [qwen3-8b]
   - name: vectors
...
-  - name: default
+  - name: «default
? never reached
@@ shadowed-route
   - name: patients
     when: {residency: phi}
     use:
       - model: qwen3-32b
         on: [vllm-fra]
+  - name: «patients-of-acme
+    when: {residency: phi, tenant: acme-*}
+    use: [qwen3-8b]
? route 'patients-of-acme' is never reached: 'patients' (line
@@ test-of-no-route
 retries: {attempts_max: 4}
+tests:
+  - given: {task: classify}
+    expect: {route: «bluk}
! unknown route 'bluk'; known: (pinned), bulk
@@ test-that-fails
 retries: {attempts_max: 4}
+tests:
+  - name: «patients stay at home
+    given: {task: classify, residency: phi}
+    expect: {backend: hosted-us}
! the policy fails its test 'patients stay at home'
@@ empty-models
-    deny: {models: [big]}
+    allow: {models: «[]}
! must not be empty
"""


class Seed(NamedTuple):
    """One mistake.

    Attributes:
        text: The policy with the mistake in it.
        line: Where it is told.
        message: A part of what is told.
        warning: True if the policy loads all the same.
    """

    name: str
    text: str
    line: int
    message: str
    warning: bool


def seeds(diffs: str) -> list[Seed]:
    """Return the mistakes that are written like this."""
    return [_seed(diff) for diff in diffs.split("@@ ")[1:]]


def _seed(diff: str) -> Seed:
    name, *lines, told = diff.splitlines()
    text = f"\n{POLICY}"
    for hunk in "\n".join(lines).split("\n...\n"):
        old = "".join(f"\n{line[1:]}" for line in hunk.split("\n") if line[:1] != "+")
        new = "".join(f"\n{line[1:]}" for line in hunk.split("\n") if line[:1] != "-")
        old = old.replace("«", "")
        assert text.count(f"{old}\n") == 1, f"{name}: {old!r} stands {text.count(old)} times"
        text = text.replace(f"{old}\n", f"{new}\n")
    text, (line, _) = place_of_mark(text.removeprefix("\n"))
    return Seed(name, text, line, told[2:], told.startswith("?"))


SEEDS = [seed for diffs in (SHAPES, WHENS, NAMES, HYBRID, RULES) for seed in seeds(diffs)]
