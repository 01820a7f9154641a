"""Streams of a cascade: the caller sees the accepted answer and nothing of the other. In virtual time."""

from __future__ import annotations

import asyncio

import pytest

from cascade.worlds import BETTER, SURE, UNSURE, cascade
from hybridllm import StreamInterrupted
from hybridllm._core.receipt import AttemptOutcome, RequestOutcome
from hybridllm.testing import Reply, run_in_virtual_time
from runtime.seams import read
from runtime.world import text_of

SURE_STREAM = Reply.chat_stream(SURE.split(" "))
UNSURE_STREAM = Reply.chat_stream([f" {word}" for word in UNSURE.split(" ")])
BETTER_STREAM = Reply.chat_stream([f" {word}" for word in BETTER.split(" ")])


def test_a_stream_that_passes_is_replayed_chunk_by_chunk() -> None:
    """As it came, with its role first and its end last; its first token is counted from when it was whole."""

    async def main() -> None:
        async with cascade(a=SURE_STREAM.paced(0.1), b=BETTER_STREAM) as here:
            stream = await here.stream()
            assert here.idle  # all of it is here: nobody waits for a slow reader
            assert (stream.model, stream.backend) == ("small", "a")
            chunks = [chunk async for chunk in stream]
            assert chunks[0].choices[0].delta.role == "assistant"
            assert chunks[-1].choices[0].finish_reason == "stop"
            assert "".join(c.choices[0].delta.content or "" for c in chunks) == SURE.replace(
                " ", ""
            )
            told = stream.receipt
            assert [one.outcome for one in told.attempts] == [AttemptOutcome.SERVED]
            assert told.outcome is RequestOutcome.OK
            assert told.first_token_s == pytest.approx(told.duration_s)
            assert told.attempts[0].first_token_s is not None
            assert told.attempts[0].first_token_s < told.first_token_s
            assert told.cascade_saved_usd is not None

    run_in_virtual_time(main)


def test_a_stream_that_does_not_pass_is_never_seen() -> None:
    """The better model's answer comes as it is made."""

    async def main() -> None:
        async with cascade(a=UNSURE_STREAM, b=BETTER_STREAM.paced(0.1)) as here:
            stream = await here.stream()
            assert stream.model == "big"
            text = await text_of(stream)
            assert text.strip() == BETTER
            told = stream.receipt
            assert [(one.model, one.outcome) for one in told.attempts] == [
                ("small", AttemptOutcome.ESCALATED),
                ("big", AttemptOutcome.SERVED),
            ]
            assert told.escalated == 'it says "i\'m not sure"'
            assert told.cost_wasted_usd > 0

    run_in_virtual_time(main)


def test_if_the_better_stream_does_not_begin_the_first_is_replayed() -> None:
    """Marked on the receipt."""

    async def main() -> None:
        async with cascade(a=UNSURE_STREAM, b=Reply.status(400)) as here:
            stream = await here.stream()
            assert (await text_of(stream)).strip() == UNSURE
            assert stream.receipt.not_escalated is not None
            assert stream.receipt.outcome is RequestOutcome.OK

    run_in_virtual_time(main)


def test_a_first_stream_that_breaks_has_been_seen_by_nobody() -> None:
    """So another candidate is asked, as for any failure, and what came is on the receipt."""

    async def main() -> None:
        broken = Reply.chat_stream(
            ["half", " of", " it"], usage=None, finish_reason=None, done=False
        )
        async with cascade(
            policy={"firsts": "ad"}, a=broken.then_fail("reset"), d=SURE_STREAM, b=BETTER_STREAM
        ) as here:
            stream = await here.stream()
            assert await text_of(stream) == SURE.replace(" ", "")
            first, second = stream.receipt.attempts
            assert (first.outcome, second.outcome) == (AttemptOutcome.FAILED, AttemptOutcome.SERVED)
            assert first.usage is not None
            assert first.usage.output_tokens == 3

    run_in_virtual_time(main)


def test_a_first_stream_that_stalls_is_given_up_within_the_policys_limit() -> None:
    """Its idle limit holds while it is read whole."""

    async def main() -> None:
        stalls = Reply.chat_stream(["half"], finish_reason=None, done=False).then_hang()
        policy = {"task": ", timeouts: {idle: 1s}"}
        async with cascade(policy=policy, a=stalls, b=BETTER_STREAM, c=BETTER_STREAM) as here:
            stream = await here.stream()
            assert (await text_of(stream)).strip() == BETTER
            assert [one.error for one in stream.receipt.attempts] == ["idle_timeout", None]

    run_in_virtual_time(main)


def test_a_better_stream_that_breaks_may_be_restarted() -> None:
    """By its own model's backends: the first model is not asked again."""

    async def main() -> None:
        broken = Reply.chat_stream(["half"], finish_reason=None, done=False).then_fail("reset")
        async with cascade(
            policy={"thens": "bd"}, a=UNSURE_STREAM, b=broken, d=BETTER_STREAM
        ) as here:
            stream = await here.stream(on_interrupt="restart")
            found = await read(stream)
            assert found.whole
            assert len(found.seams) == 1
            assert [one.model for one in stream.receipt.attempts] == ["small", "big", "big"]
            assert stream.receipt.escalated is not None
        async with cascade(a=UNSURE_STREAM, b=broken) as here:
            stream = await here.stream()
            with pytest.raises(StreamInterrupted):
                await text_of(stream)

    run_in_virtual_time(main)


@pytest.mark.parametrize("after_chunks", [0, 2], ids=["at-once", "midway"])
def test_a_replayed_stream_that_is_left_was_served(after_chunks: int) -> None:
    """All of it was there, and paid for."""

    async def main() -> None:
        async with cascade(a=SURE_STREAM, b=BETTER_STREAM) as here:
            async with await here.stream() as stream:
                for _ in range(after_chunks):
                    await anext(stream)
            assert stream.receipt.outcome is RequestOutcome.OK

    run_in_virtual_time(main)


@pytest.mark.parametrize("late_s", [0.25, 1.25], ids=["in-the-first", "in-the-second"])
def test_a_caller_that_leaves_before_its_stream_leaves_nothing(late_s: float) -> None:
    """No task, no permit, no connection, no warning of a stream that was dropped."""

    async def main() -> None:
        slow = Reply.chat_stream(["x"]).after(5)
        async with cascade(a=UNSURE_STREAM.paced(0.1), b=slow) as here:
            task = asyncio.get_running_loop().create_task(here.stream())
            await asyncio.sleep(late_s)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert here.idle

    run_in_virtual_time(main)


def test_log_probabilities_are_taken_out_of_every_chunk() -> None:
    """They were asked for by us."""

    async def main() -> None:
        def scored(text: str, logprob: float) -> Reply:
            content = [{"token": "x", "logprob": logprob, "bytes": None, "top_logprobs": []}]
            head = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
            delta = {"role": "assistant", "content": text}
            choice = {"index": 0, "delta": delta, "logprobs": {"content": content, "refusal": None}}
            end = {"index": 0, "delta": {}, "finish_reason": "stop"}
            return Reply.stream(
                head | {"choices": [choice | {"finish_reason": None}]}, head | {"choices": [end]}
            )

        async with cascade("{low_logprob: -1}", a=scored("ja", -0.5), b=BETTER_STREAM) as here:
            chunks = [chunk async for chunk in await here.stream()]
            assert [c.choices[0].logprobs for c in chunks] == [None, None]
        async with cascade("{low_logprob: -1}", a=scored("ja", -1.5), b=BETTER_STREAM) as here:
            assert (await text_of(await here.stream())).strip() == BETTER

    run_in_virtual_time(main)
