"""Hostile files that know of own machines, volumes and overflow."""

from __future__ import annotations

from policy.hostile_policies import many, routes, when
from policy.hostile_shapes import AN_API_KEY, own
from policy.policy_text import changed

VOLUME = "{volume: {tokens_per_day: {gte: #M}, of: tenant}}"
FULL = "{volume: {tokens_per_day: {gte: 1}}}"


def volume(text: str) -> str:
    """The good policy with a route that looks at a volume."""
    return when(f"{{volume: {{{text}}}}}")


def overflow(text: str) -> str:
    """The good policy with overflows on its last route."""
    return changed("own-eu, hosted-us]}]\n", f"own-eu, hosted-us]}}]\n    overflow: {text}\n")


def wake(url: str) -> str:
    """The good policy with a backend that is woken."""
    return own(f"cold_start: {{takes: 15s, wake: '{url}'}}")


HYBRID = [
    ("128-volumes", when(f"{{any: [{many(VOLUME.replace('#', '1#'), 128)}]}}"), ""),
    ("100-routes-of-volumes", routes(many(
        f"  - {{name: r#, when: {VOLUME}, use: qwen3-8b}}\n", 100, separator=""
    ).replace("gte: ", "gte: 1")), ""),
    ("volumes-in-pairs", routes(many(
        "  - {name: r#, when: {volume: {tokens_per_day: {gte: 1#}}, any: [{volume: {requests_per_hour: {lt: "
        "1#}}}, {volume: {usd_per_month: {gte: 1#}}}]}, use: qwen3-8b}\n", 60, separator=""
    )), ""),
    ("not-of-volumes", when("{not: " * 20 + FULL + "}" * 20), ""),
    ("a-volume-beyond-all", volume("tokens_per_day: {gte: 1e18}"), "is out of range"),
    ("a-volume-below-all", volume("tokens_per_day: {gte: -1}"), "is out of range"),
    ("a-volume-of-digits", volume(f"tokens_per_day: {{gte: '{'9' * 4_000}'}}"), "is not a volume"),
    ("a-volume-that-is-none", volume("tokens_per_day: {gte: .nan}"), "not a finite number"),
    ("a-volume-of-a-flag", volume("tokens_per_day: {gte: true}"), "is not a volume"),
    ("a-volume-of-ages", volume("tokens_per_day: {gte: 1}, sustained: 999999999999999d"), "whole days"),
    ("a-dwell-of-ages", volume("tokens_per_day: {gte: 1}, min_dwell: 999999999999999d"), "is out of range"),
    ("a-scope-of-letters", volume(f"tokens_per_day: {{gte: 1}}, of: 'tenant:{'x' * 4_000}'"), "can be of"),
    ("a-scope-of-a-key", volume(f"tokens_per_day: {{gte: 1}}, of: 'model:{AN_API_KEY}'"), "looks like"),
    ("a-scope-of-a-list", volume("tokens_per_day: {gte: 1}, of: [all, task]"), "can be of"),
    ("12-rates", volume(", ".join(
        f"{what}_per_{window}: {{gte: 1}}"
        for what in ("tokens", "requests", "usd") for window in ("minute", "hour", "day", "month")
    )), "takes exactly one"),
    ("break-even-of-a-mapping", when("{break_even: {is: {is: above}}}"), "is not allowed here"),
    ("break-even-of-a-list", when("{break_even: [above, below]}"), "must be a mapping"),
    ("break-even-of-1000", when(f"{{break_even: {{is: above, of: [{many('b#', 1_000)}]}}}}"), "nothing to"),
    ("9-overflows", overflow(f"[{many('{from: own-eu, to: hosted-us, when: outage}', 9)}]"), "more than 8"),
    ("an-overflow-of-1000", overflow(f"{{from: [{many('b#', 1_000)}], to: x, when: outage}}"), "more than"),
    ("an-overflow-in-a-list", overflow("[[{from: own-eu, to: hosted-us, when: outage}]]"), "must be a"),
    ("an-overflow-of-a-novel", overflow(f"'{'x' * 4_000}'"), "is no overflow"),
    ("1000-causes", overflow(f"{{from: own-eu, to: hosted-us, when: [{many('c#', 1_000)}]}}"), "which is no"),
    ("a-cause-of-a-novel", overflow(f"{{from: own-eu, to: hosted-us, when: ['{'x' * 4_000}']}}"), "no cause"),
    ("a-cause-of-a-key", overflow(f"{{from: own-eu, to: hosted-us, when: {AN_API_KEY}}}"), "looks like"),
    ("causes-of-a-key", overflow(f"{{from: own-eu, to: hosted-us, when: [{AN_API_KEY}]}}"), "looks like"),
    ("a-wait-without-end", overflow("{from: own-eu, to: hosted-us, when: {inflight: {gt: 1e18}}}"), "range"),
    ("a-queue-of-a-year", overflow("{from: own-eu, to: hosted-us, when: outage, queue_ms: 1e11}"), "range"),
    ("capacity-beyond-all", own("capacity: {usd_per_month: 1e18}"), "is out of range"),
    ("capacity-below-all", own("capacity: {usd_per_month: -1}"), "is out of range"),
    ("capacity-of-all-gpus", own("capacity: {usd_per_gpu_hour: 1, gpus: 1e9}"), "is not a whole number"),
    ("a-flag-for-a-queue", own("saturation: {queue_depth: true}"), "is not a whole number"),
    ("a-flag-for-a-share", own("saturation: {kv_cache_pct: true}"), "is not a number"),
    ("stale-for-ages", own("saturation: {stale_after: 999999999999999d}"), "is out of range"),
    ("woken-at-a-cloud's-metadata", wake("http://169.254.169.254/latest/meta-data"), "link-local"),
    ("woken-by-name-at-it", wake("http://metadata.google.internal/x"), "a cloud's metadata service"),
    ("woken-with-a-password", wake("https://u:hunter2@ctl.internal/x"), "no user name or password"),
    ("woken-with-a-key", wake(f"https://ctl.internal/x?key={AN_API_KEY}"), "looks like"),
    ("woken-by-script", wake("javascript:alert(1)"), "is not a URL; write"),
    ("woken-by-a-file", wake("file:///etc/passwd"), "is not a URL; write"),
    ("woken-by-a-novel", wake(f"https://ctl.internal/{'x' * 4_000}"), "longer than 2048"),
    ("woken-by-lookalikes", wake("https://ctl.intern\u0430l/x"), "is not ASCII"),
    ("woken-through-dots", wake("https://ctl.internal/a/../b"), "with . or .. in it"),
]  # fmt: skip
