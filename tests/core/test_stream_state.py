"""What the chunks of a stream add up to."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hybridllm._adapters.openai_types import OpenAICodec
from hybridllm._core.wire.stream_state import StreamState

USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


def chunk(*choices: dict[str, Any], **fields: Any) -> Any:
    """A chunk in openai's types."""
    plain = {
        "id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m",
        "choices": list(choices),
    } | fields  # fmt: skip
    return OpenAICodec().chunk(b"", json.dumps(plain).encode())


def said(
    content: str | None = None, *, index: int = 0, end: str | None = None, **delta: Any
) -> Any:
    delta = {"content": content} | delta
    return {"index": index, "delta": delta, "finish_reason": end}


def fed(*chunks: Any) -> tuple[StreamState, list[bool]]:
    state = StreamState()
    return state, [state.feed(each) for each in chunks]


@pytest.mark.parametrize(
    ("delta", "semantic"),
    [
        pytest.param({"content": "x"}, True, id="content"),
        pytest.param({"content": " "}, True, id="blank"),
        pytest.param({"content": ""}, False, id="empty"),
        pytest.param({"content": None}, False, id="null"),
        pytest.param({"role": "assistant", "content": ""}, False, id="role"),
        pytest.param({}, False, id="nothing"),
        pytest.param({"reasoning": "x"}, True, id="reasoning"),
        pytest.param({"reasoning_content": "x"}, True, id="reasoning-content"),
        pytest.param({"reasoning": ""}, False, id="empty-reasoning"),
        pytest.param({"reasoning": None, "content": None}, False, id="null-reasoning"),
        pytest.param({"refusal": "no"}, True, id="refusal"),
        pytest.param({"tool_calls": [{"index": 0}]}, True, id="tool-call"),
        pytest.param({"tool_calls": []}, False, id="no-tool-call"),
        pytest.param({"function_call": {"name": "f", "arguments": ""}}, True, id="function-call"),
        pytest.param({"audio": {"data": "AA"}}, True, id="sound"),
        pytest.param({"something": "else"}, False, id="unknown"),
    ],
)
def test_what_is_a_token(delta: dict[str, Any], semantic: bool) -> None:
    """Output of any kind; not a role, an empty piece, or what nobody knows."""
    state, told = fed(chunk({"index": 0, "delta": delta, "finish_reason": None}))
    assert told == [semantic]
    assert state.tokens_seen == semantic


def test_usage_and_blank_chunks_are_no_tokens() -> None:
    """Reports come in chunks without choices, at the end or all along."""
    state, told = fed(chunk(said("a"), usage=USAGE), chunk(usage=USAGE), chunk())
    assert told == [True, False, False]
    assert state.usage.completion_tokens == 2


def test_the_text_is_that_of_the_first_choice() -> None:
    """A caller of a stream that broke wants one text, not two mixed up."""
    state, _ = fed(
        chunk(said("a"), said("x", index=1)), chunk(said("y", index=1)), chunk(said("b"))
    )
    assert "".join(state.text) == "ab"
    assert state.tokens_seen == 3


def test_model_and_id_are_those_of_the_first_chunk() -> None:
    """Later ones repeat them, or leave them out."""
    state, _ = fed(chunk(said("a")), chunk(said("b"), model="other", id="c2"))
    assert (state.model, state.response_id) == ("m", "c1")


@pytest.mark.parametrize(
    ("chunks", "because"),
    [
        pytest.param([chunk(said("a", end="stop"))], None, id="one"),
        pytest.param([chunk(said("a")), chunk(said(end="length"))], None, id="end-of-its-own"),
        pytest.param([chunk(said(end="tool_calls"))], None, id="no-token"),
        pytest.param(
            [chunk(said(end="stop"), said(index=1, end="length"))], None, id="two-choices"
        ),
        pytest.param([], "no finish_reason", id="nothing"),
        pytest.param([chunk(usage=USAGE)], "no finish_reason", id="only-usage"),
        pytest.param([chunk(said("a"))], "no finish_reason", id="no-end"),
        pytest.param(
            [chunk(said("a", end="stop"), said("b", index=1))], "no finish_reason", id="one-of-two"
        ),
        pytest.param(
            [chunk(said(end="abort"))], "finish_reason 'abort'", id="abort"
        ),
        pytest.param(
            [chunk(said(end="error")), chunk(said(end="stop"))], "finish_reason 'error'",
            id="an-end-cannot-be-mended",
        ),
        pytest.param([chunk(said(end="eos" * 50))], f"finish_reason {'eos' * 13 + 'e'!r}", id="long"),
    ],
)  # fmt: skip
def test_a_stream_is_whole_or_not(chunks: list[Any], because: str | None) -> None:
    """Every choice that was seen has ended, with a reason that means an answer."""
    state, _ = fed(*chunks)
    assert state.complete is (because is None)
    if because is not None:
        assert state.incomplete_because == because


ROLE = {"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}


@pytest.mark.parametrize(
    ("chunks", "because"),
    [
        pytest.param(
            [chunk(said("a")), chunk(ROLE, id="c2")], "another answer began in its middle",
            id="begun-anew",
        ),
        pytest.param([chunk(ROLE), chunk(ROLE, id="c2"), chunk(said("a"), id="c2")], None,
                     id="before-any-output"),
        pytest.param([chunk(said("a")), chunk(ROLE)], None, id="a-role-again"),
        pytest.param([chunk(said("a")), chunk(said("b"), id="c2")], None, id="an-id-per-chunk"),
        pytest.param(
            [chunk(said("a")), chunk(said("b", role="assistant"), id="c2")], None,
            id="an-id-and-a-role-per-chunk",
        ),
        pytest.param([chunk(said("a")), chunk(ROLE | {"index": 1}, id="c2")], None,
                     id="another-choice-begins"),
        pytest.param(
            [chunk(said("a", end="stop")), chunk(said("b"))], "output after a finish_reason",
            id="text-behind-the-end",
        ),
        pytest.param(
            [chunk(said("a", end="stop")), chunk(said(tool_calls=[{"index": 0}]))],
            "output after a finish_reason", id="a-call-behind-the-end",
        ),
        pytest.param([chunk(said("a", end="stop")), chunk(said("b", end="stop"))], None,
                     id="an-end-in-every-chunk"),
        pytest.param([chunk(said("a", end="stop")), chunk(said(""))], None, id="nothing-behind"),
        pytest.param([chunk(said("a", end="stop")), chunk(said("b", index=1))], None,
                     id="another-choice-goes-on"),
    ],
)  # fmt: skip
def test_two_answers_in_one_stream_are_told(chunks: list[Any], because: str | None) -> None:
    """A proxy that asks again and glues; a server that only repeats itself is none."""
    state, _ = fed(*chunks)
    assert state.problem == because


def test_a_negative_index_is_no_choice() -> None:
    """It is a broken chunk, whatever else it says."""
    state, _ = fed(chunk(said("a", index=-1, end="stop")))
    assert not state.complete


def test_a_chunk_that_is_not_handed_out_can_be_taken_back() -> None:
    """Its text and its token; one that held no text of the first choice leaves the text alone."""
    last = chunk(said(" two", end="abort"))
    state, _ = fed(chunk(said("one")), last)
    state.unsay(last)
    assert (state.text, state.tokens_seen) == (["one"], 1)
    thought = chunk(said(None, reasoning="hm"))
    state.feed(thought)
    state.unsay(thought)
    assert (state.text, state.tokens_seen) == (["one"], 1)


@pytest.mark.parametrize(
    ("chunks", "plain"),
    [
        pytest.param([said("a"), said("b", end="stop")], True, id="text"),
        pytest.param([said("", role="assistant"), said("a"), said("")], True, id="silence-between"),
        pytest.param([], True, id="nothing"),
        pytest.param([said("a"), said(None, reasoning="hm")], False, id="reasoning"),
        pytest.param([said(None, refusal="no")], False, id="refusal"),
        pytest.param([said("a"), said("b", index=1)], False, id="another-choice"),
        pytest.param([said("a"), said("", index=1)], False, id="another-choice-silent"),
    ],
)
def test_plain_text_is_known_without_looking_at_every_chunk(
    chunks: list[dict[str, Any]], plain: bool
) -> None:
    """A piece of text for every token; anything else makes the two differ."""
    state, _ = fed(*(chunk(each) for each in chunks))
    assert state.plain_text is plain
