"""Embeddings stay in one vector space: with all that serve it down the call fails, whatever a route says.

A vector of another model looks like any other, and spoils an index for good; so the tests compare vectors,
not only backends. Simulated models of different names never give the same vector for a text, and two
backends that serve the same one give the same.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from hybridllm import PolicyDenied, RequestFailed, RouteExhausted, Router, context, receipt
from hybridllm.testing import Reply, SimulatedBackend, no_leaks, run_in_virtual_time
from hybridllm.testing._embeddings import embed
from runtime.world import scripted

TEXT = "where is my parcel?"
DIMENSIONS = {"gpu-1": 64, "gpu-2": 64, "cpu": 64, "new": 32, "hosted": 48}
WIRE_MODELS = {"gpu-1": "BGE", "gpu-2": "BGE", "cpu": "BGE", "new": "GTE", "hosted": "ADA"}
DOCS = ("gpu-1", "gpu-2", "cpu")  # who serves the space `docs`, in the order of the routes

POLICY = """
version: 1
retries: {{same_backend_max: 0, attempts_max: 8}}
backends:
  gpu-1: {{kind: vllm, base_url: "{gpu-1}", price: free}}
  gpu-2: {{kind: vllm, base_url: "{gpu-2}", price: free}}
  cpu: {{kind: vllm, base_url: "{cpu}", price: free}}
  new: {{kind: vllm, base_url: "{new}", price: free}}
  hosted: {{kind: api, base_url: "{hosted}"}}
models:
  bge:                               # two models, one space: the same weights on other machines
    {{capabilities: [embeddings], vector_space: docs, dimensions: 64, on: {{gpu-1: BGE, gpu-2: BGE}}}}
  bge-cpu: {{capabilities: [embeddings], vector_space: docs, dimensions: 64, on: {{cpu: BGE}}}}
  gte: {{capabilities: [embeddings], vector_space: docs-2, dimensions: 32, on: {{new: GTE}}}}
  ada:                               # names no space: it is in its own
    {{capabilities: [embeddings], price: {{input_per_1m: 0, output_per_1m: 0}}, on: {{hosted: ADA}}}}
  talk: {{price: {{input_per_1m: 1, output_per_1m: 1}}, on: {{hosted: TALK}}}}
routes:
  - name: split
    when: {{feature: split}}
    use: [{{split: {{bge: 40, bge-cpu: 20, gte: 20, ada: 20}}}}]
  - {{name: cheapest, when: {{feature: cheapest}}, use: [bge, ada, bge-cpu, gte], order_by: price}}
  - {{name: second, when: {{feature: second}}, use: [talk, gte], fallbacks: [bge]}}
  - {{name: all, use: [bge, bge-cpu], fallbacks: [gte, ada, talk]}}
"""

WAYS: dict[str, dict[str, Any]] = {
    "by-the-route": {},
    "by-a-split": {"feature": "split"},
    "by-a-split-with-a-session": {"feature": "split", "session": "s-1"},
    "by-the-cheapest": {"feature": "cheapest"},
    "by-the-space": {"vector_space": "docs"},
    "by-the-space-behind-another": {"vector_space": "docs", "feature": "second"},
}
EACH_WAY = pytest.mark.parametrize("hints", WAYS.values(), ids=WAYS)


@dataclass
class Places:
    """A router over five simulated embedding servers."""

    router: Router
    backends: dict[str, SimulatedBackend]

    async def vector(self, **hints: Any) -> list[float]:
        answer = await self.router.embeddings.create(input=TEXT, **hints)
        return answer.data[0].embedding

    def asked(self) -> set[str]:
        """Those who were sent anything."""
        return {name for name, backend in self.backends.items() if backend.requests}

    def kill(self, *names: str) -> None:
        for name in names:
            self.backends[name].kill()


def vector_of(model: str, dimensions: int) -> list[float]:
    """What a simulated model makes of the text."""
    (vector,) = embed(model, {"input": TEXT}, dimensions=dimensions)
    assert isinstance(vector, list)
    return vector


DOCS_VECTOR = vector_of("BGE", 64)


@asynccontextmanager
async def places(**dimensions: int) -> AsyncIterator[Places]:
    """Run them on loopback; `dimensions` replaces those of a backend, `-` written as `_`."""
    lengths = DIMENSIONS | {name.replace("_", "-"): size for name, size in dimensions.items()}
    async with no_leaks(), AsyncExitStack() as stack:
        backends = {
            name: await stack.enter_async_context(
                SimulatedBackend(name=name, models=[model], dimensions=lengths[name])
            )
            for name, model in WIRE_MODELS.items()
        }
        urls = {name: backend.base_url for name, backend in backends.items()}
        router = Router.from_text(POLICY.format(**urls), environ={})
        yield Places(await stack.enter_async_context(router), backends)


# --- over real sockets


@EACH_WAY
async def test_with_its_space_down_the_call_fails(hints: dict[str, Any]) -> None:
    """Two servers of other spaces are up, and stand in every route; neither is asked."""
    async with places() as here:
        assert await here.vector(**hints) == pytest.approx(DOCS_VECTOR)
        here.kill(*DOCS)
        with pytest.raises(RouteExhausted) as failed:
            await here.vector(**hints)
        assert failed.value.receipt is not None
        assert {attempt.backend for attempt in failed.value.receipt.attempts} <= set(DOCS)
        assert here.asked() <= set(DOCS)


async def test_a_pinned_model_that_is_down_fails() -> None:
    """Even the other model of its space is not asked: a pin is a pin."""
    async with places() as here:
        here.kill("gpu-1", "gpu-2")
        with pytest.raises(RouteExhausted):
            await here.vector(model="bge")
        assert here.asked() == set()
        here.kill("new")
        with pytest.raises(RouteExhausted):
            await here.vector(vector_space="docs-2")
        with pytest.raises(RouteExhausted):
            await here.vector(model="gte", vector_space="docs-2")
        assert here.asked() == set()


@pytest.mark.parametrize(
    ("down", "backend", "reasons"),
    [
        pytest.param((), "gpu-1", ["primary"], id="all-up"),
        pytest.param(("gpu-1",), "gpu-2", ["primary", "failover"], id="another-backend"),
        pytest.param(
            ("gpu-1", "gpu-2"), "cpu", ["primary", "failover", "fallback"], id="another-model"
        ),
    ],
)
async def test_within_its_space_it_fails_over_and_the_vector_is_the_same(
    down: tuple[str, ...], backend: str, reasons: list[str]
) -> None:
    """To another backend of the model, then to the other model of the space."""
    async with places() as here:
        here.kill(*down)
        answer = await here.router.embeddings.create(input=TEXT)
        assert answer.data[0].embedding == pytest.approx(DOCS_VECTOR)
        told = receipt(answer)
        assert [attempt.reason for attempt in told.attempts] == reasons
        assert told.attempts[-1].backend == backend


@pytest.mark.parametrize(
    ("hints", "model", "dimensions"),
    [
        pytest.param({"vector_space": "docs-2"}, "GTE", 32, id="space"),
        pytest.param({"model": "gte"}, "GTE", 32, id="pin"),
        pytest.param({"vector_space": "docs-2", "feature": "split"}, "GTE", 32, id="split"),
        pytest.param({"vector_space": "ada"}, "ADA", 48, id="the-models-own-space"),
        pytest.param({"feature": "second"}, "GTE", 32, id="the-first-that-embeds"),
    ],
)
async def test_a_call_that_names_another_space_gets_that_one(
    hints: dict[str, Any], model: str, dimensions: int
) -> None:
    """By its name or by a model of it; a query has to be made in the space of its index."""
    async with places() as here:
        assert await here.vector(**hints) == pytest.approx(vector_of(model, dimensions))


async def test_a_context_names_the_space_for_a_block_of_calls() -> None:
    """And the call's own word goes before it."""
    async with places() as here:
        with context(vector_space="docs-2"):
            assert await here.vector() == pytest.approx(vector_of("GTE", 32))
            assert await here.vector(vector_space="docs") == pytest.approx(DOCS_VECTOR)


async def test_a_split_over_spaces_is_a_split_within_the_first() -> None:
    """Sixty sessions, all servers up: every vector is of one space, and both of its models are drawn."""
    async with places() as here:
        drawn = set()
        for number in range(60):
            answer = await here.router.embeddings.create(
                input=TEXT, feature="split", session=f"s-{number}"
            )
            assert answer.data[0].embedding == pytest.approx(DOCS_VECTOR)
            drawn.add(receipt(answer).attempts[-1].model)
        assert drawn == {"bge", "bge-cpu"}
        assert here.asked() <= set(DOCS)


async def test_vectors_of_another_length_are_a_failure() -> None:
    """A server that was started with other weights: the next one of the space is asked, and no other."""
    async with places(gpu_1=32) as here:
        answer = await here.router.embeddings.create(input=TEXT)
        assert answer.data[0].embedding == pytest.approx(DOCS_VECTOR)
        assert [attempt.error for attempt in receipt(answer).attempts] == ["invalid_response", None]
    async with places(gpu_1=32, gpu_2=63, cpu=65) as here:
        with pytest.raises(RouteExhausted, match="dimensions"):
            await here.vector()
        assert here.asked() == set(DOCS)


# --- what is denied


@pytest.mark.parametrize(
    ("hints", "rule"),
    [
        pytest.param(
            {"model": "bge", "vector_space": "docs-2"}, "vector space 'docs-2'", id="pin-elsewhere"
        ),
        pytest.param({"vector_space": "dosc"}, "unknown vector space 'dosc'", id="misspelt"),
        pytest.param(
            {"feature": "second", "vector_space": "ada"},
            "vector space 'ada'",
            id="not-in-the-route",
        ),
        pytest.param({"model": "talk"}, "capabilities embeddings", id="a-model-that-only-talks"),
    ],
)
async def test_a_space_that_nobody_asked_serves_is_denied_and_nothing_is_sent(
    hints: dict[str, Any], rule: str
) -> None:
    """A hint can only narrow; it never brings in who is not there."""
    async with places() as here:
        with pytest.raises(PolicyDenied) as denied:
            await here.vector(**hints)
        assert denied.value.rule == rule
        assert here.asked() == set()


# --- however it fails

ANSWER_64 = Reply.embeddings([[0.25] * 64])
FAILURES = {
    "connect": Reply.fail("connect"),
    "reset": Reply.fail("reset"),
    "503": Reply.status(503),
    "429": Reply.status(429),
    "401": Reply.status(401),
    "404": Reply.status(404),
    "hangs": Reply.hang(),
    "html": Reply.raw(b"<html>busy</html>", headers={"content-type": "text/html"}),
    "too-short": Reply.embeddings([[0.5] * 63]),
    "of-another-space": Reply.embeddings([[0.5] * 32]),
    "two-for-one": Reply.embeddings([[0.5] * 64, [0.5] * 64]),
    "not-numbers": Reply.json({"object": "list", "model": "m", "data": [{"embedding": "x"}]}),
}


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
@EACH_WAY
def test_no_kind_of_failure_leads_out_of_the_space(failure: Reply, hints: dict[str, Any]) -> None:
    """The servers of other spaces would answer at once; the last of its own does, or the call fails."""
    replies: dict[str, Any] = dict.fromkeys(DOCS, failure)
    replies |= {"new": Reply.embeddings([[0.5] * 32]), "hosted": Reply.embeddings([[0.5] * 48])}
    text = POLICY.format(**{name: f"https://{name}.test/v1" for name in WIRE_MODELS})

    async def main() -> None:
        async with scripted(text, **replies) as here:
            with pytest.raises(RequestFailed):  # or the deadline: a server that hangs uses it up
                await here.router.embeddings.create(input=TEXT, deadline_s=30, **hints)
            assert here.sent("gpu-1")
            assert here.sent("gpu-2")
            assert not here.sent("new")
            assert not here.sent("hosted")
        async with scripted(text, **replies | {"gpu-2": ANSWER_64, "cpu": ANSWER_64}) as here:
            answer = await here.router.embeddings.create(input=TEXT, deadline_s=30, **hints)
            assert answer.data[0].embedding == [0.25] * 64

    run_in_virtual_time(main)
