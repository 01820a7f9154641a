"""What is an answer and what only looks like one."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from captures import captures
from hybridllm._core.money.read_usage import read_usage
from hybridllm._core.money.usage import Usage
from hybridllm._core.wire.answers import (
    chunk_problem,
    completion_problem,
    embeddings_problem,
    error_in_answer,
)
from hybridllm._core.wire.sse import SseDecoder

HELLO = {"role": "assistant", "content": "hello"}
CALL = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}


def choice(message: Any = HELLO, finish_reason: Any = "stop", **others: Any) -> dict[str, Any]:
    return {"index": 0, "message": message, "finish_reason": finish_reason} | others


def answer(*choices: Any) -> dict[str, Any]:
    return {"object": "chat.completion", "choices": list(choices)}


def saying(**message: Any) -> dict[str, Any]:
    return answer(choice({"role": "assistant"} | message))


@pytest.mark.parametrize(
    "completion",
    [
        pytest.param(answer(choice()), id="plain"),
        pytest.param(answer(choice(), choice(index=1)), id="two"),
        pytest.param(answer(choice(index=1), choice(index=0)), id="two-in-any-order"),
        pytest.param(answer({"message": HELLO, "finish_reason": "stop"}), id="one-without-index"),
        pytest.param(saying(content=""), id="empty-text"),
        pytest.param(saying(content=None, tool_calls=[CALL]), id="tool-call"),
        pytest.param(saying(content="", tool_calls=[CALL]), id="tool-call-and-empty-text"),
        pytest.param(saying(content="x", tool_calls=[]), id="no-tool-call"),
        pytest.param(saying(content="x", tool_calls=None), id="tool-calls-null"),
        pytest.param(
            saying(content=None, tool_calls=[{"type": "custom", "custom": {"input": "x"}}]),
            id="custom-tool-call",
        ),
        pytest.param(saying(tool_calls=[CALL]), id="no-content-key"),
        pytest.param(saying(content=None, refusal="no"), id="refusal"),
        pytest.param(saying(content=None, reasoning="hm"), id="reasoning"),
        pytest.param(saying(content=None, reasoning_content="hm"), id="reasoning-content"),
        pytest.param(saying(content=None, function_call={"name": "f"}), id="function-call"),
        pytest.param(saying(content=None, audio={"id": "a"}), id="audio"),
        pytest.param(answer(choice({"content": None}, "content_filter")), id="all-filtered"),
        pytest.param(answer(choice(finish_reason="length")), id="length"),
        pytest.param(answer(choice(finish_reason="function_call")), id="finish-function-call"),
        pytest.param(answer(choice()) | {"error": None, "usage": -1, "x": [{}]}, id="odd-rest"),
    ],
)
def test_a_valid_completion_has_no_problem(completion: object) -> None:
    """Every shape that real backends give a good answer."""
    assert completion_problem(completion) is None


@pytest.mark.parametrize(
    ("completion", "words"),
    [
        pytest.param(None, "not an object but null", id="null"),
        pytest.param([], "not an object but a list", id="list"),
        pytest.param("hi", "not an object but 'hi'", id="text"),
        pytest.param(True, "not an object but true", id="true"),
        pytest.param(7, "not an object but 7", id="number"),
        pytest.param({}, "no choices", id="empty-object"),
        pytest.param({"detail": "Not Found"}, "no choices", id="detail"),
        pytest.param({"choices": None}, "no choices", id="choices-null"),
        pytest.param({"choices": "x"}, "choices is not a list but 'x'", id="choices-text"),
        pytest.param({"choices": {"0": {}}}, "not a list but an object", id="choices-object"),
        pytest.param({"choices": []}, "choices is empty", id="choices-empty"),
        pytest.param(answer(None), "choice 0: not an object but null", id="choice-null"),
        pytest.param(answer(choice(), []), "choice 1: not an object but a list", id="second"),
        pytest.param(answer(choice(None)), "choice 0: no message", id="no-message"),
        pytest.param(answer(choice("hi")), "message is 'hi'", id="message-text"),
        pytest.param(answer({"text": "hi", "finish_reason": "stop"}), "no message", id="legacy"),
        pytest.param(answer(choice(finish_reason=None)), "no finish_reason", id="not-finished"),
        pytest.param(answer(choice(finish_reason="abort")), "finish_reason 'abort'", id="abort"),
        pytest.param(answer(choice(finish_reason="error")), "finish_reason 'error'", id="error"),
        pytest.param(answer(choice(finish_reason="")), "finish_reason text", id="empty-reason"),
        pytest.param(answer(choice(finish_reason=["stop"])), "finish_reason a list", id="listed"),
        pytest.param(answer(choice(finish_reason=False)), "finish_reason false", id="false"),
        pytest.param(
            answer(choice(), choice(finish_reason="abort", index=1)), "choice 1", id="second-abort"
        ),
        pytest.param(saying(content=None), "nothing in its place", id="content-null"),
        pytest.param(saying(), "nothing in its place", id="no-content"),
        pytest.param(saying(content=None, tool_calls=[]), "nothing in its place", id="no-calls"),
        pytest.param(saying(content=None, reasoning=""), "nothing in its place", id="no-thought"),
        pytest.param(saying(content=5), "content is not text but 5", id="content-number"),
        pytest.param(saying(content=[{"text": "x"}]), "not text but a list", id="content-parts"),
        pytest.param(saying(tool_calls="add"), "tool_calls is not a list", id="calls-text"),
        pytest.param(saying(tool_calls=["add"]), "tool call 0 is not an object", id="call-text"),
        pytest.param(saying(tool_calls=[CALL, {}]), "tool call 1 has no function", id="call-empty"),
        pytest.param(
            saying(tool_calls=[{"function": {"arguments": "{}"}}]), "name of tool call 0 is null",
            id="call-unnamed",
        ),
        pytest.param(
            saying(tool_calls=[{"function": {"name": "f", "arguments": {"a": 1}}}]),
            "arguments of tool call 0 are not text but an object", id="arguments-object",
        ),
        pytest.param(answer(choice(), choice()), "index 0 comes twice", id="same-index"),
        pytest.param(answer(choice(index=-1)), "an index is -1", id="negative-index"),
        pytest.param(answer(choice(index=True)), "an index is true", id="true-index"),
        pytest.param(answer(choice(index="0")), "an index is text", id="text-index"),
        pytest.param(answer(choice(index=1.0)), "an index is 1.0", id="float-index"),
        pytest.param(answer(choice(index=10**30)), "a huge number", id="huge-index"),
        pytest.param(answer(choice(), choice(index=None)), "an index is null", id="no-index"),
    ],
)  # fmt: skip
def test_what_is_no_completion_is_told_in_words(completion: object, words: str) -> None:
    """The words name the place and what was there."""
    assert words in str(completion_problem(completion))


def test_a_problem_never_quotes_content() -> None:
    """What the backend wrote may be the caller's own data."""
    for secret in ("My number is 4711.", "sk-0123456789abcdef", "A" * 25):
        for odd in (secret, saying(content=[secret]), answer(choice(finish_reason=secret))):
            assert completion_problem(odd) is not None
            assert secret not in str(completion_problem(odd))


VECTOR = [0.5, -1.0, 3]


def embedded(*vectors: Any, indexes: list[Any] | None = None) -> dict[str, Any]:
    places = range(len(vectors)) if indexes is None else indexes
    return {
        "data": [{"index": i, "embedding": v} for i, v in zip(places, vectors, strict=True)],
        "usage": {},
    }


def packed(*numbers: float) -> str:
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()


@pytest.mark.parametrize(
    ("embeddings", "expected"),
    [
        pytest.param(embedded(VECTOR), {}, id="one"),
        pytest.param(embedded(VECTOR, VECTOR), {"inputs": 2, "dimensions": 3}, id="two"),
        pytest.param(embedded(VECTOR, VECTOR, indexes=[1, 0]), {"inputs": 2}, id="any-order"),
        pytest.param(embedded(packed(0.5, 1)), {"dimensions": 2}, id="base64"),
        pytest.param(embedded([1e308, 1e308]), {}, id="sum-overflows"),
    ],
)
def test_a_valid_embeddings_answer_has_no_problem(
    embeddings: object, expected: dict[str, int]
) -> None:
    """Vectors as numbers or as base64."""
    assert embeddings_problem(embeddings, **expected) is None


@pytest.mark.parametrize(
    ("embeddings", "expected", "words"),
    [
        pytest.param(None, {}, "not an object but null", id="null"),
        pytest.param({}, {}, "no data", id="empty"),
        pytest.param({"data": "x"}, {}, "data is not a list", id="data-text"),
        pytest.param({"data": []}, {}, "data is empty", id="no-vectors"),
        pytest.param(embedded(VECTOR), {"inputs": 2}, "1 embeddings for 2 inputs", id="too-few"),
        pytest.param(embedded(VECTOR, VECTOR), {"inputs": 1}, "2 embeddings for 1", id="too-many"),
        pytest.param({"data": [VECTOR]}, {}, "embedding 0: not an object", id="bare-vector"),
        pytest.param(embedded(None), {}, "embedding 0: no vector", id="vector-null"),
        pytest.param(embedded({}), {}, "the vector is an object", id="vector-object"),
        pytest.param(embedded([]), {}, "vector is empty", id="vector-empty"),
        pytest.param(embedded(""), {}, "vector is empty", id="base64-empty"),
        pytest.param(embedded([1.0, "2"]), {}, "no number", id="text-in-vector"),
        pytest.param(embedded([1.0, None]), {}, "no number", id="null-in-vector"),
        pytest.param(embedded([1.0, True]), {}, "no number", id="true-in-vector"),
        pytest.param(embedded([[1.0]]), {}, "no number", id="nested-vector"),
        pytest.param(embedded([1.0, float("nan")]), {}, "not finite", id="nan"),
        pytest.param(embedded([float("inf")]), {}, "not finite", id="inf"),
        pytest.param(embedded([10**400]), {}, "not finite", id="huge-integer"),
        pytest.param(embedded([1.0, 10**400]), {}, "not finite", id="huge-integer-and-float"),
        pytest.param(embedded(packed(float("nan"))), {}, "not finite", id="base64-nan"),
        pytest.param(embedded("###"), {}, "not base64", id="no-base64"),
        pytest.param(embedded("é"), {}, "not base64", id="base64-not-ascii"),
        pytest.param(embedded("AAAA"), {}, "3 bytes are no whole number", id="base64-odd"),
        pytest.param(embedded(VECTOR, [1.0]), {}, "embedding 1: 1 dimensions, expected 3",
                     id="ragged"),
        pytest.param(embedded(VECTOR), {"dimensions": 64}, "3 dimensions, expected 64", id="short"),
        pytest.param(embedded(VECTOR, VECTOR, indexes=[0, 0]), {}, "index 0 comes twice",
                     id="same-index"),
        pytest.param(embedded(VECTOR, indexes=[None]), {}, "an index is null", id="no-index"),
        pytest.param(embedded(VECTOR, VECTOR, indexes=[1, 2]), {}, "are not 0 to 1", id="gap"),
    ],
)  # fmt: skip
def test_what_is_no_embeddings_answer_is_told_in_words(
    embeddings: object, expected: dict[str, int], words: str
) -> None:
    """One vector per input, all of one length, every number a number."""
    assert words in str(embeddings_problem(embeddings, **expected))


@pytest.mark.parametrize(
    ("chunk", "words"),
    [
        pytest.param({"choices": []}, None, id="usage-chunk"),
        pytest.param({"choices": [{"index": 0, "delta": {"content": "a"}}]}, None, id="text"),
        pytest.param({"choices": [{"index": 1, "delta": {}, "finish_reason": "stop"}]}, None,
                     id="finish"),
        pytest.param({"choices": [{"index": 0, "delta": None, "finish_reason": "stop"}]}, None,
                     id="finish-without-delta"),
        pytest.param({"choices": [{"index": 0, "delta": {}, "finish_reason": "abort"}]}, None,
                     id="abort-is-the-streams-matter"),
        pytest.param([1, 2], "not an object but a list", id="list"),
        pytest.param(None, "not an object but null", id="null"),
        pytest.param("x", "not an object but 'x'", id="text-only"),
        pytest.param({}, "no choices", id="no-choices"),
        pytest.param({"choices": None}, "no choices", id="choices-null"),
        pytest.param({"choices": "x"}, "choices is not a list", id="choices-text"),
        pytest.param({"choices": [None]}, "a choice is not an object", id="choice-null"),
        pytest.param({"choices": [{"delta": {}}]}, "index of a choice is null", id="no-index"),
        pytest.param({"choices": [{"index": -1}]}, "index of a choice is -1", id="negative"),
        pytest.param({"choices": [{"index": 0, "delta": "x"}]}, "delta is not an object",
                     id="delta-text"),
        pytest.param({"choices": [{"index": 0, "delta": {"content": 5}}]}, "content is not text",
                     id="content-number"),
        pytest.param({"choices": [{"index": 0, "finish_reason": 5}]}, "finish_reason is not text",
                     id="reason-number"),
    ],
)  # fmt: skip
def test_a_chunk_is_one_or_is_told_apart(chunk: object, words: str | None) -> None:
    """Only its shape; what the stream ends with is judged at its end."""
    problem = chunk_problem(chunk)
    assert problem is None if words is None else words in str(problem)


ERROR = {"message": "no", "code": 500}


@pytest.mark.parametrize(
    ("body", "event", "error"),
    [
        pytest.param({"error": ERROR}, b"", ERROR, id="object"),
        pytest.param({"error": "Unauthorized"}, b"", "Unauthorized", id="text"),
        pytest.param({"type": "error", "error": ERROR}, b"", ERROR, id="typed"),
        pytest.param({"object": "error", **ERROR}, b"", {"object": "error", **ERROR}, id="flat"),
        pytest.param({"error": ERROR}, b"error", ERROR, id="frame-with-object"),
        pytest.param({"message": "no"}, b"error", {"message": "no"}, id="frame-with-anything"),
        pytest.param("no", b"error", "no", id="frame-with-text"),
        pytest.param(None, b"error", "", id="frame-with-null"),
        pytest.param({"error": None, "choices": []}, b"", None, id="null"),
        pytest.param({"error": "", "choices": []}, b"", None, id="says-nothing"),
        pytest.param({"error": {}, "choices": []}, b"", None, id="empty"),
        pytest.param({"choices": []}, b"", None, id="none"),
        pytest.param({"choices": []}, b"message", None, id="other-frame"),
        pytest.param([{"error": ERROR}], b"", None, id="in-a-list"),
        pytest.param(None, b"", None, id="nothing"),
    ],
)
def test_an_error_is_found_in_whatever_shape_it_comes(
    body: object, event: bytes, error: object
) -> None:
    """In a 200 body, in the data of an event, in an event named so."""
    assert error_in_answer(body, event=event) == error


NUMBERS = st.integers() | st.floats() | st.just(10**400)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=4) | st.sampled_from(["stop", "error"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["choices", "message", "content", "index", "finish_reason", "delta", "data",
                 "embedding", "error", "object", "tool_calls", "function", "name", "arguments",
                 "prompt_tokens", "completion_tokens", "total_tokens", "prompt_tokens_details"]
            ),
            inner,
        )
    ),
    max_leaves=25,
)  # fmt: skip
READERS: list[Callable[[Any], object]] = [
    completion_problem,
    embeddings_problem,
    chunk_problem,
    error_in_answer,
    read_usage,
    lambda value: completion_problem({"choices": [value]}),
    lambda value: completion_problem(answer(choice(value, value, index=value))),
    lambda value: completion_problem(answer(choice({"tool_calls": value}))),
    lambda value: embeddings_problem({"data": [{"index": 0, "embedding": value}]}),
    lambda value: chunk_problem({"choices": [{"index": 0, "delta": value}]}),
]


@settings(deadline=None, max_examples=60)
@given(value=JSON_VALUES)
def test_no_json_value_makes_a_reader_raise(value: object) -> None:
    """They stand between a hostile backend and the caller."""
    for reader in READERS:
        reader(value)


def real(kind: str, *, stream: bool) -> list[str]:
    return [
        name
        for name, capture in captures().items()
        if capture.status == 200 and capture.path.endswith(kind) and capture.is_stream is stream
    ]


@pytest.mark.parametrize("name", real("/chat/completions", stream=False))
def test_real_completions_are_valid_unless_the_server_was_stopped(name: str) -> None:
    """`abort` is what vLLM says of a request that it dropped, with a 200."""
    parsed = json.loads(captures()[name].body)
    aborted = name == "auth/sigterm_abort_stream_plain"
    assert (completion_problem(parsed) is not None) is aborted
    assert error_in_answer(parsed) is None
    usage = read_usage(parsed["usage"])
    assert usage is not None
    assert usage.input_tokens + usage.output_tokens == parsed["usage"]["total_tokens"]


@pytest.mark.parametrize("name", real("/embeddings", stream=False))
def test_real_embeddings_are_valid(name: str) -> None:
    """One vector of 64 numbers per text; a list of token ids is one text."""
    capture = captures()[name]
    inputs = 2 if name.endswith("_batch") else 1
    parsed = json.loads(capture.body)
    assert embeddings_problem(parsed, inputs=inputs, dimensions=64) is None
    assert read_usage(parsed["usage"]) == Usage(parsed["usage"]["prompt_tokens"], 0)


@pytest.mark.parametrize("name", real("/chat/completions", stream=True))
def test_real_chunks_are_chunks_or_errors(name: str) -> None:
    """Only a dying engine puts anything else into a stream."""
    events = SseDecoder().feed(captures()[name].body)
    chunks = [json.loads(data) for _, data in events if data != b"[DONE]"]
    errors = [chunk for chunk in chunks if error_in_answer(chunk) is not None]
    assert bool(errors) is name.startswith("default/engine_death")
    assert [chunk for chunk in chunks if chunk_problem(chunk) is not None] == errors
