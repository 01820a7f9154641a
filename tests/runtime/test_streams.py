"""A stream is one answer of one backend: whole, or broken and said to be so. Over real sockets.

Until its first token has been handed out, another backend may take over, and nobody notices. From then
on nobody else is asked: two answers are never sewn together.
"""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionChunk

from hybridllm import RouteExhausted, Stream, StreamInterrupted, receipt
from hybridllm._core.receipt import AttemptOutcome, RequestOutcome
from hybridllm.testing import Fault, Reply, run_in_virtual_time
from lab.lateness import lateness
from runtime.world import MODEL, World, policy, script, scripted, world

TIMEOUTS = "first_token: 400ms, idle: 300ms, total: 10s"
ANSWER = "one two six ten and all"  # six tokens

BROKEN = {
    "fin": "reset",
    "rst": "reset",
    "eof": "stream_interrupted",
    "partial_event": "stream_interrupted",
    "done_without_finish": "stream_interrupted",
    "error_event": "500",
    "named_error_event": "500",
    "flat_error": "500",
    "abort": "stream_interrupted",
    "stall": "idle_timeout",
    "pings": "idle_timeout",
    "bad_json": "invalid_response",
    "bad_utf8": "invalid_response",
    "list": "invalid_response",
    "null": "invalid_response",
}


async def read(stream: Stream) -> tuple[str, Exception | None]:
    """The text that was handed out, and how the stream ended."""
    text = ""
    try:
        async with stream:
            async for chunk in stream:
                assert isinstance(chunk, ChatCompletionChunk)
                text += (chunk.choices[0].delta.content or "") if chunk.choices else ""
    except openai.OpenAIError as error:
        return text, error
    return text, None


def tell(here: World) -> None:
    for backend in here.backends.values():
        backend.answer = ANSWER


@pytest.mark.parametrize("how", BROKEN)
async def test_a_stream_that_breaks_after_its_first_token_is_interrupted(how: Any) -> None:
    """Three tokens were handed out: the error has them, and no second request was made."""
    async with world("eu", "us", timeouts=TIMEOUTS) as here:
        tell(here)
        here["eu"].fault = Fault.cut_after(3, how)
        stream = await here.stream()
        text, error = await read(stream)
        assert text == "one two six"
        assert isinstance(error, StreamInterrupted)
        assert isinstance(error, openai.APIConnectionError)
        assert (error.partial_text, error.tokens_seen) == (text, 3)
        assert (error.backend, error.cause) == ("eu", BROKEN[how])
        assert (len(here["eu"].requests), len(here["us"].requests)) == (1, 0)
        told = receipt(error)
        assert told is stream.receipt
        assert told.outcome is RequestOutcome.ERROR
        (attempt,) = told.attempts
        assert (attempt.outcome, attempt.error) == (AttemptOutcome.FAILED, BROKEN[how])
        assert attempt.usage is not None
        assert attempt.usage.output_tokens == 3
        assert told.cost_wasted_usd == told.cost_usd != 0
        assert not told.cost_complete
        with pytest.raises(StopAsyncIteration):
            await anext(stream)


@pytest.mark.parametrize("tokens", [-1, 0], ids=["before-the-role", "after-the-role"])
@pytest.mark.parametrize("how", [how for how in BROKEN if how != "stall"])
async def test_a_stream_that_breaks_before_its_first_token_is_taken_over(
    how: Any, tokens: int
) -> None:
    """Headers and a role commit nobody: the caller sees one whole stream, of the second backend."""
    async with world("eu", "us", timeouts=TIMEOUTS) as here:
        tell(here)
        here["eu"].fault = Fault(Fault.cut_after(0).kind, size=tokens, how=how)
        stream = await here.stream()
        assert stream.backend == "us"
        assert await read(stream) == (ANSWER, None)
        told = stream.receipt
        assert [a.backend for a in told.attempts] == ["eu", "us"]
        assert told.outcome is RequestOutcome.OK
        assert told.first_token_s is not None
        assert told.first_token_s >= told.attempts[0].duration_s


@pytest.mark.parametrize(
    "fault",
    [Fault.role_then_hang(), Fault.pings_before_first_token(), Fault.hang_after_head()],
    ids=["role", "pings", "head"],
)
async def test_a_stream_that_hangs_before_its_first_token_is_taken_over(fault: Fault) -> None:
    """At the limit for the first token, not at the deadline; signs of life do not count."""
    async with world("eu", "us", timeouts=TIMEOUTS) as here, lateness() as late:
        tell(here)
        here["eu"].fault = fault
        stream = await here.stream()
        assert await read(stream) == (ANSWER, None)
        failed, served = stream.receipt.attempts
        assert (failed.error, served.error) == ("first_token_timeout", None)
        assert 0.35 <= failed.duration_s <= 0.8 + late.worst_s


async def test_every_byte_on_its_own_makes_the_same_stream() -> None:
    """Wherever the network cuts: a character, a line end, an event."""
    async with world("eu") as here:
        here["eu"].answer = "naïve 世界 🙂 done"
        whole = [chunk.model_dump() async for chunk in await here.stream()]
        here["eu"].fault = Fault.trickle(0.0)
        cut = [chunk.model_dump() async for chunk in await here.stream()]
        for each in (*whole, *cut):
            del each["id"], each["created"]
        assert whole == cut


async def test_a_stream_returns_once_its_first_token_is_there() -> None:
    """Not at the head; and the rest is handed on as it comes."""
    backends = {"latency_s": 0.2, "tokens_per_s": 20.0}
    async with world("eu", backends=backends) as here, lateness() as late:
        tell(here)
        loop = asyncio.get_running_loop()
        began = loop.time()
        stream = await here.stream()
        first_s = loop.time() - began
        assert 0.2 <= first_s < 0.6 + late.worst_s
        text, error = await read(stream)
        assert (text, error) == (ANSWER, None)
        assert loop.time() - began >= 0.2 + 5 / 20
        told = stream.receipt
        assert told.first_token_s == pytest.approx(first_s, abs=0.1)
        assert told.duration_s > told.first_token_s


async def test_the_stream_itself_is_fast() -> None:
    """2,000 tokens, as fast as they can be sent: every one arrives, in order."""
    async with world("eu") as here:
        here["eu"].answer = " ".join(str(n) for n in range(2_000))
        text, error = await read(await here.stream())
        assert (text, error) == (here["eu"].answer, None)


@pytest.mark.parametrize("wanted", [True, False])
async def test_usage_is_always_asked_for_and_handed_on_to_those_who_asked(wanted: bool) -> None:
    """The bill needs it; a caller who did not ask for a chunk without choices is not sent one."""
    async with world("eu") as here:
        options = {"stream_options": {"include_usage": True}} if wanted else {}
        stream = await here.stream(**options)
        chunks = [chunk async for chunk in stream]
        assert [c for c in chunks if not c.choices] == ([chunks[-1]] if wanted else [])
        assert here["eu"].requests[0].json["stream_options"] == {"include_usage": True}
        (attempt,) = stream.receipt.attempts
        assert attempt.usage is not None
        assert attempt.usage.source.value == "provider"
        assert (chunks[-1].usage is not None) is wanted


async def test_the_callers_other_stream_options_are_kept() -> None:
    """And their own object is not changed."""
    async with world("eu") as here:
        options = {"include_usage": False, "continuous_usage_stats": True}
        await read(await here.stream(stream_options=options))
        sent = here["eu"].requests[0].json["stream_options"]
        assert sent == {"include_usage": True, "continuous_usage_stats": True}
        assert options == {"include_usage": False, "continuous_usage_stats": True}


async def test_a_receipt_is_there_at_the_end_and_not_before() -> None:
    """Until then nobody knows what it will have cost."""
    async with world("eu") as here:
        stream = await here.stream()
        for early in (lambda: stream.receipt, lambda: receipt(stream)):
            with pytest.raises(LookupError):
                early()
        assert (stream.model, stream.backend) == ("m", "eu")
        await read(stream)
        assert receipt(stream) is stream.receipt
        (attempt,) = stream.receipt.attempts
        assert (attempt.model_asked, attempt.model_served) == (MODEL, MODEL)


async def test_the_end_of_a_stream_is_the_end() -> None:
    """Reading on gives nothing, closing again does nothing."""
    async with world("eu") as here:
        stream = await here.stream()
        await read(stream)
        told = stream.receipt
        assert [chunk async for chunk in stream] == []
        await stream.close()
        await stream.close()
        assert stream.receipt is told


async def test_chunks_that_had_come_are_not_handed_out_after_a_close() -> None:
    """A closed stream is over; whoever reads on is told once that the answer is not whole."""
    async with world("eu") as here:
        stream = await here.stream()
        await anext(stream)
        await stream.close()
        with pytest.raises(StreamInterrupted) as caught:
            await anext(stream)
        assert caught.value.cause == "closed"
        with pytest.raises(StopAsyncIteration):
            await anext(stream)


def test_what_trails_after_done_is_ignored() -> None:
    """A newline or a comment does no harm; the connection is kept only if the body ends soon."""
    whole = Reply.chat_stream(["a", "b"])

    async def reusable_after(*tail: bytes) -> bool | None:
        stream = Reply.stream(*whole.chunks, *tail)
        async with script("eu", eu=stream) as here:
            assert await read(await here.stream()) == ("ab", None)
            return here.wire.requests[0].reusable

    assert run_in_virtual_time(reusable_after)
    assert run_in_virtual_time(lambda: reusable_after(b"\n", b": bye\n\n"))
    assert not run_in_virtual_time(lambda: reusable_after(*[b"x" * 1_024] * 65))


def test_a_body_that_never_ends_after_done_holds_the_caller_for_a_moment_only() -> None:
    """The answer is whole; the connection is closed instead of waited for."""

    async def main() -> None:
        async with script("eu", eu=Reply.chat_stream(["a", "b"]).then_hang()) as here:
            assert await read(await here.stream()) == ("ab", None)
            assert asyncio.get_running_loop().time() <= 0.1
            assert here.wire.requests[0].reusable is False

    run_in_virtual_time(main)


def test_a_stream_that_ends_with_its_body_needs_no_done() -> None:
    """A finish reason for every choice, and a clean end: that is a whole answer."""

    async def main() -> None:
        async with script("eu", eu=Reply.chat_stream(["a"], done=False)) as here:
            assert await read(await here.stream()) == ("a", None)

    run_in_virtual_time(main)


def test_a_whole_answer_without_a_token_is_an_answer() -> None:
    """A model may say nothing: it is not asked again elsewhere."""

    async def main() -> None:
        async with script("eu", "us", eu=Reply.chat_stream([])) as here:
            stream = await here.stream()
            assert await read(stream) == ("", None)
            assert stream.receipt.outcome is RequestOutcome.OK
            assert stream.receipt.first_token_s is None

    run_in_virtual_time(main)


@pytest.mark.parametrize(
    "last",
    [
        pytest.param({"index": 0, "finish_reason": "stop"}, id="no-delta"),
        pytest.param({"index": 0, "delta": None, "finish_reason": "stop"}, id="null-delta"),
        pytest.param(
            {"index": 0, "delta": {}, "finish_reason": "stop", "logprobs": None}, id="usual"
        ),
    ],
)
def test_a_last_chunk_needs_no_delta(last: dict[str, Any]) -> None:
    """Some servers leave it out where there is nothing to say."""
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    first = {"index": 0, "delta": {"content": "hi"}, "finish_reason": None}
    whole = Reply.stream(
        head | {"choices": [first]}, head | {"choices": [last]}, "data: [DONE]\n\n"
    )

    async def main() -> None:
        async with script("eu", eu=whole) as here:
            stream = await here.stream()
            chunks = [chunk async for chunk in stream]
            assert [chunk.choices[0].finish_reason for chunk in chunks] == [None, "stop"]
            assert stream.receipt.outcome is RequestOutcome.OK

    run_in_virtual_time(main)


WHOLE = b"".join(Reply.chat_stream(["na", "ïve", " 世", "界 ", "🙂", "."]).chunks)
FINISHED_AT = WHOLE.index(b'"finish_reason":"stop"') + len(b'"finish_reason":"stop"}]}\n\n')


@given(
    end=st.integers(0, len(WHOLE)),
    cuts=st.lists(st.integers(1, len(WHOLE)), max_size=12),
    clean=st.booleans(),
)
@settings(max_examples=400)
def test_a_stream_that_is_cut_anywhere_never_looks_whole(
    end: int, cuts: list[int], clean: bool
) -> None:
    """At any byte, in any pieces, with or without a clean end: what was handed out is how it began."""
    edges = sorted({0, end, *(cut for cut in cuts if cut < end)})
    pieces = [WHOLE[a:b] for a, b in pairwise(edges)]
    cut = Reply.stream(*pieces) if clean else Reply.stream(*pieces).then_fail("reset")

    async def main() -> None:
        async with scripted(policy("eu", "us", repeats=0), eu=cut, us=Reply.status(500)) as here:
            try:
                stream = await here.stream()
            except RouteExhausted:
                assert b"na" not in WHOLE[:end] or end < WHOLE.index(b"na") + 60
                return
            text, error = await read(stream)
            assert "naïve 世界 🙂.".startswith(text)
            if error is None:
                assert text == "naïve 世界 🙂."
                assert end >= FINISHED_AT
                assert clean or end > WHOLE.index(b"[DONE]")
            else:
                assert isinstance(error, StreamInterrupted)
                assert error.partial_text == text
                assert here.sent("us") == 0

    run_in_virtual_time(main)
