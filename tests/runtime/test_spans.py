"""What the router tells a tracer: six ways in which a request can end, as golden trees."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider

from adapters.span_trees import golden, recording, trees_of
from hybridllm import PolicyDenied, Router, Stream, StreamInterrupted, receipt
from hybridllm.testing import LoopClock, Reply, ScriptedWire, run_in_virtual_time

GOLDEN = Path(__file__).parent / "golden"
VARYING = {"hybridllm.request.id", "hybridllm.policy.version"}
POLICY = """
version: 1
environment: test
backends:
  us:  {kind: api, base_url: "https://us.test/v1", api_key_env: KEY, region: us, operator: third_party}
  eu:  {kind: api, base_url: "https://eu.test/v1", api_key_env: KEY, region: eu, operator: third_party}
  fra: {kind: vllm, base_url: "https://fra.test:8443/v1", region: eu, operator: self, propagate_trace: true}
models:
  qwen:
    price: {input_per_1m: 0.06, output_per_1m: 0.12}
    on: {us: qwen3-8b, eu: qwen3-8b, fra: {name: Qwen/Qwen3-8B, price: free}}
residency:
  eu: {regions: [eu]}
  space: {regions: [orbit]}
tasks:
  classify: {bucket: bandwidth}
routes:
  - {name: cheap, use: [{model: qwen, on: [us, eu, fra]}]}
"""
SCRIPTS = {"us.test": Reply.chat("hi"), "eu.test": Reply.chat("hi"), "fra.test": Reply.chat("hi")}
MESSAGES = [{"role": "user", "content": "Is this a complaint?"}]


def router(wire: ScriptedWire, provider: TracerProvider) -> Router:
    return Router.from_text(
        POLICY,
        name="api-first",
        environ={"KEY": "sk-test-0123456789"},
        wire=wire,
        tracer_provider=provider,
        clock=LoopClock(),
    )


async def plain(asked: Router) -> Any:
    """Every hint is given; `us` is dropped for where it is."""
    return await asked.chat.completions.create(
        messages=MESSAGES,
        max_tokens=4,
        temperature=0,
        task="classify",
        residency="eu",
        tenant="acme",
        feature="triage",
        session="s-17",
        model="qwen",
    )


async def failover(asked: Router) -> Any:
    """One region answers 503, the next refuses the connection, our own GPUs answer."""
    return await asked.chat.completions.create(messages=MESSAGES, tenant="acme")


async def stream(asked: Router) -> Any:
    async with await asked.chat.completions.create(messages=MESSAGES, stream=True) as answer:
        _ = [chunk async for chunk in answer]
    return answer


async def cut_stream(asked: Router) -> Any:
    """The connection breaks after two tokens: nobody else is asked."""
    answer = await asked.chat.completions.create(messages=MESSAGES, stream=True)
    with pytest.raises(StreamInterrupted):
        _ = [chunk async for chunk in answer]
    return answer


async def cancelled(asked: Router) -> Any:
    """The caller stops waiting."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await asked.chat.completions.create(messages=MESSAGES)


async def left_stream(asked: Router) -> Any:
    """The caller has read enough."""
    async with await asked.chat.completions.create(messages=MESSAGES, stream=True) as answer:
        await anext(answer)
    return answer


async def denied(asked: Router) -> Any:
    with pytest.raises(PolicyDenied) as caught:
        await asked.chat.completions.create(messages=MESSAGES, residency="space", tenant="acme")
    return caught.value


STREAMED = Reply.chat_stream(["It", " is"]).after(0.25).paced(0.125)
SCENARIOS: dict[str, tuple[Callable[[Router], Awaitable[Any]], dict[str, Any]]] = {
    "plain": (plain, {}),
    "failover": (failover, {"us.test": Reply.status(503), "eu.test": Reply.fail("connect")}),
    "stream": (stream, {"us.test": STREAMED}),
    "cut_stream": (
        cut_stream,
        {"us.test": Reply.chat_stream(["It", " is"], finish_reason=None, done=False).then_fail()},
    ),
    "left_stream": (left_stream, {"us.test": STREAMED}),
    "cancelled": (cancelled, {"us.test": Reply.hang()}),
    "denied": (denied, {}),
}


def told(scenario: str) -> tuple[list[dict[str, Any]], Any, ScriptedWire]:
    """Run a scenario; return its trees, what the caller had in hand, and what was sent."""
    act, scripts = SCENARIOS[scenario]
    provider, exporter = recording()
    wire = ScriptedWire(SCRIPTS | scripts)

    async def main() -> Any:
        async with router(wire, provider) as asked:
            return await act(asked)

    had = run_in_virtual_time(main)
    return trees_of(exporter.get_finished_spans(), varying=VARYING), had, wire


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_spans_of_a_request_equal_the_golden_tree(scenario: str) -> None:
    """One root, one span for each attempt, each ended once, with the values of the receipt."""
    trees, _, _ = told(scenario)
    assert trees == [golden(GOLDEN / f"{scenario}.json")]


@pytest.mark.parametrize("scenario", [name for name in SCENARIOS if name != "cancelled"])
def test_trace_and_receipt_tell_the_same(scenario: str) -> None:
    """Whoever reads either finds the same candidates, attempts, outcome and money."""
    (root,), had, _ = told(scenario)
    found = receipt(had)
    shown = root["attributes"]
    assert shown["hybridllm.outcome"] == found.outcome
    assert shown["hybridllm.attempt.count"] == len(found.attempts) == len(root["children"])
    assert tuple(shown.get("hybridllm.policy.candidates", ())) == found.candidates
    assert shown.get("hybridllm.request.cost.amount", 0) == float(found.cost_usd or 0)
    for attempt, child in zip(found.attempts, root["children"], strict=True):
        assert child["attributes"]["hybridllm.backend.name"] == attempt.backend
        assert child["attributes"]["hybridllm.attempt.reason"] == attempt.reason
        assert child["attributes"]["hybridllm.attempt.outcome"] == attempt.outcome
        assert child["attributes"].get("hybridllm.cost.amount") == (
            None if attempt.cost_usd is None else float(attempt.cost_usd)
        )


def test_traceparent_goes_only_where_the_policy_says() -> None:
    """`fra` says `propagate_trace`; the hosted regions learn nothing of our traces."""
    _, _, wire = told("failover")
    sent = {
        request.url.split("/")[2]: "traceparent" in request.headers for request in wire.requests
    }
    assert sent == {"us.test": False, "eu.test": False, "fra.test:8443": True}


async def test_a_stream_leaves_the_callers_current_span_alone() -> None:
    """What the caller does between two chunks belongs to the caller's span, not to ours."""
    from opentelemetry import trace

    provider, exporter = recording()
    app = trace.get_tracer("app", tracer_provider=provider)
    wire = ScriptedWire(SCRIPTS | {"us.test": Reply.chat_stream(["It", " is"])})
    async with router(wire, provider) as asked:
        with app.start_as_current_span("app") as caller:
            answer = await asked.chat.completions.create(messages=MESSAGES, stream=True)
            assert isinstance(answer, Stream)
            async for _ in answer:
                assert trace.get_current_span() is caller
                app.start_span("work").end()
    (tree,) = trees_of(exporter.get_finished_spans())
    below = [child["name"] for child in tree["children"]]
    assert sorted(set(below)) == ["route chat", "work"]
