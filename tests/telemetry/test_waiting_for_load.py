"""Who waits for a server that is busy with others is let go once it is free, or nothing is known of it."""

from __future__ import annotations

import asyncio

import pytest

from hybridllm import receipt
from hybridllm.testing import Reply, run_in_virtual_time
from telemetry.watching import OVERFLOW, policy, watching

NEVER_S = 1e9
PATIENT = policy(overflow=OVERFLOW.replace("queue_ms: 3000", "queue_ms: 25000"))


def page(*, busy: bool) -> Reply:
    """Eight run and five wait, of somebody else's; or nothing is to do."""
    told = (
        f"\nvllm:num_requests_running {8.0 * busy}\nvllm:num_requests_waiting {5.0 * busy}\n"
        f"vllm:generation_tokens_total {asyncio.get_running_loop().time() * 1_000:.0f}\n"
    )
    return Reply.raw(told.encode(), headers={"content-type": "text/plain"})


@pytest.mark.parametrize(
    ("silent_from_s", "free_from_s", "waits_s"),
    [
        pytest.param(5.0, NEVER_S, 4.0, id="told-nothing-any-more"),
        pytest.param(NEVER_S, 18.0, 13.0, id="free-after-longer-than-anybody-decides"),
    ],
)
def test_who_waits_is_let_go_though_nobody_else_comes(
    silent_from_s: float, free_from_s: float, waits_s: float
) -> None:
    """It is asked on for the one who waits; silent for too long, it is waited for by nobody."""

    async def play() -> None:
        loop = asyncio.get_running_loop()

        def answer() -> Reply:
            now_s = loop.time()
            return Reply.status(500) if now_s > silent_from_s else page(busy=now_s < free_from_s)

        async with watching(PATIENT) as here:
            here.page = answer
            await here.chat()
            await asyncio.sleep(1.5)  # its answer told of an idle server, as the page does not
            served = await here.chat(residency="phi")
            assert receipt(served).attempts[0].backend == "own"
            assert waits_s < receipt(served).duration_s < waits_s + 6

    run_in_virtual_time(play)
