"""One deadline per request: it covers every attempt, every wait and the whole stream."""

from __future__ import annotations

import asyncio
from typing import Any

import openai
import pytest

from hybridllm import DeadlineExceeded, RouteExhausted, StreamInterrupted, context, receipt
from hybridllm._core.receipt import AttemptOutcome, RequestOutcome
from hybridllm.testing import Fault, Reply, run_in_virtual_time
from lab.lateness import lateness
from runtime.world import policy, script, scripted, world

TOKENS = ["a", "b", "c"]
HANG = Reply.hang()
ROLE_ONLY = Reply.chat_stream([], usage=None, finish_reason=None, done=False).then_hang()
THREE = ("eu", "us", "fra")


async def drain(stream: Any, seen: list[str]) -> None:
    """Read a stream into a list that is there even if it breaks."""
    async for chunk in stream:
        seen.append(chunk.choices[0].delta.content or "" if chunk.choices else "")  # noqa: PERF401


@pytest.mark.parametrize(
    "fault",
    [Fault.hang(), Fault.hang_after_head(), Fault.trickle(0.05)],
    ids=["hang", "hang-after-head", "trickle"],
)
async def test_three_hanging_backends_cost_two_seconds_and_no_more(fault: Fault) -> None:
    """Over real sockets: the error is there within 2.2 s, and each backend had its share."""
    async with world(*THREE) as here, lateness() as late:
        for backend in here.backends.values():
            backend.fault = fault

        async def asked(stream: bool) -> None:
            began = asyncio.get_running_loop().time()
            with pytest.raises(DeadlineExceeded) as caught:
                await here.chat(deadline_s=2.0, stream=stream)
            assert 1.9 <= asyncio.get_running_loop().time() - began <= 2.2 + late.worst_s
            assert isinstance(caught.value, openai.APITimeoutError | TimeoutError)
            task = asyncio.current_task()
            assert task is not None
            assert task.cancelling() == 0  # the limits leave no cancellation behind

        async with asyncio.TaskGroup() as group:
            group.create_task(asked(stream=False))
            group.create_task(asked(stream=True))
        plain = [
            [request for request in backend.requests if not request.json.get("stream")]
            for backend in here.backends.values()
        ]
        assert [len(requests) for requests in plain] == [1, 1, 1]
        assert await here.idle() <= 0.1 + late.worst_s


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(HANG, id="hang"),
        pytest.param(Reply.chat("late").after(60), id="late-head"),
        pytest.param(Reply.chat_stream(TOKENS).paced(30), id="late-body"),
        pytest.param(ROLE_ONLY, id="role-only"),
    ],
)
def test_the_deadline_is_kept_to_the_instant(reply: Reply, stream: bool) -> None:
    """In virtual time nothing blurs it; every backend that was asked is in the receipt."""

    async def main() -> None:
        async with script(*THREE, **dict.fromkeys(THREE, reply)) as here:
            with pytest.raises((DeadlineExceeded, RouteExhausted)) as caught:
                await here.chat(deadline_s=2.0, stream=stream)
            told = receipt(caught.value)
            assert asyncio.get_running_loop().time() <= 2.0
            assert told.duration_s == asyncio.get_running_loop().time()
            assert sum(a.duration_s for a in told.attempts) == pytest.approx(told.duration_s)

    run_in_virtual_time(main)


def test_time_is_shared_equally_among_those_who_are_left() -> None:
    """A first backend that hangs leaves the others enough to answer."""

    async def main() -> None:
        async with script(*THREE, eu=HANG, us=HANG, fra=Reply.chat("hello").after(0.9)) as here:
            told = receipt(await here.chat(deadline_s=3.0))
            assert [a.duration_s for a in told.attempts] == pytest.approx([1.0, 1.0, 0.9])
            assert [a.error for a in told.attempts] == ["attempt_timeout", "attempt_timeout", None]

    run_in_virtual_time(main)


@pytest.mark.parametrize(
    ("timeouts", "stream", "lasts_s", "error"),
    [
        ("total: 7s", False, 7.0, DeadlineExceeded),
        ("total: 9s, attempt: 2s", False, 2.0, RouteExhausted),
        ("total: 9s, first_token: 3s", True, 3.0, RouteExhausted),
        ("total: 2s, first_token: 3s", True, 2.0, DeadlineExceeded),
    ],
)
def test_the_limits_of_the_task_hold_where_the_caller_sets_none(
    timeouts: str, stream: bool, lasts_s: float, error: type[Exception]
) -> None:
    """`total` for the request, the others for an attempt; whichever is shorter."""

    async def main() -> None:
        async with scripted(policy("eu", timeouts=timeouts), eu=HANG) as here:
            with pytest.raises((DeadlineExceeded, RouteExhausted)) as caught:
                await here.chat(stream=stream)
            assert asyncio.get_running_loop().time() == pytest.approx(lasts_s)
            assert isinstance(caught.value, error)

    run_in_virtual_time(main)


@pytest.mark.parametrize(
    "hints",
    [{"deadline_s": 1.5}, {"timeout": 1.5}, {"deadline_s": 1.5, "timeout": 99}],
    ids=["deadline_s", "timeout", "both"],
)
def test_a_callers_deadline_goes_before_the_tasks(hints: dict[str, float]) -> None:
    """Shorter or longer; `timeout` is openai's word for it, and `deadline_s` goes before."""

    async def main() -> None:
        async with scripted(policy("eu", timeouts="total: 1s"), eu=HANG) as here:
            with pytest.raises(DeadlineExceeded) as caught:
                await here.chat(**hints)
            assert asyncio.get_running_loop().time() == 1.5
            assert caught.value.deadline_s == 1.5

    run_in_virtual_time(main)


def test_a_deadline_can_be_set_for_a_block() -> None:
    """Each request of the block has it for itself."""

    async def main() -> None:
        async with script("eu", eu=HANG) as here:
            with context(deadline_s=0.5):
                for ends_s in (0.5, 1.0):
                    with pytest.raises(DeadlineExceeded):
                        await here.chat()
                    assert asyncio.get_running_loop().time() == ends_s

    run_in_virtual_time(main)


def test_the_deadline_covers_the_waits_between_attempts() -> None:
    """No wait is begun that would leave no time for an answer."""

    async def main() -> None:
        async with script("eu", eu=Reply.status(503)) as here:
            with pytest.raises((DeadlineExceeded, RouteExhausted)):
                await here.chat(deadline_s=0.3)
            assert asyncio.get_running_loop().time() <= 0.3

    run_in_virtual_time(main)


def test_the_deadline_passes_in_the_middle_of_a_stream() -> None:
    """What had come is billed; the error is a deadline, and the stream is not called broken."""

    async def main() -> None:
        async with script("eu", eu=Reply.chat_stream(list("abcdefgh")).paced(0.5)) as here:
            stream = await here.stream(deadline_s=2.0)
            seen: list[str] = []
            with pytest.raises(DeadlineExceeded) as caught:
                await drain(stream, seen)
            assert asyncio.get_running_loop().time() == 2.0
            assert "".join(seen) == "ab"
            assert stream.receipt is receipt(caught.value)
            assert stream.receipt.outcome is RequestOutcome.DEADLINE
            (attempt,) = stream.receipt.attempts
            assert (attempt.outcome, attempt.error) == (AttemptOutcome.FAILED, "attempt_timeout")
            assert attempt.usage is not None
            assert attempt.usage.output_tokens == 2
            assert attempt.cost_usd

    run_in_virtual_time(main)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_a_callers_own_timeout_works(stream: bool) -> None:
    """`asyncio.timeout` around a call ends it, as a TimeoutError and nothing of ours."""

    async def main() -> None:
        async with script("eu", "us", eu=HANG, us=HANG) as here:
            with pytest.raises(TimeoutError) as caught:
                async with asyncio.timeout(1.25):
                    await here.chat(stream=stream)
            assert type(caught.value) is TimeoutError
            assert asyncio.get_running_loop().time() == 1.25
            assert here.idle
            assert here.sent("us") == 0  # a caller that has left is no reason to ask another one

    run_in_virtual_time(main)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_a_timeout_of_the_caller_at_the_same_instant_as_ours_is_not_swallowed(stream: bool) -> None:
    """Whichever comes first is told, and the other has no effect on what the caller does next."""

    async def main() -> None:
        async with script("eu", eu=HANG) as here:
            with pytest.raises((TimeoutError, DeadlineExceeded)):
                async with asyncio.timeout(1.0):
                    await here.chat(stream=stream, deadline_s=1.0)
            await asyncio.sleep(5)  # would raise if a cancellation were left over
            task = asyncio.current_task()
            assert task is not None
            assert task.cancelling() == 0

    run_in_virtual_time(main)


def test_a_slow_consumer_is_no_slow_backend() -> None:
    """Timers run only while the backend is awaited; the deadline alone goes on."""

    async def main() -> None:
        text = policy("eu", timeouts="idle: 1s, first_token: 2s, total: 1h")
        async with scripted(text, eu=Reply.chat_stream(list("abcdef")).paced(0.3)) as here:
            seen = ""
            async with await here.stream() as stream:
                async for chunk in stream:
                    seen += chunk.choices[0].delta.content or "" if chunk.choices else ""
                    await asyncio.sleep(30)
            assert seen == "abcdef"

    run_in_virtual_time(main)


@pytest.mark.parametrize(
    "filler",
    [
        pytest.param(": ping\n\n", id="pings"),
        pytest.param({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
                      "choices": [{"index": 0, "delta": {}, "finish_reason": None}]}, id="empty-deltas"),
    ],
)  # fmt: skip
def test_only_tokens_keep_a_stream_alive(filler: Any) -> None:
    """A server that only says that it is there has stalled, however often it says so."""

    async def main() -> None:
        begun = Reply.chat_stream(["a"], usage=None, finish_reason=None, done=False)
        stream = Reply.stream(*begun.chunks, *[filler] * 100).paced(0.2)
        text = policy("eu", timeouts="idle: 3s")
        async with scripted(text, eu=stream) as here, await here.stream() as answer:
            began = asyncio.get_running_loop().time()
            with pytest.raises(StreamInterrupted) as caught:
                await drain(answer, [])
            assert asyncio.get_running_loop().time() - began == pytest.approx(3.0)
            assert caught.value.cause == "idle_timeout"

    run_in_virtual_time(main)


def test_a_hurried_caller_does_not_open_a_breaker() -> None:
    """A deadline shorter than the backend's own limits says nothing about the backend."""

    async def main() -> None:
        async with script("eu", eu=Reply.chat("slow").after(1.0)) as here:
            for _ in range(20):
                with pytest.raises(DeadlineExceeded):
                    await here.chat(deadline_s=0.2)
            assert not here.router._engine.fleet.breakers
            assert (await here.chat()).choices[0].message.content == "slow"

    run_in_virtual_time(main)
