"""A simulated vLLM goes on with a message as vLLM does: the fields, the refusals, the text."""

from __future__ import annotations

from typing import Any

import pytest

from hybridllm.testing import SimulatedBackend, count_tokens
from hybridllm.testing._shapes import BackendKind
from testing.raw_client import ask, chat, stream

ANSWER = "one two\n\nthree four"
GO_ON = {"continue_final_message": True, "add_generation_prompt": False}


def begun(text: Any, **fields: Any) -> dict[str, Any]:
    body = chat(**fields)
    body["messages"].append({"role": "assistant", "content": text})
    return body


def vllm(kind: BackendKind = "vllm", answer: Any = ANSWER) -> SimulatedBackend:
    return SimulatedBackend(kind=kind, models=["qwen3-8b"], answer=answer)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param("one", " two\n\nthree four", id="a-word"),
        pytest.param("one t", "wo\n\nthree four", id="within-a-word"),
        pytest.param("one two\n\n", "three four", id="white-space"),
        pytest.param("one two \n", "\n\nthree four", id="other-white-space-is-stripped"),
        pytest.param(ANSWER, "", id="all-of-it"),
        pytest.param("", ANSWER, id="nothing"),
        pytest.param("something else", ANSWER, id="what-it-would-not-have-said"),
        pytest.param([{"type": "text", "text": "one"}], " two\n\nthree four", id="parts"),
    ],
)
async def test_it_says_what_is_left_of_its_answer(before: Any, after: str) -> None:
    """Streamed or not, and only that is billed as output."""
    async with vllm() as backend:
        plain = await ask(backend, begun(before, **GO_ON))
        assert plain.json["choices"][0]["message"]["content"] == after
        assert plain.json["usage"]["completion_tokens"] == count_tokens(after)
        streamed = await ask(backend, begun(before, **GO_ON) | stream_fields())
        pieces = [e["choices"][0]["delta"].get("content") for e in streamed.events if e["choices"]]
        assert "".join(filter(None, pieces)) == after


def stream_fields() -> dict[str, Any]:
    return {name: value for name, value in stream().items() if name.startswith("stream")}


async def test_without_the_fields_a_message_of_the_assistant_is_one_of_many() -> None:
    """The model answers it anew."""
    async with vllm() as backend:
        for fields in ({}, {"add_generation_prompt": False}, {"continue_final_message": False}):
            answer = await ask(backend, begun("one", **fields))
            assert answer.json["choices"][0]["message"]["content"] == ANSWER


async def test_an_answer_made_by_a_function_is_gone_on_with_too() -> None:
    """It tells the whole answer; what is left of it is said."""
    async with vllm(answer=lambda body: f"{len(body['messages'])} messages") as backend:
        answer = await ask(backend, begun("2 mess", **GO_ON))
        assert answer.json["choices"][0]["message"]["content"] == "ages"


@pytest.mark.parametrize(
    ("fields", "content", "said"),
    [
        pytest.param(
            {"continue_final_message": True, "add_generation_prompt": True}, "one",
            "Cannot set both `continue_final_message` and `add_generation_prompt` to True.", id="both",
        ),
        pytest.param(
            {"continue_final_message": True}, "one",
            "continue_final_message and add_generation_prompt are not compatible.", id="the-default",
        ),
        pytest.param(GO_ON, None, "the final message has no \"content\" to continue!", id="no-content"),
    ],
)  # fmt: skip
async def test_what_vllm_refuses_is_refused(
    fields: dict[str, Any], content: str | None, said: str
) -> None:
    """400, in the words of vLLM 0.32.0 and of the transformers 5.19 that it pins, from their source."""
    async with vllm() as backend:
        for more in ({}, stream_fields()):
            answer = await ask(backend, begun(content, **fields) | more)
            assert answer.status == 400
            assert said in answer.json["error"]["message"]
            assert answer.json["error"]["type"] == "BadRequestError"


@pytest.mark.parametrize("field", GO_ON)
async def test_a_hosted_api_does_not_know_the_fields(field: str) -> None:
    """OpenAI refuses a parameter that it does not know."""
    async with vllm("api") as backend:
        answer = await ask(backend, begun("one", **{field: GO_ON[field]}))
        assert (answer.status, answer.json["error"]["code"]) == (400, "unknown_parameter")
        assert answer.json["error"]["param"] == field
