"""A stream that breaks is continued: the reader gets new text only, or is told that there is none."""

from __future__ import annotations

from typing import Any

import pytest

from hybridllm import (
    Continued,
    StreamInterrupted,
)
from hybridllm._core.receipt import AttemptReason
from hybridllm.testing import Reply, run_in_virtual_time
from runtime.seams import broken, read, seam_script
from runtime.world import MESSAGES, Script, policy, scripted

REST = Reply.chat_stream([" three", " four"], usage=(20, 2))


def prefix_of(here: Script, number: int) -> Any:
    """The message that a request asks to go on with."""
    body = here.wire.requests[number].json
    assert (body["continue_final_message"], body["add_generation_prompt"]) == (True, False)
    assert body["messages"][:-1] == MESSAGES
    return body["messages"][-1]


def test_a_continued_stream_brings_new_text_only() -> None:
    """The other backend is given the text so far and asked for its rest, of the tokens that are left."""

    async def main() -> None:
        async with seam_script("eu", "us", eu=broken("one", " two"), us=REST) as here:
            stream = await here.stream(on_interrupt="continue", max_tokens=10)
            found = await read(stream)
            assert (found.text, found.whole, found.ended) == ("one two three four", True, "stop")
            assert found.seams == [Continued("us", "m", "reset", "one two", 2)]
            assert prefix_of(here, 1) == {"role": "assistant", "content": "one two"}
            assert [sent.json["max_tokens"] for sent in here.wire.requests] == [10, 8]
            assert all("continue_final_message" not in s.json for s in here.wire.requests[:1])
            roles = [c.choices[0].delta.role for c in found.chunks if c.choices]
            assert roles.count("assistant") == 1
            told = stream.receipt
            assert [a.usage.output_tokens for a in told.attempts if a.usage] == [2, 2]
            assert told.attempts[1].reason is AttemptReason.FAILOVER
            assert told.first_token_s == told.attempts[0].first_token_s

    run_in_virtual_time(main)


@pytest.mark.parametrize(
    ("before", "after", "whole"),
    [
        pytest.param(["one "], ["two"], "one two", id="reader-has-it-and-model-left-it-out"),
        pytest.param(["one "], [" two"], "one two", id="twice"),
        pytest.param(["one", "\n\n"], ["\n", "\n", "two"], "one\n\ntwo", id="in-pieces"),
        pytest.param(["one\n"], ["\n\ntwo"], "one\n\ntwo", id="more"),
        pytest.param(["one \n"], [" ", "\n", "  two"], "one \n  two", id="mixed"),
        pytest.param(["one "], ["\ttwo"], "one \ttwo", id="another"),
        pytest.param(["one"], ["  two"], "one  two", id="none-before"),
        pytest.param(["one "], [" "], "one ", id="nothing-else"),
        pytest.param(["\n\none"], [" two"], "\n\none two", id="at-the-beginning"),
    ],
)
def test_white_space_at_the_seam_comes_once(
    before: list[str], after: list[str], whole: str
) -> None:
    """Templates may strip it, so it is never sent; what the model writes again is left out."""

    async def main() -> None:
        rest = Reply.chat_stream(after)
        async with seam_script("eu", "us", eu=broken(*before), us=rest) as here:
            found = await read(await here.stream(on_interrupt="continue"))
            assert (found.text, found.whole) == (whole, True)
            assert prefix_of(here, 1)["content"] == "".join(before).rstrip()

    run_in_virtual_time(main)


def test_a_stream_may_break_and_go_on_more_than_once() -> None:
    """Each attempt is given all of the text so far; the limit counts all of its tokens."""

    async def main() -> None:
        replies = {"eu": broken("a", " b "), "us": broken(" ", "c"), "fra": REST}
        async with seam_script(*replies, **replies) as here:
            stream = await here.stream(on_interrupt="continue", max_completion_tokens=9)
            found = await read(stream)
            assert (found.text, found.whole) == ("a b c three four", True)
            assert [(s.kept_text, s.kept_tokens) for s in found.seams] == [
                ("a b ", 2),
                ("a b c", 3),
            ]
            assert [prefix_of(here, n)["content"] for n in (1, 2)] == ["a b", "a b c"]
            assert [s.json["max_completion_tokens"] for s in here.wire.requests] == [9, 7, 6]
            assert [a.backend for a in stream.receipt.attempts] == ["eu", "us", "fra"]

    run_in_virtual_time(main)


def test_the_last_words_of_a_dying_vllm_are_neither_lost_nor_doubled() -> None:
    """The chunk with `abort` may carry text: it is not handed out, so the rest is asked for before it."""

    async def main() -> None:
        last = {
            "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
            "choices": [{"index": 0, "delta": {"content": " two"}, "finish_reason": "abort"}],
        }  # fmt: skip
        first = Reply.chat_stream(["one"], finish_reason=None, usage=None, done=False).chunks
        rest = Reply.chat_stream([" two", " three"])
        async with seam_script("eu", "us", eu=Reply.stream(*first, last), us=rest) as here:
            found = await read(await here.stream(on_interrupt="continue"))
            assert (found.text, found.whole) == ("one two three", True)
            assert prefix_of(here, 1)["content"] == "one"
            assert found.seams == [Continued("us", "m", "stream_interrupted", "one", 1)]

    run_in_virtual_time(main)


@pytest.mark.parametrize(
    ("params", "odd"),
    [
        pytest.param({"n": 2}, None, id="n"),
        pytest.param({"tools": [{"type": "function", "function": {"name": "f"}}]}, None, id="tools"),
        pytest.param({"functions": [{"name": "f"}]}, None, id="functions"),
        pytest.param({"response_format": {"type": "json_object"}}, None, id="json"),
        pytest.param({"logprobs": True}, None, id="logprobs"),
        pytest.param({"extra_body": {"echo": True}}, None, id="echo"),
        pytest.param({"extra_body": {"guided_regex": "a*"}}, None, id="grammar"),
        pytest.param({"extra_body": {"no_such_field": 1}}, None, id="a-field-nobody-knows"),
        pytest.param({"extra_body": {"continue_final_message": True}}, None, id="a-prefill-of-its-own"),
        pytest.param({"max_tokens": 2}, None, id="no-tokens-left"),
        pytest.param({}, {"reasoning": "hm"}, id="reasoning"),
        pytest.param({}, {"refusal": "no"}, id="refusal"),
        pytest.param({}, {"content": " \n"}, id="no-text-yet"),
    ],
)  # fmt: skip
def test_what_cannot_be_continued_fails_and_never_restarts(
    params: dict[str, Any], odd: dict[str, Any] | None
) -> None:
    """The caller handles one kind of seam, not the other; nothing more is sent."""

    async def main() -> None:
        reply = broken("one", " two")
        if odd is not None:
            event = {
                "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
                "choices": [{"index": 0, "delta": odd, "finish_reason": None}],
            }  # fmt: skip
            reply = Reply.stream(event).then_fail("reset")
        async with seam_script("eu", "us", eu=reply, us=REST) as here:
            stream = await here.stream(on_interrupt="continue", **params)
            found = await read(stream)
            assert isinstance(found.error, StreamInterrupted)
            assert not found.error.resumable
            assert not found.seams
            assert (here.sent("us"), len(stream.receipt.attempts)) == (0, 1)

    run_in_virtual_time(main)


@pytest.mark.parametrize(
    "params",
    [
        {"tools": [], "logprobs": False, "response_format": {"type": "text"}, "n": 1},
        {"temperature": 0.5, "stop": ["END"], "extra_body": {"top_k": 5, "chat_template_kwargs": {}}},
        {"stream_options": {"include_usage": True}},
    ],
    ids=["as-good-as-nothing", "sampling", "usage"],
)  # fmt: skip
def test_what_does_not_change_the_form_can_be_continued(params: dict[str, Any]) -> None:
    """And goes out with the rest as it did with the whole."""

    async def main() -> None:
        async with seam_script("eu", "us", eu=broken("one", " two"), us=REST) as here:
            found = await read(await here.stream(on_interrupt="continue", **params))
            assert (found.text, found.whole) == ("one two three four", True)
            first, second = (sent.json for sent in here.wire.requests)
            for body in (first, second):
                for field in ("messages", "continue_final_message", "add_generation_prompt"):
                    body.pop(field, None)
            assert first == second

    run_in_virtual_time(main)


def test_only_who_declares_it_is_asked_to_continue() -> None:
    """`us` has not said that it takes a prefill: it is passed over, though it stands before `fra`."""

    async def main() -> None:
        text = policy("eu", "us", "fra").replace("region: fra", "region: fra, prefill: true")
        async with scripted(text, eu=broken("one"), us=REST, fra=REST) as here:
            found = await read(await here.stream(on_interrupt="continue"))
            assert (found.text, [s.backend for s in found.seams]) == ("one three four", ["fra"])
            assert (here.sent("us"), here.sent("fra")) == (0, 1)
        async with seam_script("eu", "us", prefill=False, eu=broken("one"), us=REST) as here:
            found = await read(await here.stream(on_interrupt="continue"))
            assert isinstance(found.error, StreamInterrupted)
            assert (found.error.resumable, here.sent("us")) == (False, 0)

    run_in_virtual_time(main)


def test_an_answer_that_had_ended_is_not_gone_on_with() -> None:
    """Its finish_reason came, its end did not: it cannot be called whole, and it has no rest."""

    async def main() -> None:
        reply = Reply.chat_stream(["one"], usage=None, done=False).then_fail("reset")
        async with seam_script("eu", "us", eu=reply, us=REST) as here:
            found = await read(await here.stream(on_interrupt="continue"))
            assert isinstance(found.error, StreamInterrupted)
            assert (found.text, found.error.resumable, here.sent("us")) == ("one", False, 0)

    run_in_virtual_time(main)


def test_a_rest_that_is_no_text_is_not_taken_for_it() -> None:
    """A reasoning parser may take the rest for thoughts: that attempt has failed, and the next is asked."""

    async def main() -> None:
        event = {
            "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
            "choices": [{"index": 0, "delta": {"reasoning": "hm"}, "finish_reason": None}],
        }  # fmt: skip
        replies = {"eu": broken("one"), "us": Reply.stream(event), "fra": REST}
        async with seam_script(*replies, **replies) as here:
            stream = await here.stream(on_interrupt="continue")
            found = await read(stream)
            assert (found.text, found.whole) == ("one three four", True)
            assert [s.backend for s in found.seams] == ["fra"]
            assert [a.error for a in stream.receipt.attempts] == [
                "reset",
                "invalid_response",
                None,
            ]

    run_in_virtual_time(main)
