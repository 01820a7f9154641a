"""Weighted splits: each model gets its share, and whoever has a session keeps the model that it has.

Sessions and chances are fixed, so every count is the same on every run; the bounds are those that pure
chance would break once in a thousand times.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from hybridllm._adapters.policy_files import load_policy_text
from hybridllm._core.decide.decide import decide
from hybridllm._core.decide.plan import Plan
from hybridllm._core.decide.snapshot import IDLE, Latency, Snapshot
from hybridllm._core.policy.compiled import Policy
from hybridllm._core.request.facts import Facts

REQUESTS = 10_000
SHARES = {"large": 0.7, "middle": 0.2, "small": 0.1}
# Of chi-square, by degrees of freedom, at p = 0.001.
CHI_SQUARE_MAX = {1: 10.83, 2: 13.82, 8: 26.12}
SESSIONS = [f"session-{number}" for number in range(REQUESTS)]

TEXT = """
version: 1
backends:
  us: {kind: api, base_url: "https://us.test/v1", region: us}
  eu: {kind: api, base_url: "https://eu.test/v1", region: eu}
models:
  large: {on: {us: l, eu: l}, price: {input_per_1m: 1, output_per_1m: 9}}
  middle: {on: {us: m, eu: m}, price: {input_per_1m: 1, output_per_1m: 3}}
  small: {on: {us: s}, price: {input_per_1m: 1, output_per_1m: 1}}
residency:
  eu: {regions: [eu]}
constraints:
  - {name: no-large, when: {tenant: thrifty}, max_output_price: 5}
routes:
  - {name: chat, when: {feature: chat}, use: [{split: {large: 70, middle: 20, small: 10}}]}
  - {name: search, when: {feature: search}, use: [{split: {large: 70, middle: 20, small: 10}}]}
  - name: by-tenant
    when: {feature: tenant}
    use: [{split: {large: 70, middle: 20, small: 10}, sticky_by: tenant}]
  - name: by-feature
    when: {feature: "feature-*"}
    use: [{split: {large: 70, middle: 20, small: 10}, sticky_by: feature}]
  - name: by-account
    when: {feature: account}
    use: [{split: {large: 70, middle: 20, small: 10}, sticky_by: metadata.account}]
  - name: quick
    when: {feature: quick}
    use: [{split: {large: 50, middle: 50}}]
    slo: {total_ms: {p50: 900}}
  - {name: default, use: [small]}
"""


def policy(old: str = "", new: str = "") -> Policy:
    """The policy, with one text replaced everywhere."""
    return load_policy_text(TEXT.replace(old, new) if old else TEXT)[0]


POLICY = policy()


def planned(of: Policy = POLICY, /, *, snapshot: Snapshot = IDLE, **facts: Any) -> Plan:
    plan = decide(of, Facts(**{"feature": "chat"} | facts), snapshot)
    assert isinstance(plan, Plan), plan
    return plan


def drawn(of: Policy = POLICY, /, **facts: Any) -> str:
    """The model that is asked first."""
    return planned(of, **facts).kept[0].candidate.model.name


def chi_square(counts: Mapping[str, int], shares: Mapping[str, float]) -> float:
    total, weight = sum(counts.values()), sum(shares.values())
    assert counts.keys() <= shares.keys()
    expected = {model: total * share / weight for model, share in shares.items()}
    return sum((counts[model] - e) ** 2 / e for model, e in expected.items())


def assert_shared(models: Iterable[str], shares: Mapping[str, float]) -> None:
    """Every model was drawn about as often as its weight says."""
    counts = Counter(models)
    assert chi_square(counts, shares) < CHI_SQUARE_MAX[len(shares) - 1], counts


# --- shares


@pytest.mark.parametrize("feature", ["chat", "search"])
def test_sessions_are_shared_by_the_weights(feature: str) -> None:
    """10,000 of them at 70:20:10."""
    assert_shared((drawn(session=one, feature=feature) for one in SESSIONS), SHARES)


def test_requests_without_a_session_are_drawn_for() -> None:
    """By the chance that comes with the state of the world; the same chance, the same model."""
    chance = random.Random(7)
    draws = [Snapshot(chance=chance.random()) for _ in range(REQUESTS)]
    models = [drawn(snapshot=draw) for draw in draws]
    assert_shared(models, SHARES)
    assert models[:100] == [drawn(snapshot=draw) for draw in draws[:100]]


@pytest.mark.parametrize(
    "weights",
    [
        pytest.param({"large": 7, "middle": 2, "small": 1}, id="in-tenths"),
        pytest.param({"large": 0.35, "middle": 0.1, "small": 0.05}, id="below-one"),
    ],
)
def test_weights_are_shares_of_their_sum(weights: dict[str, float]) -> None:
    """70:20:10 is 7:2:1, for every single session."""
    written = ", ".join(f"{model}: {weight}" for model, weight in weights.items())
    same = policy("large: 70, middle: 20, small: 10", written)
    assert [drawn(same, session=one) for one in SESSIONS[:500]] == [
        drawn(session=one) for one in SESSIONS[:500]
    ]


def test_a_model_alone_in_a_split_gets_everything() -> None:
    """Whatever its weight."""
    alone = policy("large: 70, middle: 20, small: 10", "middle: 3")
    assert {drawn(alone, session=one) for one in SESSIONS[:50]} == {"middle"}


# --- stickiness


MANY_STATES = [
    Snapshot(),
    Snapshot(chance=0.99),
    Snapshot({"us": 90, "eu": 40}),
    Snapshot(latency={"us/large": Latency(total_ms={50: 9_000.0})}),
    Snapshot(now_utc=datetime(2031, 5, 17, 3, tzinfo=UTC)),
]


def test_a_session_keeps_its_model_whatever_happens() -> None:
    """Over time, load, latency and chance; and whatever else its requests say."""
    for session in SESSIONS[:200]:
        models = {drawn(session=session, snapshot=state) for state in MANY_STATES}
        models.add(drawn(session=session, tenant="acme", task="t", stream=True))
        models.add(drawn(session=session, input_tokens_estimate=900, output_tokens_max=90))
        assert len(models) == 1


def test_a_policy_that_is_loaded_again_leaves_every_session_where_it_was() -> None:
    """In another process too: nothing but the names decides."""
    again = policy("kind: api", "kind:  api")
    assert again.version != POLICY.version
    for session in SESSIONS[:200]:
        assert drawn(again, session=session) == drawn(session=session)
    assert drawn(session="session-1") == "large"  # on every machine, or conversations move


@pytest.mark.parametrize(
    ("feature", "key"),
    [("tenant", "tenant"), ("account", "metadata"), ("feature-{}", "feature")],
    ids=["tenant", "metadata", "feature"],
)
def test_a_split_sticks_to_what_the_policy_says(feature: str, key: str) -> None:
    """The same value, the same model, in every session; and the shares are kept over the values."""

    def model(value: str, session: str) -> str:
        given: dict[str, Any] = {"feature": feature.format(value), "session": session}
        if key == "tenant":
            given["tenant"] = value
        if key == "metadata":
            given["metadata"] = {"account": value}
        return drawn(**given)

    values = [f"v-{number}" for number in range(2_000)]
    first = [model(value, "monday") for value in values]
    assert first == [model(value, "tuesday") for value in values]
    assert_shared(first, SHARES)


@pytest.mark.parametrize("given", [{}, {"metadata": {"other": "x"}}, {"session": "s"}])
def test_without_the_value_it_sticks_to_chance_decides(given: dict[str, Any]) -> None:
    """A session is nothing to a split that sticks to an account."""
    draws = (Snapshot(chance=number / 200) for number in range(200))
    assert len({drawn(feature="account", snapshot=draw, **given) for draw in draws}) == 3


# --- who is dropped


@pytest.mark.parametrize(
    ("given", "left"),
    [
        pytest.param({"residency": "eu"}, ("large", "middle"), id="by-a-tag"),
        pytest.param({"tenant": "thrifty"}, ("middle", "small"), id="by-a-constraint"),
    ],
)
def test_what_a_dropped_model_had_goes_to_the_others_by_their_weights(
    given: dict[str, Any], left: tuple[str, ...]
) -> None:
    """And nobody else's session moves."""
    moved = []
    for session in SESSIONS:
        before, after = drawn(session=session), drawn(session=session, **given)
        assert after in left
        if before in left:
            assert after == before
        else:
            moved.append(after)
    assert_shared(moved, {model: SHARES[model] for model in left})


def test_a_model_whose_weight_grows_takes_sessions_and_gives_none() -> None:
    """From 10 to 40: it takes from both of the others, and those move nowhere else."""
    grown = policy("small: 10", "small: 40")
    for session in SESSIONS[:2_000]:
        before, after = drawn(session=session), drawn(grown, session=session)
        assert after in (before, "small")
    assert_shared(
        (drawn(grown, session=one) for one in SESSIONS),
        {"large": 70, "middle": 20, "small": 40},
    )


# --- what stands behind


def test_the_models_that_were_not_drawn_stand_behind_as_fallbacks() -> None:
    """All who may be asked are in the plan; the drawn one is no fallback, whichever it is."""
    for session in SESSIONS[:100]:
        plan = planned(session=session)
        models = [kept.candidate.model.name for kept in plan.kept]
        own = models.count(models[0])
        assert sorted(plan.candidate_names) == [
            "eu/large", "eu/middle", "us/large", "us/middle", "us/small",
        ]  # fmt: skip
        assert [kept.fallback for kept in plan.kept] == [False] * own + [True] * (5 - own)


def test_among_the_backends_of_the_drawn_model_the_less_loaded_is_first() -> None:
    """The model is the session's, the backend is the load's."""
    session = next(one for one in SESSIONS if drawn(session=one) == "large")
    assert planned(session=session).candidate_names[0] == "us/large"
    busy = planned(session=session, snapshot=Snapshot({"us": 5, "eu": 1}))
    assert busy.candidate_names[0] == "eu/large"


def test_an_objective_goes_before_the_draw() -> None:
    """While a model is measured to miss it, its sessions are the others'; then they are its own again."""
    slow = Latency(total_ms={50: 2_000.0})
    missing = Snapshot(latency={"us/large": slow, "eu/large": slow})
    for session in SESSIONS[:100]:
        before = drawn(session=session, feature="quick")
        assert drawn(session=session, feature="quick", snapshot=missing) == "middle"
        assert drawn(session=session, feature="quick") == before


def test_the_splits_of_two_routes_have_nothing_to_do_with_each_other() -> None:
    """Who tries a new model in one place is not the same crowd that tries one in another."""
    pairs = Counter(
        (drawn(session=one, feature="chat"), drawn(session=one, feature="search"))
        for one in SESSIONS
    )
    expected = {(a, b): REQUESTS * SHARES[a] * SHARES[b] for a in SHARES for b in SHARES}
    found = sum((pairs[pair] - e) ** 2 / e for pair, e in expected.items())
    assert found < CHI_SQUARE_MAX[8]
