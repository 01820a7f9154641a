"""Waking goes on whatever happens beside it: other sleepers, other policies, other loops, long answers."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable
from random import Random
from typing import Any

import pytest

from hybrid.test_cold_start import AHEAD, MESSAGES, POLICY, SLEEPS_S
from hybrid.test_overflow import policy as overflowing
from hybrid.worlds import URLS
from hybridllm import HybridLLMError, Overloaded, Router, receipt
from hybridllm._adapters.policy_files import load_policy_text
from hybridllm._core.policy.compiled import Policy
from hybridllm._core.resilience.warmth import Asleep
from hybridllm._runtime.returns import Returns
from hybridllm._runtime.warmths import Warmths
from hybridllm.testing import (
    Fault,
    LoopClock,
    Reply,
    ScriptedWire,
    Service,
    SimulatedFleet,
    run_in_virtual_time,
)

TEXT = POLICY.replace("WHEN", "when_cold: error")
WITHOUT_OWN = """
version: 1
backends: {api: {kind: api, base_url: "https://api.test/v1", price: {input_per_1m: 1, output_per_1m: 1}}}
models: {m: {on: {api: m}}}
routes: [{name: all, use: [{model: m, on: [api]}]}]
"""


def policy(text: str) -> Policy:
    return load_policy_text(text, environ={})[0]


async def at_once(calls: Iterable[Coroutine[Any, Any, Any]]) -> list[Any]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(call) for call in calls]
    return [task.result() for task in tasks]


def asleep(*names: str) -> Warmths:
    loop = asyncio.get_running_loop()
    warmths = Warmths(loop.time, {}, set(), Returns(loop.time))
    warmths._asleep.update(dict.fromkeys(names, Asleep(0.0, 100.0)))
    return warmths


def test_each_waits_for_its_own_backends() -> None:
    """`a` is awake: who waits for either goes; who waits for `b` goes on waiting, and lets others run."""

    async def play() -> None:
        warmths = asleep("a", "b")
        async with asyncio.TaskGroup() as group:
            either = group.create_task(warmths.wait(["a", "b"], 3.0))
            only_b = group.create_task(warmths.wait(["b"], 1.0))
            other = group.create_task(warmths.wait(["b", "a"], 3.0))
            await asyncio.sleep(0)
            warmths.woke("a")
        assert (either.result(), only_b.result(), other.result()) == (True, False, True)
        assert not warmths._waiters

    run_in_virtual_time(play())


def test_who_leaves_while_it_waits_leaves_nothing() -> None:
    """Cancelled: nobody is left in anybody's list, and one that fell asleep again is waited for anew."""

    async def play() -> None:
        warmths = asleep("a")
        async with asyncio.TaskGroup() as group:
            gone = group.create_task(warmths.wait(["a"], 9.0))
            stays = group.create_task(warmths.wait(["a"], 2.0))
            await asyncio.sleep(0)
            gone.cancel()
            warmths.forget("a")
            warmths._asleep["a"] = Asleep(0.0, 100.0)
        assert gone.cancelled()
        assert not stays.result()
        assert not warmths._waiters

    run_in_virtual_time(play())


@pytest.mark.parametrize(
    ("text", "last"),
    [
        pytest.param(TEXT.replace("name: all", "name: other"), "own", id="another-route"),
        pytest.param(
            TEXT.replace(", cold_start: {takes: 15s, when_cold: error}", ""), "own", id="no-sleep"
        ),
        pytest.param(WITHOUT_OWN, "api", id="gone"),
    ],
)
def test_a_reload_while_it_wakes_does_not_leave_it_asleep(text: str, last: str) -> None:
    """It is probed as the new policy has it; one that cannot sleep any more, or is gone, is forgotten."""
    fleet = SimulatedFleet(URLS, service=Service())
    fleet.strike("own", Fault.refuse(), until_s=SLEEPS_S)
    router = Router.from_text(TEXT, wire=fleet, environ={}, clock=LoopClock())
    wrong: list[dict[str, Any]] = []

    async def play() -> str:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: wrong.append(context))
        async with router:
            await router.chat.completions.create(messages=MESSAGES)
            await asyncio.sleep(3)
            router._swap(policy(text))
            served = ""
            for _ in range(40):
                await asyncio.sleep(1)
                answer = await router.chat.completions.create(messages=MESSAGES)
                served = receipt(answer).attempts[-1].backend
            return served

    assert run_in_virtual_time(play()) == last
    assert wrong == []


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_loop_that_ends_without_a_word_does_not_leave_it_asleep() -> None:
    """Its probes are gone with the loop: in the next one it is found out anew."""
    up = False

    def own(_: object) -> Reply:
        return Reply.chat("own") if up else Reply.fail("connect")

    wire = ScriptedWire({"own.internal": own, "api.test": Reply.chat("api")})
    router = Router.from_text(TEXT, wire=wire, environ={})

    async def served_by() -> str:
        answer = await router.chat.completions.create(messages=MESSAGES)
        return receipt(answer).attempts[-1].backend

    async def served_by_then() -> str:
        async with router:
            return await served_by()

    loop = asyncio.new_event_loop()
    assert loop.run_until_complete(served_by()) == "api"
    for task in asyncio.all_tasks(loop):
        task._log_destroy_pending = False  # type: ignore[attr-defined]
    loop.close()
    up = True
    assert asyncio.run(served_by_then()) == "own"


def test_who_waits_goes_as_the_ramp_goes_up_though_nobody_comes_or_ends() -> None:
    """Answers of twenty seconds: all forty are under way six seconds after it woke."""
    fleet = SimulatedFleet(
        URLS,
        service=Service(first_token_s=0.3, spread=0.0, answer_tokens=4_000, tokens_per_s=200.0),
    )
    fleet.strike("own", Fault.refuse(), until_s=SLEEPS_S)
    router = Router.from_text(
        POLICY.replace("WHEN", "when_cold: wait"),
        wire=fleet,
        environ={},
        clock=LoopClock(),
        chance=Random(1).random,
    )

    async def ended() -> str:
        try:
            await router.chat.completions.create(
                messages=MESSAGES, residency="phi", priority="batch"
            )
        except Overloaded:
            return "overloaded"
        return "answered"

    async def play() -> Counter[str]:
        async with router:
            return Counter(await at_once(ended() for _ in range(40)))

    endings = run_in_virtual_time(play())
    assert fleet["api"].requests() == 0
    assert endings["answered"] >= 38, endings


HEDGED = """
version: 1
backends:
  own: {kind: vllm, base_url: "http://own.internal:8000/v1", allow_plaintext: true, operator: self,
        price: free, saturation: {max_inflight: 4}}
  api: {kind: api, base_url: "https://api.test/v1", price: {input_per_1m: 1, output_per_1m: 1}}
models: {m: {on: {own: m, api: m}}}
tasks: {t: {bucket: bandwidth, hedge: {after: 5s}}}
routes: [{name: all, use: [{model: m, on: [own, api]}], overflow: {from: own, to: api, when: saturated}}]
"""


GATED = """
version: 1
backends:
  own: {kind: vllm, base_url: "http://own.internal:8000/v1", allow_plaintext: true, operator: self,
        price: free}
  us: {kind: vllm, base_url: "http://us.internal:8000/v1", allow_plaintext: true, operator: self,
       price: free}
  api: {kind: api, base_url: "https://api.test/v1", price: {input_per_1m: 1, output_per_1m: 1}}
models: {m: {on: {own: m, us: m, api: m}}}
routes:
  - name: all
    use: [{model: m, on: [own, us, api]}]
    overflow: {from: FROM, to: api, when: rate_limited}
"""


def test_a_burst_that_may_be_hedged_overflows_too() -> None:
    """Fifty at once, of which four may stay: an attempt counts before its task has begun to run."""
    wire = ScriptedWire(
        {"own.internal": Reply.chat("own").after(1.0), "api.test": Reply.chat("api").after(0.1)}
    )

    async def play() -> Counter[str]:
        async with Router.from_text(HEDGED, wire=wire, environ={}, clock=LoopClock()) as router:
            calls = [router.chat.completions.create(messages=MESSAGES, task="t") for _ in range(50)]
            answers = await at_once(calls)
            assert router._engine.fleet.loads.watched["own"].sent == 4 + 4
            assert router._engine.fleet.slots.promised("own") == 0
        return Counter(receipt(answer).attempts[0].backend for answer in answers)

    assert run_in_virtual_time(play()) == {"own": 4, "api": 46}


def test_a_slot_that_is_promised_is_nobody_elses() -> None:
    """Who comes in the very moment in which one is freed leaves: it is the one's who has waited for it."""
    most = 0

    def own(_: object) -> Reply:
        nonlocal most
        most = max(most, router._engine.fleet.under_way("own"))
        return Reply.chat("own").after(1.0)

    wire = ScriptedWire({"own.internal": own, "api.test": Reply.chat("api").after(0.5)})
    overflow = "from: own, to: [api], when: saturated, queue_ms: 20000"
    text = overflowing(saturation="saturation: {max_inflight: 4}", overflow=overflow)
    router = Router.from_text(text, wire=wire, environ={}, clock=LoopClock())

    async def asked(number: int) -> None:
        await asyncio.sleep(number % 40 * 0.5)  # all at the moments in which slots are freed
        residency = "phi" if number % 3 == 0 else "public"
        await router.chat.completions.create(messages=MESSAGES, residency=residency)

    async def play() -> None:
        async with router:
            await at_once(asked(number) for number in range(240))

    run_in_virtual_time(play())
    assert most == 4


def test_no_hedge_goes_to_whom_the_request_left() -> None:
    """The API takes long; beside it the machine is not asked, which has as much to do as it can take."""
    wire = ScriptedWire(
        {"own.internal": Reply.chat("own").after(20.0), "api.test": Reply.chat("api").after(8.0)}
    )

    async def play() -> int:
        async with Router.from_text(HEDGED, wire=wire, environ={}, clock=LoopClock()) as router:
            await at_once(
                router.chat.completions.create(messages=MESSAGES, task="t") for _ in range(50)
            )
        return len(wire.sent_to("own.internal"))

    assert run_in_virtual_time(play()) == 4


def test_a_reload_that_overflows_no_longer_forgets_what_stood_in_the_way() -> None:
    """The backend had a closed gate when its load stopped to matter: requests are decided all the same."""
    first = policy(GATED.replace("FROM", "own"))
    second = policy(GATED.replace("FROM", "us"))
    wire = ScriptedWire(
        {
            "own.internal": Reply.status(429, retry_after=60),
            "us.internal": Reply.chat("us"),
            "api.test": Reply.chat("api"),
        }
    )

    async def play() -> str:
        async with Router(first, wire=wire, environ={}, clock=LoopClock()) as router:
            for _ in range(2):
                await router.chat.completions.create(messages=MESSAGES)
            router._swap(second)
            answers = [await router.chat.completions.create(messages=MESSAGES) for _ in range(3)]
            return receipt(answers[-1]).attempts[-1].backend

    assert run_in_virtual_time(play()) == "us"


def test_a_reload_may_change_the_volume_that_wakes_a_backend() -> None:
    """What wakes ahead looks at the former volume once more, of which nothing is known any more."""
    wire = ScriptedWire({"own.internal": Reply.chat("own"), "api.test": Reply.chat("api")})

    async def play() -> None:
        async with Router.from_text(AHEAD, wire=wire, environ={}, clock=LoopClock()) as router:
            for bound in ("60", "70", "80"):
                router._swap(policy(AHEAD.replace("gte: 60", f"gte: {bound}")))
                await router.chat.completions.create(messages=MESSAGES)
                await asyncio.sleep(3)

    run_in_virtual_time(play())


@pytest.mark.parametrize(
    ("when", "residency", "expected"),
    [
        pytest.param("wait", "phi", {"answered": 60}, id="who-may-not-leave-waits"),
        pytest.param("error", "phi", {"WarmingUp": 60}, id="or-is-told"),
        pytest.param("error", "public", {"answered": 60}, id="who-may-leave-leaves"),
    ],
)
@pytest.mark.parametrize("retries", ["", "retries: {attempts_max: 1, same_backend_max: 0}"])
def test_to_have_found_it_asleep_costs_no_retry(
    retries: str, when: str, residency: str, expected: dict[str, int]
) -> None:
    """Sixty at once find it asleep, more than the budget has repeats, or none may be repeated."""
    wire = ScriptedWire({"own.internal": _awake_from(5.0), "api.test": Reply.chat("api")})
    text = retries + POLICY.replace("WHEN", f"when_cold: {when}")
    router = Router.from_text(text, wire=wire, environ={}, clock=LoopClock())

    async def ended() -> str:
        try:
            await router.chat.completions.create(
                messages=MESSAGES, residency=residency, priority="batch"
            )
        except HybridLLMError as error:
            return type(error).__name__
        return "answered"

    async def play() -> Counter[str]:
        async with router:
            return Counter(await at_once(ended() for _ in range(60)))

    assert run_in_virtual_time(play()) == expected


def _awake_from(at_s: float) -> Callable[[object], Reply]:
    return lambda _: (
        Reply.chat("own") if asyncio.get_running_loop().time() > at_s else Reply.fail("connect")
    )
