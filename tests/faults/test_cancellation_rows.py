"""The cancellation rows of the fault catalogue: C1 to C4.

In virtual time, where each turn of the loop can be hit; C2 once more on sockets, through proxies that break
connections. More of C1, wait by wait, is in `runtime/test_cancellation.py`.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider

from counted import PartOf
from hybridllm import receipt
from hybridllm.testing import Fault, Reply, SentRequest, Toxic, run_in_virtual_time
from lab.memory import rss_mib
from lab.steps import SteppingLoop, run_in_steps
from lab.three import THREE, three, three_scripted
from lab.traffic import calls, served_again
from raw_server import until
from runtime.test_cancellation import SpanCount
from runtime.world import Replies, Script, policy, scripted

BUSY = Reply.status(503).after(0.1)
CHAT = Reply.chat("hello").after(0.1).paced(0.1)
STREAM = Reply.chat_stream(["a", "b", "c"]).after(0.1).paced(0.1)
ROLE_THEN_RESET = (
    Reply.chat_stream([], usage=None, finish_reason=None, done=False).paced(0.1).then_fail("reset")
)
Act = Callable[[Script], Awaitable[None]]


async def plain(here: Script) -> None:
    await here.chat()


async def streamed(here: Script) -> None:
    async with await here.stream() as stream:
        async for _ in stream:
            pass


async def left_early(here: Script) -> None:
    async with await here.stream() as stream:
        await anext(stream)


async def in_a_group(here: Script) -> None:
    """The caller's own tasks: what is cancelled is the group, and all of it."""
    async with asyncio.TaskGroup() as group:
        group.create_task(plain(here))
        group.create_task(streamed(here))


async def with_a_deadline_of_its_own(here: Script) -> None:
    """A caller's timeout is a cancellation that becomes an error outside of us."""
    try:
        async with asyncio.timeout(0.25):
            await here.chat()
    except TimeoutError:
        pass


async def two_for_one_slot(here: Script) -> None:
    """The second one waits for the first one's slot."""
    async with asyncio.TaskGroup() as group:
        group.create_task(plain(here))
        group.create_task(plain(here))


@dataclass(frozen=True)
class Scene:
    """What is cancelled: an act, backends that reply, and what the policy says of them."""

    act: Act
    replies: dict[str, Replies]
    policy: dict[str, Any] = field(default_factory=dict)


HEDGED = {"task": "hedge: {after: 50ms}"}
SLOW = Reply.chat("hello").after(0.2)
SCENES = {
    "plain": Scene(plain, {"eu-1": CHAT}),
    "failover": Scene(plain, {"eu-1": BUSY, "eu-2": CHAT}),
    "stream": Scene(streamed, {"eu-1": STREAM}),
    "stream-failover": Scene(streamed, {"eu-1": ROLE_THEN_RESET, "eu-2": STREAM}),
    "left-early": Scene(left_early, {"eu-1": STREAM}),
    "group": Scene(in_a_group, {"eu-1": lambda sent: STREAM if sent.json.get("stream") else CHAT}),
    "timeout": Scene(with_a_deadline_of_its_own, {"eu-1": BUSY, "eu-2": CHAT}),
    "hedge-wins": Scene(plain, {"eu-1": Reply.hang(), "eu-2": CHAT}, HEDGED),
    "hedge-loses": Scene(plain, {"eu-1": SLOW, "eu-2": Reply.hang()}, HEDGED),
    "hedge-fails": Scene(plain, {"eu-1": SLOW, "eu-2": BUSY}, HEDGED),
    "hedge-stream": Scene(streamed, {"eu-1": Reply.hang(), "eu-2": STREAM}, HEDGED),
    "queue": Scene(two_for_one_slot, {"eu-1": CHAT}, {"each": "concurrency: 1"}),
}


async def cancelled_at(scene: Scene, turn: int, loop: SteppingLoop) -> bool:
    """Cancel a scene at one turn of the loop, and look at what is left; False once it ended before."""
    provider, spans = TracerProvider(shutdown_on_exit=False), SpanCount()
    provider.add_span_processor(spans)
    text = policy(*scene.replies, **scene.policy)
    async with scripted(text, tracer_provider=provider, **scene.replies) as here:
        task = loop.create_task(scene.act(here))
        loop.after_turns(turn, task.cancel)
        began = loop.turns
        await asyncio.wait([task])
        in_time = loop.turns - began >= turn
        if not task.cancelled():
            assert (
                task.exception() is None
            )  # it was over in that very turn, or no cancellation came
        assert here.idle, f"turn {turn}: a permit or an exchange is left"
        assert spans.open == 0, f"turn {turn}: a span was not ended"
        ended = [span.context.span_id for span in spans.exporter.get_finished_spans()]
        assert len(ended) == len(set(ended)), f"turn {turn}: a span was ended twice"
        for name in scene.replies:  # nothing of it stands in the way of the next request
            here.wire.script(f"{name}.test", Reply.chat("fine"))
        assert (await here.chat()).choices[0].message.content == "fine"
        assert here.router.status().in_flight == dict.fromkeys(scene.replies, 0)
        return in_time


@pytest.mark.parametrize("name", SCENES)
def test_c1_a_request_can_be_cancelled_at_every_turn_of_the_loop(name: str) -> None:
    """At the first turn, the second, and so on to its end: no permit, exchange, span or task is left."""
    turn = 1
    while run_in_steps(partial(cancelled_at, SCENES[name], turn)):
        turn += 1
        assert turn < 200
    assert turn > 5  # it did take some


def random_replies(rng: random.Random) -> Callable[[SentRequest], Reply]:
    """Backends that are well most of the time, and take up to 30 ms for each step."""

    def some(good: Reply) -> list[Reply]:
        bad = [Reply.status(503), Reply.hang(), Reply.fail("reset"), good.then_fail()]
        chosen = [rng.choice(bad) if rng.random() < 0.1 else good for _ in range(200)]
        return [
            replace(each, delay_s=rng.uniform(0, 0.03)).paced(rng.uniform(0, 0.03))
            for each in chosen
        ]

    whole, streams = some(CHAT), some(STREAM)

    def reply(sent: SentRequest) -> Reply:
        return rng.choice(streams if b'"stream":' in (sent.body or b"") else whole)

    return reply


def test_c2_thousands_of_random_cancellations_leave_nothing(part_of: PartOf) -> None:
    """At random moments of plain calls and streams, 50 at once: nothing active, no memory, all well after.

    Ten thousand of them with `--full`, a quarter without.
    """
    wanted = part_of(10_000, 0.25)

    async def main() -> int:
        rng = random.Random(7)
        replies: dict[str, Replies] = dict.fromkeys(THREE, random_replies(rng))
        async with three_scripted(replies=replies) as here:
            cancelled = await cancelled_at_random(here, rng, 1_000)
            here.wire.requests.clear()
            before_mib = rss_mib()
            while cancelled < wanted:
                cancelled += await cancelled_at_random(here, rng, 1_000)
                here.wire.requests.clear()
            assert here.idle
            assert here.router.status().in_flight == dict.fromkeys(THREE, 0)
            assert rss_mib() - before_mib < 5.0
            for name in THREE:
                here.wire.script(f"{name}.test", Reply.chat("fine"))
            await asyncio.sleep(60.0)  # whatever was left alone is asked again
            assert (await calls(20, here.chat)).success == 1.0
        return cancelled

    assert run_in_virtual_time(main) >= wanted


async def cancelled_at_random(here: Any, rng: random.Random, count: int) -> int:
    """So many requests, each cancelled after up to 30 ms; return how many were under way then."""
    loop = asyncio.get_running_loop()

    async def one() -> int:
        ask = here.chat if rng.random() < 0.5 else lambda: streamed(here)
        task = loop.create_task(ask())
        await asyncio.sleep(rng.uniform(0, 0.03))
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()
        return task.cancelled()

    async def worker() -> int:
        return sum([await one() for _ in range(count // 50)])

    async with asyncio.TaskGroup() as group:
        workers = [group.create_task(worker()) for _ in range(50)]
    return sum(worker.result() for worker in workers)


async def test_c2_random_cancellations_over_broken_connections_leave_nothing() -> None:
    """The same over sockets: the proxies are slow, cut answers and reset connections meanwhile."""
    rng = random.Random(3)
    async with three(proxied=True, backends={"tokens_per_s": 1_000.0}) as here:
        here.proxies["eu-1"].to_client = Toxic.reset(after_bytes=700)
        here.proxies["eu-2"].to_client = [Toxic.latency(0.005, jitter_s=0.005), Toxic.slicer(50)]
        here.proxies["vllm"].to_backend = Toxic.blackhole(probability=0.2)
        assert await cancelled_at_random(here, rng, 400) > 100
        await here.idle()
        for proxy in here.proxies.values():
            proxy.kill()  # what a black hole has swallowed does not know that its client has left
            proxy.heal()
        await until(lambda: here.active == 0)
        await served_again(lambda: here.chat(deadline_s=10.0))


# --- the probe of a breaker


async def tripped(here: Script) -> None:
    """Let the first backend fail until nobody is sent there any more."""
    here.faults.set_fault("eu-1.test", Fault.refuse())
    for _ in range(12):
        await here.chat()
    assert len(receipt(await here.chat()).attempts) == 1
    here.faults.heal()


async def probing(here: Script) -> asyncio.Task[Any]:
    """Wait until a request is sent to the first backend again, which does not answer it."""
    here.wire.script("eu-1.test", Reply.hang())
    before = here.sent("eu-1")
    for _ in range(100):
        task = asyncio.get_running_loop().create_task(here.chat(deadline_s=600.0))
        await asyncio.sleep(0.5)
        if here.sent("eu-1") > before:
            return task
        await task
    raise AssertionError("nobody was sent there any more")


LONG = {"ordered": True, "timeouts": "total: 600s, attempt: 500s", "repeats": 0}


def test_c3_a_probe_that_is_cancelled_leaves_its_place_to_the_next() -> None:
    """The cancellation says nothing about the backend: the very next request probes, and succeeds."""

    async def main() -> None:
        async with three_scripted(**LONG) as here:
            await tripped(here)
            probe = await probing(here)
            sent = here.sent("eu-1")
            await here.chat()
            assert here.sent("eu-1") == sent  # one at a time
            probe.cancel()
            await asyncio.wait([probe])
            assert probe.cancelled()
            here.wire.script("eu-1.test", Reply.chat("back"))
            for _ in range(5):
                assert (await here.chat()).choices[0].message.content == "back"
            assert here.sent("eu-1") == sent + 5

    run_in_virtual_time(main)


def test_c4_a_probe_that_hangs_for_ever_does_not_keep_its_place() -> None:
    """Its permit expires: another request probes while it still hangs, and the backend is back."""

    async def main() -> None:
        async with three_scripted(**LONG) as here:
            await tripped(here)
            probe = await probing(here)
            sent = here.sent("eu-1")
            here.wire.script("eu-1.test", Reply.chat("back"))
            loop = asyncio.get_running_loop()
            began_s = loop.time()
            while here.sent("eu-1") == sent:
                await here.chat()
                await asyncio.sleep(1.0)
                assert loop.time() - began_s < 120.0
            assert not probe.done()
            for _ in range(5):
                assert (await here.chat()).choices[0].message.content == "back"
            probe.cancel()
            await asyncio.wait([probe])

    run_in_virtual_time(main)
