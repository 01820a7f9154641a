"""Reading a call: what goes on the wire, what only we are told, and what is refused, in words."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from types import MappingProxyType
from typing import Any

import pytest
from openai.types.chat import ChatCompletionMessage

from hybridllm._core.policy.compiled import Capability
from hybridllm._core.request.facts import Hints
from hybridllm._core.request.hints import split_hints
from hybridllm._core.request.read import HEADERS_ALLOWED, Call, read_chat, read_embeddings
from hybridllm.errors import InvalidRequest

MESSAGES = [{"role": "user", "content": "hello there"}]
CANARY = "canary-4711"


def read(
    params: dict[str, Any] | None = None, /, *, context: Hints | None = None, **more: Any
) -> Call:
    """Read a chat as a caller makes it."""
    body, hints = split_hints(
        {"messages": MESSAGES} | (params or {}) | more, context, operation="chat"
    )
    return read_chat(body, hints)


def embed(**params: Any) -> Call:
    body, hints = split_hints(params, None, operation="embeddings")
    return read_embeddings(body, hints)


# --- what is passed on


def test_extra_body_goes_on_the_wire() -> None:
    """What OpenAI does not have; a call's own keyword is not overridden by accident."""
    call = read(extra_body={"top_k": 5, "chat_template_kwargs": {"x": True}})
    assert call.body == {"messages": MESSAGES, "top_k": 5, "chat_template_kwargs": {"x": True}}


@pytest.mark.parametrize(
    "name",
    ["messages", "model", "stream", "input", "residency", "tenant", "task", "api_key", "base_url"],
)
def test_extra_body_brings_in_nothing_by_the_back_door(name: str) -> None:
    """Neither another model, nor an address, nor a tag that would be lost on the way."""
    with pytest.raises(InvalidRequest, match=f"extra_body: '{name}'"):
        read(extra_body={name: CANARY})


def test_headers_are_taken_from_a_short_list() -> None:
    """In any case; whatever else could carry a key or change the host is refused."""
    call = read(extra_headers={"X-Request-Id": "a", "openai-beta": "b"})
    assert call.headers == {"x-request-id": "a", "openai-beta": "b"}
    assert read().headers is None
    for name in HEADERS_ALLOWED:
        assert read(extra_headers={name: "v"}).headers == {name: "v"}


@pytest.mark.parametrize(
    "name", ["Authorization", "Host", "host", "Content-Length", "Transfer-Encoding", "X-Api-Key", 7]
)
def test_other_headers_are_refused(name: Any) -> None:
    """By name, without the value."""
    with pytest.raises(
        InvalidRequest, match=r"extra_headers: .* may not be set; allowed: "
    ) as caught:
        read(extra_headers={name: CANARY})
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize("value", ["a\r\nHost: evil", "ü", "\x00", 7, None])
def test_header_values_are_printable_ascii(value: Any) -> None:
    """A line break would be another header."""
    with pytest.raises(InvalidRequest, match="'x-request-id' is not printable ASCII"):
        read(extra_headers={"x-request-id": value})


@pytest.mark.parametrize(
    ("params", "said"),
    [
        pytest.param({"extra_query": {"a": 1}}, "extra_query: not supported", id="query"),
        pytest.param({"extra_headers": [CANARY]}, "extra_headers: must be a mapping, got list", id="h"),
        pytest.param({"extra_body": CANARY}, "extra_body: must be a mapping, got str", id="body"),
        pytest.param({"model": 7}, "model: must be a text, got int", id="model"),
        pytest.param({"stream": "yes"}, "stream: must be True or False, got str", id="stream"),
        pytest.param({"temperature": float("nan")}, "temperature: nan is not a finite", id="nan"),
        pytest.param({"top_p": float("inf")}, "top_p: inf is not a finite number", id="inf"),
        pytest.param({"messages": CANARY}, "messages: must be a list of messages, got str", id="text"),
        pytest.param({"messages": None}, "messages: must be a list .* got NoneType", id="none"),
        pytest.param({"messages": {"role": CANARY}}, "messages: .* got dict", id="dict"),
        pytest.param({"messages": [CANARY]}, "messages: an entry is a str", id="entry"),
        pytest.param({"messages": [None]}, "messages: an entry is a NoneType", id="null-entry"),
        pytest.param(
            {"messages": [{"role": "user", "content": {"a": CANARY}}]}, "content must be a text or",
            id="content",
        ),
        pytest.param({"tools": CANARY}, "tools: must be a list, got str", id="tools"),
        pytest.param({"stream_options": [CANARY]}, "stream_options: must be a mapping", id="options"),
    ],
)  # fmt: skip
def test_what_cannot_be_sent_is_refused_without_showing_it(params: Any, said: str) -> None:
    """The parameter and its type are named, never what stood there."""
    with pytest.raises(InvalidRequest, match=said) as caught:
        read(params)
    assert "canary" not in f"{caught.value!r}"


def test_messages_are_needed() -> None:
    """An empty list is the backend's to refuse."""
    with pytest.raises(InvalidRequest, match="messages: missing"):
        read_chat({}, Hints())
    assert read(messages=[]).body["messages"] == []


# --- the caller's own objects


def test_the_callers_objects_are_never_changed() -> None:
    """They may be used for the next call, or by another task at this very moment."""
    params: dict[str, Any] = {
        "messages": [
            {"role": "system", "content": "s"},
            {"role": "user", "content": [{"type": "text", "text": "t"}]},
            {"role": "assistant", "content": None, "tool_calls": [{"id": "c"}]},
        ],
        "tools": [{"type": "function", "function": {"name": "f"}}],
        "extra_body": {"top_k": 1},
        "extra_headers": {"X-Request-Id": "r"},
        "stream_options": {"include_usage": False},
        "metadata": {"a": "b"},
        "stop": ["x"],
        "task": "t",
        "stream": True,
    }
    before = copy.deepcopy(params)
    call = read(params)
    assert params == before
    call.body["messages"].append("mine")
    call.body["top_k"] = 2
    assert params == before


def test_generators_are_read_once_and_kept() -> None:
    """The body is said in JSON anew for each attempt."""

    def messages() -> Iterator[dict[str, Any]]:
        yield {"role": "user", "content": (part for part in [{"type": "text", "text": "t"}])}

    call = read(messages=messages(), tools=(tool for tool in [{"type": "function"}]))
    for _ in range(2):
        assert call.body["messages"] == [
            {"role": "user", "content": [{"type": "text", "text": "t"}]}
        ]
        assert call.body["tools"] == [{"type": "function"}]
    assert call.needs == {Capability.TOOLS}


def test_answers_can_be_handed_back_as_messages() -> None:
    """An object of openai, or any mapping; only what was set of it."""
    answer = ChatCompletionMessage(role="assistant", content="hi")
    frozen = MappingProxyType({"role": "user", "content": "x"})
    call = read(messages=[answer, frozen])
    assert call.body["messages"] == [
        {"role": "assistant", "content": "hi"},
        {"role": "user", "content": "x"},
    ]
    assert type(call.body["messages"][1]) is dict


def test_a_calls_repr_shows_no_content() -> None:
    """It stands in the frames of tracebacks."""
    call = read(messages=[{"role": "user", "content": CANARY}], extra_headers={"x-request-id": CANARY},
                metadata={"a": CANARY})  # fmt: skip
    assert "canary" not in repr(call)


# --- what a request needs, and how long it is


@pytest.mark.parametrize(
    ("params", "needs"),
    [
        ({}, set()),
        ({"tools": [{"type": "function"}]}, {"tools"}),
        ({"functions": [{"name": "f"}]}, {"tools"}),
        ({"tools": []}, set()),
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, {"json_schema"}),
        ({"response_format": {"type": "json_object"}}, set()),
        ({"response_format": {"type": "text"}}, set()),
        ({"logprobs": True}, {"logprobs"}),
        ({"top_logprobs": 2}, {"logprobs"}),
        ({"logprobs": False, "top_logprobs": 0}, set()),
        ({"modalities": ["text", "audio"], "audio": {"voice": "a"}}, {"audio"}),
        ({"modalities": ["text"]}, set()),
        ({"modalities": None}, set()),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, {"vision"}),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, {"audio"}),
        (
            {"messages": [{"role": "user", "content": [{"type": "video_url"}, {"type": "text"}]}],
             "tools": [{}], "logprobs": True},
            {"vision", "tools", "logprobs"},
        ),
        ({"messages": [{"role": "user", "content": [{"type": 7}, "odd"]}]}, set()),
    ],
)  # fmt: skip
def test_what_a_request_needs_of_a_model(params: dict[str, Any], needs: set[str]) -> None:
    """From its parameters and the parts of its messages."""
    assert {need.value for need in read(params).needs} == needs


@pytest.mark.parametrize(
    ("params", "tokens"),
    [
        ({"max_tokens": 5}, 5),
        ({"max_completion_tokens": 7, "max_tokens": 5}, 7),
        ({"max_tokens": 5.0}, 5),
        ({"max_tokens": None}, None),
        ({}, None),
    ],
)
def test_the_limit_of_the_answer(params: dict[str, Any], tokens: int | None) -> None:
    """What a backend may read as something else is refused; `test_fields.py` says what."""
    assert read(params).output_tokens_max == tokens


@pytest.mark.parametrize(("n", "answers"), [(None, 1), (1, 1), (3, 3), (0, 1)])
def test_how_many_answers_are_wanted(n: Any, answers: int) -> None:
    """None and 0 are one; what makes no sense is refused."""
    assert read(n=n).answers == answers
    assert read().answers == 1


def test_the_length_counts_everything_that_is_rendered() -> None:
    """Messages, parts, tools, calls and schemas: each makes it longer."""
    base = read().input_tokens_estimate
    assert 5 <= base <= 12
    long = "word " * 1_000
    longer = [
        {"messages": [{"role": "user", "content": long}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": long}]}]},
        {"messages": [{"role": "assistant", "tool_calls": [{"function": {"arguments": long}}]},
                      {"role": "user", "content": None}]},
        {"tools": [{"function": {"description": long}}]},
        {"response_format": {"type": "json_schema", "json_schema": {"description": long}}},
        {"messages": [{"role": "user", "content": [{"type": "image_url"}, {"type": "input_audio"}]}]},
    ]  # fmt: skip
    for params in longer:
        assert read(params).input_tokens_estimate >= 1_000, params
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 10**6}}
    seen = read(messages=[{"role": "user", "content": [picture]}]).input_tokens_estimate
    assert seen < 5_000  # a picture's bytes are not read as text


# --- embeddings


@pytest.mark.parametrize(
    ("given", "longest", "total"),
    [
        pytest.param("abcd" * 10, 11, 11, id="text"),
        pytest.param(["abcd" * 10, "a"], 11, 12, id="texts"),
        pytest.param([1, 2, 3], 3, 3, id="tokens"),
        pytest.param([[1, 2], [3, 4, 5]], 3, 5, id="lists-of-tokens"),
    ],
)
def test_an_embeddings_length_is_that_of_its_longest_text(
    given: Any, longest: int, total: int
) -> None:
    """A context holds one at a time; the bill holds all."""
    call = embed(input=given, model="bge", dimensions=4)
    assert (call.input_tokens_estimate, call.input_tokens_total) == (longest, total)
    assert call.needs == {Capability.EMBEDDINGS}
    assert (call.operation, call.model, call.stream) == ("embeddings", "bge", False)
    assert call.body == {"input": given, "dimensions": 4}


def test_an_embeddings_input_may_come_from_a_generator() -> None:
    """It is read once, and kept."""
    assert embed(input=(text for text in ("a", "b"))).body["input"] == ["a", "b"]


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({}, "input: missing"),
        ({"input": ""}, "input: is empty"),
        ({"input": []}, "input: is empty"),
        ({"input": {"a": CANARY}}, "input: must be a text or a list, got dict"),
        ({"input": 7}, "input: must be a text or a list, got int"),
        ({"input": [{"text": CANARY}]}, "input: a piece must be a text or tokens, got dict"),
        ({"input": [CANARY, None]}, "input: a piece must be a text or tokens, got NoneType"),
        ({"input": "x", "stream": True}, "stream: embeddings cannot be streamed"),
        ({"input": "x", "dimensions": 0}, "dimensions: must be a whole number above 0, got 0"),
        ({"input": "x", "dimensions": "4"}, "dimensions: "),
        ({"input": "x", "temperature": 1.0}, "unknown keyword 'temperature'"),
    ],
)
def test_an_embedding_that_cannot_be_sent_is_refused(params: dict[str, Any], said: str) -> None:
    """In words, without content."""
    with pytest.raises(InvalidRequest, match=said) as caught:
        embed(**params)
    assert "canary" not in str(caught.value)
