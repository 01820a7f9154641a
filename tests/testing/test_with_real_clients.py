"""The simulated backend in front of the clients that people really use."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import sys
from enum import Enum
from typing import Any

import aiohttp
import openai
import pytest
import trustme
from pydantic import BaseModel, Field

from hybridllm.testing import Fault, SimulatedBackend, no_leaks
from hybridllm.testing._schema import example_of
from testing.raw_client import chat, stream

MESSAGES: Any = chat()["messages"]


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Node(BaseModel):
    """Refers to itself, so that an example has to end somewhere."""

    name: str
    children: list[Node] = []
    parent: Node | None = None


class Triage(BaseModel):
    """One field of each kind that the examples know."""

    kind: Colour
    score: int = Field(ge=3, le=5)
    above: int = Field(gt=7)
    share: float = Field(lt=1.0)
    sure: bool
    note: str | None
    title: str = Field(min_length=9)
    short: str = Field(max_length=2)
    tags: list[str] = Field(min_length=2)
    pair: tuple[int, str]
    either: int | str
    tree: Node
    loose: dict[str, Any]


@pytest.mark.parametrize("kind", ["api", "vllm"])
async def test_openai_client_is_content(kind: Any) -> None:
    """Chat, stream, structured output, tools, embeddings, models: with official types throughout."""
    server = SimulatedBackend(
        models=["qwen3-8b"], kind=kind, api_key="sk-test", answer="twice, indeed"
    )
    async with no_leaks(), server as backend:
        client = openai.AsyncOpenAI(base_url=backend.base_url, api_key="sk-test", max_retries=0)
        async with client:
            reply = await client.chat.completions.create(model="qwen3-8b", messages=MESSAGES)
            assert reply.choices[0].message.content == "twice, indeed"

            chunks = await client.chat.completions.create(
                model="qwen3-8b",
                messages=MESSAGES,
                stream=True,
                stream_options={"include_usage": True},
            )
            received = [chunk async for chunk in chunks]
            texts = [c.choices[0].delta.content or "" for c in received if c.choices]
            assert "".join(texts) == "twice, indeed"
            assert received[-1].usage is not None

            parsed = await client.chat.completions.parse(
                model="qwen3-8b", messages=MESSAGES, response_format=Triage
            )
            assert isinstance(parsed.choices[0].message.parsed, Triage)

            vectors = await client.embeddings.create(model="qwen3-8b", input=["a", "b"])
            assert len(vectors.data[0].embedding) == 64
            assert [model.id async for model in client.models.list()] == ["qwen3-8b"]

            with pytest.raises(openai.NotFoundError, match="does not exist"):
                await client.chat.completions.create(model="nope", messages=MESSAGES)
            backend.fault = Fault.status(429, retry_after=1)
            with pytest.raises(openai.RateLimitError) as limited:
                await client.chat.completions.create(model="qwen3-8b", messages=MESSAGES)
            assert limited.value.response.headers["retry-after"] == "1"


async def test_aiohttp_client_sees_breaks_as_breaks() -> None:
    """The tokens before the break arrive, also with a client that buffers; then its error."""
    server = SimulatedBackend(models=["qwen3-8b"], answer="one two three")
    async with no_leaks(), server as backend, aiohttp.ClientSession() as session:
        for how in ("rst", "fin"):
            backend.fault = Fault.cut_after(2, how)
            received: list[bytes] = []
            async with session.post(f"{backend.base_url}/chat/completions", json=stream()) as reply:
                with pytest.raises(aiohttp.ClientPayloadError):
                    await _read_into(received, reply)
            assert b"".join(received).count(b'"content":') == 3
        backend.fault = Fault.garbage()
        with pytest.raises(aiohttp.ClientResponseError):
            await session.post(f"{backend.base_url}/chat/completions", json=chat())
        backend.heal()
        for _ in range(20):
            async with session.post(f"{backend.base_url}/chat/completions", json=chat()) as reply:
                assert reply.status == 200
                await reply.read()
        assert backend.connections == 1


async def _read_into(received: list[bytes], reply: aiohttp.ClientResponse) -> None:
    while piece := await reply.content.readany():
        received.append(piece)


async def test_many_at_once() -> None:
    """Two hundred streams at once all come to their end, on their own connections."""
    server = SimulatedBackend(models=["qwen3-8b"], answer="word " * 40, latency_s=0.01)
    async with no_leaks(), server as backend, aiohttp.ClientSession() as session:

        async def one() -> bytes:
            url = f"{backend.base_url}/chat/completions"
            async with session.post(url, json=stream()) as reply:
                return await reply.read()

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one()) for _ in range(200)]
        assert all(task.result().endswith(b"data: [DONE]\n\n") for task in tasks)
        assert backend.served == 200
        assert backend.active == 0


async def test_tls_with_a_certificate_of_the_tests_own() -> None:
    """Who trusts its authority is served; who does not, is not."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    async with no_leaks(), SimulatedBackend(tls=context) as backend:
        assert backend.base_url.startswith("https://localhost:")
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{backend.root_url}/health", ssl=trusting) as reply:
                assert reply.status == 200
            with pytest.raises(aiohttp.ClientConnectorCertificateError):
                await session.get(f"{backend.root_url}/health")


def test_example_fits_its_schema() -> None:
    """Every kind of field, references and self-references: pydantic accepts what is made."""
    value = example_of(Triage.model_json_schema())
    triage = Triage.model_validate(value)
    assert (triage.kind, triage.score, triage.above) == (Colour.RED, 3, 8)
    assert triage.share < 1.0
    assert triage.note == "text"
    assert triage.tree.children == []


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"const": 5}, 5),
        ({"type": ["null", "integer"]}, 1),
        ({"anyOf": [{"type": "null"}, {"type": "boolean"}]}, True),
        (
            {"allOf": [{"properties": {"a": {"const": 1}}}, {"properties": {"b": {"const": 2}}}]},
            {"a": 1, "b": 2},
        ),
        ({"type": "array", "maxItems": 0}, []),
        ({"type": "integer", "exclusiveMaximum": 0}, -1),
        ({"type": "integer", "minimum": 1.5}, 2),
        (True, "text"),
        ({}, "text"),
    ],
)
def test_example_of_small_schemas(schema: Any, expected: Any) -> None:
    """The smallest value, the first alternative, never null if there is another."""
    assert example_of(schema) == expected


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"$ref": "#/$defs/Nope"}, "does not define"),
        ({"$ref": "#"}, "without an end"),
        ({"type": "nonsense"}, "Invalid type: nonsense"),
        ({"anyOf": [{"$ref": "#"}]}, "without an end"),
    ],
)
def test_schema_without_an_example_is_refused(schema: Any, message: str) -> None:
    """As vLLM refuses a grammar that it cannot build."""
    with pytest.raises(ValueError, match=message):
        example_of(schema)


def test_importing_it_loads_no_client_and_no_test_framework() -> None:
    """It costs what it needs, and works under any test framework."""
    code = (
        "import sys, hybridllm.testing;"
        "print(sorted({'openai', 'aiohttp', 'pytest', 'httpx'} & set(sys.modules)))"
    )
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    assert printed.stdout == b"[]\n"
