"""A limit that is found out: less with overload, more while it is made use of."""

from __future__ import annotations

import asyncio

import pytest

from hybridllm.testing import Reply, run_in_virtual_time
from runtime.world import Script, policy, scripted

ANSWER = Reply.chat("fine")


def seen(here: Script, name: str = "eu") -> tuple[int, int] | None:
    """(limit, waiting)."""
    return here.router._engine.fleet.slots.seen(name)


@pytest.mark.parametrize(
    ("eu", "us", "stream"),
    [
        pytest.param(Reply.status(503), ANSWER, False, id="503"),
        pytest.param(Reply.hang(), Reply.chat_stream(["u"]), True, id="no-first-token"),
    ],
)
def test_a_limit_that_is_found_out_shrinks_with_overload(
    eu: Reply, us: Reply, stream: bool
) -> None:
    """One after the other, a second apart: a tenth less each time; never under its floor."""

    async def main() -> None:
        each = "concurrency: {start: 10, min: 8, max: 20}"
        text = policy("eu", "us", each=each, timeouts="first_token: 50ms")
        async with scripted(text, eu=eu, us=us) as here:
            limits = []
            for _ in range(4):
                found = await here.chat(stream=stream)
                if stream:
                    await found.close()
                limits.append((seen(here) or (0, 0))[0])
                await asyncio.sleep(1.0)
            assert limits == [9, 8, 8, 8]
            assert seen(here, "us") == (10, 0)

    run_in_virtual_time(main)


def test_a_limit_that_is_made_use_of_grows() -> None:
    """By one a second, and who waits hears of it."""

    async def main() -> None:
        text = policy("eu", each="concurrency: {start: 2, min: 1, max: 4}")
        async with scripted(text, eu=ANSWER.after(0.5)) as here:
            for _ in range(8):
                async with asyncio.TaskGroup() as group:
                    for _ in range(4):
                        group.create_task(here.chat())
            assert seen(here) == (4, 0)

    run_in_virtual_time(main)
