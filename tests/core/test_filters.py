"""What takes a candidate out, one rule at a time, with words that say what to change."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from hybridllm._core.decide import filters
from hybridllm._core.decide.plan import DropReason
from hybridllm._core.decide.snapshot import EPOCH
from hybridllm._core.money.price import Price
from hybridllm._core.policy.compiled import (
    Backend,
    BackendKind,
    Candidate,
    Capability,
    Constraint,
    Model,
)
from hybridllm._core.policy.residency import Residency
from hybridllm._core.request.facts import Facts


def candidate(*, price: Price | None = None, model: Any = None, **backend: Any) -> Candidate:
    made = Backend("b", BackendKind.API, "https://b.test/v1", **backend)
    return Candidate(made, Model("m", **model or {}), "m", price)


def tag(name: str = "phi", **terms: set[str]) -> Residency:
    return Residency(name, **{term: frozenset(values) for term, values in terms.items()})


@pytest.mark.parametrize(
    ("backend", "terms", "reason"),
    [
        pytest.param({"region": "eu"}, {}, None, id="asks-nothing"),
        pytest.param({}, {}, DropReason.TERMS, id="declares-nothing"),
        pytest.param({}, {"regions": {"eu"}}, DropReason.TERMS, id="declares-nothing-asked"),
        pytest.param({"region": "eu"}, {"regions": {"eu"}}, None, id="region"),
        pytest.param({"region": "us"}, {"regions": {"eu"}}, DropReason.REGION, id="other-region"),
        pytest.param({"operator": "self"}, {"regions": {"eu"}}, DropReason.REGION, id="no-region"),
        pytest.param({"region": "EU"}, {"regions": {"eu"}}, DropReason.REGION, id="case"),
        pytest.param({"region": "eu"}, {"regions": {"eu", "us"}}, None, id="one-of-two"),
        pytest.param({"operator": "self"}, {"operators": {"self"}}, None, id="operator"),
        pytest.param({"region": "eu"}, {"operators": {"self"}}, DropReason.OPERATOR, id="no-operator"),
        pytest.param(
            {"operator": "third_party"}, {"operators": {"self"}}, DropReason.OPERATOR, id="other"
        ),
        pytest.param({"retention": "none"}, {"retention": {"none"}}, None, id="retention"),
        pytest.param(
            {"retention": "30d"}, {"retention": {"none"}}, DropReason.RETENTION, id="kept-30-days"
        ),
        pytest.param({"region": "eu"}, {"retention": {"none"}}, DropReason.RETENTION, id="no-retention"),
        pytest.param(
            {"region": "eu", "operator": "self"},
            {"regions": {"eu"}, "operators": {"self"}, "retention": {"none"}},
            DropReason.RETENTION, id="all-must-hold",
        ),
    ],
)  # fmt: skip
def test_a_tag_allows_a_backend_or_not(
    backend: dict[str, str], terms: dict[str, set[str]], reason: DropReason | None
) -> None:
    """What a backend has not declared fails every tag that asks for it: unknown is the worst case."""
    drop = filters.residency_drop(candidate(**backend), [tag(**terms)])
    assert (drop.reason if drop is not None else None) is reason
    if drop is not None and reason is not DropReason.TERMS:
        assert "(residency 'phi')" in drop.detail
        assert ("undeclared" in drop.detail) is (reason is not None and reason.value not in backend)
    if drop is not None:
        assert drop.rule == "residency 'phi'"


def test_a_backend_without_any_declared_term_takes_no_request_with_a_tag() -> None:
    """Not even one whose tag asks for nothing: nobody has said where its data goes."""
    drop = filters.residency_drop(candidate(), [tag("public")])
    assert drop is not None
    assert drop.reason is DropReason.TERMS
    assert "declares neither region nor operator nor retention" in drop.detail
    assert filters.residency_drop(candidate(), []) is None


def test_every_tag_must_allow_a_backend() -> None:
    """The first that does not is the one that is told."""
    eu, us = tag("eu", regions={"eu"}), tag("us", regions={"us"})
    drop = filters.residency_drop(candidate(region="eu"), [eu, us])
    assert drop is not None
    assert drop.detail == "region 'eu' is not in [us] (residency 'us')"
    assert filters.residency_drop(candidate(region="eu"), [eu, eu]) is None
    assert filters.residency_drop(candidate(), []) is None


@pytest.mark.parametrize(
    ("environments", "environment", "dropped"),
    [
        ((), "production", False),
        (("production",), "production", False),
        (("production", "staging"), "staging", False),
        (("production",), "staging", True),
        (("production",), "", True),
    ],
)
def test_a_backend_is_used_in_its_environments_only(
    environments: tuple[str, ...], environment: str, dropped: bool
) -> None:
    """One that names none is used in all."""
    one = candidate(environments=frozenset(environments))
    drop = filters.environment_drop(one, environment)
    assert (drop is not None) is dropped
    if drop is not None:
        assert drop.reason is DropReason.ENVIRONMENT
        assert repr(environment) in drop.detail


@pytest.mark.parametrize(
    ("needs", "has", "missing"),
    [
        ((), (), None),
        ((), ("tools",), None),
        (("tools",), ("tools", "vision"), None),
        (("tools",), (), "tools"),
        (("tools", "vision", "audio"), ("tools",), "audio, vision"),
    ],
)
def test_a_model_lists_what_a_request_needs(
    needs: tuple[str, ...], has: tuple[str, ...], missing: str | None
) -> None:
    """What is missing is named."""
    one = candidate(model={"capabilities": frozenset(map(Capability, has))})
    drop = filters.capability_drop(one, frozenset(map(Capability, needs)))
    assert (drop is None) is (missing is None)
    if drop is not None:
        assert f"does not list {missing} in" in drop.detail


@pytest.mark.parametrize(
    ("context", "tokens_in", "tokens_out", "fits"),
    [
        pytest.param(None, 10**9, 10**9, True, id="not-known"),
        pytest.param(100, 60, 40, True, id="just-fits"),
        pytest.param(100, 61, 40, False, id="one-too-many"),
        pytest.param(100, 100, None, True, id="no-limit-for-the-answer"),
        pytest.param(100, 101, None, False, id="prompt-alone"),
    ],
)
def test_prompt_and_answer_fit_the_context(
    context: int | None, tokens_in: int, tokens_out: int | None, fits: bool
) -> None:
    """As far as both are known."""
    facts = Facts(input_tokens_estimate=tokens_in, output_tokens_max=tokens_out)
    drop = filters.context_drop(candidate(model={"context_tokens": context}), facts)
    assert (drop is None) is fits
    if drop is not None:
        assert f"context of {context}" in drop.detail


PRICE = Price(Decimal(1), Decimal(2))  # USD per million


@pytest.mark.parametrize(
    ("ceiling", "price", "fits"),
    [
        pytest.param(None, None, True, id="no-ceiling"),
        pytest.param("0.0001", PRICE, True, id="just-at-it"),
        pytest.param("0.00009999", PRICE, False, id="just-above-it"),
        pytest.param("1000", None, False, id="no-price-known"),
        pytest.param("0", Price(Decimal(0), Decimal(0)), True, id="free"),
    ],
)
def test_what_is_expected_to_cost_stays_under_the_ceiling(
    ceiling: str | None, price: Price | None, fits: bool
) -> None:
    """60 tokens in and 20 out are 100 millionths; what has no price cannot be promised to stay below."""
    facts = Facts(input_tokens_estimate=60, output_tokens_max=20)
    most = None if ceiling is None else Decimal(ceiling)
    drop = filters.cost_drop(
        candidate(price=price), facts, most, EPOCH, rule="max_request_cost of x"
    )
    assert (drop is None) is fits
    if drop is not None:
        assert drop.rule == "max_request_cost of x"


@pytest.mark.parametrize(
    ("ceiling", "price", "fits"),
    [
        pytest.param(None, None, True, id="no-ceiling"),
        pytest.param("2", PRICE, True, id="at-it"),
        pytest.param("1.99", PRICE, False, id="above-it"),
        pytest.param("1000", None, False, id="no-price-known"),
        pytest.param("0", Price(Decimal(0), Decimal(0)), True, id="free"),
    ],
)
def test_the_output_price_stays_under_the_ceiling(
    ceiling: str | None, price: Price | None, fits: bool
) -> None:
    """The price of completion tokens alone; what is not known is above any ceiling."""
    most = None if ceiling is None else Decimal(ceiling)
    drop = filters.price_drop(candidate(price=price), most, EPOCH)
    assert (drop is None) is fits


@pytest.mark.parametrize(
    ("constraint", "said"),
    [
        pytest.param({}, None, id="nothing"),
        pytest.param({"backends": {"b"}}, None, id="allowed-backend"),
        pytest.param({"backends": {"c"}}, "backend 'b' is not in [c]", id="another-backend"),
        pytest.param({"denied_backends": {"b"}}, "backend 'b' is denied", id="denied-backend"),
        pytest.param({"models": {"m", "n"}}, None, id="allowed-model"),
        pytest.param({"models": {"n"}}, "model 'm' is not in [n]", id="another-model"),
        pytest.param({"denied_models": {"m"}}, "model 'm' is denied", id="denied-model"),
        pytest.param({"regions": {"us"}}, "region 'eu' is not in [us]", id="region"),
        pytest.param(
            {"operators": {"self"}}, "undeclared operator is not in [self]", id="undeclared"
        ),
        pytest.param({"regions": {"eu"}, "models": {"n"}}, "model 'm'", id="all-must-hold"),
    ],
)
def test_a_constraint_allows_a_candidate_or_not(
    constraint: dict[str, set[str]], said: str | None
) -> None:
    """Every part of it must; a term that is not declared is not allowed."""
    made = Constraint("k", **{name: frozenset(names) for name, names in constraint.items()})
    drop = filters.constraint_drop(candidate(region="eu"), made)
    assert (drop is None) is (said is None)
    if drop is not None and said is not None:
        assert said in drop.detail
        assert drop.rule == "constraint 'k'"
        assert drop.reason is DropReason.CONSTRAINT


def test_embeddings_stay_in_a_vector_space() -> None:
    """A model of another space is dropped, and one that embeds nothing."""
    one = candidate(model={"vector_space": "bge"})
    assert filters.vector_space_drop(one, None) is None
    assert filters.vector_space_drop(one, "bge") is None
    for other, said in ((one, "is in vector space 'bge'"), (candidate(), "is in no vector space")):
        drop = filters.vector_space_drop(other, "ada")
        assert drop is not None
        assert said in drop.detail
        assert drop.rule == "vector space 'ada'"


def test_the_expected_cost_counts_every_answer_and_every_input() -> None:
    """`n` answers of the asked length; without one, a usual length is assumed; of many texts all."""
    one = candidate(price=PRICE)

    def cost(**facts: Any) -> Decimal:
        expected = filters.expected_cost_usd(one, Facts(**facts), EPOCH)
        assert expected is not None
        return expected * 1_000_000

    assert cost(input_tokens_estimate=10, output_tokens_max=5) == 20
    assert cost(input_tokens_estimate=10, output_tokens_max=5, answers=3) == 40
    assert cost(input_tokens_estimate=10, input_tokens_total=70, output_tokens_max=0) == 70
    assert cost() == 2 * filters.OUTPUT_TOKENS_ASSUMED
    assert filters.expected_cost_usd(candidate(), Facts(), EPOCH) is None
