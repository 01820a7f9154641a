"""What a prompt is read as: which kinds of content there are, what they need, about how long they are."""

from __future__ import annotations

import enum
import time
from collections import UserDict
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel

from hybridllm import InvalidRequest
from hybridllm._core.policy.compiled import Capability
from hybridllm._core.request.facts import Hints
from hybridllm._core.request.prompt import read_input, read_messages
from hybridllm._core.request.read import Call, read_chat
from hybridllm._core.request.tokens import FILE_TOKENS, MESSAGE_TOKENS, PICTURE_TOKENS, SOUND_TOKENS


class Word(enum.StrEnum):
    HELLO = "hello there, all of you"


class Text(str):
    """A text with a class of its own, as templates have."""

    __slots__ = ()


def chat(**params: Any) -> Call:
    return read_chat({"messages": [{"role": "user", "content": "hi"}]} | params, Hints())


def said(content: Any) -> tuple[list[Any], int, set[Capability]]:
    """What one message of this content is read as."""
    needs: set[Capability] = set()
    messages, tokens = read_messages([{"role": "user", "content": content}], needs)
    return messages, tokens, needs


@pytest.mark.parametrize("text", [Word.HELLO, Text(Word.HELLO.value)], ids=["StrEnum", "subclass"])
def test_a_text_is_a_text_whatever_its_class(text: str) -> None:
    """It is no list of letters: it goes out as it is, and is as long as its letters."""
    plain = said(text.__str__())
    assert said(text) == plain
    assert isinstance(said(text)[0][0]["content"], str)
    assert (
        said([{"type": "text", "text": text}])[1] == said([{"type": "text", "text": str(text)}])[1]
    )


@pytest.mark.parametrize(
    "content",
    [{"type": "text", "text": "canary"}, b"canary", bytearray(b"canary"), 7, UserDict(a="canary")],
    ids=["dict", "bytes", "bytearray", "int", "mapping"],
)
def test_content_that_is_neither_text_nor_list_is_refused(content: Any) -> None:
    """A part without its list, or bytes, would be taken apart into keys or numbers."""
    with pytest.raises(InvalidRequest, match="content") as caught:
        said(content)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("messages", ["hi", b"hi", {"role": "user"}, 5, None, ["hi"], [5]])
def test_messages_that_are_no_list_of_mappings_are_refused(messages: Any) -> None:
    """Each kind by its name."""
    with pytest.raises(InvalidRequest, match="messages"):
        read_messages(messages, set())


def test_generators_are_read_once_and_sent_as_lists() -> None:
    """Messages, the parts of one, tools: a second reading would find nothing."""
    made: list[str] = []

    def parts() -> Iterator[dict[str, Any]]:
        made.append("parts")
        yield {"type": "text", "text": "see"}
        yield {"type": "image_url", "image_url": {"url": "x"}}

    def messages() -> Iterator[dict[str, Any]]:
        made.append("messages")
        yield {"role": "user", "content": parts()}

    def tools() -> Iterator[dict[str, Any]]:
        made.append("tools")
        yield {"type": "function", "function": {"name": "f"}}

    call = chat(messages=messages(), tools=tools())
    assert made == ["messages", "parts", "tools"]
    assert [part["type"] for part in call.body["messages"][0]["content"]] == ["text", "image_url"]
    assert call.body["tools"][0]["function"] == {"name": "f"}
    assert call.needs == {Capability.VISION, Capability.TOOLS}


def test_the_callers_own_messages_are_not_changed() -> None:
    """Nor what they hold."""
    message = {"role": "user", "content": ({"type": "text", "text": "x"},)}
    read_messages([message], set())
    assert isinstance(message["content"], tuple)


class Function(BaseModel):
    name: str = "f"
    arguments: str = "{}"
    parsed_arguments: Any = None


class ToolCall(BaseModel):
    id: str = "c"
    type: str = "function"
    function: Function = Function()


class Parsed(BaseModel):
    """As openai's `ParsedChatCompletionMessage` is."""

    role: str = "assistant"
    content: str | None = None
    refusal: str | None = None
    parsed: Any = None
    tool_calls: list[ToolCall] | None = None


def test_a_message_of_parse_is_handed_back_without_its_object() -> None:
    """`parsed` is for the caller: a backend that checks its input would refuse it."""
    answer = Parsed(role="assistant", content='{"a": 1}', refusal=None, parsed={"a": 1})
    (sent,), _ = read_messages([answer], set())
    assert sent == {"role": "assistant", "content": '{"a": 1}'}


def test_a_tool_call_of_parse_is_handed_back_without_its_arguments_object() -> None:
    """`parsed_arguments` stands beside the text of the same."""
    function = Function(name="f", arguments='{"a": 1}', parsed_arguments={"a": 1})
    calls = [ToolCall(id="c", type="function", function=function)]
    (sent,), _ = read_messages([Parsed(role="assistant", parsed=None, tool_calls=calls)], set())
    assert sent["tool_calls"] == [
        {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    ]


def cyclic() -> list[Any]:
    tool: dict[str, Any] = {"type": "function"}
    tool["function"] = tool
    return [tool]


@pytest.mark.parametrize("name", ["tools", "functions"])
def test_a_value_that_holds_itself_is_refused_at_once(name: str) -> None:
    """It would be counted for ever."""
    began = time.perf_counter()
    with pytest.raises(InvalidRequest, match="or itself"):
        chat(**{name: cyclic()})
    assert time.perf_counter() - began < 1.0


@pytest.mark.parametrize("tools", ["f", {"type": "function"}, b"f", 5])
def test_tools_are_a_list(tools: Any) -> None:
    """A single tool without its list is told as such."""
    with pytest.raises(InvalidRequest, match="tools: must be a list"):
        chat(tools=tools)


@pytest.mark.parametrize(
    ("params", "needs"),
    [
        pytest.param({"audio": None}, set(), id="audio-none"),
        pytest.param({"modalities": None}, set(), id="modalities-none"),
        pytest.param({"modalities": ["text"]}, set(), id="text-only"),
        pytest.param({"audio": {"voice": "a"}}, {Capability.AUDIO}, id="audio"),
        pytest.param({"modalities": ["text", "audio"]}, {Capability.AUDIO}, id="modalities"),
        pytest.param({"tools": None}, set(), id="tools-none"),
        pytest.param({"tools": []}, set(), id="no-tools"),
        pytest.param({"logprobs": None, "top_logprobs": 0}, set(), id="no-logprobs"),
        pytest.param({"top_logprobs": 2}, {Capability.LOGPROBS}, id="top-logprobs"),
        pytest.param({"response_format": None}, set(), id="no-format"),
    ],
)
def test_a_parameter_that_says_nothing_needs_nothing(
    params: dict[str, Any], needs: set[Capability]
) -> None:
    """`None` is openai's way to leave a parameter out."""
    assert chat(**params).needs == needs


BIG = "A" * (4 << 20)


@pytest.mark.parametrize(
    ("part", "tokens"),
    [
        pytest.param({"type": "file", "file": {"file_data": BIG}}, FILE_TOKENS, id="file"),
        pytest.param({"type": "image_url", "image_url": {"url": BIG}}, PICTURE_TOKENS, id="image"),
        pytest.param({"type": "input_audio", "input_audio": {"data": BIG}}, SOUND_TOKENS, id="sound"),
    ],
)  # fmt: skip
def test_an_encoded_file_does_not_count_by_its_length(part: dict[str, Any], tokens: int) -> None:
    """Four megabytes of base64 are no million tokens: no context would be long enough."""
    assert said([part])[1] == tokens + MESSAGE_TOKENS


@pytest.mark.parametrize("part", [{"type": ["file"]}, {"type": None}, {}, "x", 5, None])
def test_a_part_of_no_known_kind_counts_by_its_values(part: Any) -> None:
    """Whatever it is, reading it raises nothing: the backend will say."""
    assert 0 < said([part])[1] < 50


@pytest.mark.parametrize(
    ("given", "pieces", "longest", "total"),
    [
        pytest.param("12345678", "12345678", 3, 3, id="text"),
        pytest.param(Word.HELLO, Word.HELLO, 6, 6, id="StrEnum"),
        pytest.param(["1234", "12345678"], ["1234", "12345678"], 3, 5, id="texts"),
        pytest.param(("1234", "12345678"), ["1234", "12345678"], 3, 5, id="tuple"),
        pytest.param(iter(["1234", "12345678"]), ["1234", "12345678"], 3, 5, id="generator"),
        pytest.param([1, 2, 3], [1, 2, 3], 3, 3, id="tokens"),
        pytest.param(range(3), [0, 1, 2], 3, 3, id="range"),
        pytest.param([[1, 2, 3], [4]], [[1, 2, 3], [4]], 3, 4, id="lists-of-tokens"),
    ],
)
def test_every_kind_of_embedding_input(given: Any, pieces: Any, longest: int, total: int) -> None:
    """The longest piece must fit the context; all of them are paid for."""
    assert read_input(given) == (pieces, longest, total)


@pytest.mark.parametrize("given", ["", [], (), b"x", {"a": 1}, 5, None, ["a", {"b": 1}], ["a", 5]])
def test_what_is_no_embedding_input_is_refused(given: Any) -> None:
    """Before anything is sent."""
    with pytest.raises(InvalidRequest, match="input"):
        read_input(given)
