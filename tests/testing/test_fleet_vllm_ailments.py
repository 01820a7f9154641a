"""A vLLM in a simulated fleet that is ill, frozen, dead or asleep."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hybridllm import Router
from hybridllm._core.resilience.outcome import FailureKind
from hybridllm._runtime.ports import WireRequest
from hybridllm.testing import (
    Crowded,
    Fault,
    Frozen,
    Killed,
    SimulatedFleet,
    Slower,
    VllmService,
    run_in_virtual_time,
)
from testing.vllm_fleet import OWN, PAGE, WAKE, ask, chat, fleet_of, gauges, page


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
            return str(own.state)

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
