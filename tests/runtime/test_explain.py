"""`explain` and the real call are one decision: the same candidates, in the same order and why."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections import Counter
from random import Random
from typing import Any

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from counted import PartOf
from hybridllm import (
    Denied,
    Explanation,
    HybridLLMError,
    InvalidRequest,
    Plan,
    PolicyDenied,
    Router,
    context,
    receipt,
)
from hybridllm.testing import LoopClock, Reply, ScriptedWire, run_in_virtual_time
from runtime import generated
from runtime.world import KEY, MESSAGES, many, policy, script
from socket_watch import SocketWatch

POLICIES, REQUESTS_EACH = 65, 16
_STICKY = re.compile(r"sticky by ([\w.]+)")


def compared(seed: int, tally: Counter[str]) -> None:
    """One policy under load: explain each request, make it, and compare."""
    rng = Random(seed)
    loaded, document = generated.loaded(rng)
    wire = ScriptedWire({f"{name}.test": Reply.hang() for name in document["backends"]})

    async def main() -> None:
        async with (
            Router(loaded, environ={}, wire=wire, clock=LoopClock()) as router,
            asyncio.TaskGroup() as group,
        ):
            load = [
                group.create_task(made(router, generated.request(rng, document)))
                for _ in range(rng.randint(0, 12))
            ]
            await asyncio.sleep(0.01)
            for name in document["backends"]:
                wire.script(f"{name}.test", Reply.status(rng.choice((400, 503, 429))))
            for _ in range(REQUESTS_EACH):
                request = generated.request(rng, document)
                note(f"{request}")
                told = router.explain(
                    operation="embeddings" if request.way == "embeddings" else "chat",
                    **request.params("canary"),
                )
                tally["under load"] += router._engine.fleet.in_flight > 0
                error = await made(router, request)
                compare(told, receipt(error), error)
                tally["requests"] += 1
                tally["allowed"] += told.allowed
                tally["several"] += len(told.candidates) > 1
                tally["split"] += "drawn by weight" in str(told) and not by_chance(told)
                tally["tier"] += "tier '" in str(told)
                tally["constrained"] += any(one.dropped for one in told.constraints)
            for task in load:
                task.cancel()

    run_in_virtual_time(main)


async def made(router: Router, request: generated.Request) -> HybridLLMError:
    """Make a call of which nothing can come, and return its error."""
    place: Any = router.embeddings if request.way == "embeddings" else router.chat.completions
    with pytest.raises(HybridLLMError) as caught:
        await place.create(**request.params("canary"))
    return caught.value


def by_chance(told: Explanation) -> bool:
    """Whether a split has nothing to stick to: then the call draws anew, and another model may be first."""
    if not isinstance(told.plan, Plan):
        return False
    facts = told.plan.facts
    sticky = {found[1] for reason in told.plan.reasons if (found := _STICKY.search(reason))}
    values = {
        fact: facts.metadata.get(fact.removeprefix("metadata."))
        if fact.startswith("metadata.")
        else getattr(facts, fact)
        for fact in sticky
    }
    return None in values.values()


def two_are_drawn(told: Explanation) -> bool:
    """Whether the call draws two of several candidates under load; `explain` compares all of them."""
    return len(told.candidates) > 2 and bool(told.snapshot.in_flight)


def compare(told: Explanation, what_was: Any, error: HybridLLMError) -> None:
    drawn = by_chance(told) or two_are_drawn(told)
    if drawn:
        assert sorted(told.candidates) == sorted(what_was.candidates)
    else:
        assert told.candidates == what_was.candidates
    assert told.dropped == what_was.dropped
    assert told.route == what_was.route
    assert told.allowed is not isinstance(error, PolicyDenied)
    if isinstance(told.plan, Denied):
        assert isinstance(error, PolicyDenied)
        assert (told.rule, told.plan.message) == (error.rule, str(error))
    elif not drawn:
        assert told.plan.reasons == what_was.reasons


def test_explain_and_the_call_agree(part_of: PartOf) -> None:
    """Under load, with breakers and cool-offs at work: who would be asked is who is.

    A thousand requests with `--full`, a third of them without.
    """
    tally: Counter[str] = Counter()
    policies = part_of(POLICIES, 0.33)

    @settings(max_examples=policies, database=None)
    @given(st.integers(0, 2**63))
    def run(seed: int) -> None:
        compared(seed, tally)

    run()
    requests = policies * REQUESTS_EACH
    assert tally["requests"] == requests
    assert min(tally["allowed"], tally["under load"]) > 0.3 * requests
    assert tally["several"] > 0.2 * requests
    assert min(tally[what] for what in ("split", "tier", "constrained")) > 0.01 * requests


def test_explain_opens_no_socket_and_needs_no_event_loop(socket_watch: SocketWatch) -> None:
    """No I/O at all: it can be called from anywhere, for any request."""
    router = Router.from_text(policy("eu", "us"), environ={"KEY": KEY})
    with socket_watch.watching() as events:
        told = router.explain(task="t", messages=MESSAGES, residency=None)
        router.explain(task="unknown", residency="unknown")
        assert told.candidates == ("eu/m", "us/m")
        assert events == []
    with socket_watch.watching() as events:  # the witness: the watch does see sockets
        socket.socket().close()
        assert events != []


def test_explain_shows_who_is_passed_over_now() -> None:
    """An open breaker takes nobody out of the plan; the explanation says that it would be passed over."""

    async def main() -> None:
        async with script("eu", "us", eu=Reply.status(503), us=Reply.chat("x")) as here:
            for _ in range(5):
                await here.chat()
            told = here.router.explain(task="t")
            assert told.candidates == ("eu/m", "us/m")
            assert dict(told.refusals) == {0: "breaker open"}
            assert "1. eu/m" in str(told)
            assert "(now passed over: breaker open;" in str(told)
            assert "us/m is asked first (primary)" in str(told)
            rows = told.to_dict()["candidates"]
            assert [row["passed_over"] for row in rows] == ["breaker open", None]

    run_in_virtual_time(main)


def test_explain_does_not_ask_for_a_probe() -> None:
    """Looking changes nothing: the half-open breaker's one permit is still there for a request."""

    async def main() -> None:
        async with script("eu", "us", eu=Reply.status(503), us=Reply.chat("x")) as here:
            for _ in range(5):
                await here.chat()
            await asyncio.sleep(6)
            for _ in range(10):
                assert dict(here.router.explain(task="t").refusals) == {}
            asked = here.sent("eu")
            await here.chat()
            assert here.sent("eu") == asked + 1

    run_in_virtual_time(main)


def test_explain_takes_what_a_call_takes() -> None:
    """Parameters, hints, the hints of a block, and what only `explain` can be told."""
    router = Router.from_text(policy("eu"), environ={})
    image = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}
    with context(tenant="acme"):
        told = router.explain(messages=[image], tools=[{"type": "function"}], max_tokens=7, n=2)
    assert isinstance(told.plan, Plan)
    assert {need.value for need in told.plan.facts.needs} == {"vision", "tools"}
    assert (told.plan.facts.tenant, told.plan.facts.output_tokens_max) == ("acme", 7)
    long = router.explain(input_tokens=5_000, needs=["audio"])
    assert long.plan.facts.input_tokens_estimate == 5_000
    embed = router.explain(operation="embeddings", input=["a"])
    assert embed.plan.facts.operation == "embeddings"
    json.dumps(told.to_dict())


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"operation": "images"}, "operation: 'images' is not one of chat, embeddings"),
        ({"needs": ["visoin"]}, "needs: 'visoin' is not one of .*vision"),
        ({"priority": "urgent"}, "priority: 'urgent' is not one of"),
        ({"deadline_s": -1}, "deadline_s"),
        ({"messages": "hello"}, "messages: must be a list"),
    ],
)
def test_explain_refuses_what_a_call_refuses(params: dict[str, Any], said: str) -> None:
    """In words, before anything is decided."""
    router = Router.from_text(policy("eu"), environ={})
    with pytest.raises(InvalidRequest, match=said):
        router.explain(**params)


async def test_explain_says_the_order_that_load_gives() -> None:
    """Two equal backends: whoever is less busy stands first, and the numbers are shown."""
    text = policy("eu", "us", ordered=False)
    wire = ScriptedWire({"eu.test": Reply.hang(), "us.test": Reply.hang()})
    async with Router.from_text(text, environ={"KEY": KEY}, wire=wire) as router:
        async with asyncio.TaskGroup() as group:
            create = router.chat.completions.create
            task = group.create_task(create(messages=MESSAGES, task="t"))
            await asyncio.sleep(0.01)
            told = router.explain(task="t")
            task.cancel()
        assert told.candidates == ("us/m", "eu/m")
        assert [row["in_flight"] for row in told.to_dict()["candidates"]] == [0, 1]


async def test_equal_backends_share_concurrent_calls_equally() -> None:
    """20 at once over two: ten each, because load is counted from the moment of the decision."""
    text = policy("eu", "us", ordered=False)
    slow = Reply.chat("x").after(0.05)
    wire = ScriptedWire({"eu.test": slow, "us.test": slow})
    async with Router.from_text(text, environ={"KEY": KEY}, wire=wire) as router:
        create = router.chat.completions.create
        await many(20, 20, lambda _: create(messages=MESSAGES, task="t"))
        assert (len(wire.sent_to("eu.test")), len(wire.sent_to("us.test"))) == (10, 10)
