"""A vLLM in a simulated fleet does as the captures of a real one show, and tells what it is made to tell."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest

from captures import DIRECTORY, captures
from hybridllm import Router, receipt
from hybridllm._core.resilience.outcome import FailureKind
from hybridllm._runtime.ports import WireError, WireRequest
from hybridllm.testing import (
    Ailment,
    Crowded,
    Fault,
    Frozen,
    Killed,
    LoopClock,
    MetricsFault,
    SimulatedFleet,
    Slower,
    VllmService,
    count_tokens,
    run_in_virtual_time,
    send_all,
    traffic,
)

OWN = "https://own.test/v1"
PAGE = "https://own.test/metrics"
WAKE = "https://scaler.test/wake"
# A prompt of 4 tokens takes 0.04 s, each token after the first 0.1 s, however many there are.
EVEN: dict[str, Any] = {
    "slots": 2,
    "tokens_per_s": 10.0,
    "tokens_per_s_max": 1e9,
    "prefill_tokens_per_s": 100.0,
    "answer_tokens": 11,
}


def fleet_of(*, seed: int = 1, **options: Any) -> SimulatedFleet:
    service = VllmService(**{**EVEN, **options})
    return SimulatedFleet({"own": OWN}, seed=seed, service=service, wake_urls={"own": WAKE})


def chat(text: str = "hi", headers: dict[str, str] | None = None, **fields: Any) -> WireRequest:
    body = {"model": "m", "messages": [{"role": "user", "content": text}], **fields}
    url = f"{OWN}/chat/completions"
    return WireRequest("POST", url, headers or {}, json.dumps(body).encode())


class Told:
    """One exchange: status or failure, when the head and each piece came, and what they were."""

    def __init__(self) -> None:
        self.outcome: Any = "nothing"
        self.head_s = 0.0
        self.headers: Any = {}
        self.pieces: list[tuple[float, bytes]] = []

    @property
    def body(self) -> bytes:
        return b"".join(data for _, data in self.pieces)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def events(self) -> list[Any]:
        lines = self.body.decode().splitlines()
        return [json.loads(line[6:]) for line in lines if line.startswith("data: {")]


async def ask(fleet: SimulatedFleet, request: WireRequest, *, wait_s: float = 60.0) -> Told:
    loop, told = asyncio.get_running_loop(), Told()
    began_s = loop.time()
    answer = None
    try:
        async with asyncio.timeout(wait_s):
            answer = await fleet.send(request)
            told.head_s, told.headers = round(loop.time() - began_s, 6), answer.headers
            while piece := await answer.chunk():
                told.pieces.append((round(loop.time() - began_s, 6), piece))
            told.outcome = answer.status
    except WireError as error:
        told.outcome = error.kind
    except TimeoutError:
        pass
    finally:
        if answer is not None:
            await answer.close(reusable=True)
    return told


async def page(fleet: SimulatedFleet) -> dict[str, float]:
    """Every sample of the metrics page by its name and the labels that say something."""
    told = await ask(fleet, WireRequest("GET", PAGE, {}), wait_s=30)
    assert told.outcome == 200, told.outcome
    found = {}
    for name, labels, value in re.findall(
        r"^(\S+?)\{(.*)\} (\S+)$", told.body.decode(), re.MULTILINE
    ):
        rest = re.sub(r'engine="0",|,?model_name="[^"]*"', "", labels).strip(",")
        found[f"{name.removeprefix('vllm:')}{rest and '{' + rest + '}'}"] = float(value)
    return found


def gauges(found: dict[str, float]) -> tuple[float, float]:
    return found["num_requests_running"], found["num_requests_waiting"]


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


async def _under(wrong: Ailment, *, at_s: float, fleet: SimulatedFleet | None = None) -> Any:
    """What a page tells at a time: three requests come at 10 s and work until 50 s; it ails from 15 s on."""
    fleet = fleet or fleet_of(answer_tokens=200)
    fleet.strike("own", wrong, from_s=15, until_s=60)
    loop = asyncio.get_running_loop()
    await asyncio.sleep(10 - loop.time())
    async with asyncio.TaskGroup() as group:
        asks = [group.create_task(ask(fleet, chat(stream=True), wait_s=200)) for _ in range(3)]
        await asyncio.sleep(at_s - loop.time())
        try:
            found: Any = await page(fleet)
        except AssertionError as error:
            found = error.args[0].splitlines()[0]
        took_s = loop.time() - at_s
    assert {each.result().outcome for each in asks} == {200}  # it serves as ever
    return (gauges(found) if isinstance(found, dict) else found), round(took_s, 3), found


def test_metrics_that_are_dead_frozen_idle_late_or_slow_are_so_while_it_serves_as_ever() -> None:
    """The truth: 2/1 until 29.9 s, 1/0 until 49.9 s."""
    truth = run_in_virtual_time(lambda: _under(Slower(1), at_s=20))
    assert truth[:2] == ((2, 1), 0.005)
    for wrong, at_s, expected in (
        (MetricsFault.struck(Fault.refuse()), 20, ("connect", 0.001)),
        (MetricsFault.struck(Fault.status(500)), 20, ("500", 0.01)),
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


def test_a_frozen_engine_answers_its_pages_and_nobody_else() -> None:
    """As under SIGSTOP: health 200, frozen gauges, requests hang; afterwards all goes on."""

    async def main() -> None:
        fleet = fleet_of()
        fleet.strike("own", Frozen(), from_s=0.54, until_s=10.54)
        async with asyncio.TaskGroup() as group:
            one = group.create_task(ask(fleet, chat(stream=True)))
            await asyncio.sleep(5)
            new = await ask(fleet, chat(stream=True), wait_s=2)
            assert (new.outcome, new.head_s, new.pieces) == ("nothing", 0.01, [])
            assert gauges(await page(fleet)) == (1, 0)
            health = await ask(fleet, WireRequest("GET", "https://own.test/health", {}))
            assert health.outcome == 200
            late = group.create_task(ask(fleet, chat()))
        assert one.result().pieces[-1][0] == pytest.approx(11.04)
        assert late.result().outcome == 200

    run_in_virtual_time(main)


def test_slowness_death_and_crowding_ail_it_as_they_ail_others() -> None:
    """Ten times slower; cut off at the moment of its death; fewer slots."""

    async def main() -> None:
        fleet = fleet_of()
        fleet.strike("own", Slower(10), from_s=0.04, until_s=5.04)
        assert (await ask(fleet, chat())).head_s == pytest.approx(0.04 + 5 + 0.5)
        fleet = fleet_of()
        fleet.strike("own", Killed(), from_s=20, until_s=30)
        await asyncio.sleep(19.5 - asyncio.get_running_loop().time())
        async with asyncio.TaskGroup() as group:
            cut = [group.create_task(ask(fleet, chat(stream=s))) for s in (True, False, True)]
        assert {each.result().outcome for each in cut} == {FailureKind.RESET}
        assert cut[0].result().pieces
        assert (fleet["own"].at_work, fleet["own"].waiting) == (0, 0)
        assert (await ask(fleet, chat())).outcome is FailureKind.CONNECT
        assert (await ask(fleet, WireRequest("GET", PAGE, {}))).outcome is FailureKind.CONNECT
        await asyncio.sleep(10)
        assert (await page(fleet))["prompt_tokens_total"] == 0  # it has been started anew
        fleet.strike("own", Crowded(1, queue_max=1))
        async with asyncio.TaskGroup() as group:
            asks = [group.create_task(ask(fleet, chat())) for _ in range(3)]
        assert [each.result().outcome for each in asks] == [200, 200, 503]

    run_in_virtual_time(main)


@pytest.mark.parametrize(
    ("fault", "outcome", "took_s"),
    [
        (Fault.refuse(), FailureKind.CONNECT, 0.001),
        (Fault.status(503), 503, 0.01),
        (Fault.hang(), "nothing", 60.0),
        (Fault.hang_after_head(), "nothing", 60.0),
        (Fault.slow(3), 200, 4.04),
        (Fault.cut_after(1, "rst"), FailureKind.RESET, 0.04),
        (Fault.cut_after(1, "stall"), "nothing", 60.0),
        (Fault.cut_after(1, "abort"), 200, 0.04),
        (Fault.cut_after(0, "eof"), 200, 0.04),
    ],
)
def test_faults_strike_its_requests_and_leave_its_slots_free(
    fault: Fault, outcome: Any, took_s: float
) -> None:
    """As everybody's; a stream is cut after its first piece."""

    async def main() -> None:
        fleet = fleet_of()
        fleet.strike("own", fault, until_s=0.5)
        loop = asyncio.get_running_loop()
        told = await ask(fleet, chat(stream=True))
        assert (told.outcome, round(loop.time(), 3)) == (outcome, took_s)
        if fault.how == "abort":
            assert told.events[-1]["choices"][0]["finish_reason"] == "abort"
        elif fault.how == "eof":
            assert len(told.events) == 1
        assert (fleet["own"].at_work, fleet["own"].waiting) == (0, 0)

    run_in_virtual_time(main)


async def _post_wake(fleet: SimulatedFleet) -> Any:
    return (await ask(fleet, WireRequest("POST", WAKE, {}, b"{}"))).outcome


@pytest.mark.parametrize("status", [None, 503])
@pytest.mark.parametrize("by_request", [True, False])
def test_a_sleeping_server_refuses_until_it_is_woken_and_has_loaded(
    status: int | None, by_request: bool
) -> None:
    """By its wake URL, or by a request; while it loads its port is closed. It falls asleep on demand."""

    async def main() -> None:
        fleet = fleet_of(
            asleep=True, asleep_status=status, woken_by_request=by_request, cold_start_s=15
        )
        own, loop = fleet["own"], asyncio.get_running_loop()

        def state() -> str:
            return own.state

        asleep = status or FailureKind.CONNECT
        for request in (WireRequest("GET", PAGE, {}), WireRequest("GET", f"{OWN}/models", {})):
            assert (await ask(fleet, request)).outcome == asleep
            assert state() == "asleep"
        assert (await ask(fleet, chat())).outcome == asleep
        if not by_request:
            assert state() == "asleep"
            assert await _post_wake(fleet) == 202
        woken_s = loop.time()
        assert state() == "loading"
        await asyncio.sleep(14.9)
        assert await _post_wake(fleet) == 202  # once more makes no difference
        assert (await ask(fleet, chat())).outcome is FailureKind.CONNECT
        assert (await ask(fleet, WireRequest("GET", PAGE, {}))).outcome is FailureKind.CONNECT
        await asyncio.sleep(woken_s + 15 - loop.time())
        assert state() == "awake"
        assert (await ask(fleet, chat("once" * 40))).json["usage"]["prompt_tokens"] == 43
        async with asyncio.TaskGroup() as group:
            cut = group.create_task(ask(fleet, chat(stream=True)))
            await asyncio.sleep(0.5)
            own.sleep()
        assert cut.result().outcome is FailureKind.RESET
        assert state() == "asleep"
        own.wake()
        await asyncio.sleep(15)
        told = (await ask(fleet, chat("once" * 40))).json["usage"]  # and remembers nothing
        assert told["prompt_tokens_details"]["cached_tokens"] == 0

    run_in_virtual_time(main)


def test_a_policy_names_the_wake_url_and_others_never_sleep() -> None:
    """`of` reads it; to put a hosted API to sleep is a mistake of the test."""
    text = f"""
version: 1
backends:
  own:
    kind: vllm
    base_url: {OWN}
    cold_start: {{takes: 15s, wake: {WAKE}}}
  eu: {{kind: api, base_url: https://eu.test/v1}}
models: {{m: {{on: {{own: m, eu: m}}}}}}
routes: [{{name: all, use: m}}]
"""

    async def main() -> None:
        policy = Router.from_text(text).policy
        fleet = SimulatedFleet.of(policy, service={"own": VllmService(asleep=True)})
        assert await _post_wake(fleet) == 202
        assert (fleet["own"].state, fleet["eu"].state) == ("loading", "awake")
        for act in (fleet["eu"].sleep, fleet["eu"].wake):
            with pytest.raises(ValueError, match="'eu' never sleeps"):
                act()
        assert (await ask(fleet, WireRequest("GET", "https://eu.test/metrics", {}))).outcome == 404

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
