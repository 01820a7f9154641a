"""Mistakes in whom routes and buckets ask, as `seeded_mistakes.py` writes them."""

from __future__ import annotations

NAMES = """\
@@ backend-typo
-    on: {hosted-us: big-1}
+    on: {«hosted-uss: big-1}
! did you mean 'hosted-us'?
@@ model-typo
-    use: [bge-m3]
+    use: [«bge-m]
! unknown model 'bge-m'
@@ model-of-the-book
-    fallbacks: [qwen3-8b]
+    fallbacks: [«deepseek-r1]
! this policy does not say who serves it
@@ nobody-serves
   «big:
     tier: best
     context: 128K
     price: {input_per_1m: 2.50, output_per_1m: 10}
-    on: {hosted-us: big-1}
? nobody serves model 'big'
@@ backend-does-not-serve
-        on: [vllm-fra]
+        on: [«hosted-eu]
! backend 'hosted-eu' does not serve 'qwen3-32b'
@@ asked-twice
-    fallbacks: [qwen3-8b]
+    fallbacks: [«deepseek-v4-flash]
! named twice in this route
@@ split-asked-twice
-        sticky_by: session
+      - «qwen3-32b
! named twice in this route
@@ like
     tier: best
+    like: «gpt-4-o
! `like` names one of the model book; did you mean 'gpt-4o'?
@@ two-kinds
-      - split: {qwen3-32b: 70, deepseek-v4-flash: 30}
+      - «model: big
+        split: {qwen3-32b: 70, deepseek-v4-flash: 30}
! this entry names model and split; it takes exactly one of
@@ no-kind
-      - split: {qwen3-32b: 70, deepseek-v4-flash: 30}
-        sticky_by: session
+      - «order_by: price
! this entry names nobody
@@ tier-typo
-    use: [{tier: cheap}]
+    use: [{tier: «cheep}]
! unknown tier 'cheep'; known: best, cheap, dear, middle; did you mean 'cheap'?
@@ tier-of-the-book
-    use: [{tier: cheap}]
+    use: [{tier: «ultra-budget}]
! unknown tier 'ultra-budget'
@@ tier-of-a-model
-    tier: best
+    tier: «flagship
! unknown tier 'flagship'
@@ tier-of-nobody
-    use: [{tier: cheap}]
+    use: [{tier: «dear}]
! no model that anybody serves is in tier 'dear'; tiers of models: best, cheap, middle
@@ tier-of-nobody-beside-others
-    use: [{tier: cheap}]
+    use: [{tier: cheap}, {tier: «dear}]
? no model that anybody serves is in tier 'dear'
@@ tier-twice
-    use: [{tier: cheap}]
+    use: [{tier: cheap}, {tier: «cheap}]
! tier cheap: named twice in this bucket; the second is never asked
@@ tiers-overlap
-  middle: [0.15, 1]
+  «middle: [0.10, 1]
? overlaps tier 'cheap'; a price in both belongs to 'cheap'
@@ backend-outside-the-tier
-    use: [{tier: cheap}]
+    use: [{tier: best, on: [«vllm-fra]}]
! backend 'vllm-fra' serves nobody of this entry; these do: hosted-us
@@ bucket-without-entry
-    use: [{bucket: judgment}]
+    use: [{bucket: «flagship}]
! bucket 'flagship' has no entry under `buckets`
@@ bucket-typo
-  bandwidth:
+  «bandwith:
! 'bandwith' is not allowed here; allowed: bandwidth, judgment, flagship; did you mean
@@ bucket-cycle
-    use: [{tier: cheap}]
+    use: [{tier: cheap}, {bucket: «bandwidth}]
! bucket 'bandwidth' leads back to itself: bandwidth -> bandwidth
@@ bucket-cycle-of-two
-    use: [{tier: cheap}]
+    use: [{tier: cheap}, {bucket: «judgment}]
...
         order_by: load
+      - bucket: bandwidth
! bucket 'bandwidth' leads back to itself: bandwidth -> judgment -> bandwidth
@@ bucket-unused
     max_request_cost: 0.05
+  «flagship:
+    use: [big]
? no route uses bucket 'flagship'
@@ weight-0
-      - split: {qwen3-32b: 70, deepseek-v4-flash: 30}
+      - split: {qwen3-32b: 70, deepseek-v4-flash: «0}
! 0 is not a weight
@@ split-of-one
-      - split: {qwen3-32b: 70, deepseek-v4-flash: 30}
+      - split: {«qwen3-32b: 70}
? a split of one model
@@ split-model
-      - split: {qwen3-32b: 70, deepseek-v4-flash: 30}
+      - split: {qwen3-32b: 70, «deepseek-v4: 30}
! did you mean 'deepseek-v4-flash'?
@@ sticky
-        sticky_by: session
+        sticky_by: «user
! write session, tenant, feature or metadata.KEY
@@ sticky-without-split
-        order_by: load
+        sticky_by: «session
! fits a split only
@@ split-in-order
         sticky_by: session
+    order_by: «price
! does not fit a split, which is ordered by its weights; `use` has one in line
@@ split-in-a-bucket-in-order
     max_request_cost: 0.05
+  flagship:
+    use: [{split: {big: 1, qwen3-32b: 1}}]
...
-    use: [{bucket: judgment}]
+    use: [{bucket: flagship}]
+    order_by: «latency
! does not fit a split
@@ ordered-split
-        sticky_by: session
+        order_by: «price
! does not fit a split, which is ordered by its weights
@@ ceilings-in-order
-    use: [qwen3-8b, qwen3-32b]
-    order_by: price
+    use: [{model: qwen3-8b, max_output_price: 1}, qwen3-32b]
+    order_by: «price
! orders all entries together
@@ order
-    order_by: price
+    order_by: «cost
! allowed: price, latency, load
@@ percentiles
-  summarize: {bucket: judgment, slo: {ttft_ms: {p50: 400, p90: 1200}}}
+  summarize: {bucket: judgment, slo: {ttft_ms: {p50: 4000, p90: «1200}}}
! is below p50, 4000
@@ route-twice
-  - name: default
+  - name: «bulk
! route 'bulk' stands here twice; first in line
@@ dimensions
+  bge-small:
+    capabilities: [embeddings]
+    vector_space: bge-m3
+    dimensions: 384
+    on: {vllm-fra: b}
   bge-m3:
     capabilities: [embeddings]
     vector_space: bge-m3
     «dimensions: 1024
! vector space 'bge-m3' has 384 dimensions with model 'bge-small' and 1024 with 'bge-m3'
@@ another-space
     use: [bge-m3]
+    fallbacks: [«nomic]
? embedding model 'nomic' is in vector space 'nomic', not in 'bge-m3' as the first one: it is no fallback
@@ vectors-of-a-chat-model
     context: 128K
+    «vector_space: big
? `embeddings` is not among its capabilities
"""
