"""One of two regions dies, in every way there is: the caller notices nothing. Over real sockets."""

from __future__ import annotations

import asyncio
from typing import Any

import openai
import pytest

from hybridllm import RequestRejected, RouteExhausted, receipt
from hybridllm._core.receipt import AttemptOutcome
from hybridllm.testing import Fault
from lab.lateness import lateness
from runtime.world import MESSAGES, World, many, world

CALLS, AT_ONCE = 200, 20
TIMEOUTS = "total: 30s, connect: 1s, attempt: 2s, first_token: 2s, idle: 2s"

DEAD = {  # five ways, 200 calls each
    "refused": Fault.refuse(),
    "hung": Fault.hang(),
    "503": Fault.status(503),
    "reset-mid-body": Fault.cut_after(0, "rst"),
    "garbage": Fault.garbage(),
}
SICK = {  # and many more ways, with fewer calls
    "black-hole": Fault.blackhole(),
    "hung-after-head": Fault.hang_after_head(),
    "500": Fault.status(500),
    "503-retry-after": Fault.status(503, retry_after=3),
    "529": Fault.status(529),
    "reset-before-head": Fault.reset_before_head(),
    "reset-mid-head": Fault.reset_mid_head(),
    "closed-before-head": Fault.fin_before_head(),
    "closed-mid-body": Fault.cut_after(0, "fin"),
    "html": Fault.html(),
    "empty": Fault.empty(),
    "truncated": Fault.cut_after(0, "partial_event"),
    "gzip": Fault.gzip(),
    "wrong-key": Fault.status(401),
    "no-money": Fault.status(429, {"error": {"code": "insufficient_quota", "message": "m"}}),
    "rate-limited": Fault.status(429, retry_after=1),
    "no-such-model": Fault.status(404, {"error": {"code": "model_not_found", "message": "m"}}),
    "aborts": Fault.cut_after(0, "abort"),
}


@pytest.mark.parametrize(
    ("fault", "calls"),
    [pytest.param(fault, CALLS, id=name) for name, fault in DEAD.items()]
    + [pytest.param(fault, 60, id=name) for name, fault in SICK.items()],
)
async def test_with_one_of_two_regions_dead_every_call_succeeds(fault: Fault, calls: int) -> None:
    """200 of 200, half of them streams; and the dead region is soon left in peace."""
    async with world("eu", "us", ordered=False, timeouts=TIMEOUTS) as here:
        here["eu"].fault = fault

        async def call(number: int) -> str:
            if number % 2:
                return await here.text()
            answer = await here.chat()
            assert receipt(answer).attempts[-1].backend == "us"
            return answer.choices[0].message.content or ""

        outcomes = await many(calls, AT_ONCE, call)
        assert set(outcomes) == {"A simulated answer from us."}
        # Those on their way when the breaker opened, and no more.
        assert len(here["eu"].requests) <= 2 * AT_ONCE


async def test_a_region_that_dies_in_mid_traffic_costs_no_call() -> None:
    """Its connections are reset under the requests that it is working on."""
    async with world("eu", "us", ordered=False, timeouts=TIMEOUTS) as here:

        async def call(number: int) -> str:
            if number == CALLS // 2:
                here["eu"].kill()
            answer = await here.chat()
            return answer.choices[0].message.content or ""

        outcomes = await many(CALLS, AT_ONCE, call)
        assert set(outcomes) <= {f"A simulated answer from {name}." for name in ("eu", "us")}
        assert here["eu"].served > 0


async def test_with_random_errors_in_both_regions_nearly_all_calls_succeed() -> None:
    """Breakers never empty the set: a brown-out of both is survived by trying the other one.

    One in five fails. What is left where half of them fail is a matter of chance over a few hundred calls;
    `survive/test_acceptance.py` asks thousands, in virtual time.
    """
    async with world("eu", "us", ordered=False, timeouts=TIMEOUTS) as here:
        for seed, backend in enumerate(here.backends.values()):
            backend.seed = seed
            backend.fault = Fault.status(503, probability=0.2)

        async def call(_: int) -> bool:
            await here.chat()
            return True

        outcomes = await many(CALLS, AT_ONCE, call)
        assert outcomes.count(True) / CALLS >= 0.95


# --- what is the request's own fault is nobody else's business

REJECTED = [
    pytest.param(400, openai.BadRequestError, {}, id="400"),
    pytest.param(422, openai.UnprocessableEntityError, {}, id="422"),
    pytest.param(413, openai.APIStatusError, {}, id="413"),
    pytest.param(400, openai.BadRequestError, {"x-should-retry": "true"}, id="400-should-retry"),
]


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize(("status", "theirs", "headers"), REJECTED)
async def test_a_rejected_request_is_sent_once_and_to_nobody_else(
    status: int, theirs: type[Exception], headers: dict[str, str], stream: bool
) -> None:
    """It would fail the same way anywhere; and its content has no business elsewhere."""
    async with world("eu", "us") as here:
        here["eu"].fault = Fault.status(status, headers=headers)
        with pytest.raises(RequestRejected) as caught:
            await here.chat(stream=stream)
        assert isinstance(caught.value, theirs)
        assert caught.value.status_code == status
        assert (len(here["eu"].requests), len(here["us"].requests)) == (1, 0)
        (attempt,) = receipt(caught.value).attempts
        assert (attempt.status_code, attempt.maybe_billed) == (status, False)
        here["eu"].heal()
        assert receipt(await here.chat()).attempts[0].backend == "eu"  # nothing is held against it


# --- connections


@pytest.mark.parametrize("how", ["fin", "rst"])
async def test_a_stale_connection_costs_one_repeat_and_no_failure(how: Any) -> None:
    """A backend that closes idle connections is healthy; only the first repeat is free of charge."""
    async with world("eu", timeouts=TIMEOUTS) as here:
        here["eu"].fault = Fault.stale_keep_alive(how)
        for _ in range(50):
            told = receipt(await here.chat())
            assert told.attempts[-1].outcome is AttemptOutcome.SERVED
            assert [a.error for a in told.attempts[:-1]] in ([], ["stale_connection"])
            assert told.cost_complete
        assert here["eu"].served == 50
        assert not here.router._engine.fleet.breakers  # it heard of no failure


async def test_a_backend_that_closes_after_each_answer_is_served_without_a_failure() -> None:
    """200 calls, 10 at once, streams too: what the race of close and send costs, the caller never sees."""
    async with world("eu", timeouts=TIMEOUTS) as here:
        here["eu"].fault = Fault.close_idle()

        async def call(number: int) -> str:
            return await here.text() if number % 2 else str((await here.chat()).id)

        outcomes = await many(CALLS, 10, call)
        assert [each for each in outcomes if isinstance(each, Exception)] == []


async def test_kept_connections_are_used_again() -> None:
    """One call after the other, streams too: one connection."""
    async with world("eu") as here:
        for _ in range(5):
            await here.chat()
            await here.text()
        assert here["eu"].connections_opened == 1


# --- where requests may not go


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_a_redirect_is_not_followed(code: int, stream: bool) -> None:
    """Its target gets no byte: who may be asked is the policy's to say, not a backend's."""
    async with world("eu", "us", "elsewhere") as here:
        target = here["elsewhere"]
        here["eu"].fault = Fault.redirect(f"{target.base_url}/chat/completions", code=code)
        if stream:
            assert await here.text() == "A simulated answer from us."
        else:
            told = receipt(await here.chat())
            assert [a.error for a in told.attempts] == [str(code), None]
        assert target.connections_opened == 0


async def test_a_redirect_to_the_same_backend_is_not_followed_either() -> None:
    """Nor is it taken for an answer."""
    async with world("eu", repeats=0) as here:
        here["eu"].fault = Fault.redirect("/v1/other")
        with pytest.raises(RouteExhausted) as caught:
            await here.chat()
        assert caught.value.failures == (("eu", "307"),)
        assert [request.path for request in here["eu"].requests] == ["/v1/chat/completions"]


async def test_the_environments_proxies_get_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that a shell happens to name would see prompts and keys."""
    async with world("eu", "proxy") as here:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, here["proxy"].root_url)
        monkeypatch.delenv("NO_PROXY", raising=False)
        assert receipt(await here.chat()).attempts[0].backend == "eu"
        assert here["proxy"].connections_opened == 0


# --- answers that are too much


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault.gzip(), id="gzip"),
        pytest.param(Fault.gzip(decoded_bytes=64 << 20), id="gzip-bomb"),
        pytest.param(Fault.oversize_line(17 << 20), id="17-MiB"),
    ],
)
async def test_an_answer_that_is_too_much_is_refused(fault: Fault, stream: bool) -> None:
    """Compressed though nobody asked, or larger than any answer: another backend is asked."""
    async with world("eu", "us", timeouts="attempt: 5s, first_token: 5s") as here:
        here["eu"].fault = fault
        if stream:
            assert await here.text() == "A simulated answer from us."
            return
        told = receipt(await here.chat())
        assert [a.error for a in told.attempts] == ["invalid_response", None]


async def test_answers_of_1_mib_are_delivered() -> None:
    """The witness for the limit: large is not too large."""
    async with world("eu") as here:
        here["eu"].answer = "word " * 200_000
        answer = await here.chat()
        assert len(answer.choices[0].message.content) == 1_000_000


async def test_a_large_prompt_is_sent_whole() -> None:
    """Beyond 1 MiB the body is sent in pieces, and again as a whole after a failover."""
    async with world("eu", "us", timeouts="attempt: 5s") as here:
        here["eu"].fault = Fault.reset_before_head()
        content = "x" * (3 << 20)
        await here.chat(messages=[{"role": "user", "content": content}])
        (request,) = here["us"].requests
        assert request.json["messages"][0]["content"] == content


async def test_without_a_single_backend_left_the_error_comes_at_once() -> None:
    """All refuse: no back-off to wait for, each is named with its reason."""
    async with world("eu", "us", repeats=0) as there:
        for backend in there.backends.values():
            backend.fault = Fault.refuse()
        await many(20, 20, lambda _: failing(there))
        loop = asyncio.get_running_loop()
        async with lateness() as late:
            began = loop.time()
            error = await failing(there)
            assert loop.time() - began < 0.1 + late.worst_s
        assert {backend for backend, _ in error.failures} == {"eu", "us"}
        assert isinstance(error, openai.APIConnectionError)


async def failing(here: World) -> RouteExhausted:
    with pytest.raises(RouteExhausted) as caught:
        await here.chat(messages=MESSAGES)
    return caught.value
