"""Mistakes about own machines, overflow and live conditions, as `seeded_mistakes.py` writes them."""

from __future__ import annotations

HYBRID = """\
@@ volume-rate
-      volume: {tokens_per_day: {gte: 500M}, sustained: 90d, of: "model:qwen3-32b"}
+      volume: {«tokens_per_week: {gte: 500M}, sustained: 90d}
! did you mean 'tokens_per_day'?
@@ volume-no-rate
-      volume: {tokens_per_day: {gte: 500M}, sustained: 90d, of: "model:qwen3-32b"}
+      «volume: {sustained: 90d}
! this volume names no rate; it takes exactly one, such as tokens_per_day: {gte: 500M}
@@ volume-two-rates
-      volume: {tokens_per_day: {gte: 500M}, sustained: 90d, of: "model:qwen3-32b"}
+      «volume: {tokens_per_day: {gte: 5M}, requests_per_day: {gte: 5}}
! names tokens_per_day and requests_per_day
@@ volume-no-bound
-      volume: {tokens_per_day: {gte: 500M}, sustained: 90d, of: "model:qwen3-32b"}
+      volume: {«tokens_per_day: {}, sustained: 90d}
! this bound takes exactly one of gte and lt
@@ volume-bound-typo
-      volume: {tokens_per_day: {gte: 500M}, sustained: 90d, of: "model:qwen3-32b"}
+      volume: {tokens_per_day: {«gt: 500M}, sustained: 90d}
! did you mean 'gte'?
@@ volume-amount
-      volume: {tokens_per_day: {gte: 500M}, sustained: 90d, of: "model:qwen3-32b"}
+      volume: {tokens_per_day: {gte: «many}, sustained: 90d}
! 'many' is not a volume; write 6000, 20K, 2M, 500M or 12.50
@@ volume-of-nothing
-      volume: {tokens_per_day: {gte: 500M}, sustained: 90d, of: "model:qwen3-32b"}
+      volume: {«tokens_per_day: {gte: 0}, sustained: 90d}
! this bound holds always
@@ volume-below-nothing
-      volume: {tokens_per_day: {gte: 500M}, sustained: 90d, of: "model:qwen3-32b"}
+      volume: {«tokens_per_day: {lt: 0}}
! this bound holds never
@@ volume-hours-in-a-row
-      volume: {tokens_per_day: {gte: 500M}, sustained: 90d, of: "model:qwen3-32b"}
+      «volume: {tokens_per_hour: {gte: 500M}, sustained: 90d}
! is sustained, which fits a rate per day and not tokens_per_hour
@@ volume-days
-      volume: {tokens_per_day: {gte: 500M}, sustained: 90d, of: "model:qwen3-32b"}
+      volume: {tokens_per_day: {gte: 500M}, sustained: «36h}
! '36h' is not a number of whole days; write 90d
@@ volume-exit
-      volume: {tokens_per_day: {gte: 500M}, sustained: 90d, of: "model:qwen3-32b"}
+      «volume: {tokens_per_day: {gte: 500M}, exit: 600M}
! has its exit above gte: it would end before it begins
@@ volume-exit-below
-      volume: {tokens_per_day: {gte: 500M}, sustained: 90d, of: "model:qwen3-32b"}
+      «volume: {tokens_per_day: {lt: 500M}, exit: 400M}
! has its exit below lt
@@ volume-dwell
-      volume: {tokens_per_day: {gte: 500M}, sustained: 90d, of: "model:qwen3-32b"}
+      volume: {tokens_per_day: {gte: 500M}, min_dwell: «60}
! 60 is not a duration with its unit
@@ volume-scope
-      volume: {tokens_per_day: {gte: 500M}, sustained: 90d, of: "model:qwen3-32b"}
+      volume: {tokens_per_day: {gte: 500M}, of: «everybody}
! is not what a volume can be of; write all, task, tenant
@@ volume-model
-      volume: {tokens_per_day: {gte: 500M}, sustained: 90d, of: "model:qwen3-32b"}
+      volume: {tokens_per_day: {gte: 500M}, of: «"model:qwen3-23b"}
! unknown model 'qwen3-23b'
@@ volume-route
-      volume: {tokens_per_day: {gte: 500M}, sustained: 90d, of: "model:qwen3-32b"}
+      volume: {tokens_per_day: {gte: 500M}, of: «"route:bluk"}
! unknown route 'bluk'
@@ volume-backend
-      volume: {tokens_per_day: {gte: 500M}, sustained: 90d, of: "model:qwen3-32b"}
+      volume: {tokens_per_day: {gte: 500M}, of: «"backend:vllm"}
! unknown backend 'vllm'; known: hosted-eu, hosted-us, vllm-fra
@@ volume-task
-      volume: {tokens_per_day: {gte: 500M}, sustained: 90d, of: "model:qwen3-32b"}
+      volume: {tokens_per_day: {gte: 500M}, of: «"task:sumarize"}
! did you mean 'summarize'?
@@ volume-deep
-      not: {tenant: internal-*}
+      not: {volume: {tokens_per_day: {gte: 5M}, of: «"route:nobody"}}
! unknown route 'nobody'
@@ break-even-side
-    when: {task: summarize, break_even: {is: above, of: vllm-fra}}
+    when: {task: summarize, break_even: «over}
! 'over' is not allowed here; allowed: above, below; did you mean 'above'?
@@ break-even-no-side
-    when: {task: summarize, break_even: {is: above, of: vllm-fra}}
+    when: {task: summarize, «break_even: {of: vllm-fra}}
! key 'is' is missing
@@ break-even-margin
-    when: {task: summarize, break_even: {is: above, of: vllm-fra}}
+    when: {task: summarize, break_even: {is: above, margin: «20}}
! 20 is out of range: from 0 to 1
@@ break-even-backend
-    when: {task: summarize, break_even: {is: above, of: vllm-fra}}
+    when: {task: summarize, break_even: {is: above, of: «vlm-fra}}
! did you mean 'vllm-fra'?
@@ break-even-of-an-api
-    when: {task: summarize, break_even: {is: above, of: vllm-fra}}
+    when: {task: summarize, break_even: {is: above, of: [vllm-fra, «hosted-us]}}
! backend 'hosted-us' has no capacity, so that nobody knows what it costs; write one under
@@ break-even-of-nothing
-    capacity: {usd_per_month: 1500, tokens_per_day: 50M}
...
-    when: {task: summarize, break_even: {is: above, of: vllm-fra}}
+    when: {task: summarize, «break_even: above}
! no backend has a capacity, so there is nothing to weigh; write under backends what your own machines cost
@@ overflow-word
-    overflow: {from: hosted-us, to: vllm-fra, when: {budget: {usd: 50, per: day}, rate_limited: true}}
+    overflow: «vllm-fra
! 'vllm-fra' is no overflow; write {from: own, to: [api], when: saturated}, or a list of such
@@ overflow-key
-    overflow: {from: hosted-us, to: vllm-fra, when: {budget: {usd: 50, per: day}, rate_limited: true}}
+    overflow: {from: hosted-us, to: vllm-fra, when: rate_limited, «queue: 500}
! did you mean 'queue_ms'?
@@ overflow-no-cause-named
-    overflow: {from: hosted-us, to: vllm-fra, when: {budget: {usd: 50, per: day}, rate_limited: true}}
+    overflow: «{from: hosted-us, to: vllm-fra}
! key 'when' is missing
@@ overflow-cause
-    overflow: {from: hosted-us, to: vllm-fra, when: {budget: {usd: 50, per: day}, rate_limited: true}}
+    overflow: {from: hosted-us, to: vllm-fra, when: «ratelimited}
! 'ratelimited' is no cause; write saturated, rate_limited, outage, budget, or a bound
@@ overflow-cause-in-a-list
-    overflow: {from: hosted-us, to: vllm-fra, when: {budget: {usd: 50, per: day}, rate_limited: true}}
+    overflow: {from: hosted-us, to: vllm-fra, when: «[outage, busy]}
! a list holds 'busy', which is no cause
@@ overflow-bound
-    overflow: {from: hosted-us, to: vllm-fra, when: {budget: {usd: 50, per: day}, rate_limited: true}}
+    overflow: {from: hosted-us, to: vllm-fra, when: {predicted_wait_ms: «1500}}
! 1500 must be a mapping with the keys gt
@@ overflow-bound-typo
-    overflow: {from: hosted-us, to: vllm-fra, when: {budget: {usd: 50, per: day}, rate_limited: true}}
+    overflow: {from: hosted-us, to: vllm-fra, when: {inflight: {gt: 5, «gte: 6}}}
! unknown key 'gte'; allowed: gt
@@ overflow-never
-    overflow: {from: hosted-us, to: vllm-fra, when: {budget: {usd: 50, per: day}, rate_limited: true}}
+    overflow: {from: hosted-us, to: vllm-fra, when: {outage: «false}}
! false is not true; leave it out where it is no cause
@@ overflow-no-cause
-    overflow: {from: hosted-us, to: vllm-fra, when: {budget: {usd: 50, per: day}, rate_limited: true}}
+    overflow: {from: hosted-us, to: vllm-fra, «when: {}}
! this condition names no cause
@@ overflow-budget
-    overflow: {from: hosted-us, to: vllm-fra, when: {budget: {usd: 50, per: day}, rate_limited: true}}
+    overflow: {from: hosted-us, to: vllm-fra, when: {budget: «50}}
! 50 is no budget; write true, or {usd: 50, per: day}
@@ overflow-budget-of-nothing
-    overflow: {from: hosted-us, to: vllm-fra, when: {budget: {usd: 50, per: day}, rate_limited: true}}
+    overflow: {from: hosted-us, to: vllm-fra, when: {budget: {usd: «0}}}
! 0 is no budget
@@ overflow-budget-window
-    overflow: {from: hosted-us, to: vllm-fra, when: {budget: {usd: 50, per: day}, rate_limited: true}}
+    overflow: {from: hosted-us, to: vllm-fra, when: {budget: {usd: 5, per: «week}}}
! 'week' is not allowed here; allowed: day, month
@@ overflow-queue
-    overflow: {from: hosted-us, to: vllm-fra, when: {budget: {usd: 50, per: day}, rate_limited: true}}
+    overflow: {from: hosted-us, to: vllm-fra, when: outage, queue_ms: «500ms}
! '500ms' is not a number
@@ overflow-from-nobody
-    overflow: {from: hosted-us, to: vllm-fra, when: {budget: {usd: 50, per: day}, rate_limited: true}}
+    overflow: {from: «hosted-uss, to: vllm-fra, when: outage}
! did you mean 'hosted-us'?
@@ overflow-to-nobody
-    overflow: {from: hosted-us, to: vllm-fra, when: {budget: {usd: 50, per: day}, rate_limited: true}}
+    overflow: {from: hosted-us, to: [«vlm-fra], when: outage}
! did you mean 'vllm-fra'?
@@ overflow-to-itself
-    overflow: {from: hosted-us, to: vllm-fra, when: {budget: {usd: 50, per: day}, rate_limited: true}}
+    overflow: {from: hosted-us, to: [vllm-fra, «hosted-us], when: outage}
! 'hosted-us' stands under `from` as well
@@ overflow-adds-nobody
-    overflow: {from: hosted-us, to: vllm-fra, when: {budget: {usd: 50, per: day}, rate_limited: true}}
+    overflow: {from: hosted-us, to: [vllm-fra, «hosted-eu], when: outage}
! backend 'hosted-eu' is never asked on route 'worth-it', and an overflow adds nobody
@@ overflow-of-a-kv-cache
-    overflow: {from: hosted-us, to: vllm-fra, when: {budget: {usd: 50, per: day}, rate_limited: true}}
+    overflow: {from: hosted-us, to: vllm-fra, «when: {kv_cache_pct: {gt: 90}}}
! never holds: a hosted API such as 'hosted-us' does not tell its KV cache
@@ overflow-of-no-limit
-    overflow: {from: hosted-us, to: vllm-fra, when: {budget: {usd: 50, per: day}, rate_limited: true}}
+    overflow: {from: hosted-us, to: vllm-fra, «when: saturated}
! never holds: nothing says when 'hosted-us' is saturated; write under backends its concurrency
@@ overflow-of-no-limit-beside-others
-    overflow: {from: hosted-us, to: vllm-fra, when: {budget: {usd: 50, per: day}, rate_limited: true}}
+    overflow: {from: hosted-us, to: vllm-fra, when: {«saturated: true, outage: true}}
? never holds: nothing says when 'hosted-us' is saturated
@@ overflow-429-of-own
-    overflow: {from: hosted-us, to: vllm-fra, when: {budget: {usd: 50, per: day}, rate_limited: true}}
+    overflow: {from: vllm-fra, to: hosted-us, when: {outage: true, «rate_limited: true}}
? servers of your own queue, they do not say 429
@@ overflow-credit-of-own
-    overflow: {from: hosted-us, to: vllm-fra, when: {budget: {usd: 50, per: day}, rate_limited: true}}
+    overflow: {from: vllm-fra, to: hosted-us, when: {outage: true, «budget: true}}
? servers of your own know no credit
@@ overflow-money-of-own
-    overflow: {from: hosted-us, to: vllm-fra, when: {budget: {usd: 50, per: day}, rate_limited: true}}
+    overflow: {from: vllm-fra, to: hosted-us, «when: {budget: {usd: 5}}}
! never holds: 'vllm-fra' costs nothing that could be counted: its tokens are free
@@ overflow-back-and-forth
-      from: vllm-fra
-      to: [hosted-us]
-      when: [saturated, outage]
-      queue_ms: 500
+      - {from: vllm-fra, to: hosted-us, when: saturated}
+      - «{from: hosted-us, to: vllm-fra, when: rate_limited}
? leads from hosted-us back to vllm-fra, which an overflow before leaves for hosted-us: the later one puts
@@ capacity-no-cost
-    capacity: {usd_per_month: 1500, tokens_per_day: 50M}
+    «capacity: {tokens_per_day: 50M}
! this capacity takes exactly one of usd_per_month and usd_per_gpu_hour
@@ capacity-two-costs
-    capacity: {usd_per_month: 1500, tokens_per_day: 50M}
+    «capacity: {usd_per_month: 1500, usd_per_gpu_hour: 2}
! takes exactly one of
@@ capacity-two-speeds
-    capacity: {usd_per_month: 1500, tokens_per_day: 50M}
+    «capacity: {usd_per_month: 1500, tokens_per_day: 50M, tokens_per_second: 50}
! takes one of tokens_per_second and tokens_per_day
@@ capacity-cost
-    capacity: {usd_per_month: 1500, tokens_per_day: 50M}
+    capacity: {usd_per_month: «cheap}
! 'cheap' is not an amount of USD
@@ capacity-gpus
-    capacity: {usd_per_month: 1500, tokens_per_day: 50M}
+    capacity: {usd_per_gpu_hour: 2, gpus: «0}
! 0 is out of range
@@ saturation-share
-    saturation: {queue_depth: 8, kv_cache_pct: 90, stale_after: 2s}
+    saturation: {kv_cache_pct: «0.9}
! 0.9 is out of range: from 1 to 100
@@ saturation-unit
-    saturation: {queue_depth: 8, kv_cache_pct: 90, stale_after: 2s}
+    saturation: {stale_after: «2}
! 2 is not a duration with its unit
@@ saturation-typo
-    saturation: {queue_depth: 8, kv_cache_pct: 90, stale_after: 2s}
+    saturation: {«max_in_flight: 64}
! did you mean 'max_inflight'?
@@ saturation-queue
-    saturation: {queue_depth: 8, kv_cache_pct: 90, stale_after: 2s}
+    saturation: {queue_depth: «-1}
! -1 is out of range
@@ cold-start-takes
-    cold_start: {takes: 15s, wake: "https://control.internal/wake", when_cold: wait}
+    «cold_start: {when_cold: wait}
! key 'takes' is missing
@@ cold-start-word
-    cold_start: {takes: 15s, wake: "https://control.internal/wake", when_cold: wait}
+    cold_start: {takes: 15s, when_cold: «sleep}
! allowed: wait, error
@@ cold-start-scheme
-    cold_start: {takes: 15s, wake: "https://control.internal/wake", when_cold: wait}
+    cold_start: {takes: 15s, wake: «"ftp://control.internal/wake"}
! is not a URL; write https://host/wake
@@ cold-start-plain-text
-    cold_start: {takes: 15s, wake: "https://control.internal/wake", when_cold: wait}
+    cold_start: {takes: 15s, wake: «"http://control.example.com/wake"}
! asks in plain text over a public network
@@ cold-start-password
-    cold_start: {takes: 15s, wake: "https://control.internal/wake", when_cold: wait}
+    cold_start: {takes: 15s, wake: «"https://joe:hunter2@control.internal/wake"}
! must hold no user name or password
@@ cold-start-token
-    cold_start: {takes: 15s, wake: "https://control.internal/wake", when_cold: wait}
+    cold_start: {takes: 15s, wake: «"https://control.internal/wake?key=3f9a"}
! must have no query
@@ cold-start-metadata
-    cold_start: {takes: 15s, wake: "https://control.internal/wake", when_cold: wait}
+    cold_start: {takes: 15s, wake: «"http://169.254.169.254/latest"}
! is a link-local or metadata address
@@ cold-start-of-an-api
     base_url: https://eu.example.com/v1
+    «cold_start: {takes: 15s}
? a hosted API does not sleep, so that cold_start of 'hosted-eu' has no effect
@@ saturation-of-an-api
     base_url: https://eu.example.com/v1
+    saturation: {max_inflight: 64, «kv_cache_pct: 80}
? a hosted API tells neither its queue nor its KV cache
@@ data-by-volume
     when: {tenant: acme-*}
-    allow: {regions: [eu], operators: [self, third_party]}
+    allow: {regions: [eu]}
+  - name: europe-when-it-is-quiet
+    when: {«volume: {tokens_per_day: {lt: 5M}}}
+    allow: {operators: [self]}
! 'volume' does not fit a constraint on operators: where data may go never depends on volume
@@ data-by-break-even
-    when: {tenant: acme-*}
+    when: {tenant: acme-*, not: {«break_even: above}}
! 'break_even' does not fit a constraint on regions and operators
"""
