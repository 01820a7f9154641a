"""Structured output and model lists, as values: no router, no backend."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from openai.lib._parsing import parse_chat_completion
from openai.types.chat import ChatCompletion
from pydantic import BaseModel, Field

from hybridllm import receipt
from hybridllm._adapters import openai_parse
from hybridllm._adapters.openai_types import OpenAICodec
from hybridllm._adapters.policy_files import load_policy_text
from hybridllm._core.receipt import Receipt, RequestOutcome
from hybridllm._runtime.ports import Parsed
from hybridllm.errors import ContentFiltered, InvalidOutput, InvalidRequest, TruncatedOutput

RECEIPT = Receipt(
    request_id="0" * 32, policy="p", policy_version="v", route="r", operation="chat", task=None,
    residency=None, tenant=None, feature=None, session=None, stream=False, candidates=(), reasons=(),
    dropped=(), attempts=(), outcome=RequestOutcome.OK, error=None,
    started_at=datetime(2026, 1, 1, tzinfo=UTC), duration_s=0.0, first_token_s=None,
    cost_usd=Decimal(0), cost_wasted_usd=Decimal(0), cost_complete=True,
)  # fmt: skip


class Line(BaseModel):
    sku: str
    count: int = Field(ge=1)


class Order(BaseModel):
    lines: list[Line]
    note: str | None


def answer(content: str | None, *, finish_reason: str = "stop", **message: Any) -> ChatCompletion:
    """An answer as a router gives it, with its receipt."""
    choice = {
        "index": 0,
        "finish_reason": finish_reason,
        "message": {"role": "assistant", "content": content} | message,
    }
    body = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
    parsed = OpenAICodec().completion(json.dumps(body).encode())
    assert isinstance(parsed, Parsed), parsed
    OpenAICodec().attach(parsed.value, RECEIPT, None)
    found: ChatCompletion = parsed.value
    return found


GOOD = '{"lines": [{"sku": "a", "count": 2}], "note": null}'


def test_the_object_is_what_the_sdks_parse_makes_of_it() -> None:
    """Its class, its values, and the object that `openai` would have put there."""
    whole = answer(GOOD)
    found: Any = openai_parse.parsed(whole, Order, None)
    their: Any = parse_chat_completion(
        response_format=Order, input_tools=(), chat_completion=answer(GOOD)
    )
    assert type(found) is type(their)
    assert found.model_dump(warnings=False) == their.model_dump(warnings=False)
    assert found.choices[0].message.parsed == Order(lines=[Line(sku="a", count=2)], note=None)
    assert receipt(found) is RECEIPT
    assert whole.choices[0].message.content == GOOD


@pytest.mark.parametrize(
    ("content", "finish_reason", "error"),
    [
        ('{"lines": [{"sku"', "length", TruncatedOutput),
        (None, "content_filter", ContentFiltered),
    ],
)
def test_an_answer_without_a_whole_object_is_an_error(
    content: str | None, finish_reason: str, error: type[Exception]
) -> None:
    """Returned, so that it is raised from a frame without content."""
    found = openai_parse.parsed(answer(content, finish_reason=finish_reason), Order, None)
    assert isinstance(found, error)
    assert receipt(found) is RECEIPT
    if isinstance(found, TruncatedOutput):
        assert found.completion.choices[0].message.content == content


@pytest.mark.parametrize("content", ["{", '{"lines": []}', '{"lines": [{"sku": 1}]}', "hello"])
def test_an_object_that_does_not_fit_is_an_error_that_keeps_the_answer(content: str) -> None:
    """The SDK raises pydantic's error, and the answer that was paid for is lost."""
    given = answer(content)
    found = openai_parse.parsed(given, Order, None)
    assert isinstance(found, InvalidOutput)
    assert found.completion is given
    assert found.problems


def test_strict_tools_have_their_arguments_parsed() -> None:
    """As in the SDK: only of tools that are strict."""
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    tool = {"type": "function", "function": {"name": "f", "strict": True, "parameters": {}}}
    called = answer(None, finish_reason="tool_calls", tool_calls=[call])
    found: Any = openai_parse.parsed(called, Order, [tool])
    assert found.choices[0].message.tool_calls[0].function.parsed_arguments == {"a": 1}


def test_the_format_is_a_strict_schema_of_the_class() -> None:
    """Every field required, nothing else allowed: what strict mode asks for."""
    told = openai_parse.response_format(Order)
    assert told["type"] == "json_schema"
    schema = told["json_schema"]
    assert (schema["name"], schema["strict"]) == ("Order", True)
    assert schema["schema"]["additionalProperties"] is False
    assert schema["schema"]["required"] == ["lines", "note"]


class NoSchema(BaseModel):
    model_config = {"arbitrary_types_allowed": True}
    decoder: json.JSONDecoder


@pytest.mark.parametrize(
    "kind", [int, "Order", None, object(), NoSchema], ids=["int", "text", "none", "object", "model"]
)
def test_what_has_no_schema_is_refused_in_our_words(kind: Any) -> None:
    """The parameter is named; nothing of the call is shown."""
    found = openai_parse.response_format(kind)
    assert isinstance(found, InvalidRequest)
    assert str(found).startswith("response_format: ")


def test_the_models_are_the_policys() -> None:
    """In the order of the file, those that somebody serves; whoever serves them is not told."""
    policy, _ = load_policy_text("""
version: 1
backends: {b: {kind: api, base_url: "https://secret-host.test/v1"}}
models: {z: {on: {b: wire-z}}, a: {on: {b: wire-a}}, unserved: {}}
routes: [{name: all, use: [z]}]
""")
    page = openai_parse.model_page(policy)
    assert [model.id for model in page.data] == ["z", "a"]
    assert {(model.object, model.owned_by) for model in page.data} == {("model", "hybridllm")}
    assert "secret" not in repr(page)
    assert not page.has_next_page()
