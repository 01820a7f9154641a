"""How a request's time is shared among those who may answer it, and who is blamed when it runs out.

In virtual time. A first backend that hangs must leave the others enough; a caller in a hurry proves
nothing about a backend.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hybridllm import DeadlineExceeded, RouteExhausted, receipt
from hybridllm.testing import Reply, run_in_virtual_time
from runtime.world import Script, policy, script, scripted, text_of

HANG = Reply.hang()
ROLE_ONLY = Reply.chat_stream([], usage=None, finish_reason=None, done=False).then_hang()
TALK = Reply.chat_stream(["a", "b"])
TEN = tuple(f"b{number}" for number in range(10))


def now_s() -> float:
    return asyncio.get_running_loop().time()


def blamed(here: Script) -> set[str]:
    """The backends that a breaker holds something against."""
    return {backend for backend, _ in here.router._engine.fleet.breakers}


def refused(here: Script) -> set[str]:
    """The backends whose breaker is open."""
    told = here.router.explain(task="t")
    return {told.candidates[place].split("/")[0] for place in told.refusals}


@pytest.mark.parametrize("reply", [HANG, ROLE_ONLY], ids=["no-head", "role-only"])
def test_a_stream_that_hangs_leaves_the_next_one_its_share(reply: Reply) -> None:
    """The deadline is shorter than `first_token`: half of it each, and the second one answers."""

    async def main() -> None:
        text = policy("eu", "us", timeouts="first_token: 30s")
        async with scripted(text, eu=reply, us=TALK.after(0.9)) as here:
            stream = await here.stream(deadline_s=2.0)
            assert now_s() == pytest.approx(1.9)
            assert await text_of(stream) == "ab"
            failed, served = stream.receipt.attempts
            assert (failed.backend, failed.error) == ("eu", "first_token_timeout")
            assert failed.duration_s == pytest.approx(1.0)
            assert served.backend == "us"

    run_in_virtual_time(main)


def test_a_share_of_a_stream_is_never_longer_than_the_limit_for_its_first_token() -> None:
    """With much time left, the policy's limit is the shorter one."""

    async def main() -> None:
        text = policy("eu", "us", timeouts="first_token: 3s")
        async with scripted(text, eu=HANG, us=TALK) as here:
            stream = await here.stream(deadline_s=600)
            assert now_s() == 3.0
            assert await text_of(stream) == "ab"

    run_in_virtual_time(main)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_ten_candidates_share_by_the_six_attempts_that_may_be_made(stream: bool) -> None:
    """A tenth for each would leave time for four who are never asked."""

    async def main() -> None:
        text = policy(*TEN, repeats=0, timeouts="first_token: 60s")
        async with scripted(text, **dict.fromkeys(TEN, HANG)) as here:
            with pytest.raises((DeadlineExceeded, RouteExhausted)) as caught:
                await here.chat(stream=stream, deadline_s=12.0)
            lasted = [attempt.duration_s for attempt in receipt(caught.value).attempts]
            assert lasted == pytest.approx([2.0] * 6)

    run_in_virtual_time(main)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("reply", [HANG, ROLE_ONLY], ids=["no-head", "role-only"])
def test_a_hurried_caller_blames_no_backend(reply: Reply, stream: bool) -> None:
    """Ten times in a row, twice as often as opens a breaker; the eleventh request finds it closed."""

    async def main() -> None:
        text = policy("eu", "us", timeouts="first_token: 30s")
        async with scripted(text, eu=[*[reply] * 10, TALK], us=reply) as here:
            for _ in range(10):
                with pytest.raises((DeadlineExceeded, RouteExhausted)):
                    await here.chat(stream=stream, deadline_s=1.0)
            assert blamed(here) == set()
            late = await here.stream()
            assert late.backend == "eu"
            await late.close()

    run_in_virtual_time(main)


@pytest.mark.parametrize(
    ("timeouts", "stream", "hints"),
    [
        pytest.param("first_token: 500ms", True, {}, id="first_token"),
        pytest.param("first_token: 500ms", True, {"deadline_s": 60}, id="first_token-in-time"),
        pytest.param("attempt: 500ms", False, {}, id="attempt"),
        pytest.param("attempt: 500ms", False, {"deadline_s": 60}, id="attempt-in-time"),
        pytest.param("total: 1s", False, {}, id="total"),
        pytest.param("total: 1s", True, {}, id="total-of-a-stream"),
    ],
)
def test_the_policys_own_limits_blame_the_backend(
    timeouts: str, stream: bool, hints: dict[str, Any]
) -> None:
    """Who takes longer than the operator allows is sick: five times, and it is passed over."""

    async def main() -> None:
        good = TALK if stream else Reply.chat("fine")
        async with scripted(policy("eu", "us", timeouts=timeouts), eu=HANG, us=good) as here:
            for _ in range(6):
                answer = await here.chat(stream=stream, **hints)
                if stream:
                    await text_of(answer)
            assert here.sent("eu") == 5
            assert refused(here) == {"eu"}

    run_in_virtual_time(main)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_in_panic_too_the_time_is_shared(stream: bool) -> None:
    """Both breakers are open and both are asked all the same: the first may not use it all up."""

    async def main() -> None:
        busy = [Reply.status(503)] * 5
        good = TALK if stream else Reply.chat("fine")
        text = policy("eu", "us", repeats=0, timeouts="first_token: 60s")
        async with scripted(text, eu=[*busy, HANG], us=[*busy, good.after(0.5)]) as here:
            for _ in range(5):
                with pytest.raises(RouteExhausted):
                    await here.chat()
            assert refused(here) == {"eu", "us"}
            await asyncio.sleep(1.01)  # in panic one a second always passes
            answer = await here.chat(stream=stream, deadline_s=2.0)
            if stream:
                await text_of(answer)
            failed, served = receipt(answer).attempts
            assert failed.duration_s == pytest.approx(1.0)
            assert served.backend == "us"

    run_in_virtual_time(main)


def test_who_is_refused_takes_no_share() -> None:
    """With one breaker open, the only one left has all the time."""

    async def main() -> None:
        busy = [Reply.status(503)] * 5
        slow = Reply.chat("slow").after(1.8)
        text = policy("eu", "us", repeats=0)
        async with scripted(text, eu=busy, us=[*[Reply.chat("x")] * 5, slow]) as here:
            for _ in range(5):
                await here.chat()
            answer = await here.chat(deadline_s=2.0)
            assert [a.backend for a in receipt(answer).attempts] == ["us"]

    run_in_virtual_time(main)


def test_a_deadline_in_the_middle_of_a_healthy_stream_blames_nobody() -> None:
    """Ten times: its breaker stays closed, and it is asked first."""

    async def main() -> None:
        slow = Reply.chat_stream(list("abcdefgh")).paced(0.5)
        async with script("eu", "us", eu=slow, us=TALK) as here:
            for _ in range(10):
                stream = await here.stream(deadline_s=3.5)
                assert stream.backend == "eu"
                with pytest.raises(DeadlineExceeded):
                    await text_of(stream)
            assert blamed(here) == set()

    run_in_virtual_time(main)


def test_a_stream_that_stalls_in_its_middle_is_to_blame() -> None:
    """The witness for the test above."""

    async def main() -> None:
        stalled = Reply.chat_stream(["a"], usage=None, finish_reason=None, done=False).then_hang()
        async with scripted(policy("eu", timeouts="idle: 1s"), eu=stalled) as here:
            stream = await here.stream(deadline_s=30)
            with pytest.raises(Exception, match="stalled"):
                await text_of(stream)
            assert blamed(here) == {"eu"}

    run_in_virtual_time(main)
