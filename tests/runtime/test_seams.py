"""A stream that breaks after its first token, for callers who said what to do then. In virtual time."""

from __future__ import annotations

from typing import Any

import pytest

from hybridllm import (
    InvalidRequest,
    Restarted,
    StreamInterrupted,
    context,
)
from hybridllm._core.receipt import AttemptOutcome, AttemptReason, RequestOutcome
from hybridllm.testing import Reply, run_in_virtual_time
from runtime.seams import broken, read, seam_script
from runtime.world import MESSAGES, scripted

REST = Reply.chat_stream([" three", " four"], usage=(20, 2))


# --- who asks for it


@pytest.mark.parametrize("said", [{}, {"on_interrupt": "fail"}], ids=["nothing", "fail"])
def test_without_a_word_a_broken_stream_fails(said: dict[str, Any]) -> None:
    """Nobody else is asked; the error says that the text could be continued."""

    async def main() -> None:
        async with seam_script("eu", "us", eu=broken("one", " two"), us=REST) as here:
            found = await read(await here.stream(**said))
            assert isinstance(found.error, StreamInterrupted)
            assert (found.text, found.error.partial_text) == ("one two", "one two")
            assert found.error.resumable
            assert here.sent("us") == 0

    run_in_virtual_time(main)


@pytest.mark.parametrize(
    ("params", "said"),
    [
        pytest.param({"on_interrupt": "retry"}, "'retry' is not one of fail, restart, continue", id="word"),
        pytest.param({"on_interrupt": True}, "True is not one of", id="type"),
        pytest.param({"on_interrupt": ["fail"]}, "is not one of", id="list"),
        pytest.param({"on_interrupt": "restart", "stream": False}, "only a stream", id="plain"),
        pytest.param({"on_interrupt": "fail", "stream": None}, "only a stream", id="fail"),
        pytest.param({"extra_body": {"on_interrupt": "fail"}}, "may not stand there", id="extra"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_sends_nothing(params: dict[str, Any], said: str) -> None:
    """The message names the word and those that there are."""

    async def main() -> None:
        async with seam_script("eu", eu=REST) as here:
            with pytest.raises(InvalidRequest, match=said):
                await here.chat(**{"stream": True} | params)
            with pytest.raises(InvalidRequest, match="only a stream"):
                await here.router.embeddings.create(input="x", model="m", on_interrupt="restart")
            assert here.wire.requests == []

    run_in_virtual_time(main)


def test_a_block_cannot_say_it_for_its_calls() -> None:
    """Whoever reads a stream must know of its seams; a block does not read."""
    with pytest.raises(InvalidRequest, match="on_interrupt: is said with the call itself"):
        context(on_interrupt="restart").__enter__()


# --- restart


def test_a_restarted_stream_says_once_that_all_before_is_void() -> None:
    """Then come the chunks of another whole answer, its role included; the receipt has both attempts."""

    async def main() -> None:
        whole = Reply.chat_stream(["ein", " zwei"], model="other")
        async with seam_script("eu", "us", eu=broken("one", " two"), us=whole) as here:
            stream = await here.stream(on_interrupt="restart")
            found = await read(stream)
            assert (found.text, found.whole, found.ended) == ("ein zwei", True, "stop")
            assert found.seams == [Restarted("us", "m", "reset", "one two", 2)]
            assert found.chunks[0].choices[0].delta.role == "assistant"
            first, second = (sent.json for sent in here.wire.requests)
            assert first == second
            told = stream.receipt
            assert told.outcome is RequestOutcome.OK
            failed, served = told.attempts
            assert (failed.outcome, failed.error) == (AttemptOutcome.FAILED, "reset")
            assert failed.usage is not None
            assert failed.usage.output_tokens == 2
            assert (served.outcome, served.reason) == (
                AttemptOutcome.SERVED,
                AttemptReason.FAILOVER,
            )
            assert (stream.backend, stream.model) == ("us", "m")
            assert told.cost_usd is not None
            assert 0 < told.cost_wasted_usd < told.cost_usd
            assert not told.cost_complete
            assert told.first_token_s == pytest.approx(
                served.started_at.timestamp() - told.started_at.timestamp(), abs=0.01
            )

    run_in_virtual_time(main)


def test_with_nobody_else_the_same_backend_is_asked_again_after_a_wait() -> None:
    """As `next_step` says for its failure: a reset may pass."""

    async def main() -> None:
        async with seam_script("eu", eu=[broken("one"), Reply.chat_stream(["ein"])]) as here:
            stream = await here.stream(on_interrupt="restart")
            found = await read(stream)
            assert (found.text, len(found.seams)) == ("ein", 1)
            assert [a.reason for a in stream.receipt.attempts] == [
                AttemptReason.PRIMARY,
                AttemptReason.RETRY,
            ]

    run_in_virtual_time(main)


def test_a_stream_may_break_and_begin_anew_more_than_once() -> None:
    """One event for each break; each voids what came since the one before."""

    async def main() -> None:
        replies = {"eu": broken("a", "b"), "us": broken("c"), "fra": Reply.chat_stream(["d"])}
        async with seam_script(*replies, **replies) as here:
            found = await read(await here.stream(on_interrupt="restart"))
            assert (found.text, found.whole) == ("d", True)
            assert [(s.discarded_text, s.discarded_tokens) for s in found.seams] == [
                ("ab", 2),
                ("c", 1),
            ]

    run_in_virtual_time(main)


def test_anything_can_be_restarted() -> None:
    """Calls of tools, several answers, JSON: all of it is void, so none of it is sewn together."""

    async def main() -> None:
        call = {"index": 0, "id": "c", "type": "function", "function": {"name": "f"}}
        event = {
            "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
            "choices": [{"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": None}],
        }  # fmt: skip
        odd = Reply.stream(event).then_fail("reset")
        async with seam_script("eu", "us", eu=odd, us=Reply.chat_stream(["fine"])) as here:
            tools = [{"type": "function", "function": {"name": "f"}}]
            found = await read(await here.stream(on_interrupt="restart", tools=tools, n=1))
            assert (found.text, found.whole) == ("fine", True)
            assert found.seams == [Restarted("us", "m", "reset", "", 1)]

    run_in_virtual_time(main)


def test_another_model_may_restart_and_never_continue() -> None:
    """A fallback's text is another answer; the event names the model."""
    text = """
version: 1
backends:
  eu: {kind: vllm, base_url: "https://eu.test/v1", prefill: true}
  us: {kind: vllm, base_url: "https://us.test/v1", prefill: true}
models: {m: {on: {eu: m}}, other: {on: {us: other}}}
routes: [{name: all, use: [m], fallbacks: [other]}]
"""

    async def main() -> None:
        for how in ("restart", "continue"):
            async with scripted(text, eu=broken("one", how="stream_interrupted"), us=REST) as here:
                stream = await here.router.chat.completions.create(
                    messages=MESSAGES, stream=True, on_interrupt=how
                )
                found = await read(stream)
                if how == "restart":
                    assert found.seams == [Restarted("us", "other", "stream_interrupted", "one", 1)]
                    assert found.text == " three four"
                else:
                    assert isinstance(found.error, StreamInterrupted)
                    assert here.sent("us") == 0
                assert stream.receipt.attempts[-1].backend == ("us" if how == "restart" else "eu")

    run_in_virtual_time(main)
