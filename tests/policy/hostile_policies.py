"""Hostile files that know what a policy is: too much of everything, cycles, patterns, windows, zones."""

from __future__ import annotations

from policy.hostile_shapes import AN_API_KEY
from policy.policy_text import GOOD, changed


def routes(body: str) -> str:
    """Return the good policy with other routes before its own."""
    return changed("routes:\n", f"routes:\n{body}")


def when(conditions: str) -> str:
    """Return the good policy with another route."""
    return routes(f"  - {{name: r, when: {conditions}, use: qwen3-8b}}\n")


def use(entries: str, more: str = "") -> str:
    """Return the good policy with another route."""
    return routes(f"  - {{name: r, when: {{tenant: t}}, use: {entries}}}\n").replace(
        "routes:\n", f"{more}routes:\n"
    )


def many(form: str, count: int, *, separator: str = ", ") -> str:
    """Return a form filled in with 0, 1, 2 and so on."""
    return separator.join(form.replace("#", str(number)) for number in range(count))


def tests(cases: str) -> str:
    """Return the good policy with tests."""
    return f"{GOOD}tests: [{cases}]\n"


def buckets(**entries: str) -> str:
    """Return a section of buckets."""
    return "".join(
        ["buckets:\n", *(f"  {name}: {{use: [{one}]}}\n" for name, one in entries.items())]
    )


STARS = '"*a*b*c*d*e*f*#*"'
ANY = "{route: default}"
DEEP = 26  # levels of `not` that fit into a file, with those that stand above them
ROUTE = "  - {name: r#, when: {task: t#}, use: #}\n"
ZONE = "  - {name: r#, when: {time: {zone: Europe/A#}}, use: qwen3-8b}\n"
SIMILAR = [f"{'a' * 60}{number:04}" for number in range(400)]

MUCH = [
    ("10000-routes", routes(many(ROUTE, 10_000, separator="")), "more than 6000 keys and values"),
    ("10000-tasks", when(f"{{task: [{many('t#', 10_000)}]}}"), "more than 6000 keys and values"),
    ("5000-tenants", when(f"{{tenant: [{many('t#', 5_000)}]}}"), "more than 1000 entries"),
    ("1000-tasks", when(f"{{task: [{many('classif#', 1_000)}]}}"), ""),
    ("500-routes-of-nobody", routes(many(ROUTE, 500, separator="")), "more than 100 problems"),
    ("500-times-the-same-route", routes("  - {name: r, use: qwen3-8b}\n" * 500), "twice; first in"),
    ("1000-unknown-keys", GOOD + many("k#: x\n", 1_000, separator=""), "more than 100 problems"),
    ("1000-unknown-models", use(f"[{many('qwen3-#b', 1_000)}]"), "more than 100 problems"),
    ("1000-bad-names", when(f"{{task: [{many('{}', 1_000)}]}}"), "more than 100 problems"),
    ("1000-dead-models", changed("models:\n", "models:\n" + many("  m#: {}\n", 1_000, separator="")), ""),
    ("names-that-are-alike", changed(
        "models:\n", "models:\n" + "".join(f"  {one}: {{on: {{own-eu: x}}}}\n" for one in SIMILAR)
    ).replace("use: [qwen3-8b]", f"use: [{', '.join(one + 'b' for one in SIMILAR)}]"), "unknown model"),
    ("400-regions", changed("regions: [eu], op", f"regions: [{many('e#', 400)}], op"), ""),
    ("1000-headers", changed("price: free", f"headers: {{{many('X-#: x', 1_000)}}}"), "more than 32 entries"),
    ("1000-weights", use(f"[{{split: {{{many('m#: 1', 1_000)}}}}}]"), "more than 100 problems"),
]  # fmt: skip
CONDITIONS = [
    ("not-of-not", when("{not: " * DEEP + "{task: x}" + "}" * DEEP), ""),
    ("not-too-deep", when("{not: " * 40 + "{task: x}" + "}" * 40), "nested more than 32"),
    ("any-1500-wide", when(f"{{any: [{many('{tenant: t#}', 1_500)}]}}"), "more than 128 entries"),
    ("any-deep-and-wide", when("{any: [{tenant: a}, " * 13 + "{tenant: b}" + "]}" * 13), ""),
    ("any-of-nothing", when("{any: []}"), "must not be empty"),
    ("any-of-always", when("{any: [{}, {tenant: a}]}"), "has no condition"),
    ("not-of-always", when("{not: {}}"), "has no condition"),
    ("a-pattern-of-stars", when(f"{{tenant: '{'*a' * 60}'}}"), "more than 8 *"),
    ("a-pattern-of-brackets", when(f"{{tenant: '{'[a-z' * 30}'}}"), ""),
    ("a-long-pattern", when(f"{{tenant: '{'?' * 4_000}'}}"), "at most 128 characters"),
    ("1000-patterns", when(f"{{tenant: [{many('a#-*', 1_000)}]}}"), "more than 256 different patterns"),
    ("256-patterns", when(f"{{tenant: [{many(STARS, 256)}]}}"), ""),
    ("bad-ranges", when("{tenant: ['[z-a]', '[', '[!', '[]', '[[:alpha:]]']}"), ""),
    ("bounds-that-exclude", when("{input_tokens: {gt: 8K, lt: 8K}}"), "exclude each other"),
    ("bounds-without-end", when("{metadata: {a: {gte: '1e999999'}}}"), "is not a number"),
    ("bounds-too-far", when("{metadata: {a: {gte: 1e18}}}"), "is out of range"),
    ("bounds-of-auto", when("{input_tokens: {gte: auto}}"), "is not a number; write 500"),
    ("a-zone-of-a-path", when("{time: {zone: ../../etc/passwd}}"), "is not a time zone"),
    ("a-zone-of-a-root", when("{time: {zone: /etc/passwd}}"), "is not a time zone"),
    ("a-zone-of-a-folder", when("{time: {zone: Europe}}"), "is not a time zone"),
    ("a-zone-with-dots", when("{time: {zone: Europe/../../zoneinfo/UTC}}"), "is not a time zone"),
    ("a-zone-of-many-letters", when(f"{{time: {{zone: '{'Z' * 4_000}'}}}}"), "is not a time zone"),
    ("400-zones", routes(many(ZONE, 400, separator="")), "more than 100 problems"),
    ("a-window-without-length", when('{time: {from: "08:00", to: "08:00"}}'), "without length"),
    ("a-window-after-midnight", when('{time: {from: "24:00"}}'), "where no window begins"),
    ("a-minute-too-many", when('{time: {from: "08:60"}}'), "is not a time of day"),
    ("1000-weekdays", when(f"{{time: {{weekdays: [{many('mon-sun', 1_000)}]}}}}"), ""),
]  # fmt: skip
ENTRIES = [
    ("a-bucket-of-itself", use("[{bucket: bandwidth}]", buckets(bandwidth="{bucket: bandwidth}")),
     "leads back to itself: bandwidth -> bandwidth"),
    ("buckets-in-a-ring", use("[{bucket: bandwidth}]", buckets(
        bandwidth="{bucket: judgment}", judgment="{bucket: flagship}", flagship="{bucket: bandwidth}"
    )), "bandwidth -> judgment -> flagship -> bandwidth"),
    ("buckets-that-multiply", use("[{bucket: bandwidth}]", buckets(
        bandwidth=many("{bucket: judgment}", 300), judgment=many("{bucket: flagship}", 300),
        flagship=many("qwen3-8b", 300),
    )), "named twice in this bucket"),
    ("buckets-that-multiply-by-on", use("[{bucket: bandwidth}]", buckets(
        bandwidth=", ".join(f"{{bucket: judgment, on: [{on}]}}" for on in ("own-eu", "hosted-us")),
        judgment="qwen3-32b, qwen3-8b",
    ) ).replace("  - {name: r, when: {tenant: t}, use: [{bucket: bandwidth}]}\n", "".join(
        f"  - {{name: r{n}, when: {{tenant: t}}, use: [{{bucket: bandwidth}}]}}\n" for n in range(30)
    )), ""),
    ("weights-beyond-all", use("[{split: {qwen3-8b: 999999999999999999, qwen3-32b: 1}}]"), "is not a weight"),
    ("weights-of-nothing", use("[{split: {qwen3-8b: 0, qwen3-32b: 0}}]"), "0 is not a weight"),
    ("weights-below-nothing", use("[{split: {qwen3-8b: -1, qwen3-32b: 1e-30}}]"), "-1 is not a weight"),
    ("a-split-of-nobody", use("[{split: {}}]"), "must not be empty"),
    ("prices-beyond-all", changed("price: free", "price: {input_per_1m: 1e18, output_per_1m: 1}"), "range"),
    ("an-age-of-retention", changed("retention: none", "retention: 999999999999999d"), ""),
    ("an-age-of-taint", changed("{regions: [eu], op", "{taint: 999999999999999d, regions: [eu], op"), ""),
    ("a-cloud's-metadata", changed("vllm.internal/v1", "169.254.169.254/v1"), "is a link-local"),
    ("a-header-of-two-lines", changed("price: free", 'headers: {X-A: "a\\r\\nHost: b"}'), "on one line"),
]  # fmt: skip
CASES = [
    ("tests-of-no-shape", f"{GOOD}tests: {{given: {{}}}}\n", "must be a list"),
    ("1000-tests-of-nothing", tests(many("{expect: {}}", 1_000)), "more than 100 problems"),
    ("1000-tests-that-fail", tests(many("{expect: {route: cheap}}", 1_000)), "fails its test"),
    ("tests-of-nobody", tests(many("{expect: {route: r#}}", 500)), "unknown route 'r0'"),
    ("a-test-of-a-novel", tests(f"{{name: '{'x' * 4_000}', expect: {ANY}}}"), "longer than 200"),
    ("a-test-in-the-year-0", tests(f"{{given: {{now: 0001-01-01T00:00+14:00}}, expect: {ANY}}}"), "range"),
    ("a-test-of-all-tokens", tests(f"{{given: {{input_tokens: 1e18}}, expect: {ANY}}}"), "out of range"),
    ("a-test-of-a-key", tests(f"{{given: {{metadata: {{a: {AN_API_KEY}}}}}, expect: {ANY}}}"), "looks like"),
]  # fmt: skip
POLICIES = (*MUCH, *CONDITIONS, *ENTRIES, *CASES)
