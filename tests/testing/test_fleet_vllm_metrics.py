"""What a vLLM in a simulated fleet tells of its load: as the real one, or as it is made to tell."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest

from captures import DIRECTORY, captures
from hybridllm._core.resilience.outcome import FailureKind
from hybridllm._runtime.ports import WireRequest
from hybridllm.testing import (
    Ailment,
    Fault,
    MetricsFault,
    Slower,
    run_in_virtual_time,
)
from testing.vllm_fleet import PAGE, ask, chat, fleet_of, gauges, page, samples


def _series(text: str) -> dict[str, tuple[str, str, set[str]]]:
    """Name -> help, type, labels of every series of a page, in its order."""
    helps = dict(re.findall(r"^# HELP (\S+) (.*)$", text, re.MULTILINE))
    types = dict(re.findall(r"^# TYPE (\S+) (.*)$", text, re.MULTILINE))
    found: dict[str, tuple[str, str, set[str]]] = {}
    for name, labels in re.findall(r"^(\S+?)\{(.*)\} \S+$", text, re.MULTILINE):
        if name in types:
            values = found.setdefault(name, (helps[name], types[name], set()))[2]
            values.add(re.sub(r'model_name="[^"]*"', "", labels))
    return found


@pytest.mark.parametrize("engines", [1, 2])
def test_the_metrics_page_has_the_names_labels_and_order_of_the_real_one(engines: int) -> None:
    """Each series of ours is one of vLLM 0.32.0: its help, its type, its labels, once per engine."""
    real = _series((DIRECTORY / "default/metrics_idle.prom").read_text())

    async def main() -> str:
        fleet = fleet_of(data_parallel=engines)
        told = await ask(fleet, WireRequest("GET", PAGE, {}))
        assert told.headers["content-type"] == "text/plain; version=1.0.0; charset=utf-8"
        return told.body.decode()

    text = run_in_virtual_time(main)
    ours = _series(text)
    assert set(ours) <= set(real)
    assert list(ours) == [name for name in real if name in ours]
    for name, (about, kind, labels) in ours.items():
        assert (about, kind) == real[name][:2]
        if name != "vllm:cache_config_info":
            lines = {re.sub(r'engine="\d"', 'engine="0"', label) for label in labels}
            assert lines == real[name][2]
            per_engine = 1 if name.startswith("vllm:admission") else engines
            assert len(labels) == per_engine * len(real[name][2])
    info = re.search(
        r"vllm:cache_config_info\{(.*)\}", (DIRECTORY / "default/metrics_idle.prom").read_text()
    )
    assert info is not None
    known = set(re.findall(r"(\w+)=", info[1]))
    assert set(re.findall(r"(\w+)=", next(iter(ours["vllm:cache_config_info"][2])))) <= known


def test_the_page_tells_what_the_engine_does() -> None:
    """6 streams on 2 slots are the captured 2/4; counters are those of the answers."""

    async def main() -> None:
        fleet = fleet_of(kv_blocks=256)
        async with asyncio.TaskGroup() as group:
            for _ in range(6):
                group.create_task(ask(fleet, chat(stream=True, max_tokens=150, ignore_eos=True)))
            await asyncio.sleep(5.5)
            found = await page(fleet)
            assert gauges(found) == (2, 4)
            assert found['num_requests_waiting_by_reason{reason="capacity"}'] == 4
            assert found["kv_cache_usage_perc"] == pytest.approx(4 / 255)  # 2 blocks each
            assert found["generation_tokens_total"] == pytest.approx(2 * 55, abs=2)
            assert found["prompt_tokens_total"] == 8
        found = await page(fleet)
        assert gauges(found) == (0, 0)
        assert found["kv_cache_usage_perc"] == 0.0
        assert found["generation_tokens_total"] == 6 * 150
        assert found['request_success_total{finished_reason="length"}'] == 6
        assert found["prefix_cache_queries_total"] == 24
        assert fleet.requests() == 6
        assert len(fleet["own"].metrics_at_s) == 2

    run_in_virtual_time(main)


@pytest.mark.parametrize(("form", "capture"), [("JSON", "json"), ("TEXT", "text")])
def test_a_plain_answer_carries_the_load_report_that_was_asked_for(form: str, capture: str) -> None:
    """As captured; streams carry none, nor do answers that were not asked."""
    real = dict(captures()[f"default/chat_orca_{capture}"].headers)["endpoint-load-metrics"]
    asked = {"Endpoint-Load-Metrics-Format": form}

    async def main() -> None:
        fleet = fleet_of()
        told = await ask(fleet, chat(headers=asked))
        assert told.headers["endpoint-load-metrics"] == real
        for request in (chat(), chat(headers=asked, stream=True)):
            assert "endpoint-load-metrics" not in (await ask(fleet, request)).headers
        async with asyncio.TaskGroup() as group:
            busy = [group.create_task(ask(fleet, chat(headers=asked))) for _ in range(4)]
        assert "waiting" in busy[0].result().headers["endpoint-load-metrics"]
        assert "1.0" in busy[0].result().headers["endpoint-load-metrics"]

    run_in_virtual_time(main)


def test_two_engines_behind_one_address_share_the_work() -> None:
    """7 streams on 2 x 2 slots: 2/2 and 2/1, as captured; a header picks the engine."""

    async def main() -> None:
        fleet = fleet_of(data_parallel=2, kv_blocks=128)
        async with asyncio.TaskGroup() as group:
            for _ in range(7):
                group.create_task(ask(fleet, chat(stream=True)))
            await asyncio.sleep(0.5)
            found = await page(fleet)
            assert gauges(found) == (2, 2)
            assert found['num_requests_running{engine="1"}'] == 2
            assert found['num_requests_waiting{engine="1"}'] == 1
            config = [name for name in found if name.startswith("cache_config_info")]
            assert all('kv_cache_size_tokens="4096"' in name for name in config)
            assert all('num_gpu_blocks="256"' in name for name in config)
        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(ask(fleet, chat(headers={"X-data-parallel-rank": "1"})))
            await asyncio.sleep(0.5)
            found = await page(fleet)
            assert gauges(found) == (0, 0)
            assert found['num_requests_waiting{engine="1"}'] == 1
        refused = await ask(fleet, chat(headers={"X-data-parallel-rank": "9"}))
        assert refused.json == json.loads(captures()["dp/err_rank_9"].body)

    run_in_virtual_time(main)


async def _under(wrong: Ailment, *, at_s: float) -> tuple[Any, float, dict[str, float]]:
    """What a page tells at a time, how late, and all of it.

    Three requests come at 10 s; two work until about 30 s, the third until 50 s. It ails from 15 s on.
    """
    fleet = fleet_of(answer_tokens=200)
    fleet.strike("own", wrong, from_s=15, until_s=60)
    loop = asyncio.get_running_loop()
    await asyncio.sleep(10)
    async with asyncio.TaskGroup() as group:
        asks = [group.create_task(ask(fleet, chat(stream=True))) for _ in range(3)]
        await asyncio.sleep(at_s - loop.time())
        told = await ask(fleet, WireRequest("GET", PAGE, {}), wait_s=30)
        took_s = round(loop.time() - at_s, 3)
    assert {each.result().outcome for each in asks} == {200}  # it serves as ever
    found = samples(told.body.decode()) if told.outcome == 200 else {}
    return gauges(found) if found else told.outcome, took_s, found


def test_metrics_that_are_dead_frozen_idle_late_or_slow_are_so_while_it_serves_as_ever() -> None:
    """The truth: 2/1 until 29.9 s, 1/0 until 49.9 s."""
    truth = run_in_virtual_time(lambda: _under(Slower(1), at_s=20))
    assert truth[:2] == ((2, 1), 0.005)
    for wrong, at_s, expected in (
        (MetricsFault.struck(Fault.refuse()), 20, (FailureKind.CONNECT, 0.001)),
        (MetricsFault.struck(Fault.status(500)), 20, (500, 0.01)),
        (MetricsFault.struck(Fault.hang()), 20, ("nothing", 30.0)),
        (MetricsFault.struck(Fault.slow(3)), 28, ((2, 1), 3.005)),  # values of when it was asked
        (MetricsFault.idle(), 20, ((0, 0), 0.005)),
        (MetricsFault.frozen(), 40, ((2, 1), 0.005)),
        (MetricsFault.late(18), 27, ((0, 0), 0.005)),
        (MetricsFault.late(18), 29, ((2, 1), 0.005)),
        (MetricsFault.late(18), 47, ((2, 1), 0.005)),
        (MetricsFault.late(18), 49, ((1, 0), 0.005)),
    ):
        found = run_in_virtual_time(lambda w=wrong, at=at_s: _under(w, at_s=at))  # type: ignore[misc]
        assert found[:2] == expected, (wrong, at_s)
    lying = run_in_virtual_time(lambda: _under(MetricsFault.idle(), at_s=20))[2]
    assert lying["generation_tokens_total"] == truth[2]["generation_tokens_total"]


@pytest.mark.parametrize(
    ("style", "expected"),
    [
        (
            "sglang",
            {"sglang:num_running_reqs": 2, "sglang:num_queue_reqs": 1, "sglang:token_usage": 0.25},
        ),
        ("tgi", {"tgi_batch_current_size": 2, "tgi_queue_size": 1}),
        ("llamacpp", {"llamacpp:requests_processing": 2, "llamacpp:requests_deferred": 1}),
    ],
)
def test_other_servers_tell_the_same_in_their_own_names(
    style: Any, expected: dict[str, float]
) -> None:
    """SGLang tells of its cache, the others do not."""

    async def main() -> str:
        fleet = fleet_of(metrics_style=style, kv_blocks=9)
        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(ask(fleet, chat(stream=True)))
            await asyncio.sleep(0.5)
            told = await ask(fleet, WireRequest("GET", PAGE, {}))
        return told.body.decode()

    text = run_in_virtual_time(main)
    found = {
        name: float(value)
        for name, value in re.findall(r"^([\w:]+)(?:\{.*\})? (\S+)$", text, re.MULTILINE)
    }
    assert {name: found[name] for name in expected} == expected
    assert set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE)) <= {
        name.removesuffix("_count") for name in found
    }
    assert ("usage" in text) == (style == "sglang")
