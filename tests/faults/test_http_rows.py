"""The fault catalogue, H1 to H11 (H6 and H7 are elsewhere): what a status leads to, over real sockets.

`eu` is asked first, `us` stands beside it, healthy. Time passes only while nothing happens, so the
limits are those of the product, and exact. The rows about bodies are in `test_http_body_rows.py`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import openai
import pytest

from faults.bodies import PER_MINUTE, QUOTA, REQUEST_AT_FAULT
from faults.regions import OTHER_DAY_S, asked_first, left_alone, served_by, two
from faults.skipping import leap, run_skipping
from hybridllm import (
    DeadlineExceeded,
    Receipt,
    RequestRejected,
    RouteExhausted,
    Router,
    receipt,
)
from hybridllm.testing import Fault, LoopClock
from odd_backend import good
from raw_server import raw_server, whole
from runtime.world import MESSAGES, environ, many, policy, text_of

CLOSED_FOR = 12  # failures in a row with which any breaker would have opened


@asynccontextmanager
async def two_at(urls: dict[str, str]) -> AsyncIterator[Router]:
    """A router over backends at these places."""
    text = policy(*urls, urls=urls)
    async with Router.from_text(text, environ=environ(*urls), clock=LoopClock()) as router:
        yield router


async def answered(router: Router, *, stream: bool, deadline_s: float) -> Receipt:
    """The receipt of one call, read to its end."""
    reply = await router.chat.completions.create(
        task="t", messages=MESSAGES, stream=stream, deadline_s=deadline_s
    )
    if stream:
        await text_of(reply)
    return receipt(reply)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize(("status", "body", "code"), REQUEST_AT_FAULT)
def test_h1_a_request_that_is_wrong_is_sent_once_and_told(
    status: int, body: dict[str, Any], code: str | None, stream: bool
) -> None:
    """400, 413, 422 and whatever means "too long": one attempt, the backend's own words, no blame."""

    async def main() -> None:
        async with two() as here:
            here["eu"].fault = Fault.status(status, body)
            for sent in range(1, CLOSED_FOR + 1):
                with pytest.raises(RequestRejected) as caught:
                    await here.chat(stream=stream)
                assert (here.sent("eu"), here.sent("us")) == (sent, 0)
            error = caught.value
            assert (error.status_code, error.code) == (status, code)
            assert isinstance(error, openai.APIStatusError)
            assert isinstance(error, openai.BadRequestError) is (status == 400)
            said = body.get("error", body)["message"]
            assert said[:60] in str(error)
            (attempt,) = receipt(error).attempts
            assert (attempt.error, attempt.maybe_billed) == (str(status), False)
            here["eu"].heal()
            assert await asked_first(here) == "eu"

    run_skipping(main)


@pytest.mark.parametrize("status", [400, 404, 413, 422])
def test_h2_a_server_that_asks_for_a_repeat_of_a_wrong_request_does_not_get_it(status: int) -> None:
    """`x-should-retry: true` on a 400 is obeyed by the SDK; one attempt is enough to know."""

    async def main() -> None:
        async with two("eu") as here:
            headers = {"x-should-retry": "true", "retry-after": "0"}
            here["eu"].fault = Fault.status(status, headers=headers)
            with pytest.raises(openai.APIStatusError):
                await here.chat()
            assert here.sent("eu") == 1

    run_skipping(main)


@pytest.mark.parametrize("status", [401, 403])
def test_h3_a_wrong_key_is_put_aside_with_its_backend_and_told_once(
    status: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Another backend has another key; for a minute nobody uses the wrong one; one alert is given."""

    async def main() -> None:
        async with two(own_keys=True) as here:
            here["eu"].fault = Fault.status(status, {"error": {"message": "Bad key."}})
            for _ in range(CLOSED_FOR):
                assert await served_by(here) == "us"
            assert here.sent("eu") == 1
            assert len({sent.headers["authorization"] for sent in here["us"].requests}) == 1
            assert here["us"].requests[0].headers["authorization"].endswith("-us")
            (alert,) = [one for one in caplog.records if one.levelno >= logging.WARNING]
            assert "eu" in alert.getMessage()
            assert "sk-test" not in alert.getMessage()
            await left_alone(here, at_least_s=50.0, at_most_s=75.0)

    run_skipping(main)


def test_h3_a_crowd_with_a_wrong_key_gives_one_alert(caplog: pytest.LogCaptureFixture) -> None:
    """Twenty requests are under way when the key is revoked: it is one event all the same."""

    async def main() -> None:
        async with two(own_keys=True) as here:
            here["eu"].fault = Fault.status(401)
            outcomes = await many(20, 20, lambda _: served_by(here))
            assert outcomes == ["us"] * 20
            alerts = [one for one in caplog.records if "left alone" in one.getMessage()]
            assert len(alerts) == 1

    run_skipping(main)


def test_h3_the_only_key_is_refused_without_a_loop() -> None:
    """With nobody else to ask the caller gets openai's own error, of one request."""

    async def main() -> None:
        async with two("eu") as here:
            here["eu"].api_key = "another key"
            with pytest.raises(openai.AuthenticationError) as caught:
                await here.chat()
            assert here.sent("eu") == 1
            assert isinstance(caught.value, RouteExhausted)
            assert receipt(caught.value).duration_s < 1.0

    run_skipping(main)


@pytest.mark.parametrize(("status", "body"), QUOTA)
def test_h5_where_the_money_is_gone_nobody_asks_again(status: int, body: dict[str, Any]) -> None:
    """Each vendor says it in words of its own: no repeat, five minutes of quiet, another backend answers."""

    async def main() -> None:
        async with two() as here:
            here["eu"].fault = Fault.status(status, body, retry_after=1)
            told = receipt(await here.chat())
            assert [one.error for one in told.attempts] == [str(status), None]
            assert told.duration_s < 0.5
            await left_alone(here, at_least_s=265.0, at_most_s=335.0)

    run_skipping(main)


@pytest.mark.parametrize(("status", "body"), PER_MINUTE)
def test_h5_a_limit_per_minute_is_no_lack_of_money(status: int, body: dict[str, Any]) -> None:
    """DashScope calls both `insufficient_quota`: the witness for the row."""

    async def main() -> None:
        async with two() as here:
            here["eu"].fault = Fault.status(status, body, retry_after=2)
            assert await served_by(here) == "us"
            await left_alone(here, at_least_s=1.7, at_most_s=2.5)

    run_skipping(main)


def test_h5_the_only_backend_without_money_is_asked_once() -> None:
    """The SDK asks three times; the error is openai's, with its code."""

    async def main() -> None:
        async with two("eu") as here:
            here["eu"].fault = Fault.status(429, {"error": {"code": "insufficient_quota"}})
            with pytest.raises(openai.RateLimitError) as caught:
                await here.chat()
            assert caught.value.code == "insufficient_quota"
            assert here.sent("eu") == 1

    run_skipping(main)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("status", [500, 502, 503, 504, 520, 529])
def test_h8_an_error_of_the_server_goes_elsewhere_and_counts(status: int, stream: bool) -> None:
    """Every caller is served; after at most ten the breaker is open and nobody asks there."""

    async def main() -> None:
        async with two() as here:
            here["eu"].fault = Fault.status(status)
            for _ in range(CLOSED_FOR):
                text = await here.text() if stream else await served_by(here)
                assert "us" in text
            assert 5 <= here.sent("eu") <= 10
            assert await asked_first(here) == "us"

    run_skipping(main)


@pytest.mark.parametrize("status", [501, 505])
def test_h9_what_is_not_implemented_is_not_tried_again(status: int) -> None:
    """The same one would say the same: asked once, blamed for nothing."""

    async def main() -> None:
        async with two("eu") as here:
            here["eu"].fault = Fault.status(status, retry_after=1)
            for sent in range(1, CLOSED_FOR + 1):
                with pytest.raises(openai.InternalServerError):
                    await here.chat()
                assert here.sent("eu") == sent
        async with two() as here:
            here["eu"].fault = Fault.status(status)
            for _ in range(CLOSED_FOR):
                told = receipt(await here.chat())
                assert [one.backend for one in told.attempts] == ["eu", "us"]

    run_skipping(main)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_h10_a_redirect_is_not_followed(status: int) -> None:
    """Its target, wherever it is, hears nothing: not a byte. The caller gets another backend's answer."""

    async def main() -> None:
        async with two() as here, raw_server(good) as target:
            own = here["eu"].base_url.removesuffix("/v1")
            for sent, to in enumerate(
                (
                    f"{target.url}/v1/chat/completions",
                    f"{target.url.replace('http:', 'https:')}/v1/chat/completions",
                    f"{own}/v2/chat/completions",
                    "/v2/chat/completions",
                    "file:///etc/passwd",
                ),
                start=1,
            ):
                here["eu"].fault = Fault.redirect(to, code=status)
                told = receipt(await here.chat())
                assert [one.error for one in told.attempts] == [str(status), None]
                assert (target.connections, target.received) == (0, 0)
                assert {one.path for one in here["eu"].requests} == {"/v1/chat/completions"}
                assert here.sent("eu") == sent
                await leap(OTHER_DAY_S)

    run_skipping(main)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_h11_a_late_rejection_fails_over_and_the_deadline_holds(stream: bool) -> None:
    """vLLM may say 503 after nine seconds of work: it is counted, and the deadline is the caller's."""

    async def late(exchange: Any) -> None:
        await asyncio.sleep(9.0)
        body = b'{"error": {"message": "queue full", "type": "QueueOverflowError", "code": 503}}'
        await exchange.write(
            whole(body, b"HTTP/1.1 503 Busy\r\ncontent-type: application/json\r\n")
        )

    async def main() -> None:
        async with raw_server(late) as busy, raw_server(good) as well:
            urls = {"eu": f"{busy.url}/v1", "us": f"{well.url}/v1"}
            async with two_at(urls) as router:
                told = await answered(router, stream=stream, deadline_s=60)
                assert [one.error for one in told.attempts] == ["503", None]
                assert 9.0 <= told.duration_s < 9.5
            async with two_at({"eu": f"{busy.url}/v1", "us": f"{busy.url}/v1"}) as router:
                with pytest.raises(DeadlineExceeded) as caught:
                    await answered(router, stream=stream, deadline_s=15)
                assert 14.9 <= receipt(caught.value).duration_s < 15.1
            async with two_at(urls) as router:
                outcomes = await many(
                    20, 10, lambda _: answered(router, stream=stream, deadline_s=60)
                )
                assert [one.attempts[-1].backend for one in outcomes] == ["us"] * 20
                assert busy.busy == 0
                last = await answered(router, stream=stream, deadline_s=60)
                assert [one.backend for one in last.attempts] == ["us"]

    run_skipping(main)
