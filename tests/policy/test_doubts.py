"""What a policy may say and probably does not mean: told as a warning, at its place."""

from __future__ import annotations

import pytest

from policy.policy_text import changed, place_of_mark, warnings_of

DOUBTFUL = [
    (
        "default_residency: public\n",
        "",
        "residency",
        "tags restrict where data may go (eu, phi), but a request without a tag may go anywhere; set default",
    ),
    (
        "phi: {regions: [eu], operators: [self]",
        "«phi: {regions: [us], operators: [self]",
        "residency.phi",
        "no backend that serves a model is allowed for tag 'phi' in environment 'production'; every request",
    ),
    (
        "eu: {regions: [eu]}",
        "eu: {«regions: [EU, eu]}",
        "residency.eu.regions",
        "no backend is in region 'EU'; regions of backends: eu, us; did you mean 'eu'?",
    ),
    (
        "price: free",
        "environments: [qa]\n    price: free\n",
        "residency.phi",
        "every request with it is denied",
    ),
    (
        "    price: free\n",
        "",
        "backends.own-eu",
        "'own-eu' is your own and has no price, so its answers have no cost",
    ),
    (
        "qwen3-8b: {on",
        "«qwen3-8b: {like: glm-5, on",
        "models.qwen3-8b",
        "the price of model 'qwen3-8b' is not known",
    ),
    (
        "https://vllm.internal/v1",
        "https://vllm.internal",
        "backends.own-eu.base_url",
        "has no path; most servers",
    ),
    (
        "backends:\n",
        "backends:\n  «spare: {kind: api, base_url: https://spare.example/v1}\n",
        "backends.spare",
        "backend 'spare' serves no model; no request ever reaches it",
    ),
    ("models:\n", "models:\n  «glm-5: {}\n", "models.glm-5", "nobody serves model 'glm-5'"),
    (
        "[tools, json_schema]\n",
        "[tools]\n    «dimensions: 1024\n",
        "models.qwen3-32b.dimensions",
        "has dimensions, but `embeddings` is not among its capabilities",
    ),
    (
        "task: [classify, extract]",
        "task: [«clasify]",
        "routes[0].when.task[0]",
        "did you mean 'classify'?",
    ),
    (
        "when: {task: [classify, extract]}",
        "when: {not: {any: [{task: «clasify}]}}",
        "routes[0].when.not.any[0].task",
        "did you mean 'classify'?",
    ),
    (
        "when: {task: [classify, extract]}",
        "when: {bucket: [bandwidth, «judgment]}",
        "routes[0].when.bucket[1]",
        "no task is in bucket 'judgment'; buckets of tasks: bandwidth",
    ),
    (
        "  own-eu:\n    kind: vllm\n",
        "  «bare: {kind: api, base_url: https://bare.example/v1}\n  own-eu:\n    kind: vllm\n",
        "backends.bare",
        "declares neither region nor operator nor retention, so no request with a residency tag ever reaches",
    ),
    (
        "    price: free\n",
        "retries: {}\nconstraints:\n  - {name: c, mode: observe, max_output_price: «0.001}\n",
        "constraints[0].max_output_price",
        "0.001 leaves nobody to ask",
    ),
    (
        "  - name: default\n",
        "  - {name: all, use: [qwen3-32b]}\n  - name: «default\n",
        "routes[2]",
        "route 'default' is never reached: 'all' (line 30) takes every request that it would take",
    ),
    (
        "on: [own-eu, hosted-us]",
        "on: [own-eu], order_by: «prefix",
        "routes[1].use[0].order_by",
        "has no effect: 'own-eu' is the only backend to choose from",
    ),
    (
        "use: [{model: qwen3-32b, on: [own-eu, hosted-us]}]",
        "use: [{model: qwen3-8b, on: [hosted-us]}, {model: qwen3-32b, on: [hosted-us]}]\n"
        "    order_by: «prefix",
        "routes[1].order_by",
        "has no effect: 'hosted-us' is the only backend to choose from",
    ),
]


@pytest.mark.parametrize(("old", "new", "path", "message"), DOUBTFUL)
def test_a_doubt_is_a_warning_at_its_place(old: str, new: str, path: str, message: str) -> None:
    """The policy loads all the same."""
    text, place = place_of_mark(changed(old, new))
    told = [warning for warning in warnings_of(text) if warning.path == path]
    assert any(message in warning.message for warning in told), warnings_of(text)
    assert all(
        str(warning).startswith("p.yaml:") and "warning: " in str(warning) for warning in told
    )
    if "«" in new:
        assert (told[0].line, told[0].column) == place


@pytest.mark.parametrize(
    ("earlier", "later", "dead"),
    [
        ("{}", "{task: a}", True),
        ("{}", "{}", True),
        ("{task: a}", "{}", False),
        ("{task: [a, b]}", "{task: a}", True),
        ("{task: a}", "{task: [a, b]}", False),
        ("{task: 'a*'}", "{task: [ab, ac]}", True),
        ("{task: 'a*'}", "{task: 'a*'}", True),
        ("{task: 'a*'}", "{task: 'ab*'}", True),
        ("{task: a, tenant: t}", "{task: a}", False),
        ("{task: a}", "{task: a, tenant: t}", True),
        ("{task: a}", "{tenant: t}", False),
        ("{environment: production}", "{environment: staging}", False),
        ("{tenant: '*'}", "{tenant: t}", True),
        ("{tenant: '*'}", "{}", False),  # a request without a tenant
        ("{input_tokens: {gte: 8K}}", "{input_tokens: {gt: 9K}}", True),
        ("{input_tokens: {gt: 9K}}", "{input_tokens: {gte: 8K}}", False),
        ("{tags: [a, b]}", "{tags: a, stream: true}", True),
        ("{bucket: bandwidth}", "{task: classify}", True),
        ("{residency: [eu, public]}", "{residency: eu}", True),
        ("{not: {tenant: t}}", "{feature: f, not: {tenant: t}}", True),
        ("{any: [{tenant: t}, {feature: f}]}", "{tenant: t}", True),
        ("{any: [{tenant: t}, {feature: f}]}", "{feature: g}", False),
        ("{time: {from: '08:00', to: '18:00'}}", "{time: {from: '09:00', to: '17:00'}}", True),
        (
            "{time: {from: '08:00', to: '18:00', zone: Asia/Tokyo}}",
            "{time: {from: '09:00'}}",
            False,
        ),
        ("{metadata: {n: {gte: 1}}}", "{metadata: {n: {gt: 1, lt: 2}}}", True),
        ("mode: observe", "{task: a}", False),
    ],
)
def test_a_route_behind_one_that_takes_all_is_dead(earlier: str, later: str, dead: bool) -> None:
    """Dead means: every request that it would take has gone before."""
    routes = "".join(
        f"  - {{name: {name}, {when if 'mode' in when else f'when: {when}'}, use: qwen3-8b}}\n"
        for name, when in (("x", earlier), ("y", later))
    )
    text = changed("  - name: cheap\n", f"{routes}  - name: cheap\n")
    told = {warning.path for warning in warnings_of(text) if "never reached" in warning.message}
    assert ("routes[1]" in told) == dead


def test_tags_without_restrictions_need_no_default() -> None:
    """Nothing is kept anywhere, so nothing can be forgotten."""
    text = changed("  eu: {regions: [eu]}\n", "").replace(
        "  phi: {regions: [eu], operators: [self], retention: [none]}\n", ""
    )
    assert warnings_of(text.replace("default_residency: public\n", "")) == ()


VECTORS = """\
models:
  bge: {capabilities: [embeddings]SPACE, on: {own-eu: bge}}
  nomic: {capabilities: [embeddings]OTHER, on: {own-eu: nomic}}
"""


@pytest.mark.parametrize(
    ("space", "other", "entries", "doubtful"),
    [
        ("", "", "[bge, nomic]", True),
        ("", ", vector_space: bge", "[bge, nomic]", False),  # the other has the first one's name
        (", vector_space: old", ", vector_space: new", "[bge, nomic]", False),
        (", vector_space: old", ", vector_space: old", "[bge], fallbacks: [nomic]", False),
        (", vector_space: old", ", vector_space: new", "[bge], fallbacks: [nomic]", True),
        (", vector_space: old", "", "[{split: {bge: 1, nomic: 1}}]", True),
        ("", "", "[bge]", False),
    ],
)
def test_an_embedding_model_of_another_space_is_no_fallback(
    space: str, other: str, entries: str, doubtful: bool
) -> None:
    """Requests may name a declared space; who declares none expects the second model to stand in."""
    route = f"  - {{name: v, when: {{capability: embeddings}}, use: {entries}}}\n"
    text = changed("models:\n", VECTORS.replace("SPACE", space).replace("OTHER", other))
    told = warnings_of(text.replace("  - name: cheap\n", f"{route}  - name: cheap\n"))
    assert any("it is no fallback" in warning.message for warning in told) is doubtful


def test_an_order_by_prefix_with_somebody_to_choose_from_is_no_doubt() -> None:
    """Two are enough."""
    text = changed("on: [own-eu, hosted-us]", "on: [own-eu, hosted-us], order_by: prefix")
    assert not [one for one in warnings_of(text) if one.path.endswith("order_by")]


def test_a_new_task_in_a_route_is_no_doubt() -> None:
    """Only a name close to a declared one is asked about."""
    assert warnings_of(changed("task: [classify, extract]", "task: [translate]")) == ()
