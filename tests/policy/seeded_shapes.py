"""Mistakes of shape, and under `when`, as `seeded_mistakes.py` writes them."""

from __future__ import annotations

SHAPES = """\
@@ version
-version: 1
+«version: 2
! 2 is not allowed here; allowed: 1
@@ key-typo
-    region: us
+    «regoin: us
! did you mean 'region'?
@@ section-typo
-residency:
+«residencies:
! did you mean 'residency'?
@@ tab
-  phi: {regions: [eu], operators: [self], retention: [none], taint: 30d}
+«\tphi: {regions: [eu], operators: [self], retention: [none], taint: 30d}
! a tab; YAML is indented with spaces
@@ indentation
-    operator: self
+«   operator: self
! not valid YAML
@@ unclosed
-    use: [bge-m3]
+    use: «[bge-m3
! not valid YAML: what begins here does not end
@@ key-twice
     retention: none
+    «region: us
! key 'region' stands here twice
@@ alias
-    use: [bge-m3]
+    use: «*models
! alias *models is not allowed
@@ kind
-    kind: vllm
+    kind: «vlm
! did you mean 'vllm'?
@@ missing-kind
-  vllm-fra:
-    kind: vllm
+  «vllm-fra:
! key 'kind' is missing
@@ http
-    base_url: https://vllm-fra.internal/v1
+    base_url: «http://vllm-fra.internal/v1
! plain text
@@ unit
-    timeouts: {first_token: 20s}
+    timeouts: {first_token: «20}
! 20 is not a duration with its unit
@@ retention
-    retention: none
+    retention: «30
! 30 is not a time that data is kept
@@ price-comma
-    price: {input_per_1m: 2.50, output_per_1m: 10}
+    price: {input_per_1m: 2.50, output_per_1m: «"10,5"}
! '10,5' is not an amount of USD
@@ negative-price
-    price: {input_per_1m: 2.50, output_per_1m: 10}
+    price: {input_per_1m: «-2.50, output_per_1m: 10}
! -2.50 is out of range
@@ half-a-price
-    price: {input_per_1m: 2.50, output_per_1m: 10}
+    price: «{input_per_1m: 2.50}
! 'output_per_1m' is missing
@@ context
-    context: 128K
+    context: «128k tokens
! is not a number of tokens; write 32K
@@ capability
-    capabilities: [tools, json_schema]
+    capabilities: [tools, «json]
! 'json' is not allowed here; allowed: tools
@@ key-held
     base_url: https://api.example.com/v1
-    api_key_env: GLOBAL_API_KEY
+    «api_key: 3f9a
! a policy never holds a key
@@ key-pasted
     base_url: https://api.example.com/v1
-    api_key_env: GLOBAL_API_KEY
+    api_key_env: «0b1c2d3e4f50
! this value (not shown) is not the NAME of an environment variable
@@ credentials-in-url
-    base_url: https://eu.example.com/v1
+    base_url: «https://joe:hunter2@eu.example.com/v1
! no user name or password
@@ band
-  middle: [0.15, 1]
+  middle: «[1, 0.15]
! is not a band of prices
@@ attempts
-retries: {attempts_max: 4}
+retries: {attempts_max: «0}
! 0 is out of range: from 1 to 50
@@ not-yet
+«limits: {}
 constraints:
! 'limits' is not supported yet
@@ variable
-    base_url: https://eu.example.com/v1
+    base_url: «${EU_URL}
! 'EU_URL' is not set
"""

WHENS = """\
@@ condition-typo
-    when: {residency: phi}
+    when: {«residancy: phi}
! did you mean 'residency'?
@@ deep-typo
-      not: {tenant: internal-*}
+      not: {«tenent: internal-*}
! did you mean 'tenant'?
@@ typo-in-any
-        - {metadata: {plan: [pro, ent-*]}}
+        - {«metdata: {plan: [pro, ent-*]}}
! did you mean 'metadata'?
@@ reserved
-    when: {bucket: judgment}
+    when: {«budget: {usd_per_month: {gte: 500}}}
! 'budget' is not supported yet
@@ reserved-load
-    when: {bucket: judgment}
+    when: {«load: {vllm-fra: high}}
! 'load' is not supported yet
@@ tag-in-not
-      not: {tenant: internal-*}
+      not: {residency: «phy}
! unknown residency tag 'phy'; known: eu, phi, public; did you mean 'phi'?
@@ tag-glob
-    when: {residency: phi}
+    when: {residency: «"ph-*"}
! unknown residency tag 'ph-*'
@@ bucket-in-when
-      bucket: bandwidth
+      bucket: «bandwith
! did you mean 'bandwidth'?
@@ capability-in-when
-    when: {capability: embeddings}
+    when: {capability: «embedding}
! unknown capability 'embedding'; known: audio
@@ task-typo
-    when: {bucket: judgment}
+    when: {task: «sumarize}
? did you mean 'summarize'?
@@ empty-bucket
-    when: {bucket: judgment}
+    when: {bucket: «flagship}
? no task is in bucket 'flagship'
@@ bounds
-        - {input_tokens: {gte: 8K, lt: 32K}}
+        - {input_tokens: {«gte: 32K, lt: 8K}}
! its bounds exclude each other
@@ no-bound
-        - {input_tokens: {gte: 8K, lt: 32K}}
+        - {«input_tokens: {}}
! has no bound
@@ bound-typo
-        - {input_tokens: {gte: 8K, lt: 32K}}
+        - {input_tokens: {«ge: 8K, lt: 32K}}
! unknown key 'ge'; allowed: gte, gt, lte, lt
@@ bound-is-no-number
-        - {input_tokens: {gte: 8K, lt: 32K}}
+        - {input_tokens: {gte: «much, lt: 32K}}
! 'much' is not a number
@@ metadata-mapping
-        - {metadata: {plan: [pro, ent-*]}}
+        - {metadata: {plan: {«names: [pro]}}}
! unknown key 'names'; allowed: gte
@@ metadata-list
-        - {metadata: {plan: [pro, ent-*]}}
+        - {metadata: {plan: [pro, «[ent]]}}
! is not a name or a pattern
@@ any-is-no-list
-      any:
-        - {metadata: {plan: [pro, ent-*]}}
-        - {input_tokens: {gte: 8K, lt: 32K}}
+      any: «{tags: beta}
! a mapping must be a list
@@ holds-always
-        - {metadata: {plan: [pro, ent-*]}}
+        - «{}
! has no condition
@@ clock
-        from: "22:00"
+        from: «22
! 22 is not a time of day
@@ late-window
-        from: "22:00"
+        from: «"24:00"
! where no window begins
@@ no-window
       «time:
         from: "22:00"
-        to: "06:00"
+        to: "22:00"
! a window without length
@@ weekday
-        weekdays: [mon-fri]
+        weekdays: «[monday]
! a list holds 'monday', which is not a weekday; write mon, tue
@@ zone
-        zone: Europe/Berlin
+        zone: «Europe/Berln
! did you mean 'Europe/Berlin'?
"""
