"""The decision, as a function of values: a policy and a request in; who may be asked, in order, out."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from hybridllm._adapters.policy_files import load_policy_text
from hybridllm._core.decide.decide import PINNED, decide
from hybridllm._core.decide.plan import Denied, Plan
from hybridllm._core.decide.snapshot import IDLE, Snapshot
from hybridllm._core.policy.compiled import Capability, Policy
from hybridllm._core.request.facts import Facts

TEXT = """
version: 1
environment: production
backends:
  us: {kind: api, base_url: "https://us.test/v1", region: us, operator: third_party, retention: 30d}
  eu: {kind: api, base_url: "https://eu.test/v1", region: eu, operator: third_party, retention: 30d}
  own: {kind: vllm, base_url: "https://own.test/v1", region: eu, operator: self, retention: none}
  lab: {kind: vllm, base_url: "https://lab.test/v1", region: eu, operator: self, environments: [staging]}
models:
  small: {context: 1K, price: {input_per_1m: 1, output_per_1m: 1}, on: {us: s, eu: s}}
  large: {context: 8K, capabilities: [tools], price: {input_per_1m: 9, output_per_1m: 9},
          on: {us: l, eu: l, own: l, lab: l}}
  seeing: {capabilities: [vision], on: {us: v}}
  bge: {capabilities: [embeddings], dimensions: 4, on: {own: e, eu: e}}
residency:
  public: {}
  eu: {regions: [eu]}
  phi: {operators: [self]}
  mars: {regions: [mars]}
tasks:
  classify: {bucket: bandwidth}
  note: {residency: phi}
routes:
  - {name: cheap, when: {task: [classify, "extract-*"]}, use: [small], fallbacks: [large]}
  - {name: acme, when: {tenant: "acme*"}, use: [{model: large, on: [own, eu]}]}
  - {name: space, when: {residency: mars}, use: [large]}
  - {name: default, use: [large, seeing], fallbacks: [small]}
"""


def policy(old: str = "", new: str = "") -> Policy:
    """The policy, with one piece of it replaced."""
    assert not old or TEXT.count(old) == 1
    return load_policy_text(TEXT.replace(old, new) if old else TEXT)[0]


POLICY = policy()


def decided(of: Policy = POLICY, /, *, load: dict[str, int] | None = None, **facts: Any) -> Any:
    facts = {"environment": of.environment} | facts
    snapshot = Snapshot(load) if load else IDLE
    return decide(of, Facts(**facts), snapshot)


def names(of: Policy = POLICY, /, **facts: Any) -> tuple[str, ...]:
    """Who may be asked, in order; it must not be denied."""
    plan = decided(of, **facts)
    assert isinstance(plan, Plan), plan
    return plan.candidate_names


# --- the route and its candidates


@pytest.mark.parametrize(
    ("facts", "route", "candidates"),
    [
        pytest.param(
            {"task": "classify"}, "cheap",
            ("us/small", "eu/small", "us/large", "eu/large", "own/large"), id="task",
        ),
        pytest.param(
            {"task": "extract-tables"}, "cheap",
            ("us/small", "eu/small", "us/large", "eu/large", "own/large"), id="task-by-a-glob",
        ),
        pytest.param({"tenant": "acme-eu"}, "acme", ("own/large", "eu/large"), id="tenant"),
        pytest.param(
            {"tenant": "acme", "task": "classify"}, "cheap",
            ("us/small", "eu/small", "us/large", "eu/large", "own/large"), id="the-first-that-fits",
        ),
        pytest.param(
            {}, "default",
            ("us/large", "eu/large", "own/large", "us/seeing", "us/small", "eu/small"), id="the-last",
        ),
        pytest.param(
            {"residency": "eu"}, "default", ("eu/large", "own/large", "eu/small"), id="region"
        ),
        pytest.param({"residency": "phi"}, "default", ("own/large",), id="operator"),
        pytest.param(
            {"residency": "public"}, "default",
            ("us/large", "eu/large", "own/large", "us/seeing", "us/small", "eu/small"), id="public",
        ),
        pytest.param({"task": "note"}, "default", ("own/large",), id="tag-of-the-task"),
        pytest.param(
            {"task": "note", "residency": "public"}, "default", ("own/large",),
            id="a-weaker-tag-does-not-lift-the-tasks",
        ),
        pytest.param(
            {"environment": "staging", "residency": "phi"}, "default", ("own/large", "lab/large"),
            id="environment",
        ),
        pytest.param(
            {"needs": frozenset({Capability.VISION})}, "default", ("us/seeing",), id="capability"
        ),
        pytest.param(
            {"input_tokens_estimate": 1_000, "output_tokens_max": 25, "task": "classify"}, "cheap",
            ("us/large", "eu/large", "own/large"), id="context",
        ),
        pytest.param(
            {"input_tokens_estimate": 1_000, "output_tokens_max": 24, "task": "classify"}, "cheap",
            ("us/small", "eu/small", "us/large", "eu/large", "own/large"), id="context-just-fits",
        ),
        pytest.param(
            {"max_cost_usd": Decimal("0.00001"), "output_tokens_max": 10}, "default",
            ("us/small", "eu/small"), id="cost",
        ),
        pytest.param({"model": "small"}, PINNED, ("us/small", "eu/small"), id="pinned"),
        pytest.param(
            {"model": "large", "residency": "phi"}, PINNED, ("own/large",), id="pinned-and-tagged"
        ),
        pytest.param(
            {"model": "large", "tenant": "acme"}, PINNED, ("us/large", "eu/large", "own/large"),
            id="a-pin-passes-the-routes-by",
        ),
        pytest.param(
            {"operation": "embeddings", "model": "bge", "needs": frozenset({Capability.EMBEDDINGS})},
            PINNED, ("own/bge", "eu/bge"), id="embeddings",
        ),
    ],
)  # fmt: skip
def test_who_may_be_asked(facts: dict[str, Any], route: str, candidates: tuple[str, ...]) -> None:
    """Hard filters, then the first route, then the order of the file."""
    plan = decided(**facts)
    assert isinstance(plan, Plan), plan
    assert (plan.route, plan.candidate_names) == (route, candidates)
    assert len(plan.reasons) == len(candidates)


def test_fallbacks_and_later_models_are_marked() -> None:
    """So that a receipt can say that another model answered than was meant."""
    plan = decided(task="classify")
    assert [kept.fallback for kept in plan.kept] == [False, False, True, True, True]
    assert plan.reasons[0] == "route 'cheap', model 1 (use); least loaded backend first"
    assert plan.reasons[2] == "route 'cheap', model 2 (fallback); least loaded backend first"
    default = decided()
    assert [kept.fallback for kept in default.kept] == [False, False, False, True, True, True]
    assert decided(tenant="acme").reasons[0].endswith("backends in the order of `on`")
    assert decided(model="small").reasons == ("the caller pinned model 'small'",) * 2


def test_who_was_dropped_is_told_with_the_reason() -> None:
    """In words that name the value, what is allowed, and by which rule."""
    plan = decided(residency="phi", needs=frozenset({Capability.TOOLS}))
    assert dict(plan.dropped_names) == {
        "us/large": "operator 'third_party' is not in [self] (residency 'phi')",
        "eu/large": "operator 'third_party' is not in [self] (residency 'phi')",
        "lab/large": "environment 'production' is not in [staging] of backend 'lab'",
        "us/seeing": "operator 'third_party' is not in [self] (residency 'phi')",
        "us/small": "operator 'third_party' is not in [self] (residency 'phi')",
        "eu/small": "operator 'third_party' is not in [self] (residency 'phi')",
    }


# --- load


@pytest.mark.parametrize(
    ("load", "candidates"),
    [
        pytest.param({}, ("us/large", "eu/large", "own/large"), id="idle"),
        pytest.param({"us": 1}, ("eu/large", "own/large", "us/large"), id="one-busy"),
        pytest.param({"us": 2, "eu": 1}, ("own/large", "eu/large", "us/large"), id="two-busy"),
        pytest.param({"us": 3, "eu": 3, "own": 3}, ("us/large", "eu/large", "own/large"), id="tie"),
        pytest.param({"elsewhere": 9}, ("us/large", "eu/large", "own/large"), id="a-stranger"),
    ],
)
def test_among_equals_the_least_loaded_is_asked_first(
    load: dict[str, int], candidates: tuple[str, ...]
) -> None:
    """Within one model; a tie is in the order of the file."""
    assert names(model="large", load=load) == candidates


def test_load_never_changes_the_order_that_was_given() -> None:
    """`on:` is an order; and a busy first model still goes before an idle second one."""
    busy = {"own": 99, "us": 99, "eu": 50}
    assert names(tenant="acme", load=busy) == ("own/large", "eu/large")
    models = [name.split("/")[1] for name in names(task="classify", load=busy)]
    assert models == ["small", "small", "large", "large", "large"]


def test_load_never_adds_or_removes_anybody() -> None:
    """It orders what the filters left."""
    for load in ({}, {"us": 1}, {"own": 7, "eu": 2}):
        assert set(names(residency="eu", load=load)) == {"eu/large", "own/large", "eu/small"}


# --- denied


@pytest.mark.parametrize(
    ("facts", "rule", "said"),
    [
        pytest.param(
            {"task": "clasify"}, "unknown task 'clasify'", "did you mean 'classify'", id="task"
        ),
        pytest.param(
            {"residency": "phy"}, "unknown residency tag 'phy'", "known: eu, mars, phi, public",
            id="tag",
        ),
        pytest.param({"model": "smal"}, "unknown model 'smal'", "did you mean 'small'", id="model"),
        pytest.param(
            {"residency": "mars"}, "residency 'mars'", "route 'space'", id="nobody-for-the-tag"
        ),
        pytest.param(
            {"needs": frozenset({Capability.AUDIO})}, "capabilities audio", "route 'default'",
            id="nobody-for-the-needs",
        ),
        pytest.param(
            {"model": "small", "residency": "phi"}, "residency 'phi'", "the pinned model",
            id="nobody-for-the-pin",
        ),
        pytest.param(
            {"model": "large", "input_tokens_estimate": 9_000}, "context length", "do not fit the context",
            id="too-long",
        ),
        pytest.param(
            {"max_cost_usd": Decimal(0)}, "max_cost_usd", "above 0 (max_cost_usd)", id="too-dear"
        ),
        pytest.param({"model": "unserved"}, "unknown model 'unserved'", "known:", id="unserved"),
    ],
)  # fmt: skip
def test_a_request_that_nobody_may_answer_is_denied(
    facts: dict[str, Any], rule: str, said: str
) -> None:
    """The rule is named, and the message holds what was wrong and what would be right."""
    denied = decided(policy("  bge:", "  unserved: {}\n  bge:"), **facts)
    assert isinstance(denied, Denied), denied
    assert denied.rule == rule
    assert said in denied.message
    assert "inline" in denied.message


def test_a_denial_says_what_became_of_every_candidate() -> None:
    """Each with its reason."""
    denied = decided(residency="mars")
    assert isinstance(denied, Denied)
    assert {drop.candidate.name for drop in denied.dropped} == {
        "us/large", "eu/large", "own/large", "lab/large",
    }  # fmt: skip
    assert (denied.route, denied.residency) == ("space", ("mars",))


@pytest.mark.parametrize(
    ("facts", "tags"),
    [
        ({}, ("eu",)),
        ({"residency": "public"}, ("public",)),
        ({"task": "note"}, ("phi",)),
        ({"task": "note", "residency": "eu"}, ("eu", "phi")),
        ({"task": "note", "residency": "phi"}, ("phi",)),
        ({"task": "classify"}, ("eu",)),
    ],
)
def test_which_tags_hold(facts: dict[str, Any], tags: tuple[str, ...]) -> None:
    """The request's and its task's, both; the default only for a request without any."""
    plan = decided(policy("environment: production", "environment: production\ndefault_residency: eu"),
                   **facts)  # fmt: skip
    assert isinstance(plan, Plan)
    assert plan.residency == tags


def test_a_policy_may_deny_requests_without_a_tag() -> None:
    """And says which tags there are."""
    closed = policy("environment: production", "environment: production\ndefault_residency: deny")
    denied = decided(closed)
    assert isinstance(denied, Denied)
    assert denied.rule == "default_residency: deny"
    assert "pass residency=, one of: eu, mars, phi, public" in denied.message
    assert names(closed, residency="phi") == names(closed, task="note") == ("own/large",)


def test_without_a_last_route_some_requests_match_none() -> None:
    """The message says what to add."""
    open_ended = policy("  - {name: default, use: [large, seeing], fallbacks: [small]}\n", "")
    denied = decided(open_ended)
    assert isinstance(denied, Denied)
    assert denied.rule == "no route matches"
    assert "add a last route without `when`" in denied.message


def test_a_policy_that_names_no_task_takes_any() -> None:
    """There is nothing that a task could be misspelt of."""
    text = TEXT[: TEXT.index("tasks:")] + "routes: [{name: all, use: [large]}]"
    free = load_policy_text(text)[0]
    assert names(free, task="anything") == ("us/large", "eu/large", "own/large")


# --- embeddings


def test_an_embedding_request_never_falls_back_to_another_model() -> None:
    """Vectors of two models do not compare."""
    text = TEXT.replace("use: [large, seeing]", "use: [bge, ada]").replace(
        "  bge:", "  ada: {capabilities: [embeddings], on: {us: a}}\n  bge:"
    )
    both = load_policy_text(text)[0]
    facts = {"operation": "embeddings", "needs": frozenset({Capability.EMBEDDINGS})}
    assert names(both, **facts) == ("own/bge", "eu/bge")


# --- values


def test_the_same_question_has_the_same_answer() -> None:
    """And nothing of one request is in the plan of the next."""
    first = decided(task="classify", tenant="a", feature="f1", input_tokens_estimate=5)
    second = decided(task="classify", tenant="a", feature="f2", input_tokens_estimate=7)
    assert first.kept == second.kept
    assert (first.facts.feature, second.facts.feature) == ("f1", "f2")
    assert decided(task="classify", tenant="a", feature="f1", input_tokens_estimate=5) == first


def test_a_size_that_fits_nowhere_is_not_remembered_for_the_next_request() -> None:
    """What depends on one request's length is worked out anew each time."""
    assert isinstance(decided(model="small", input_tokens_estimate=5_000), Denied)
    assert names(model="small", input_tokens_estimate=5) == ("us/small", "eu/small")


def test_names_that_nobody_knows_are_not_remembered_and_not_all_listed() -> None:
    """A caller who invents names fills no memory; a message lists twenty names, not a thousand."""
    many = "".join(f"  task-number-{number}: {{}}\n" for number in range(1_000))
    large = policy("tasks:\n", f"tasks:\n{many}")
    for number in range(50):
        denied = decided(large, task=f"invented-{number}")
        assert isinstance(denied, Denied)
        assert len(denied.message) < 2_000
    assert not large.memo


def test_an_environment_that_denies_is_what_is_blamed() -> None:
    """Not the capability that the model has."""
    only_here = policy("  bge:", "  there: {capabilities: [tools], on: {lab: x}}\n  bge:")
    denied = decided(only_here, model="there", needs=frozenset({Capability.TOOLS}))
    assert isinstance(denied, Denied)
    assert denied.rule == "environment 'production'"


def test_two_policies_are_two_policies() -> None:
    """However alike: what is remembered of one is never told of the other."""
    other = policy("use: [small], fallbacks: [large]", "use: [large], fallbacks: [small]")
    assert names(task="classify")[0] == "us/small"
    assert names(other, task="classify")[0] == "us/large"


def test_a_candidate_stands_once() -> None:
    """Named twice by way of `on`, it is asked once, at its first place."""
    twice = policy(
        "use: [{model: large, on: [own, eu]}]",
        "use: [{model: large, on: [own]}], fallbacks: [{model: large, on: [eu]}, small]",
    )
    assert names(twice, tenant="acme") == ("own/large", "eu/large", "us/small", "eu/small")
