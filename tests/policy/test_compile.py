"""What a policy comes to: names resolved, units read, prices found, defaults set."""

from __future__ import annotations

import hashlib
from decimal import Decimal
from pathlib import Path

import pytest

from hybridllm._adapters.policy_files import load_policy, load_policy_text
from hybridllm._core.money.price import Price
from hybridllm._core.policy.compiled import (
    BackendKind,
    Bucket,
    Capability,
    OrderBy,
    Policy,
    Use,
)
from hybridllm._core.policy.conditions import ALWAYS, Text, When
from hybridllm._core.policy.objectives import Timeouts
from hybridllm._core.policy.residency import Residency
from hybridllm.errors import PolicyError
from policy.policy_text import GOOD, changed, load


def candidate_price(policy: Policy, name: str) -> Price | None:
    backend, _, model = name.partition("/")
    (found,) = (c for c in policy.candidates[model] if c.backend.name == backend)
    return found.price


def models_of(use: Use) -> set[str]:
    return {candidate.model.name for candidate in use.candidates}


def test_the_good_policy_comes_to_this() -> None:
    """Every section once, from file to value."""
    policy = load(GOOD)
    assert (policy.name, policy.environment) == ("inline", "production")
    assert policy.version == f"sha256:{hashlib.sha256(GOOD.encode()).hexdigest()[:12]}"
    assert (policy.default_residency, policy.deny_untagged) == ("public", False)
    assert (policy.retries_max, policy.attempts_max) == (2, 6)
    own = policy.backends["own-eu"]
    assert (own.kind, own.base_url, own.api_key_env) == (
        BackendKind.VLLM,
        "https://vllm.internal/v1",
        None,
    )
    assert (own.region, own.operator, own.retention) == ("eu", "self", "none")
    assert policy.residency["phi"] == Residency(
        "phi", frozenset({"eu"}), frozenset({"self"}), frozenset({"none"})
    )
    assert policy.residency["public"] == Residency("public")
    task = policy.tasks["classify"]
    assert (task.bucket, task.residency, dict(task.timeouts)) == (
        Bucket.BANDWIDTH,
        None,
        {"total_s": 10.0},
    )
    assert policy.known_tasks == {"classify", "extract"}
    cheap, default = policy.routes
    assert (cheap.name, cheap.line) == ("cheap", 26)
    assert cheap.when == When((Text("task", frozenset({"classify", "extract"})),))
    assert [(models_of(use), use.fallback, use.order_by) for use in cheap.use] == [
        ({"qwen3-8b"}, False, OrderBy.LOAD),
        ({"qwen3-32b"}, True, OrderBy.LOAD),
    ]
    assert default.when == ALWAYS
    (use,) = default.use
    assert [c.name for c in use.candidates] == ["own-eu/qwen3-32b", "hosted-us/qwen3-32b"]
    assert use.order_by is OrderBy.FILE
    assert use.candidates[0].wire_model == "Qwen/Qwen3-32B"


def test_two_policies_that_differ_never_share_a_version() -> None:
    """Variables and an environment that is handed in are part of what a policy was made of."""
    text = changed("https://api.example.com/v1", "'https://${HOST:-api.example.com}/v1'")
    versions = [
        load(GOOD).version,
        load(text).version,
        load(text, HOST="a.example.com").version,
        load(text, HOST="b.example.com").version,
        load_policy_text(GOOD, environ={}, environment="qa")[0].version,
        load_policy_text(GOOD, environ={}, environment="staging")[0].version,
    ]
    assert len(set(versions)) == len(versions)
    assert load(text, HOST="a.example.com", OTHER="x").version == versions[2]


def test_a_repr_shows_no_header() -> None:
    """What a variable put there may be a secret."""
    text = changed("price: free", "headers: {X-Gateway: '${GATEWAY}'}")
    assert "hunter2" not in repr(load(text, GATEWAY="hunter2-hunter2"))


def test_a_route_holds_the_candidates_of_the_policy() -> None:
    """One object per pair: the frozen set of a request is compared by identity."""
    policy = load(GOOD)
    everybody = {id(c) for served in policy.candidates.values() for c in served}
    for route in policy.routes:
        for use in route.use:
            assert all(id(c) in everybody for c in use.candidates)
            assert all(c.model is policy.models[c.model.name] for c in use.candidates)
            assert all(c.backend is policy.backends[c.backend.name] for c in use.candidates)


BOOK_8B = Price(Decimal("0.01"), Decimal("0.01"), price_id="qwen3-8b@2026-06")
FREE = Price(Decimal(0), Decimal(0), price_id="policy:free")
HALF = "{input_per_1m: 0.5, output_per_1m: $1.50, cached_input_per_1m: '0.05'}"
HALF_PRICE = Price(Decimal("0.5"), Decimal("1.50"), Decimal("0.05"), "policy:m")


@pytest.mark.parametrize(
    ("on_price", "backend", "model", "expected"),
    [
        pytest.param("", "kind: api", "like: qwen3-8b", BOOK_8B, id="book"),
        pytest.param("", "kind: api", f"price: {HALF}", HALF_PRICE, id="model"),
        pytest.param(
            "", "kind: api", f"like: qwen3-8b, price: {HALF}", HALF_PRICE, id="model-before-book"
        ),
        pytest.param(
            "", "kind: api, price: free", f"price: {HALF}", FREE, id="backend-before-model"
        ),
        pytest.param(
            f"price: {HALF}",
            "kind: api, price: free",
            "like: qwen3-8b",
            HALF_PRICE,
            id="pair-first",
        ),
        pytest.param("price: free", "kind: api", "like: qwen3-8b", FREE, id="pair-free"),
        pytest.param("", "kind: api", "price: free", FREE, id="model-free"),
        pytest.param("", "kind: api", "context: 8K", None, id="unknown-model"),
        pytest.param("", "kind: api", "like: glm-4.6", None, id="book-knows-no-input-price"),
        pytest.param("", "kind: api", "like: kimi-k2.5", None, id="book-knows-no-price"),
        pytest.param(
            "", "kind: vllm", f"like: qwen3-8b, price: {HALF}", None, id="vllm-is-our-own"
        ),
        pytest.param(
            "", "kind: vllm, operator: third_party", "like: qwen3-8b", None, id="any-vllm"
        ),
        pytest.param("", "kind: api, operator: self", f"price: {HALF}", None, id="own-api"),
        pytest.param(
            "", "kind: api, operator: third_party", f"price: {HALF}", HALF_PRICE, id="hosted"
        ),
        pytest.param(
            "", f"kind: vllm, price: {HALF}", "like: qwen3-8b", HALF_PRICE, id="own-priced"
        ),
        pytest.param(
            f"price: {HALF}", "kind: vllm", "like: qwen3-8b", HALF_PRICE, id="own-pair-priced"
        ),
    ],
)
def test_the_first_price_there_is_is_in_force(
    on_price: str, backend: str, model: str, expected: Price | None
) -> None:
    """Pair, backend, and for hosted APIs only: model, book. Not known is None, never zero."""
    served = f"{{name: x, {on_price}}}" if on_price else "x"
    text = (
        f"version: 1\nbackends: {{b: {{base_url: https://b.example/v1, {backend}}}}}\n"
        f"models: {{m: {{{model}, on: {{b: {served}}}}}}}\nroutes: [{{name: r, use: m}}]\n"
    )
    assert candidate_price(load(text), "b/m") == expected


@pytest.mark.parametrize(
    ("name", "fields", "context", "capabilities"),
    [
        ("qwen3-8b", "", 32_768, set()),
        ("Qwen3-VL-32B", "", 32_768, {Capability.VISION}),
        ("DeepSeek V4 Flash", "", 131_072, set()),
        ("fast", "like: DEEPSEEK V4 flash,", 131_072, set()),
        ("fast", "like: qwen3-omni-30b,", 32_768, {Capability.VISION, Capability.AUDIO}),
        ("qwen3-vl-32b", "capabilities: [tools],", 32_768, {Capability.TOOLS}),
        ("qwen3-vl-32b", "capabilities: [],", 32_768, set()),
        ("qwen3-vl-32b", "capabilities: tools,", 32_768, {Capability.TOOLS}),
        ("qwen3-8b", "context: auto,", None, set()),
        ("qwen3-8b", "context: 64K,", 65_536, set()),
        ("ga-economy", "", None, set()),
        ("my-own/model@2", "", None, set()),
    ],
)
def test_the_book_fills_in_what_is_left_out(
    name: str, fields: str, context: int | None, capabilities: set[Capability]
) -> None:
    """By id or display name in any case, or by `like`; what the policy says goes before."""
    text = changed(
        "  qwen3-32b:\n", f"  {name}: {{{fields} on: {{own-eu: x}}}}\n  qwen3-32b:\n"
    ) if name != "qwen3-8b" else changed(
        "qwen3-8b: {on:", f"qwen3-8b: {{{fields} on:"
    )  # fmt: skip
    model = load(text).models[name]
    assert (model.context_tokens, set(model.capabilities)) == (context, capabilities)


@pytest.mark.parametrize(
    ("fields", "timeouts", "propagate_trace"),
    [
        ("kind: api", Timeouts(first_token_s=10.0), False),
        ("kind: api, operator: self", Timeouts(first_token_s=10.0), False),
        ("kind: vllm", Timeouts(first_token_s=20.0), False),
        ("kind: vllm, operator: third_party", Timeouts(first_token_s=20.0), False),
        ("kind: vllm, operator: self", Timeouts(first_token_s=20.0), True),
        ("kind: vllm, operator: self, propagate_trace: false", Timeouts(first_token_s=20.0), False),
        ("kind: api, propagate_trace: true", Timeouts(), True),
        (
            "kind: vllm, timeouts: {connect: 500ms, first_token: 1m, idle: 2s, attempt: 1.5m}",
            Timeouts(connect_s=0.5, first_token_s=60.0, idle_s=2.0, attempt_s=90.0),
            False,
        ),
    ],
)
def test_a_kind_of_backend_has_its_defaults(
    fields: str, timeouts: Timeouts, propagate_trace: bool
) -> None:
    """A vLLM may queue; traceparent goes to nobody else's server unasked."""
    text = changed("backends:\n", f"backends:\n  x: {{base_url: https://x.example/v1, {fields}}}\n")
    backend = load(text).backends["x"]
    assert (backend.timeouts, backend.propagate_trace) == (timeouts, propagate_trace)


@pytest.mark.parametrize(
    ("fields", "prefill"),
    [("", False), (", prefill: true", True), (", prefill: false", False)],
)
def test_no_backend_takes_a_prefill_unless_it_says_so(fields: str, prefill: bool) -> None:
    """Not even a vLLM: one that says the text again would double it for the reader."""
    backend = "  x: {kind: vllm, base_url: https://x.example/v1" + fields + "}\n"
    assert load(changed("backends:\n", f"backends:\n{backend}")).backends["x"].prefill is prefill


def test_terms_that_are_not_declared_stay_unknown() -> None:
    """None, not a guess: the residency filter treats it as the worst case."""
    text = changed("backends:\n", "backends:\n  x: {kind: vllm, base_url: https://x.example/v1}\n")
    backend = load(text).backends["x"]
    assert (backend.region, backend.operator, backend.retention) == (None, None, None)


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("none", "none"),
        ("30d", "30d"),
        ("720h", "30d"),
        ("90m", "90m"),
        ("60m", "1h"),
        ("45s", "45s"),
    ],
)
def test_equal_retention_has_one_spelling(written: str, kept: str) -> None:
    """Tags and backends are compared by it."""
    policy = load(
        changed("retention: none\n", f"retention: {written}\n").replace("[none]", f"[{written}]")
    )
    assert policy.backends["own-eu"].retention == kept
    assert policy.residency["phi"].retention == {kept}


def test_norway_is_a_region() -> None:
    """`NO` is no `false`."""
    policy = load(
        changed("region: eu\n", "region: NO\n").replace("regions: [eu], o", "regions: [NO], o")
    )
    assert policy.backends["own-eu"].region == "NO"
    assert policy.residency["phi"].regions == {"NO"}


def test_deny_is_no_tag() -> None:
    """`default_residency: deny` turns away whoever brings no tag."""
    policy = load(changed("default_residency: public", "default_residency: deny"))
    assert (policy.default_residency, policy.deny_untagged) == (None, True)


def test_no_default_residency_is_neither() -> None:
    """Left out, a request without a tag carries none."""
    policy = load(changed("default_residency: public\n", ""))
    assert (policy.default_residency, policy.deny_untagged) == (None, False)


def test_conditions_take_a_word_or_a_list() -> None:
    """`when: {tenant: acme-*}` needs no brackets."""
    text = changed(
        "when: {task: [classify, extract]}",
        "when: {task: classify, residency: [eu, 'p*'], tenant: 'acme-*', environment: [staging, prod*]}",
    )
    assert load(text).routes[0].when.to_dict() == {
        "task": ["classify"],
        "residency": ["eu", "p*"],
        "tenant": ["acme-*"],
        "environment": ["prod*", "staging"],
    }


def test_a_route_takes_a_model_a_list_or_a_mapping() -> None:
    """`use: qwen3-8b` is a list of one."""
    for use in ("qwen3-8b", "[qwen3-8b]", "{model: qwen3-8b}", "[{model: qwen3-8b}]"):
        policy = load(changed("use: [qwen3-8b]", f"use: {use}"))
        assert [c.name for c in policy.routes[0].use[0].candidates] == [
            "hosted-us/qwen3-8b",
            "hosted-eu/qwen3-8b",
        ]


def test_one_model_may_stand_in_a_route_twice_with_other_backends() -> None:
    """First here, then another model, then there."""
    text = changed("use: [qwen3-8b]", "use: [{model: qwen3-8b, on: hosted-eu}]").replace(
        "fallbacks: [qwen3-32b]", "fallbacks: [qwen3-32b, {model: qwen3-8b, on: hosted-us}]"
    )
    assert [models_of(use) for use in load(text).routes[0].use] == [
        {"qwen3-8b"},
        {"qwen3-32b"},
        {"qwen3-8b"},
    ]


def test_an_entry_that_says_nothing_may_be_left_empty() -> None:
    """`public:` is a tag that restricts nothing."""
    policy = load(changed("public: {}", "public:").replace("tasks:\n", "tasks:\n  plain:\n"))
    assert policy.residency["public"] == Residency("public")
    assert policy.tasks["plain"].bucket is None


def test_headers_and_retries_are_taken_as_they_stand() -> None:
    """Names keep their case."""
    text = changed("price: free", "headers: {X-Team: search}\n    environments: [production, qa]")
    policy = load(
        text.replace("routes:", "retries: {same_backend_max: 0, attempts_max: 3}\nroutes:")
    )
    assert dict(policy.backends["own-eu"].headers) == {"X-Team": "search"}
    assert policy.backends["own-eu"].environments == {"production", "qa"}
    assert (policy.retries_max, policy.attempts_max) == (0, 3)


@pytest.mark.parametrize(
    ("written", "argument", "expected"),
    [("staging", None, "staging"), ("staging", "qa", "qa"), ("staging", "", ""), (None, None, "")],
)
def test_the_environment_handed_in_goes_first(
    written: str | None, argument: str | None, expected: str
) -> None:
    """Not declared anywhere, it is none: backends that name their environments are then not used."""
    line = f"environment: {written}\n" if written else ""
    text = changed("environment: production\n", line)
    policy, _ = load_policy_text(text, environ={}, environment=argument)
    assert policy.environment == expected


def test_a_file_is_named_by_its_stem(tmp_path: Path) -> None:
    """And its problems by the path as given."""
    path = tmp_path / "cheap.v2.yaml"
    path.write_text(GOOD, encoding="utf-8")
    policy, warnings = load_policy(path, environ={})
    assert (policy.name, warnings) == ("cheap.v2", ())
    assert policy.version == load(GOOD).version
    path.write_text("version: 2", encoding="utf-8")
    with pytest.raises(PolicyError) as caught:
        load_policy(str(path), environ={})
    assert {problem.file for problem in caught.value.problems} == {str(path)}


@pytest.mark.parametrize("name", ["missing.yaml", ".", "a\0b"])
def test_a_file_that_cannot_be_read_is_one_problem(tmp_path: Path, name: str) -> None:
    """Missing, a directory, or no path at all."""
    with pytest.raises(PolicyError, match="cannot be read") as caught:
        load_policy(f"{tmp_path}/{name}", environ={})
    assert len(caught.value.problems) == 1


def test_a_policy_cannot_be_changed() -> None:
    """Readers share it."""
    policy = load(GOOD)
    for mapping in (
        policy.backends,
        policy.models,
        policy.candidates,
        policy.residency,
        policy.tasks,
    ):
        with pytest.raises(TypeError):
            mapping["x"] = None
