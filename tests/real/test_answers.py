"""What a real server answers, read by the router: usage, names, streams, structured output."""

from __future__ import annotations

import json
from typing import Any, Literal

import pytest
from pydantic import BaseModel

from hybridllm import receipt
from hybridllm._core.money.usage import UsageSource
from hybridllm._core.request.prompt import read_messages
from real.routers import STEPS, attempts, pair, read
from real.server import RealServer, messages


async def test_tokens_are_those_that_the_server_counted(server: RealServer) -> None:
    """The prompt as its own tokenizer counts it, and the answer to the token; one seed, one answer."""
    async with server.client() as client:
        body = {"model": "tiny", "messages": STEPS}
        counted = (await client.post("/tokenize", json=body)).json()["count"]
    async with pair(server) as here:
        first, again = [await here.chat(tokens=12, seed=7) for _ in range(2)]
    assert first.choices[0].message.content == again.choices[0].message.content
    assert first.choices[0].finish_reason == "length"
    (attempt,) = attempts(first)
    assert attempt.usage is not None
    assert (attempt.usage.input_tokens, attempt.usage.output_tokens) == (counted, 12)
    assert attempt.usage.source is UsageSource.PROVIDER
    assert receipt(first).cost_usd == 0


async def test_a_prompt_is_about_as_long_as_it_was_estimated(server: RealServer) -> None:
    """A rule of thumb decides what fits a context: on English words it errs by less than a half."""
    text = "the router sends each request to the model that can answer it now. " * 20
    _, estimated = read_messages(messages(text), set())
    async with server.client() as client:
        counted = (
            await client.post("/tokenize", json={"model": "tiny", "messages": messages(text)})
        ).json()
    assert 0.5 < estimated / counted["count"] < 1.5


async def test_a_stream_is_billed_by_the_server_although_nobody_asked_for_usage(
    server: RealServer,
) -> None:
    """Its last chunk is ours alone; the first token's time is that of the first text, not of the head."""
    async with pair(server) as here:
        stream = await here.stream(tokens=20)
        chunks = [chunk async for chunk in stream]
    assert all(chunk.choices for chunk in chunks)
    assert chunks[-1].choices[0].finish_reason == "length"
    (attempt,) = attempts(stream)
    assert attempt.usage is not None
    assert (attempt.usage.output_tokens, attempt.usage.source) == (20, UsageSource.PROVIDER)
    assert attempt.first_token_s is not None
    assert 0 < attempt.first_token_s < attempt.duration_s


async def test_an_alias_is_answered_under_the_first_name_and_nobody_minds(
    server: RealServer,
) -> None:
    """The name that came back stands on the receipt; it is not compared with the one asked for."""
    async with pair(server, asked="tiny-alias") as here:
        reply = await here.chat(max_tokens=2)
    (attempt,) = attempts(reply)
    assert (attempt.model_asked, attempt.model_served) == ("tiny-alias", "tiny")


async def test_two_answers_of_one_stream_are_told_apart(server: RealServer) -> None:
    """Their chunks come interleaved; each choice has its own end, and the tokens of both are counted."""
    async with pair(server) as here:
        stream = await here.stream(tokens=8, n=2)
        ends = [
            c.index async for chunk in stream for c in chunk.choices if c.finish_reason == "length"
        ]
    assert sorted(ends) == [0, 1]
    (attempt,) = attempts(stream)
    assert attempt.usage is not None
    assert attempt.usage.output_tokens == 16


class Ticket(BaseModel):
    team: Literal["billing", "support"]
    urgent: bool


async def test_structured_output_fits_its_class(server: RealServer) -> None:
    """The server's grammar makes the JSON, and `parse` the object."""
    async with pair(server) as here:
        reply = await here.router.chat.completions.parse(
            task="chat", messages=STEPS, response_format=Ticket, max_tokens=60, seed=1
        )
    assert isinstance(reply.choices[0].message.parsed, Ticket)


TOOL: Any = {
    "type": "function",
    "function": {
        "name": "escalate",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"team": {"type": "string", "enum": ["billing", "support"]}},
            "required": ["team"],
            "additionalProperties": False,
        },
    },
}


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_a_tool_call_comes_whole(server: RealServer, stream: bool) -> None:
    """With `strict` its arguments fit the schema, also put together from the pieces of a stream."""
    params: dict[str, Any] = {
        "tools": [TOOL],
        "tool_choice": "required",
        "max_tokens": 100,
        "seed": 1,
    }
    async with pair(server) as here:
        if stream:
            name, arguments = "", ""
            async for chunk in await here.stream(**params):
                for call in (c for choice in chunk.choices for c in choice.delta.tool_calls or ()):
                    assert call.function is not None
                    name += call.function.name or ""
                    arguments += call.function.arguments or ""
        else:
            (call,) = (await here.chat(**params)).choices[0].message.tool_calls
            name, arguments = call.function.name, call.function.arguments
    assert name == "escalate"
    assert json.loads(arguments)["team"] in {"billing", "support"}


async def test_a_text_that_is_read_is_what_a_plain_answer_says(server: RealServer) -> None:
    """Streamed or whole: the same words."""
    async with pair(server) as here:
        whole = (await here.chat(tokens=40, temperature=0)).choices[0].message.content
        assert await read(await here.stream(tokens=40, temperature=0)) == whole
