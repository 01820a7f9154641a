"""The network rows of the fault catalogue, on real sockets: N1 to N6, N11, N13 and a part of N14.

Seconds are scaled down by the policy's own timeouts (see `lab.three`). A limit on wall time is on a median,
or generous: the figures themselves are measured elsewhere, on a quiet machine.
"""

from __future__ import annotations

import time
from typing import Any

import pytest

from hybridllm import DeadlineExceeded, RouteExhausted
from hybridllm._core.receipt import AttemptOutcome
from hybridllm._runtime.ports import STALE_WITHIN_S
from hybridllm.testing import Fault, Toxic
from lab.lateness import lateness
from lab.three import THREE, three
from lab.traffic import calls, served_again, steady
from runtime.world import World


def plain_and_streamed(here: World) -> Any:
    """A request, every other one a stream."""
    turn = iter(range(1_000_000))

    async def ask() -> Any:
        if next(turn) % 2:
            return await here.chat()
        stream = await here.stream()
        async with stream:
            async for _ in stream:
                pass
        return stream

    return ask


async def test_n1_a_region_that_refuses_is_left_after_ten_failures() -> None:
    """Success elsewhere, 50 ms later at most; at most 10 failures until its breaker opens; 1.02 attempts."""
    async with three(ordered=True, repeats=0) as here, lateness() as late:
        here["eu-1"].fault = Fault.refuse()
        told = await calls(350, plain_and_streamed(here))
    assert told.success == 1.0
    until_open = [bool(each.tried("eu-1")) for each in told.all].index(False)
    assert 1 <= until_open <= 10
    assert told.amplification <= 1.02
    assert told.lost_s() <= 0.050 + late.worst_s


async def test_n2_a_black_hole_costs_a_request_one_connect_timeout() -> None:
    """One attempt per request at most; those who are sent elsewhere notice nothing."""
    async with three(timeouts="total: 10s, connect: 400ms") as here, lateness() as late:
        here["eu-1"].fault = Fault.blackhole()
        told = await steady(60, 1.0, plain_and_streamed(here))
    assert told.success == 1.0
    # Connections that were kept are closed by the fault: to find that out is no attempt to connect.
    assert set(told.errors_of("eu-1")) <= {"connect_timeout", "stale_connection"}
    lost = [each for each in told.all if each.tried("eu-1")]
    for each in lost:
        assert [a.error for a in each.receipt.attempts].count("connect_timeout") == 1
        assert each.took_s >= 0.4
    assert 0.4 <= told.lost_s() <= 0.4 + 0.05 + late.worst_s
    others = [each for each in told.all if not each.tried("eu-1")]
    assert not any(each.failed_over for each in others)
    assert told.took_s(0.5, of=others) < 0.05 + late.worst_s


@pytest.mark.parametrize("kind", ["plain", "stream"])
async def test_n3_a_region_that_never_answers_is_left_within_half_a_second_more(kind: str) -> None:
    """Failover at the time limit; at 20 requests a second nobody is sent there any more soon after."""
    timeouts = "total: 10s, connect: 2s, attempt: 400ms, first_token: 400ms"
    async with three(ordered=True, repeats=0, timeouts=timeouts) as here, lateness() as late:
        here["eu-1"].fault = Fault.hang()
        told = await steady(20, 1.5, here.chat if kind == "plain" else plain_and_streamed(here))
        assert told.success == 1.0
        hung = [each for each in told.all if each.tried("eu-1")]
        limits = {"attempt_timeout", "first_token_timeout"}
        assert {each.receipt.attempts[0].error for each in hung} <= limits
        assert 0.4 <= told.lost_s() <= 0.4 + 0.05 + late.worst_s
        arrived = [request.received_at_s for request in here["eu-1"].requests]
        assert max(arrived) - min(arrived) <= 0.4 + 0.5 + late.worst_s


@pytest.mark.parametrize(
    "fault", [Fault.reset_before_head(), Fault.reset_mid_head()], ids=["after-request", "mid-head"]
)
async def test_n4_a_reset_after_the_request_may_have_been_billed(fault: Fault) -> None:
    """The request was written, so that the backend may have worked for it: the receipt says so."""
    async with three(ordered=True) as here:
        here["eu-1"].fault = fault
        told = await calls(4, plain_and_streamed(here))
        assert told.success == 1.0
        for each in told.all:
            first, last = each.receipt.attempts
            assert (first.error, first.maybe_billed) == ("reset", True)
            assert last.outcome is AttemptOutcome.SERVED
            assert not each.receipt.cost_complete


@pytest.mark.parametrize(
    "toxic", [Toxic.reset(after_bytes=2_000), Toxic.limit_data(2_000)], ids=["rst", "fin"]
)
async def test_n5_an_answer_that_breaks_in_its_middle_comes_from_elsewhere(toxic: Toxic) -> None:
    """A caller who wants the whole answer has seen nothing of it yet."""
    async with three(ordered=True, proxied=True, backends={"answer": "word " * 500}) as here:
        here.proxies["eu-1"].to_client = toxic
        told = await calls(4, here.chat)
        assert told.success == 1.0
        for each in told.all:
            first, last = each.receipt.attempts
            assert (first.backend, first.error, first.maybe_billed) == ("eu-1", "reset", True)
            assert last.outcome is AttemptOutcome.SERVED


async def test_n6_stale_connections_cost_one_repeat_and_no_failure() -> None:
    """All three close idle connections: 0 of 1,000 requests fail, and no breaker hears of it."""
    async with three(timeouts="total: 20s, connect: 2s, attempt: 5s") as here, lateness() as late:
        for seed, backend in enumerate(here.backends.values()):
            backend.seed = seed
            backend.fault = [
                Fault.stale_keep_alive("rst", probability=0.2),
                Fault.stale_keep_alive("fin", probability=0.2),
                Fault.close_idle(probability=0.1),
            ]
        told = await calls(1_000, here.chat, at_once=10)
    assert told.failed == []
    errors = [error for name in THREE for error in told.errors_of(name) if error is not None]
    # A close that is seen half a second after sending might as well be that of a backend at work.
    assert set(errors) == {"stale_connection"} or late.worst_s > STALE_WITHIN_S / 2
    assert len(errors) > 100
    assert all(told.share_of(name) > 0.1 for name in THREE)  # nobody was left


@pytest.mark.parametrize("how", ["head", "body"])
async def test_n11_a_trickle_does_not_stretch_the_deadline(how: str) -> None:
    """A byte of the head each 100 ms, or 100 kB/s of a large body: bytes come, and the deadline holds."""
    timeouts = "total: 500ms, attempt: 5s, first_token: 5s, idle: 5s"
    async with three(proxied=True, timeouts=timeouts) as here:
        for name, backend in here.backends.items():
            backend.answer = "word " * 40_000
            if how == "head":
                backend.fault = Fault.trickle(0.1)
            else:
                here.proxies[name].to_client = Toxic.bandwidth(100_000)
        await calls(1, here.chat)  # whatever is loaded at the first error is loaded
        async with lateness() as late:
            told = await calls(5, here.chat, at_once=5)
    assert [type(each.error).__mro__.count(DeadlineExceeded) for each in told.all] == [1] * 5
    for each in told.all:
        assert 0.45 <= each.took_s <= 0.5 + 0.05 + late.worst_s


@pytest.mark.parametrize("fault", [Fault.refuse(), Fault.hang()], ids=["refuse", "hang"])
async def test_n13_two_of_three_dead_fail_nobody(fault: Fault) -> None:
    """99.99 %: of 200 requests none."""
    timeouts = "total: 20s, connect: 2s, attempt: 1s, first_token: 1s"
    async with three(timeouts=timeouts) as here:
        here["eu-1"].fault = here["vllm"].fault = fault
        told = await calls(200, plain_and_streamed(here), at_once=10)
        assert told.failed == []


async def test_n14_with_all_dead_the_error_comes_at_once() -> None:
    """10 ms once the breakers are open: nobody waits for what cannot come."""
    async with three() as here:
        for backend in here.backends.values():
            backend.fault = Fault.refuse()
        await calls(60, here.chat, at_once=10)
        began_s = time.process_time()  # this process's share of a busy machine
        told = await calls(50, here.chat)
        assert all(isinstance(each.error, RouteExhausted) for each in told.all)
        assert (time.process_time() - began_s) / 50 <= 0.010
        assert min(each.took_s for each in told.all) <= 0.010


async def test_n14_after_a_total_outage_they_come_back() -> None:
    """Within 10 s of their return everybody is served again, without anybody's help."""
    async with three(repeats=0) as here:
        for backend in here.backends.values():
            backend.fault = Fault.refuse()
        await calls(100, here.chat, at_once=10)
        for backend in here.backends.values():
            backend.heal()
        await served_again(here.chat, within_s=10.0)
