"""Backends whose load decides are asked for their metrics while in use, and nobody else is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hybridllm import Router, check, receipt
from hybridllm._core.policy.compiled import Policy
from hybridllm._core.telemetry.pages import PAGE_BYTES_MAX
from hybridllm._runtime.load_watch import UNUSED_S
from hybridllm.testing import (
    Fault,
    Frozen,
    LoopClock,
    MetricsFault,
    Reply,
    ScriptedWire,
    VllmService,
    run_in_virtual_time,
)
from telemetry.pages import page, recorded, vllm_page
from telemetry.watching import KEY, MESSAGES, OVERFLOW, PAGE_URL, SERVICE, Here, policy, watching


def in_virtual_time(
    play: Callable[[Here], Any], text: str = "", service: VllmService = SERVICE
) -> None:
    async def main() -> None:
        async with watching(text, service) as here:
            await play(here)

    run_in_virtual_time(main)


async def backend_of(asked: Any) -> str:
    return receipt(await asked).attempts[-1].backend


def test_without_a_load_that_decides_nobody_is_asked() -> None:
    """A policy without overflows: no page, no task, no header."""

    async def play(here: Here) -> None:
        await here.chat()
        await asyncio.sleep(5)
        assert len(here.requests) == 1
        assert "endpoint-load-metrics-format" not in here.requests[0].headers
        assert not here.router._engine.fleet.loads

    in_virtual_time(play, policy(overflow=""))


def test_a_backend_in_use_is_asked_about_once_a_second_and_no_longer() -> None:
    """From the first request on; ten seconds after the last one it ends by itself, and begins anew."""

    async def play(here: Here) -> None:
        for _ in range(3):
            await asyncio.sleep(5)
            await here.chat()
        begun_s = asyncio.get_running_loop().time()
        gaps = [after - before for before, after in zip(here.looks, here.looks[1:], strict=False)]
        assert all(0.85 <= gap <= 1.15 for gap in gaps)
        assert len(set(gaps)) > 5  # spread
        assert 12 <= len(here.looks) <= 19
        await asyncio.sleep(60)
        assert here.looks[-1] <= begun_s + UNUSED_S
        before = len(here.looks)
        await here.chat()
        await asyncio.sleep(1)
        assert len(here.looks) > before
        assert not here.load.stale

    in_virtual_time(play)


def test_a_look_tells_nothing_of_anybody() -> None:
    """No body and no key; the headers are ours and the policy's. The hosted API is not asked."""

    async def play(here: Here) -> None:
        await here.chat()
        await asyncio.sleep(3)
        assert {each.url for each in here.pages} == {PAGE_URL}
        look = here.pages[0]
        assert (look.method, look.body, look.private_allowed) == ("GET", None, True)
        assert {name.lower() for name in look.headers} == {
            "accept",
            "accept-encoding",
            "user-agent",
            "x-team",
        }
        assert KEY not in str(dict(look.headers))

    in_virtual_time(play)


def test_decisions_look_at_what_was_told() -> None:
    """Six requests on four slots: the sixth goes to the API, as soon as the queue was seen."""

    async def play(here: Here) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(5):
                group.create_task(here.chat(stream=False))
            await asyncio.sleep(0.6)
            assert (here.load.running, here.load.waiting) == (4, 1)
            assert here.load.saturated == "about 1 waiting in its queue"
            assert await backend_of(here.chat()) == "api"
        await asyncio.sleep(1.5)
        assert (here.load.running, here.load.waiting, here.load.saturated) == (0, 0, "")
        assert await backend_of(here.chat()) == "own"

    in_virtual_time(play)


def test_whole_answers_bring_a_load_report_in_their_heads() -> None:
    """Asked for of vLLM alone, and not with streams; it goes before an older page."""

    async def play(here: Here) -> None:
        await here.chat()
        async for _ in await here.chat(stream=True):
            pass
        await here.chat(extra_headers={})
        sent = [each for each in here.requests if each.body is not None]
        asked = ["endpoint-load-metrics-format" in each.headers for each in sent]
        assert asked == [True, False, True]
        heard = here.own.heard
        assert heard is not None
        assert heard.at_s > heard.page_at_s

    in_virtual_time(play)


@pytest.mark.parametrize(
    "told",
    [
        pytest.param(Reply.status(500), id="500"),
        pytest.param(Reply.status(401), id="401"),
        pytest.param(Reply.raw(b"<html>hello</html>"), id="html"),
        pytest.param(Reply.raw(page("", go_goroutines=7)), id="another-programme"),
        pytest.param(Reply.raw(b"vllm:" + b"x" * PAGE_BYTES_MAX), id="too-large"),
        pytest.param(
            Reply.raw(page(vllm__num_requests_running=1), headers={"content-encoding": "gzip"}),
            id="gzip",
        ),
    ],
)
def test_what_is_no_page_of_metrics_leaves_the_load_unknown(told: Reply) -> None:
    """Neither stale nor saturated; requests go there as ever. It is asked rarer and rarer."""

    async def play(here: Here) -> None:
        here.page = lambda: told
        for _ in range(60):
            answer = await here.chat(stream=True)
            await answer.close()
            await asyncio.sleep(1)
        assert (here.load.running, here.load.waiting, here.load.saturated) == (None, None, "")
        assert not here.load.stale
        assert await backend_of(here.chat()) == "own"
        assert 8 <= len(here.pages) <= 16

    in_virtual_time(play)


@pytest.mark.parametrize(
    "fault", [Fault.refuse(), Fault.hang(), Fault.status(503)], ids=["refused", "hangs", "503"]
)
def test_a_server_that_has_told_something_and_falls_silent_is_left_to_others(fault: Fault) -> None:
    """Five seconds after its last word; back with its next one."""

    async def play(here: Here) -> None:
        here.fleet.strike("own", MetricsFault.struck(fault), from_s=5, until_s=20)
        served = []
        for _ in range(30):
            stream = await here.chat(stream=True)
            served.append((asyncio.get_running_loop().time(), stream.backend))
            await stream.close()
            await asyncio.sleep(1)
        assert {name for at_s, name in served if at_s < 9} == {"own"}
        assert {name for at_s, name in served if 12 < at_s < 20} == {"api"}
        assert {name for at_s, name in served if at_s > 25} == {"own"}

    in_virtual_time(play)


def test_a_frozen_engine_is_left_though_its_page_says_that_all_is_well() -> None:
    """After six seconds without a step; what it had taken hangs until it goes on."""

    async def play(here: Here) -> None:
        here.fleet.strike("own", Frozen(), from_s=3, until_s=16)
        async with asyncio.TaskGroup() as group:

            async def ask() -> None:
                async for _ in await here.chat(stream=True):
                    pass

            await asyncio.sleep(2.5)
            group.create_task(ask())
            for _ in range(16):
                assert here.load.saturated == "" or asyncio.get_running_loop().time() > 3
                await asyncio.sleep(0.5)
            assert here.load.saturated.startswith("no progress for ")
            assert await backend_of(here.chat()) == "api"
        await asyncio.sleep(1.5)
        assert here.load.saturated == ""

    in_virtual_time(play)


def test_a_request_that_may_not_leave_goes_when_the_page_says_that_there_is_room() -> None:
    """Somebody else fills the server; nothing of ours ends there that could free a slot."""

    async def play(here: Here) -> None:
        busy = page(vllm__num_requests_running=4, vllm__num_requests_waiting=2)
        here.page = lambda: Reply.raw(busy)
        stream = await here.chat(stream=True)
        await stream.close()
        await asyncio.sleep(2.2)
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(here.chat(residency="phi"))
            await asyncio.sleep(0.5)
            assert here.router._engine.fleet.slots.seen("own") == (None, 1)
            here.page = None
            begun_s = asyncio.get_running_loop().time()
        served = receipt(waiting.result())
        assert served.attempts[-1].backend == "own"
        assert served.started_at is not None
        assert here.looks[0] - begun_s < 1.2

    in_virtual_time(play)


def test_much_that_was_sent_since_makes_it_be_asked_sooner() -> None:
    """A burst onto a server whose slots were not seen yet: it is asked again after a quarter of a second."""

    async def play(here: Here) -> None:
        await here.chat()
        await asyncio.sleep(1)
        begun_s = asyncio.get_running_loop().time()
        async with asyncio.TaskGroup() as group:
            for _ in range(12):
                group.create_task(here.chat())
                await asyncio.sleep(0.1)
        assert sum(begun_s < at_s < begun_s + 0.8 for at_s in here.looks) >= 2
        assert here.fleet["own"].requests() <= 1 + 4 + 3

    in_virtual_time(play)


def test_a_reload_that_looks_at_nobodys_load_ends_the_asking(tmp_path: Path) -> None:
    """What was learnt of a server that is where it was is kept, by the policy's new words."""

    def read(text: str) -> Policy:
        (tmp_path / "team.yaml").write_text(text)
        found = check(tmp_path / "team.yaml").policy
        assert found is not None
        return found

    async def play(here: Here) -> None:
        await here.chat()
        engine = here.router._engine
        engine.follow(read(policy(own="saturation: {queue_depth: 3}")))
        assert here.own.sent == 1
        assert here.own.backend.saturation.waiting_max == 3
        engine.follow(read(policy(overflow="")))
        assert not engine.fleet.loads
        before = len(here.looks)
        await asyncio.sleep(5)
        assert len(here.looks) <= before + 1

    in_virtual_time(play)


@pytest.mark.parametrize("after_s", [0.0, 0.001, 0.5, 2.0])
def test_a_router_that_is_closed_asks_no_more(after_s: float) -> None:
    """In the middle of a look too: no task is left, and no connection (`no_leaks` counts them)."""

    async def play(here: Here) -> None:
        here.fleet.strike("own", MetricsFault.struck(Fault.hang()))
        await here.chat()
        await asyncio.sleep(after_s)
        await here.router.aclose()
        loads = here.router._engine.fleet.loads
        loads.of()  # what was broken off may still decide
        assert loads.watch is None

    in_virtual_time(play)


def test_the_status_tells_the_load() -> None:
    """In figures, and in a line for people."""

    async def play(here: Here) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(5):
                group.create_task(here.chat())
            await asyncio.sleep(1.5)
            own, api = here.router.status().backends
            assert (own.running, own.queued, own.saturated) == (
                4,
                1,
                "about 1 waiting in its queue",
            )
            assert (api.running, api.queued, api.saturated) == (None, None, "")
            assert own.kv_used is not None
            text = str(here.router.status())
            assert "load of own: 4 running, 1 queued, KV cache " in text
            assert "; saturated: about 1 waiting in its queue" in text

    in_virtual_time(play)


def test_a_page_of_a_real_server_is_read_on_its_way() -> None:
    """As it was recorded, in pieces."""

    async def play(here: Here) -> None:
        told = recorded()["dp/metrics_under_load"]
        here.page = lambda: Reply(
            200, (), tuple(told[i : i + 4_096] for i in range(0, len(told), 4_096))
        )
        stream = await here.chat(stream=True)
        await asyncio.sleep(0.5)
        assert (here.load.running, here.load.waiting) == (4, 3)
        await stream.close()

    in_virtual_time(play)


def test_many_backends_are_asked_rarer_and_not_all_at_once() -> None:
    """Twenty pages a second on average, so that forty cost no more than twenty; a few at a time."""

    async def play(here: Here) -> None:
        here.page = lambda: Reply.raw(vllm_page())
        stream = await here.chat(stream=True)
        await stream.close()
        await asyncio.sleep(0.97)
        assert 18 <= len(here.pages) == len({each.url for each in here.pages}) <= 36
        await asyncio.sleep(5.0)
        assert len({each.url for each in here.pages}) == 40
        assert 90 <= len(here.pages) <= 140

    names = [f"own{number}" for number in range(39)]
    url = "http://own.internal:8000/{}/v1"
    more = "\n".join(
        f"  {name}: {{kind: vllm, base_url: '{url.format(name)}', allow_plaintext: true, operator: self, "
        "region: eu, retention: none}"
        for name in names
    )
    text = policy().replace("  api: {kind", f"{more}\n  api: {{kind", 1)
    text = text.replace(
        "on: {own: m, api: m}", f"on: {{own: m, api: m, {', '.join(f'{n}: m' for n in names)}}}"
    )
    text = text.replace("on: [own, api]", f"on: [own, api, {', '.join(names)}]")
    text = text.replace("from: own,", f"from: [own, {', '.join(names)}],")
    assert OVERFLOW not in text
    in_virtual_time(play, text)


def test_in_another_event_loop_the_asking_begins_anew() -> None:
    """The former one was closed without a word."""
    api = ScriptedWire({"api.test": Reply.chat("api"), "own.internal": Reply.chat("own")})
    router = Router.from_text(policy(), wire=api, environ={"OWN_KEY": KEY}, clock=LoopClock())

    async def ask() -> int:
        before = len(api.health_requests)  # a look is one, for this wire
        await router.chat.completions.create(messages=MESSAGES)
        await asyncio.sleep(3.5)
        return len(api.health_requests) - before

    assert run_in_virtual_time(ask) == run_in_virtual_time(ask) == 4

    async def close() -> None:
        await router.aclose()

    run_in_virtual_time(close)


def test_what_a_backend_did_to_us_is_part_of_its_load() -> None:
    """Its breaker is open: it is out until a probe may pass, or no request would ever be that probe."""

    async def play(here: Here) -> None:
        await here.chat()
        now_s = asyncio.get_running_loop().time()
        here.fleet.strike("own", Fault.refuse(), from_s=now_s, until_s=now_s + 3)
        assert here.load.out == frozenset()
        for _ in range(5):
            await here.chat()
        assert here.load.out == {"m"}
        assert await backend_of(here.chat()) == "api"
        await asyncio.sleep(6)
        assert here.load.out == frozenset()
        assert await backend_of(here.chat()) == "own"

    in_virtual_time(play)
