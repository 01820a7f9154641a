"""The fault catalogue, rows S1 to S7 and S10 to S13: streams that break, stall, or end as they should not.

Over real sockets, `eu` first and `us` beside it. Time in which nothing happens is skipped, so the limits
are the product's own, 10 s to a first token and 20 s between two. S15 is in `test_seam_rows.py`.
"""

from __future__ import annotations

import asyncio
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from faults.odd_answers import odd_table
from faults.regions import OTHER_DAY_S, two
from faults.skipping import leap, run_skipping
from hybridllm import Stream, StreamInterrupted, TruncatedOutput, receipt
from hybridllm._core.money.usage import UsageSource
from hybridllm._core.receipt import AttemptOutcome, RequestOutcome
from hybridllm.testing import Fault
from hybridllm.testing._faults import Cut
from odd_backend import DONE, HEL, LO, ROLE, STOP, Odd, answer, completion, event, piece, stream
from raw_server import until
from runtime.world import MESSAGES, World, text_of, world

WORDS = "one two six ten and all"  # six tokens
ERRORS: tuple[Cut, ...] = ("error_event", "named_error_event", "flat_error")
FIRST_TOKEN_S, IDLE_S = 10.0, 20.0


def tell(here: World) -> None:
    here["eu"].answer, here["us"].answer = WORDS, "another answer by us"


async def interrupted(begun: Stream) -> tuple[str, StreamInterrupted]:
    """What was handed out before the stream broke, and what was told."""
    said: list[str] = []
    with pytest.raises(StreamInterrupted) as caught:
        await read_into(said, begun)
    assert caught.value.partial_text == "".join(said)
    with pytest.raises(StopAsyncIteration):
        await anext(begun)
    return "".join(said), caught.value


async def read_into(said: list[str], begun: Stream) -> None:
    async for chunk in begun:
        said += [choice.delta.content or "" for choice in chunk.choices]


async def breaks_after(here: World, fault: Fault, cause: str, *, said: str, tokens: int) -> None:
    """A stream that is struck so is interrupted with what had come, and nobody else is asked."""
    await leap(OTHER_DAY_S)
    here["eu"].fault = Fault.slow(0)
    await here.text()  # whatever was held against it is not any more
    sent = here.sent("eu"), here.sent("us")
    here["eu"].fault = fault
    begun = await here.stream()
    handed, error = await interrupted(begun)
    assert (handed, error.tokens_seen, error.cause) == (said, tokens, cause)
    assert (here.sent("eu"), here.sent("us")) == (sent[0] + 1, sent[1])
    assert begun.receipt.outcome is RequestOutcome.ERROR
    (attempt,) = begun.receipt.attempts
    assert (attempt.outcome, attempt.error) == (AttemptOutcome.FAILED, cause)


async def taken_over(here: World, fault: Fault, label: str, *, after_s: float = 0.0) -> None:
    """A stream that is struck so before its first token is another backend's, wholly."""
    await leap(OTHER_DAY_S)
    here["eu"].fault = Fault.slow(0)
    await here.text()
    here["eu"].fault = fault
    begun = await here.stream()
    assert await text_of(begun) == "another answer by us"
    told = begun.receipt
    assert [(one.backend, one.error) for one in told.attempts] == [("eu", label), ("us", None)]
    assert told.outcome is RequestOutcome.OK
    assert after_s <= told.attempts[0].duration_s < after_s + 0.5


def test_s1_an_error_before_the_first_token_is_not_seen() -> None:
    """As an object, a text, a flat one, a named frame; before the role or after it."""

    async def main() -> None:
        async with two() as here:
            tell(here)
            for how in ERRORS:
                for tokens in (-1, 0):
                    fault = Fault(Fault.cut_after(0).kind, size=tokens, how=how)
                    await taken_over(here, fault, "500")
        async with odd_table() as table:
            for name, (odd, label) in {
                "text": (stream(ROLE, event(b'{"error": "busy"}'), DONE), "500"),
                "object": (stream(event(b'{"error": {"code": 503}}')), "503"),
                "named": (stream(event(b'{"code": 429}', b"error")), "429"),
                "named text": (stream(event(b'"busy"', b"error")), "500"),
                "quota": (stream(ROLE, event(b'{"error": {"code": "insufficient_quota"}}')), "429"),
            }.items():
                told = await table.told(odd, stream=True)
                assert told.history == [("odd", label), ("well", None)], name
                assert told.text == "hello", name

    run_skipping(main)


def test_s2_an_error_after_five_tokens_is_told_with_them() -> None:
    """Five tokens are kept, one request was made, and nobody goes on with the sixth."""

    async def main() -> None:
        async with two() as here:
            tell(here)
            for how in ERRORS:
                fault = Fault.cut_after(5, how)
                await breaks_after(here, fault, "500", said="one two six ten and", tokens=5)

    run_skipping(main)


def test_s3_an_end_without_a_finish_reason_is_no_end() -> None:
    """In good order, with `[DONE]` or without: vLLM sends that after an error too."""

    async def main() -> None:
        async with two() as here:
            tell(here)
            for how in ("eof", "done_without_finish", "partial_event"):
                await taken_over(here, Fault.cut_after(0, how), "stream_interrupted")
                for tokens, said in ((1, "one"), (6, WORDS)):
                    fault = Fault.cut_after(tokens, how)
                    await breaks_after(here, fault, "stream_interrupted", said=said, tokens=tokens)

    run_skipping(main)


def test_s4_a_finish_reason_that_is_none_is_an_interruption() -> None:
    """`abort` of a vLLM that is being stopped, `error`, a word that nobody knows."""

    async def main() -> None:
        async with two() as here:
            tell(here)
            await taken_over(here, Fault.cut_after(0, "abort"), "stream_interrupted")
            await breaks_after(
                here,
                Fault.cut_after(3, "abort"),
                "stream_interrupted",
                said="one two six",
                tokens=3,
            )
            for word in ("abort", "error", "eos", "STOP", "none"):
                fault = Fault.finish_reason(word)
                await breaks_after(here, fault, "stream_interrupted", said=WORDS, tokens=6)
        async with odd_table() as table:
            for word in ("abort", "error", "eos"):
                told = await table.told(stream(ROLE, piece(finish=word), DONE), stream=True)
                assert told.history == [("odd", "stream_interrupted"), ("well", None)]

    run_skipping(main)


def trickling(*pieces: bytes, with_what: bytes, every_s: float) -> Odd:
    """These pieces, and then this one for ever."""

    async def play(exchange: Any) -> None:
        await stream(*pieces, end="open")(exchange)
        while not exchange.writer.is_closing():
            await asyncio.sleep(every_s)
            await exchange.write(b"%x\r\n%b\r\n" % (len(with_what), with_what))

    return play


IDLE = {
    "hardly anything": trickling(ROLE, HEL, LO, with_what=b"\n", every_s=12),
    "pings": trickling(ROLE, HEL, LO, with_what=b": ping\n\n", every_s=1.5),
    "empty deltas": trickling(ROLE, HEL, LO, with_what=piece(content=""), every_s=1.5),
    "roles": trickling(ROLE, HEL, LO, with_what=ROLE, every_s=1.5),
    "half an event": trickling(ROLE, HEL, LO, with_what=b"data: {", every_s=1.5),
}


def test_s5_a_stall_between_tokens_is_limited_despite_pings() -> None:
    """Twenty seconds without a token: comments, empty deltas and bytes on their own are none."""

    async def main() -> None:
        async with odd_table() as table:
            for name, odd in IDLE.items():
                told = await table.told(odd, stream=True, read=then_broken)
                assert told.text == "hello", name
                assert told.history == [("odd", "idle_timeout")], name
                assert IDLE_S <= told.receipt.duration_s < IDLE_S + 0.5, name
                assert table.asked == (1, 0), name

    run_skipping(main)


async def then_broken(begun: Stream) -> str:
    return (await interrupted(begun))[0]


def test_s6_a_role_and_no_more_is_no_commitment() -> None:
    """At the limit for the first token another backend takes over; whatever trickles until then."""

    async def main() -> None:
        async with two() as here:
            tell(here)
            for fault in (Fault.role_then_hang(), Fault.hang_after_head(), Fault.hang()):
                await taken_over(here, fault, "first_token_timeout", after_s=FIRST_TOKEN_S)
        async with odd_table() as table:
            for what in (b": ping\n\n", ROLE, piece(content=""), event(b'{"choices": []}')):
                odd = trickling(ROLE, with_what=what, every_s=0.7)
                told = await table.told(odd, stream=True)
                assert told.history == [("odd", "first_token_timeout"), ("well", None)]
                assert told.text == "hello"
                assert FIRST_TOKEN_S <= told.receipt.duration_s < FIRST_TOKEN_S + 0.5

    run_skipping(main)


GRUESSE = piece(content="gr\u00fc\u00dfe \U0001f994".encode().decode()).replace(
    b"\\u00fc", "\u00fc".encode()
)
TALK = ROLE + GRUESSE + LO + STOP + DONE
SPLIT = {
    "whole": [TALK],
    "byte by byte": [bytes([byte]) for byte in TALK],
    "LF": [ROLE, GRUESSE, LO, STOP, DONE],
    "CRLF": [TALK.replace(b"\n", b"\r\n")],
    "CRLF byte by byte": [bytes([byte]) for byte in TALK.replace(b"\n", b"\r\n")],
    "CR": [TALK.replace(b"\n", b"\r")],
    "BOM": [b"\xef\xbb\xbf" + TALK],
    "BOM in pieces": [b"\xef", b"\xbb", b"\xbf", TALK],
    "no space": [TALK.replace(b"data: ", b"data:")],
    "in a character": [
        TALK[: TALK.index("\u00fc".encode()) + 1],
        TALK[TALK.index("\u00fc".encode()) + 1 :],
    ],
    "two lines of data": [TALK.replace(b', "choices"', b',\ndata: "choices"')],
}
BAD = {
    "bad JSON": event(b'{"id": '),
    "bad UTF-8": HEL.replace(b"hel", b"\xff\xfe"),
    "half a character": HEL.replace(b"hel", "\u00fc".encode()[:1]),
    "a surrogate": HEL.replace(b"hel", b"\xed\xa0\x80"),
    "null": event(b"null"),
    "list": event(b"[1, 2]"),
    "text": event(b'"hello"'),
    "HTML": event(b"<html>"),
    "nothing": event(b""),
    "deep": event(b"[" * 100_000),
    "content 5": event(b'{"choices": [{"index": 0, "delta": {"content": 5}}]}'),
}


def test_s7_a_stream_reads_the_same_however_it_is_cut_and_never_if_it_is_bad() -> None:
    """Characters, line ends and events over pieces; what is no JSON, or no UTF-8, is an interruption."""

    async def main() -> None:
        async with odd_table() as table:
            for name, pieces in SPLIT.items():
                told = await table.told(stream(*pieces), stream=True)
                assert (told.text, told.history) == (
                    "gr\u00fc\u00dfe \U0001f994lo",
                    [("odd", None)],
                ), name
            for name, bad in BAD.items():
                told = await table.told(stream(ROLE, bad, LO, STOP, DONE), stream=True)
                assert told.history == [("odd", "invalid_response"), ("well", None)], name
                odd = stream(ROLE, HEL, bad, LO, STOP, DONE)
                told = await table.told(odd, stream=True, read=then_broken)
                assert (told.text, told.history) == ("hel", [("odd", "invalid_response")]), name

    run_skipping(main)


def test_s10_a_usage_comes_in_a_chunk_without_choices_or_never() -> None:
    """Both are whole; without one the receipt says that it is an estimate."""
    usage = b'{"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}}'

    async def main() -> None:
        async with odd_table() as table:
            for last, source in (
                ([event(usage), DONE], UsageSource.PROVIDER),
                ([event(usage)], UsageSource.PROVIDER),
                ([DONE], UsageSource.ESTIMATED),
                ([], UsageSource.ESTIMATED),
                ([event(b'{"choices": [], "usage": null}'), DONE], UsageSource.ESTIMATED),
            ):
                told = await table.told(stream(ROLE, HEL, LO, STOP, *last), stream=True)
                assert (told.text, told.history) == ("hello", [("odd", None)])
                (attempt,) = told.receipt.attempts
                assert attempt.usage is not None
                assert attempt.usage.source is source
                assert told.receipt.cost_complete is (source is UsageSource.PROVIDER)

    run_skipping(main)


class Weather(BaseModel):
    city: str


CUT = {"name": "Weather", "arguments": '{"city": "Han'}
CALLS = [{"id": "c", "type": "function", "function": CUT}]


def test_s11_arguments_that_their_limit_cut_off_are_told_and_kept() -> None:
    """Asking again would cost again and be cut again: one request, and what came is there, raw."""
    message = {"role": "assistant", "content": None, "tool_calls": CALLS}
    odd = answer(completion(message=message, finish_reason="length"))
    tools = [openai.pydantic_function_tool(Weather)]

    async def main() -> None:
        async with odd_table() as table:
            table.play(odd)
            with pytest.raises(TruncatedOutput) as caught:
                await table.router.chat.completions.parse(
                    task="t", messages=MESSAGES, tools=tools, response_format=Weather
                )
            kept = caught.value.completion.choices[0].message.tool_calls[0].function
            assert kept.arguments == CUT["arguments"]
            assert [one.backend for one in receipt(caught.value).attempts] == ["odd"]
            reply = await table.router.chat.completions.create(
                task="t", messages=MESSAGES, tools=tools
            )
            assert reply.choices[0].finish_reason == "length"
            assert reply.choices[0].message.tool_calls[0].function.arguments == CUT["arguments"]
            table.play(stream(ROLE, piece(tool_calls=[{"index": 0, **CALLS[0]}]),
                              piece(finish="length"), DONE))  # fmt: skip
            begun = await table.router.chat.completions.create(
                task="t", messages=MESSAGES, tools=tools, stream=True
            )
            chunks = [chunk async for chunk in begun]
            assert chunks[1].choices[0].delta.tool_calls[0].function.arguments == CUT["arguments"]
            assert chunks[-1].choices[0].finish_reason == "length"
            assert begun.receipt.outcome is RequestOutcome.OK
            assert (len(table.odd.exchanges), len(table.well.exchanges)) == (3, 0)

    run_skipping(main)


async def leave(begun: Any, how: str) -> None:
    """Break off the loop, or cancel it."""
    async with begun:
        async for _ in begun:
            if how == "break":
                return
            asyncio.current_task().cancel()  # type: ignore[union-attr]


async def left(begun: list[Any], how: str) -> float:
    """Leave the stream in the list so, and return when that was; nobody else holds it."""
    if how == "drop":
        with pytest.warns(ResourceWarning, match="dropped"):
            begun.clear()
    else:
        async with asyncio.TaskGroup() as group:
            group.create_task(leave(begun[0], how))
    return asyncio.get_running_loop().time()


@pytest.mark.parametrize("how", ["break", "drop", "cancel"])
async def test_s13_a_stream_that_is_left_is_ended_upstream_within_a_tenth_of_a_second(
    how: str,
) -> None:
    """The slot is free, the backend works no more, and the receipt says who left."""
    took_s = []
    async with world("eu") as here:
        here["eu"].answer, here["eu"].tokens_per_s = " ".join(["word"] * 10_000), 100.0
        for _ in range(5):
            begun = [await here.stream()]
            assert here.in_flight == 1
            end = begun[0]._end
            left_at_s = await left(begun, how)
            await until(lambda: here.active == 0 and here["eu"].connections == 0)
            took_s.append(asyncio.get_running_loop().time() - left_at_s)
            assert (here.in_flight, here.connections_in_use) == (0, 0)
            assert end.receipt.outcome is RequestOutcome.CANCELLED
            (attempt,) = end.receipt.attempts
            assert attempt.outcome is AttemptOutcome.CANCELLED
            assert attempt.usage.output_tokens >= 1
    assert min(took_s) < 0.1  # of five: the machine may have had other things to do
