"""`parse`: an object of a class, or an error that says what there is instead of it."""

from __future__ import annotations

import json
from typing import Any

import openai
import pydantic.dataclasses
import pytest
from openai.types.chat import ParsedChatCompletion
from pydantic import BaseModel

from hybridllm import (
    ContentFiltered,
    InvalidOutput,
    InvalidRequest,
    TruncatedOutput,
    receipt,
)
from hybridllm._core.receipt import RequestOutcome
from hybridllm.testing import Reply, run_in_virtual_time
from runtime.world import MESSAGES, script, world


class Triage(BaseModel):
    label: str
    urgent: bool


async def test_parse_gives_an_object_of_the_class() -> None:
    """Over real sockets: the schema goes out, an object comes back."""
    async with world("eu") as here:
        parsed = await here.router.chat.completions.parse(
            messages=MESSAGES,
            response_format=Triage,
            task="t",
        )
        assert isinstance(parsed, ParsedChatCompletion)
        assert isinstance(parsed.choices[0].message.parsed, Triage)
        assert receipt(parsed).outcome.value == "ok"
        schema = here["eu"].requests[0].json["response_format"]
        assert schema["type"] == "json_schema"
        assert schema["json_schema"]["strict"] is True


def parse(reply: Reply, **params: Any) -> Any:
    """Ask for a Triage where the backend answers so."""

    async def main() -> Any:
        async with script("eu", "us", eu=reply) as here:
            return await here.router.chat.completions.parse(
                **{"messages": MESSAGES, "response_format": Triage} | params
            )

    return run_in_virtual_time(main)


def test_a_truncated_object_is_an_error_that_holds_what_came() -> None:
    """Nothing paid for is lost, and nobody is asked again: it would be cut off again."""
    with pytest.raises(TruncatedOutput) as caught:
        parse(Reply.chat('{"label": "bil', finish_reason="length"))
    error = caught.value
    assert isinstance(error, openai.LengthFinishReasonError)
    assert error.completion.choices[0].message.content == '{"label": "bil'
    assert len(receipt(error).attempts) == 1
    assert receipt(error).cost_usd


def test_a_filtered_object_is_an_error() -> None:
    """No other backend is asked: that would be shopping for a filter."""
    with pytest.raises(ContentFiltered) as caught:
        parse(Reply.chat(None, finish_reason="content_filter"))
    assert isinstance(caught.value, openai.ContentFilterFinishReasonError)
    assert len(receipt(caught.value).attempts) == 1


def test_an_object_that_does_not_fit_is_told_with_its_receipt() -> None:
    """It tells which field is wrong, not what stood there; what was paid for is not lost."""
    with pytest.raises(InvalidOutput, match="urgent") as caught:
        parse(Reply.chat('{"label": "billing", "urgent": "perhaps"}'))
    assert "perhaps" not in str(caught.value)
    assert caught.value.problems[0][0] == "urgent"
    assert "perhaps" in caught.value.completion.choices[0].message.content
    assert receipt(caught.value).outcome is RequestOutcome.OK


def test_a_refusal_is_an_answer_without_an_object() -> None:
    """As with `openai`'s own parse."""
    answer = json.loads(Reply.chat(None).chunks[0])
    answer["choices"][0]["message"]["refusal"] = "I would rather not."
    message = parse(Reply.json(answer)).choices[0].message
    assert (message.parsed, message.refusal) == (None, "I would rather not.")


def test_parse_takes_pydantics_dataclass() -> None:
    """What `openai` takes, we take."""

    @pydantic.dataclasses.dataclass
    class Label:
        label: str

    found = parse(Reply.chat('{"label": "billing"}'), response_format=Label)
    assert found.choices[0].message.parsed == Label("billing")


@pytest.mark.parametrize(
    "kind", [int, "Triage", None, object()], ids=["int", "text", "none", "object"]
)
def test_parse_refuses_what_has_no_schema(kind: Any) -> None:
    """In our words, from frames that hold no prompt."""
    with pytest.raises(InvalidRequest, match="response_format"):
        parse(Reply.chat("x"), response_format=kind)


def test_parse_does_not_stream() -> None:
    """It says so at once."""
    with pytest.raises(InvalidRequest, match="parse does not stream"):
        parse(Reply.chat("x"), stream=True)
