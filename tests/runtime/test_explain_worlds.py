"""`explain` in any state of the world: by the rules of the policy, and as it then happens."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta, timezone
from random import Random
from typing import Any

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from counted import PartOf
from hybridllm import (
    Explanation,
    HybridLLMError,
    InvalidRequest,
    Policy,
    RouteExhausted,
    Router,
    World,
    receipt,
)
from hybridllm._core.decide import filters
from hybridllm._core.decide.plan import Plan
from hybridllm._core.policy.compiled import Candidate
from hybridllm.testing import FakeClock, LoopClock, Reply, ScriptedWire, run_in_virtual_time
from runtime import generated
from runtime.test_explain import by_chance
from runtime.world import KEY, policy, script

NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)


def some_world(rng: Random, document: generated.Document) -> World:
    """Any state of the world of a generated policy."""
    names = list(document["backends"])
    return World(
        down=[name for name in names if rng.random() < 0.3],
        in_flight={name: rng.randint(0, 9) for name in names if rng.random() < 0.5},
        ttft_ms={name: {50: 10.0 * rng.randint(1, 40)} for name in names if rng.random() < 0.4},
        total_ms={name: {90: 10.0 * rng.randint(1, 60)} for name in names if rng.random() < 0.4},
        now=NOON + timedelta(hours=rng.randint(0, 200)),
        chance=rng.random(),
        carried=[tag for tag in document.get("residency", ()) if rng.random() < 0.2],
        environment=rng.choice((None, None, "production", "staging")),
    )


def explain(router: Router, request: generated.Request, **more: Any) -> Explanation:
    operation = "embeddings" if request.way == "embeddings" else "chat"
    return router.explain(operation=operation, **request.params("canary"), **more)


def check_routes(told: Explanation) -> None:
    """The first that holds and is enforced is the one that decides; observed ones are told as observed."""
    routes = told.routes
    deciding = [one.route.name for one in routes if one.decides]
    if told.plan.facts.model is None and (routes or told.allowed):
        assert deciding == ([] if told.route is None else [told.route])
    assert [one for one in routes[:-1] if one.decides] == []
    would = [one.route.name for one in routes if one.failing is None and not one.decides]
    assert [text for text in told.observed if text.startswith("route ")] == [
        f"route {name!r} would decide" for name in would
    ]


def check_constraints(told: Explanation) -> None:
    """Whoever may be asked is allowed by every enforced constraint that is told to apply; no other drops."""
    kept: list[Candidate] = (
        [one.candidate for one in told.plan.kept] if isinstance(told.plan, Plan) else []
    )
    for one in told.constraints:
        if one.failing is not None or one.constraint.observe:
            assert one.dropped == ()
        else:
            drops = [filters.constraint_drop(candidate, one.constraint) for candidate in kept]
            assert drops == [None] * len(kept)
        assert (one.would == ()) or (one.constraint.observe and one.failing is None)
    dropped = {name for one in told.constraints for name in one.dropped}
    assert dropped == {
        drop.candidate.name for drop in told.plan.dropped if "constraint '" in drop.rule
    }


def check_words(told: Explanation) -> None:
    """It can be said in every way, and none of them fails."""
    facts = json.loads(json.dumps(told.to_dict()))
    assert [row["candidate"] for row in facts["candidates"]] == list(told.candidates)
    assert [row["tag"] for row in facts["residency_tags"]] == list(told.plan.residency)
    assert all(row["from"] for row in facts["residency_tags"])
    shares = {row["model"]: row["split_share"] for row in facts["candidates"] if row["split_share"]}
    assert all(0 < share <= 1 for share in shares.values())
    assert str(told).startswith("policy inline ")
    assert told.to_mermaid().startswith("flowchart TD\n")


def test_what_is_told_is_what_decided(part_of: PartOf) -> None:
    """Requests of random policies in random worlds: routes, constraints and tags fit the decision.

    1,000 of them with `--full`, a third without.
    """
    tally: Counter[str] = Counter()
    policies = part_of(84, 0.33)

    @settings(max_examples=policies, database=None)
    @given(st.integers(0, 2**63))
    def run(seed: int) -> None:
        rng = Random(seed)
        policy, document = generated.loaded(rng)
        router = Router(policy, environ={})
        for _ in range(12):
            request, world = generated.request(rng, document), some_world(rng, document)
            note(f"{request} {world}")
            told = explain(router, request, world=world)
            check_routes(told)
            check_constraints(told)
            check_words(told)
            tally["requests"] += 1
            tally["several routes"] += len(told.routes) > 1
            tally["observed"] += bool(told.observed)
            tally["constrained"] += any(one.dropped for one in told.constraints)
            tally["tainted"] += bool(told.plan.facts.taints)

    run()
    assert tally["requests"] == policies * 12
    assert tally["several routes"] > tally["requests"] / 10
    assert min(tally[what] for what in ("observed", "constrained", "tainted")) > policies / 9


def test_who_is_told_to_answer_when_backends_are_down_does() -> None:
    """Random policies and requests at backends that refuse connections: the same answer, or error."""
    tally: Counter[str] = Counter()

    def run(seed: int) -> None:
        rng = Random(seed)
        policy, document = generated.loaded(rng)
        for _ in range(8):
            down = {name for name in document["backends"] if rng.random() < 0.5}
            request = generated.request(rng, document)
            note(f"{request} {down}")
            good = generated.GOOD[request.way]
            replies = {
                f"{name}.test": Reply.fail("connect") if name in down else good
                for name in document["backends"]
            }
            run_in_virtual_time(compared(policy, request, down, ScriptedWire(replies), tally))

    settings(max_examples=40, database=None)(given(st.integers(0, 2**63))(run))()
    assert tally["primary"] > 20
    assert min(tally[reason] for reason in ("failover", "fallback", "route_exhausted")) > 3


async def compared(
    policy: Policy,
    request: generated.Request,
    down: set[str],
    wire: ScriptedWire,
    tally: Counter[str],
) -> None:
    """Explain, then call, a router that has not seen anything yet."""
    async with Router(policy, environ={}, wire=wire, clock=LoopClock()) as router:
        told = explain(router, request, world=World(down=down))
        if not by_chance(told):
            compare(told, await came_of(router, request), tally)


async def came_of(router: Router, request: generated.Request) -> Any:
    """The receipt of a call's answer, or its error."""
    place: Any = router.embeddings if request.way == "embeddings" else router.chat.completions
    try:
        answer = await place.create(**request.params("canary"))
    except HybridLLMError as error:
        return error
    if request.way == "stream":
        async with answer:
            async for _ in answer:
                pass
        return answer.receipt
    return receipt(answer)


def compare(told: Explanation, came: Any, tally: Counter[str]) -> None:
    if isinstance(came, HybridLLMError):
        assert told.error == (
            "route_exhausted" if isinstance(came, RouteExhausted) else "policy_denied"
        )
        tally[told.error] += 1
        return
    assert (told.error, told.candidates) == (None, came.candidates)
    reasons = [attempt.reason for attempt in came.attempts if attempt.reason != "retry"]
    assert told.answering is not None
    assert told.answer == f"{came.served.backend}/{came.served.model}"
    assert told.answering.reason == reasons[-1]
    tally[told.answering.reason] += 1


def test_a_given_world_is_not_the_routers() -> None:
    """Breakers, load and taints of the router are its own; what is not said of the world is fine."""

    async def main() -> None:
        async with script("eu", "us", eu=Reply.status(503), us=Reply.chat("x")) as here:
            for _ in range(5):
                await here.chat()
            assert here.router.explain(task="t").answer == "us/m"
            told = here.router.explain(task="t", world=World())
            assert (told.answer, dict(told.refusals), told.in_flight) == ("eu/m", {}, {})
            told = here.router.explain(task="t", world=World(down="us", in_flight={"eu": 3}))
            assert (told.answer, dict(told.refusals)) == ("eu/m", {1: "down"})

    run_in_virtual_time(main)


ORDERED = policy(
    "eu",
    "us",
    ordered=False,
    more="""
residency: {public: {}, eu: {regions: [eu], taint: 1h}, once: {regions: [us]}}
default_residency: public
""",
)


def by_latency() -> Router:
    return Router.from_text(
        ORDERED.replace(
            "use: [m]", "use: [{model: m, order_by: latency}], slo: {ttft_ms: {p90: 500}}"
        ),
        environ={"KEY": KEY},
    )


@pytest.mark.parametrize(
    ("world", "candidates"),
    [
        pytest.param(World(), ("eu/m", "us/m"), id="nothing-said"),
        pytest.param(
            World(ttft_ms={"eu": {50: 200}, "us": {50: 100}}), ("us/m", "eu/m"), id="faster-first"
        ),
        pytest.param(
            World(ttft_ms={"eu/m": {50: 50}, "eu": {50: 999}, "us": {50: 100}}),
            ("eu/m", "us/m"),
            id="own-figures-first",
        ),
        pytest.param(
            World(ttft_ms={"eu": {50: 100, 90: 501}, "us": {50: 200, 90: 499}}),
            ("us/m", "eu/m"),
            id="objective-missed",
        ),
        pytest.param(World(carried=["eu"]), ("eu/m",), id="session-tainted"),
        pytest.param(World(carried=["once"]), ("eu/m", "us/m"), id="tag-that-does-not-taint"),
    ],
)
def test_a_given_world_orders_and_restricts(world: World, candidates: tuple[str, ...]) -> None:
    """As it would in production, because it is the same decision."""
    assert by_latency().explain(task="t", stream=True, world=world).candidates == candidates


def test_loads_and_volumes_decide_as_they_would_in_production() -> None:
    """An overflow leaves who is saturated; a route on volume decides; nobody is asked."""
    text = policy("eu", "us", ordered=False).replace(
        "routes:",
        "routes:\n  - {name: heavy, when: {volume: {tokens_per_day: {gte: 500M}, sustained: 90d}},\n"
        "     use: [{model: m, on: [eu, us]}],\n"
        "     overflow: {from: eu, to: us, when: {inflight: {gt: 5}, outage: true}}}",
    )
    router = Router.from_text(text, environ={"KEY": KEY})
    month = {"tokens_per_day": 600_000_000, "sustained_days": 120}
    assert router.explain(world=World()).route == "all"
    found = router.explain(world=World(volume=month))
    assert (found.route, found.answer) == ("heavy", "eu/m")
    found = router.explain(world=World(volume=[month], load={"eu": {"out": True}}))
    assert (found.route, found.answer, found.error) == ("heavy", "us/m", None)
    assert found.answering is not None
    assert found.answering.reason == "overflow"


def test_hours_follow_the_clock_or_the_given_time() -> None:
    """Any zone will do; without a world it is the router's clock."""
    text = policy("eu", "us").replace(
        "routes:",
        "routes:\n  - {name: day, when: {time: {from: '08:00', to: '18:00', zone: UTC}}, use: [m]}",
    )
    clock = FakeClock(utc=NOON)
    router = Router.from_text(text, environ={}, clock=clock)
    assert router.explain().route == "day"
    clock.set_utc(NOON + timedelta(hours=8))
    assert router.explain().route == "all"
    assert router.explain(world=World()).route == "all"
    tokyo = timezone(timedelta(hours=9))
    assert router.explain(world=World(now=datetime(2026, 12, 1, 17, tzinfo=tokyo))).route == "day"
    assert router.explain(world=World(now=datetime(2026, 12, 1, 3, tzinfo=tokyo))).route == "all"


def test_an_environment_goes_before_the_policys() -> None:
    """A backend of staging is dropped in production."""
    text = policy("eu").replace("api_key_env: KEY", "environments: [staging]")
    router = Router.from_text(text, environ={}, environment="production")
    assert not router.explain(world=World()).allowed
    assert router.explain(world=World(environment="staging")).allowed


@pytest.mark.parametrize(
    ("world", "said"),
    [
        ({"down": ["eux"]}, "'eux' is no backend of the policy; did you mean 'eu'.; known: eu, us"),
        ({"down": "x"}, "'x' is no backend"),
        ({"down": [3]}, "down: must be a list of names, got 3"),
        ({"in_flight": {"uss": 1}}, "'uss' is no backend of the policy; did you mean 'us'"),
        ({"in_flight": {"us": -1}}, "in_flight of 'us': -1 is no number of requests"),
        ({"in_flight": {"us": True}}, "True is no number of requests"),
        (
            {"ttft_ms": {"us/n": {90: 1}}},
            "'us/n' is no backend or backend/model .*did you mean 'us/m'",
        ),
        ({"ttft_ms": {"us": {91: 1}}}, "percentile 91 is not one of 50, 90, 95, 99"),
        ({"total_ms": {"us": {90: -1}}}, "total_ms of 'us': -1 is no number of milliseconds"),
        ({"total_ms": {"us": {90: float("nan")}}}, "nan is no number of milliseconds"),
        ({"total_ms": {"us": {90: "1s"}}}, "'1s' is no number of milliseconds"),
        ({"now": datetime(2026, 12, 1, 9)}, "has no zone.*write 2026-12-01T09:00:00Z"),  # noqa: DTZ001 - the point
        ({"chance": 1}, r"chance: 1 is not in \[0, 1\)"),
        (
            {"load": {"uss": {"waiting": 1}}},
            "backend 'uss' is not one of eu, us.*did you mean 'us'",
        ),
        ({"load": {"us": {"wating": 1}}}, "load of 'us': key 'wating'.*did you mean 'waiting'"),
        ({"load": {"us": {"waiting": -1}}}, "load of 'us': waiting: -1 is no number from 0 on"),
        ({"load": {"us": {"waiting": True}}}, "waiting: True is no number"),
        ({"load": {"us": {"waiting": float("nan")}}}, "waiting: nan is no number"),
        ({"load": {"us": {"kv_cache_pct": 101}}}, "kv_cache_pct: 101 is above 100"),
        ({"load": {"us": {"out": 1}}}, "out: 1 is neither True nor False"),
        (
            {"volume": {"tokens_a_day": 1}},
            "volume: key 'tokens_a_day'.*did you mean 'tokens_per_day'",
        ),
        ({"volume": {"tokens_per_day": "1M"}}, "tokens_per_day: '1M' is no number from 0 on"),
        ({"volume": {"tokens_per_day": float("inf")}}, "tokens_per_day: inf is no number"),
        ({"volume": [{"tokens_per_day": 1, "of": "route:al"}]}, "of route 'al' is not one of all"),
        ({"volume": {"tokens_per_day": 1, "of": "us"}}, "of 'us' is not one of all, task, tenant"),
        (
            {"volume": {"tokens_per_day": 1, "of": "zone:us"}},
            "of 'zone' is not one of backend, model",
        ),
        ({"break_even": "over"}, "break_even: 'over' is not one of above, below"),
        ({"carried": ["eus"]}, "'eus' is no residency tag of the policy; did you mean 'eu'"),
    ],
)
def test_a_world_that_cannot_be_is_refused(world: dict[str, Any], said: str) -> None:
    """With the value, what would have been right, and the nearest name."""
    with pytest.raises(InvalidRequest, match=said):
        by_latency().explain(world=World(**world))


async def test_explaining_changes_nothing() -> None:
    """No taint is remembered, no permit taken, nothing counted."""
    async with Router.from_text(ORDERED, environ={"KEY": KEY}) as router:
        assert router._engine.fleet.in_flight == 0  # builds the engine
        for _ in range(3):
            assert router.explain(session="s", residency="eu").candidates == ("eu/m",)
        assert router.explain(session="s").candidates == ("eu/m", "us/m")
        assert router.status().observed == {}


def test_the_tags_that_a_session_keeps_are_told() -> None:
    """The live router knows what the session has carried."""

    async def main() -> None:
        wire = ScriptedWire({"eu.test": Reply.chat("x"), "us.test": Reply.chat("x")})
        async with Router.from_text(
            ORDERED, environ={"KEY": KEY}, wire=wire, clock=LoopClock()
        ) as router:
            messages = [{"role": "user", "content": "x"}]
            await router.chat.completions.create(messages=messages, session="s", residency="eu")
            told = router.explain(session="s")
            assert told.candidates == ("eu/m",)
            assert "residency eu, kept by the session: regions eu" in str(told)

    run_in_virtual_time(main)
