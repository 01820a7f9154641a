"""Embeddings: one vector for each input, of the right length, or another backend is asked."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import pytest
from openai.types import CreateEmbeddingResponse

from hybridllm import (
    InvalidRequest,
    PolicyDenied,
    receipt,
)
from hybridllm.testing import Fault, Reply, run_in_virtual_time
from runtime.world import policy, script, scripted, world

EMBED = policy("eu", "us", repeats=0).replace("    on: {eu", "    dimensions: 3\n    on: {eu")


@pytest.mark.parametrize(
    ("given", "vectors"),
    [
        pytest.param("one", 1, id="text"),
        pytest.param(["one", "two"], 2, id="texts"),
        pytest.param([1, 2, 3], 1, id="tokens"),
        pytest.param([[1, 2], [3]], 2, id="lists-of-tokens"),
        pytest.param(("one", "two"), 2, id="tuple"),
    ],
)
def test_embeddings_of_every_kind_of_input(given: Any, vectors: int) -> None:
    """As many vectors as inputs, and the receipt knows the tokens."""

    async def main() -> None:
        reply = Reply.embeddings([[0.1, 0.2, 0.3]] * vectors, prompt_tokens=9)
        async with scripted(EMBED, eu=reply) as here:
            answer = await here.router.embeddings.create(input=given, model="m")
            assert type(answer) is CreateEmbeddingResponse
            assert [item.index for item in answer.data] == list(range(vectors))
            assert answer.data[0].embedding == [0.1, 0.2, 0.3]
            told = receipt(answer)
            assert told.operation == "embeddings"
            usage = told.attempts[0].usage
            assert usage is not None
            assert (usage.input_tokens, usage.output_tokens) == (9, 0)
            assert json.loads(here.wire.requests[0].body or b"")["input"] == (
                list(given) if isinstance(given, tuple) else given
            )

    run_in_virtual_time(main)


async def test_embeddings_as_base64_come_as_they_were_sent() -> None:
    """Asked for as base64 they are a text, as from any OpenAI API; we decode nothing."""
    async with world("eu", backends={"dimensions": 4}) as here:
        floats = await here.router.embeddings.create(input=["a", "b"], model="m")
        packed = await here.router.embeddings.create(
            input=["a", "b"], model="m", encoding_format="base64"
        )
        for a, b in zip(floats.data, packed.data, strict=True):
            raw: Any = b.embedding
            assert struct.unpack("<4f", base64.b64decode(raw)) == pytest.approx(a.embedding)


@pytest.mark.parametrize(
    ("vectors", "options"),
    [
        pytest.param([[0.1, 0.2, 0.3]], {}, id="one-for-two"),
        pytest.param([[0.1, 0.2, 0.3]] * 3, {}, id="three-for-two"),
        pytest.param([[0.1, 0.2], [0.1, 0.2]], {}, id="not-the-declared-length"),
        pytest.param([[0.1, 0.2, 0.3]] * 2, {"dimensions": 2}, id="not-the-length-asked-for"),
    ],
)
def test_embeddings_of_the_wrong_shape_are_a_failure(
    vectors: list[list[float]], options: dict[str, int]
) -> None:
    """The next backend is asked; a wrong vector would spoil an index for good."""
    good = Reply.embeddings([[0.5] * options.get("dimensions", 3)] * 2)

    async def main() -> None:
        async with scripted(EMBED, eu=Reply.embeddings(vectors), us=good) as here:
            answer = await here.router.embeddings.create(input=["a", "b"], model="m", **options)
            assert [a.error for a in receipt(answer).attempts] == ["invalid_response", None]

    run_in_virtual_time(main)


async def test_an_embedding_request_goes_to_no_model_that_cannot_embed() -> None:
    """Without a capability `embeddings` there is nobody to ask."""
    text = EMBED.replace(", embeddings]", "]")
    async with scripted(text, eu=Reply.embeddings([[0.5]])) as here:
        with pytest.raises(PolicyDenied, match="embeddings"):
            await here.router.embeddings.create(input="x")


async def test_embeddings_fail_over() -> None:
    """As chat does, within the same model."""
    async with world("eu", "us") as here:
        here["eu"].fault = Fault.status(503)
        answer = await here.router.embeddings.create(input="x", model="m")
        assert [a.backend for a in receipt(answer).attempts] == ["eu", "us"]


@pytest.mark.parametrize("given", [[], ""], ids=["no-texts", "empty-text"])
async def test_an_empty_input_is_refused_before_anything_is_sent(given: Any) -> None:
    """Backends differ in what they make of it; none of them would be at fault."""
    async with script("eu", "us") as here:
        with pytest.raises(InvalidRequest, match="input"):
            await here.router.embeddings.create(input=given, model="m")
        assert not here.wire.requests
