"""A vLLM in a simulated fleet serves as the captures of a real one show."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from captures import captures
from hybridllm import Router, receipt
from hybridllm._runtime.ports import WireRequest
from hybridllm.testing import (
    LoopClock,
    count_tokens,
    run_in_virtual_time,
    send_all,
    traffic,
)
from testing.vllm_fleet import OWN, Told, ask, chat, fleet_of, page


def test_a_queued_stream_has_its_head_at_once_and_its_first_token_when_a_slot_is_free() -> None:
    """Captured: head after 10 ms, role and first token together after 1.1 s."""

    async def main() -> None:
        fleet = fleet_of()
        async with asyncio.TaskGroup() as group:
            asks = [group.create_task(ask(fleet, chat(stream=True))) for _ in range(3)]
            await asyncio.sleep(0.5)
            assert (fleet["own"].at_work, fleet["own"].waiting) == (2, 1)
        first, second, queued = (each.result() for each in asks)
        assert {each.head_s for each in (first, second, queued)} == {0.01}
        assert [each.pieces[0][0] for each in (first, second)] == [0.04, 0.08]
        assert first.pieces[-1][0] == pytest.approx(1.04)
        assert queued.pieces[0][0] == pytest.approx(
            1.08
        )  # the slot of the first, and its own prompt
        deltas = [event["choices"][0]["delta"] for event in queued.events]
        assert deltas[0] == {"role": "assistant", "content": ""}
        assert queued.pieces[0][1].count(b"data: ") == 2
        assert count_tokens("".join(delta["content"] for delta in deltas)) == 11
        assert queued.body.endswith(b"data: [DONE]\n\n")
        assert (fleet["own"].at_work, fleet["own"].waiting) == (0, 0)
        assert fleet["own"].at_work_max == 2

    run_in_virtual_time(main)


def test_by_default_nobody_is_refused_and_with_a_limit_the_next_one_gets_the_captured_503() -> None:
    """Slots and queue are counted together; streams are refused before any event; no Retry-After."""

    async def main() -> None:
        fleet = fleet_of()
        async with asyncio.TaskGroup() as group:
            asks = [group.create_task(ask(fleet, chat())) for _ in range(40)]
        assert {each.result().outcome for each in asks} == {200}
        fleet = fleet_of(queue_max=2)
        async with asyncio.TaskGroup() as group:
            asks = [group.create_task(ask(fleet, chat(stream=n % 2 == 0))) for n in range(6)]
        told = [each.result() for each in asks]
        assert [each.outcome for each in told] == [200] * 4 + [503] * 2
        real = captures()["auth/err_queue_full_stream"]
        for each in told[4:]:
            assert each.body == json.dumps(json.loads(real.body)).encode()
            assert "retry-after" not in each.headers
        found = await page(fleet)
        assert found['admission_rejections_total{reason="max_num_queued_reqs"}'] == 2

    run_in_virtual_time(main)


def _same_shape(real: Any, ours: Any, path: str = "$") -> None:
    if isinstance(real, dict):
        assert list(ours) == list(real), path
        for name, value in real.items():
            _same_shape(value, ours[name], f"{path}.{name}")
    elif isinstance(real, list):
        for at, (value, other) in enumerate(zip(real, ours, strict=True)):
            _same_shape(value, other, f"{path}[{at}]")
    else:
        assert type(ours) is type(real), path


@pytest.mark.parametrize(
    "name", ["full/chat_cached_cold", "full/chat_cached_warm", "full/chat_cached_warm_stream"]
)
def test_answers_have_the_shape_of_the_recorded_ones(name: str) -> None:
    """The same fields in the same order, cached tokens among them."""
    real = captures()[name]

    async def main() -> Told:
        fleet = fleet_of()
        prompt = "tell me " * 60
        if "warm" in name:
            await ask(fleet, chat(prompt))
        rest = {
            name: real.request[name] for name in real.request if name not in {"model", "messages"}
        }
        return await ask(fleet, chat(prompt, **rest))

    told = run_in_virtual_time(main)
    details = (told.events[-1] if real.is_stream else told.json)["usage"]["prompt_tokens_details"]
    assert details["cached_tokens"] == (96 if "warm" in name else 0)
    assert details["created_cache_tokens"] == (0 if "warm" in name else 96)
    if not real.is_stream:
        _same_shape(json.loads(real.body), told.json)
        return
    lines = [line[6:] for line in real.body.decode().splitlines() if line.startswith("data: {")]
    for at in (0, 1, -2, -1):
        _same_shape(json.loads(lines[at]), told.events[at], f"event {at}")


def test_a_length_is_kept_as_vllm_keeps_it() -> None:
    """`max_tokens` cuts, `ignore_eos` fills; too long a prompt is the captured 400."""

    async def main() -> None:
        fleet = fleet_of(context_tokens=100)
        for fields, tokens, reason in (
            ({}, 11, "stop"),
            ({"max_tokens": 11}, 11, "stop"),
            ({"max_tokens": 5}, 5, "length"),
            ({"max_completion_tokens": 90, "ignore_eos": True}, 90, "length"),
            ({"ignore_eos": True}, 96, "length"),
        ):
            told = (await ask(fleet, chat(**fields))).json
            assert told["usage"]["completion_tokens"] == tokens
            assert told["choices"][0]["finish_reason"] == reason
            assert count_tokens(told["choices"][0]["message"]["content"]) == tokens
        refused = await ask(fleet, chat("word " * 200, stream=True))
        assert refused.outcome == 400
        assert refused.json["error"]["param"] == "input_tokens"
        assert (await ask(fleet, chat("word" * 97))).json["error"]["param"] == "max_tokens"
        vectors = WireRequest("POST", f"{OWN}/embeddings", {}, b'{"model":"e","input":["a","b"]}')
        assert len((await ask(fleet, vectors)).json["data"]) == 2
        assert (await page(fleet))["prompt_tokens_total"] == 5 * 4 + 2

    run_in_virtual_time(main)


def test_a_client_that_leaves_frees_its_slot_at_once_and_is_counted_nowhere() -> None:
    """At every moment, streamed or not: the next one gets the slot then."""

    async def main() -> None:
        for streams in (False, True):
            for wait_s in (0.0, 0.005, 0.5, 1.04, 1.05, 1.5):
                fleet = fleet_of()
                async with asyncio.TaskGroup() as group:
                    asks = [group.create_task(ask(fleet, chat(stream=streams))) for _ in range(6)]
                    await asyncio.sleep(wait_s)
                    for task in asks[1::2]:
                        task.cancel()
                    await asyncio.sleep(0)
                    assert fleet["own"].at_work == 2
                assert (fleet["own"].at_work, fleet["own"].waiting) == (0, 0)
                found = await page(fleet)
                assert found['request_success_total{finished_reason="abort"}'] == 0
                served = sum(task.result().outcome == 200 for task in asks if not task.cancelled())
                assert found['request_success_total{finished_reason="stop"}'] == served

    run_in_virtual_time(main)


def test_a_router_gets_whole_answers_and_the_same_seed_gives_the_same_course() -> None:
    """Time to first token is that of the first content; lengths are drawn by seed."""
    text = f"""
version: 1
backends: {{own: {{kind: vllm, base_url: {OWN}}}}}
models: {{m: {{on: {{own: m}}}}}}
routes: [{{name: all, use: m}}]
"""

    def course(seed: int) -> list[Any]:
        async def main() -> list[Any]:
            fleet = fleet_of(seed=seed, spread=0.5, slots=4, tokens_per_s=40.0)
            async with Router.from_text(text, wire=fleet, clock=LoopClock()) as router:
                made = receipt(
                    await router.chat.completions.create(
                        messages=[{"role": "user", "content": "hi"}]
                    )
                )
                usage = made.attempts[0].usage
                assert usage is not None
                assert usage.cached_input_tokens == 0
                journeys = await send_all(router, traffic(10, until_s=5, seed=seed))
            assert {each.error for each in journeys} == {None}
            first = [each.first_token_s for each in journeys if each.first_token_s is not None]
            assert min(first) < 0.4 < max(first)  # a prompt alone, and a wait for a slot
            return [(each.ask.at_s, each.ended_s) for each in journeys]

        return run_in_virtual_time(main)

    assert course(1) == course(1)
    assert course(1) != course(2)
