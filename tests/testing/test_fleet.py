"""A simulated fleet: each ailment does what it says, when it says, and the same on every run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from hybridllm import Router, receipt
from hybridllm._core.resilience.outcome import FailureKind
from hybridllm._runtime.ports import WireError, WireRequest
from hybridllm.testing import (
    Ailment,
    Crowded,
    Ending,
    Fault,
    Flapping,
    Killed,
    LoopClock,
    Service,
    SimulatedFleet,
    Slower,
    UnscriptedRequest,
    run_in_virtual_time,
    send_all,
    traffic,
)

POLICY = """
version: 1
backends:
  eu: {kind: api, base_url: https://eu.test/v1, api_key_env: EU_KEY}
  own: {kind: vllm, base_url: https://own.test/v1}
models:
  m:
    price: {input_per_1m: 1, output_per_1m: 2}
    on: {eu: m, own: Org/M}
  e: {dimensions: 12, capabilities: [embeddings], on: {own: Org/E}}
tasks: {t: {timeouts: {attempt: 2s, first_token: 2s}}}
routes: [{name: all, use: m}]
"""
EVEN = Service(first_token_s=0.4, spread=0.0, answer_tokens=41, tokens_per_s=100)  # 0.4 s + 0.4 s
MESSAGES = [{"role": "user", "content": "hello there"}]


def fleet_for(**options: Any) -> tuple[Router, SimulatedFleet]:
    policy = Router.from_text(POLICY, environ={}).policy
    fleet = SimulatedFleet.of(policy, **{"service": EVEN, **options})
    router = Router(
        policy, wire=fleet, environ=fleet.environ, clock=LoopClock(), chance=Random(1).random
    )
    return router, fleet


def chat(url: str = "https://eu.test/v1", *, stream: bool = False) -> WireRequest:
    streamed = b',"stream":true' if stream else b""
    body = b'{"model":"m","messages":[{"role":"user","content":"hi"}]' + streamed + b"}"
    return WireRequest("POST", f"{url}/chat/completions", {}, body)


async def told(fleet: SimulatedFleet, request: WireRequest) -> tuple[Any, float]:
    """Status or failure, and how long the whole exchange took."""
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    try:
        async with asyncio.timeout(30):
            answer = await fleet.send(request)
            while await answer.chunk():
                pass
            await answer.close(reusable=True)
    except WireError as error:
        return error.kind, loop.time() - began_s
    except TimeoutError:
        return "nothing", loop.time() - began_s
    return answer.status, loop.time() - began_s


def test_answers_are_whole_and_take_their_time() -> None:
    """To a router they are real ones: usage, cost, a stream with a first token."""

    async def main() -> None:
        router, fleet = fleet_for()
        loop = asyncio.get_running_loop()
        async with router:
            made = receipt(await router.chat.completions.create(messages=MESSAGES, max_tokens=21))
            assert made.duration_s == pytest.approx(0.6)
            assert made.attempts[0].usage.output_tokens == 21
            assert made.cost_usd is not None
            began_s = loop.time()
            stream = await router.chat.completions.create(messages=MESSAGES, stream=True)
            async with stream:
                async for _ in stream:
                    pass
            assert stream.receipt.first_token_s == pytest.approx(0.4)
            assert loop.time() - began_s == pytest.approx(0.8)
            vector = await router.embeddings.create(model="e", input=["one", "two"])
            assert [len(each.embedding) for each in vector.data] == [12, 12]
        assert fleet.requests() == 3
        assert [one.at_work for one in fleet.backends.values()] == [0, 0]

    run_in_virtual_time(main)


WAYS = [
    pytest.param(Fault.refuse(), FailureKind.CONNECT, 0.001, id="refuse"),
    pytest.param(Fault.blackhole(), FailureKind.CONNECT_TIMEOUT, 2.0, id="blackhole"),
    pytest.param(Fault.hang(), "nothing", 30.0, id="hang"),
    pytest.param(Fault.hang_after_head(), "nothing", 30.0, id="hang-after-head"),
    pytest.param(Fault.status(503), 503, 0.01, id="503"),
    pytest.param(Fault.reset_before_head(), FailureKind.RESET, 0.01, id="reset"),
    pytest.param(Fault.garbage(), FailureKind.INVALID_RESPONSE, 0.01, id="garbage"),
    pytest.param(Fault.html(), 200, 0.01, id="html"),
    pytest.param(Fault.slow(3), 200, 3.8, id="slow"),
    pytest.param(Fault.reset_mid_body(), FailureKind.RESET, 0.8, id="cut"),
    pytest.param(Slower(10), 200, 8.0, id="10-times"),
    pytest.param(Killed(), FailureKind.CONNECT, 0.001, id="killed"),
]


@pytest.mark.parametrize(("ailment", "outcome", "took_s"), WAYS)
def test_an_ailment_strikes_in_its_time_only(ailment: Ailment, outcome: Any, took_s: float) -> None:
    """Whole answers before and after; and the other backend never notices."""

    async def main() -> None:
        _, fleet = fleet_for()
        fleet.strike("eu", ailment, from_s=5, until_s=10)
        assert await told(fleet, chat()) == (200, pytest.approx(0.8))
        await asyncio.sleep(5)
        assert await told(fleet, chat()) == (outcome, pytest.approx(took_s))
        assert (await told(fleet, chat("https://own.test/v1")))[0] == 200
        await asyncio.sleep(10)
        assert await told(fleet, chat()) == (200, pytest.approx(0.8))

    run_in_virtual_time(main)


def test_a_death_cuts_off_what_is_under_way() -> None:
    """At its moment, not at the end of a wait; `refuse` leaves it alone."""

    async def main() -> None:
        _, fleet = fleet_for()
        fleet.strike("eu", Killed(), from_s=0.6, until_s=1)
        fleet.strike("own", Fault.refuse(), from_s=0.6, until_s=1)
        async with asyncio.TaskGroup() as group:
            cut = group.create_task(told(fleet, chat(stream=True)))
            whole = group.create_task(told(fleet, chat("https://own.test/v1", stream=True)))
        assert cut.result() == (FailureKind.RESET, pytest.approx(0.6))
        assert whole.result() == (200, pytest.approx(0.8))

    run_in_virtual_time(main)


def test_flapping_is_down_and_up_by_turns() -> None:
    """From its beginning on."""

    async def main() -> list[bool]:
        _, fleet = fleet_for()
        fleet.strike("eu", Flapping(Fault.refuse(), down_s=5, up_s=3), from_s=2, until_s=20)
        found = []
        for second in range(22):
            await asyncio.sleep(second + 0.5 - asyncio.get_running_loop().time())
            found.append((await told(fleet, chat()))[0] == 200)
        return found

    up = "".join("+" if good else "-" for good in run_in_virtual_time(main))
    assert up == "++-----+++-----+++--++"


def test_a_crowded_backend_lets_requests_wait_and_turns_the_rest_away() -> None:
    """So its load shows as time to the first token, and at last as 503."""

    async def main() -> list[tuple[Any, float]]:
        _, fleet = fleet_for()
        fleet.strike("eu", Crowded(slots=2, queue_max=3), until_s=100)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(told(fleet, chat())) for _ in range(7)]
        assert (fleet["eu"].at_work, fleet["eu"].waiting) == (0, 0)
        assert fleet["eu"].at_work_max == 2
        return [(status, round(took, 2)) for status, took in (task.result() for task in tasks)]

    assert run_in_virtual_time(main) == [
        *[(200, 0.8)] * 2,
        *[(200, 1.6)] * 2,
        (200, 2.4),
        *[(503, 0.01)] * 2,
    ]


def test_callers_that_leave_give_their_slots_and_places_back() -> None:
    """At every moment: in the queue, as they are given a slot, at work."""

    async def main() -> None:
        _, fleet = fleet_for(service=Service(0.4, 0.0, 41, 100, slots=2))
        for wait_s in (0.0, 0.1, 0.8, 0.9, 1.6):
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(told(fleet, chat())) for _ in range(6)]
                await asyncio.sleep(wait_s)
                for task in tasks[1::2]:
                    task.cancel()
            assert (fleet["eu"].at_work, fleet["eu"].waiting) == (0, 0)

    run_in_virtual_time(main)


@pytest.mark.parametrize(
    ("fault", "honest"),
    [
        (Fault.refuse(), FailureKind.CONNECT),
        (Fault.status(503), 503),
        (Fault.status(429), 200),
        (Fault.hang(), "nothing"),
        (Fault.html(), 200),
    ],
)
@pytest.mark.parametrize("url", ["https://eu.test/health", "https://eu.test/v1/models"])
def test_a_health_page_is_honest_or_lies(fault: Fault, honest: Any, url: str) -> None:
    """Both are met with in the world; neither counts as a request."""

    async def main() -> None:
        for health, expected in (("honest", honest), ("lying", 200)):
            _, fleet = fleet_for(health=health)
            fleet.strike("eu", fault)
            assert (await told(fleet, WireRequest("GET", url, {})))[0] == expected
            assert (fleet.requests(), fleet["eu"].health_checks) == (0, 1)

    run_in_virtual_time(main)


def test_the_same_seed_gives_the_same_course() -> None:
    """Requests, latencies, struck requests, the router's chance: all of it is drawn from seeds."""

    def course(seed: int) -> list[Any]:
        async def main() -> list[Any]:
            router, fleet = fleet_for(seed=seed, service=Service())
            fleet.strike(["eu", "own"], Fault.status(500, probability=0.3), from_s=2, until_s=4)
            async with router:
                asks = traffic(20, until_s=6, seed=seed, mix={"x": {"task": "t"}})
                journeys = await send_all(router, asks)
            assert {j.ask.kind for j in journeys} == {"x"}
            return [(j.ask.at_s, j.ended_s, j.ending, j.tries) for j in journeys]

        return run_in_virtual_time(main)

    assert course(1) == course(1)
    assert course(1) != course(2)


def test_what_became_of_each_request_is_told() -> None:
    """Answered, failed, cut, denied; with everybody who was tried."""

    async def main() -> None:
        router, fleet = fleet_for()
        fleet.strike("eu", Fault.refuse())
        fleet.strike("own", Fault.cut_after(1, "rst"))
        mix = {"whole": {"stream": False}, "stream": {"stream": True}, "odd": {"residency": "x"}}
        async with router:
            asks = traffic(1, until_s=30, mix=mix)
            journeys = await send_all(router, asks, until_s=40)
        assert asyncio.get_running_loop().time() == 40
        endings = {(j.ask.kind, j.ending) for j in journeys}
        assert endings >= {
            ("whole", Ending.FAILED),
            ("stream", Ending.CUT),
            ("odd", Ending.DENIED),
        }
        assert Ending.ANSWERED not in {ending for _, ending in endings}
        failed = next(j for j in journeys if j.ending is Ending.FAILED)
        assert {one.backend for one in failed.tries} == {"eu", "own"}
        assert failed.served_by is None

    run_in_virtual_time(main)


WRONG: list[Any] = [
    (lambda fleet: fleet.strike("us", Fault.hang()), "no backend 'us'"),
    (lambda fleet: fleet.strike("eu", Fault.gzip()), "no sockets for 'gzip'"),
    (lambda fleet: fleet.strike("eu", Fault.cut_after(1, "pings")), "a cut 'pings'"),
    (lambda fleet: fleet.strike("eu", Fault.hang(times=3)), "the time limits a fault"),
    (lambda fleet: fleet.strike("eu", Fault.hang(), from_s=2, until_s=1), "ends before it begins"),
    (lambda _: Slower(0), "cannot take 0 times"),
    (lambda _: Crowded(0), "1 request at once or more"),
    (lambda _: Flapping(Fault.hang(), down_s=0), "both must be above 0"),
]


@pytest.mark.parametrize(("wrong", "words"), WRONG)
def test_what_cannot_be_is_refused_at_once(
    wrong: Callable[[SimulatedFleet], Any], words: str
) -> None:
    """And not in the middle of a simulation."""
    with pytest.raises(ValueError, match=words):
        wrong(fleet_for()[1])


def test_a_request_to_nobody_is_a_mistake_and_a_closed_fleet_answers_none() -> None:
    """The first is the test's own; the second is told as any wire tells it."""

    async def main() -> None:
        _, fleet = fleet_for()
        with pytest.raises(UnscriptedRequest, match=r"us\.test"):
            await fleet.send(chat("https://us.test/v1"))
        await fleet.close()
        assert (await told(fleet, chat()))[0] is FailureKind.LOCAL

    run_in_virtual_time(main)


def test_two_backends_with_one_address_are_one() -> None:
    """Nothing on the wire tells them apart."""
    fleet = SimulatedFleet({"a": "https://x.test/v1", "b": "https://x.test/v1/"})
    assert fleet["a"] is fleet["b"]
