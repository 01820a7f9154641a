"""A simulated vLLM on a loopback port: cache, load report, ranks and sleep, as far as real time has them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from captures import captures
from testing.backends import server
from testing.raw_client import ask
from testing.vllm_fleet import gauges, samples

JSON_REPORT = {"endpoint-load-metrics-format": "JSON"}


def chat(text: str = "hi", **fields: Any) -> dict[str, Any]:
    return {"model": "qwen3-8b", "messages": [{"role": "user", "content": text}], **fields}


async def page(backend: Any) -> dict[str, float]:
    return samples((await ask(backend, path="/metrics")).body.decode())


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not holds():
            await asyncio.sleep(0.002)


async def test_who_finds_no_room_in_the_cache_waits_though_slots_are_free() -> None:
    """So `running < slots` does not mean a free slot; who leaves gives slot and blocks back at once."""
    async with server(kind="vllm", slots=4, kv_blocks=6, latency_s=30.0) as backend:
        tasks = [asyncio.ensure_future(ask(backend, chat(f"{n} " + "word" * 45))) for n in range(4)]
        await until(lambda: backend.load.waiting == 2)
        found = await page(backend)
        assert gauges(found) == (2, 2)
        assert found["kv_cache_usage_perc"] == pytest.approx(4 / 5)
        for task in tasks:
            task.cancel()
        await until(lambda: (backend.load.running, backend.load.waiting) == (0, 0))
        assert backend.load.kv_used == 0.0


async def test_a_prompt_is_known_again_by_whole_blocks() -> None:
    """Answers tell it if they are to, metrics always; a prompt longer than the cache is served too."""
    async with server(kind="vllm", tells_cached=True, kv_blocks=32) as backend:
        for cached, created in ((0, 96), (96, 0)):
            details = (await ask(backend, chat("word" * 105))).json["usage"][
                "prompt_tokens_details"
            ]
            assert details == {
                "cached_tokens": cached,
                "created_cache_tokens": created,
                "multimodal_tokens": None,
            }
        found = await page(backend)
        assert found["prefix_cache_queries_total"] == found["prompt_tokens_total"] == 216
        assert found["prefix_cache_hits_total"] == found["prompt_tokens_cached_total"] == 96
        assert (await ask(backend, chat("word" * 2_000))).status == 200
        backend.sleep()
        backend.wake()
        again = (await ask(backend, chat("word" * 105))).json["usage"]["prompt_tokens_details"]
        assert again["cached_tokens"] == 0  # sleep forgets


async def test_a_plain_answer_carries_the_load_report_that_was_asked_for() -> None:
    """The very header that was captured; streams, hosted APIs and those who did not ask get none."""
    real = dict(captures()["default/chat_orca_json"].headers)["endpoint-load-metrics"]
    async with server(kind="vllm") as own, server(kind="api") as api:
        assert (await ask(own, chat(), headers=JSON_REPORT)).headers[
            "endpoint-load-metrics"
        ] == real
        for backend, body, headers in (
            (own, chat(), {}),
            (own, chat(stream=True), JSON_REPORT),
            (api, chat(), JSON_REPORT),
        ):
            answer = await ask(backend, body, headers=headers)
            assert answer.status == 200
            assert "endpoint-load-metrics" not in answer.headers


async def test_two_engines_have_a_line_each_and_a_header_picks_one() -> None:
    """`load` is their sum."""
    async with server(kind="vllm", slots=1, data_parallel=2, latency_s=30.0) as backend:
        tasks = [asyncio.ensure_future(ask(backend, chat(stream=True))) for _ in range(3)]
        await until(lambda: backend.load.running + backend.load.waiting == 3)
        found = await page(backend)
        assert gauges(found) == (1, 1)
        assert found['num_requests_running{engine="1"}'] == 1
        assert found['num_requests_waiting{engine="1"}'] == 0
        tasks.append(
            asyncio.ensure_future(ask(backend, chat(), headers={"x-data-parallel-rank": "1"}))
        )
        await until(lambda: backend.load.waiting == 2)
        assert (await page(backend))['num_requests_waiting{engine="1"}'] == 1
        refused = await ask(backend, chat(), headers={"x-data-parallel-rank": "9"})
        assert refused.status == 400
        assert refused.json == json.loads(captures()["dp/err_rank_9"].body)
        for task in tasks:
            task.cancel()


async def test_it_sleeps_and_is_woken_as_in_vllms_sleep_mode() -> None:
    """Its models answer 503, its pages as ever; waking takes its time; hosted APIs have none of it."""
    async with server(kind="vllm", asleep=True, cold_start_s=0.05) as backend, server() as api:
        assert (await ask(backend, path="/is_sleeping")).json == {"is_sleeping": True}
        for body in (chat(), chat(stream=True)):
            told = await ask(backend, body)
            assert told.status == 503
            assert "/wake_up" in told.json["error"]["message"]
        assert (await ask(backend, path="/health")).status == 200
        found = await page(backend)
        assert found['engine_sleep_state{sleep_state="awake"}'] == 0
        assert found['engine_sleep_state{sleep_state="weights_offloaded"}'] == 1
        assert (await ask(backend, path="/wake_up", method="POST")).status == 200
        assert backend.asleep
        await until(lambda: not backend.asleep)
        assert (await ask(backend, chat())).status == 200
        assert (await page(backend))['engine_sleep_state{sleep_state="awake"}'] == 1
        assert (await ask(backend, path="/sleep?level=1", method="POST")).status == 200
        assert backend.asleep
        for path, method in (("/is_sleeping", "GET"), ("/wake_up", "POST")):
            assert (await ask(api, path=path, method=method)).status == 404


async def test_prompts_take_their_time_but_for_what_is_cached() -> None:
    """At 1,000 tokens/s; told by the loop's clock, with room for a slow machine."""
    loop = asyncio.get_running_loop()
    async with server(kind="vllm", prefill_tokens_per_s=1_000.0) as backend:
        took_s = []
        for _ in range(2):
            began_s = loop.time()
            await ask(backend, chat("word" * 237))
            took_s.append(loop.time() - began_s)
    assert took_s[0] >= 0.24
    assert took_s[1] < took_s[0]
