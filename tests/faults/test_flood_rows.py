"""The fault catalogue, row S8: streams that are all noise. Capped, cheap, and nobody else's trouble."""

from __future__ import annotations

import asyncio
import time
from statistics import quantiles
from typing import Any

from faults.odd_answers import odd_table
from faults.skipping import run_skipping
from hybridllm import Router
from odd_backend import HEL, ROLE, Odd, good, stream
from raw_server import STREAM_HEAD, Exchange, chunk, raw_server
from runtime.world import MESSAGES, environ, policy

MIB = 1 << 20
LINES_PER_S, EVERY_S = 100_000, 0.02
PATIENCE = 4  # rounds until one of them is not disturbed by the rest of the machine


def flood(block: bytes, total: int, sent: list[int], *before: bytes) -> Odd:
    """So many bytes of this, as fast as they are taken."""

    async def play(exchange: Exchange) -> None:
        await exchange.write(STREAM_HEAD)
        for data in before:
            await exchange.write(chunk(data))
        for _ in range(total // len(block)):
            await exchange.write(chunk(block))
            sent.append(len(block))
            await asyncio.sleep(0)
        await exchange.write(chunk(b""))

    return play


# The block, how much of it is sent, and how much of that may be taken before it is refused.
NOISE = {
    "a line of 200 MiB": (b"x" * 65_536, 200 * MIB, 8 * MIB),
    "a comment of 200 MiB": (b":" * 65_536, 200 * MIB, 8 * MIB),
    "an event of 200 MiB": ((b"data: " + b"x" * 1_018 + b"\n") * 64, 200 * MIB, 12 * MIB),
    "a million blank lines": (b"\n" * 65_536, 2_000_000, 2_000_000),
    "a million empty events": (b"data:\n\n" * 8_192, 7_000_000, 2 * MIB),
    "a million events without data": (b"event: x\n\n" * 4_096, 10_000_000, 10_000_000),
    "comments without an end": (b": ping\n" * 8_192, 100 * MIB, 40 * MIB),
}


def test_s8_noise_is_capped_and_cheap() -> None:
    """A stream is given up long before it fills the memory; a million lines cost a second, not a minute."""

    async def main() -> None:
        async with odd_table() as table:
            for place, (name, (block, total, taken_max)) in enumerate(NOISE.items()):
                before, said = ((ROLE, HEL), None) if place % 2 else ((), "hello")
                sent: list[int] = []
                began_s = time.process_time()
                told = await table.told(flood(block, total, sent, *before), stream=True)
                cost_s = time.process_time() - began_s
                assert told.text == said, name
                assert told.history[0][1] in {"invalid_response", "stream_interrupted"}, name
                assert sum(sent) <= taken_max, name
                assert cost_s < 5.0, f"{name}: {cost_s:.2f} s"

    run_skipping(main)


async def noisy(exchange: Exchange) -> None:
    """A hundred thousand comment lines in a second, for as long as somebody listens."""
    await exchange.write(STREAM_HEAD + chunk(ROLE) + chunk(HEL))
    lines = chunk(b": ping\n" * int(LINES_PER_S * EVERY_S))
    while not exchange.writer.is_closing():
        await exchange.write(lines)
        await asyncio.sleep(EVERY_S)


async def quiet(exchange: Exchange) -> None:
    """The same stream without a word."""
    await stream(ROLE, HEL, end="open")(exchange)
    await exchange.peer_left()


async def p99_s(router: Router) -> float:
    """How long other calls take, while one stream is listened to."""
    loop = asyncio.get_running_loop()
    took_s = []

    async def listen() -> None:
        begun: Any = await router.chat.completions.create(
            task="noise", messages=MESSAGES, stream=True
        )
        async with begun:
            async for _ in begun:
                pass

    async with asyncio.TaskGroup() as group:
        listening = group.create_task(listen())
        for _ in range(100):
            began_s = loop.time()
            await router.chat.completions.create(task="t", messages=MESSAGES)
            took_s.append(loop.time() - began_s)
        assert not listening.done()
        listening.cancel()
    return quantiles(took_s, n=100)[-1]


async def test_s8_a_flood_of_comments_slows_nobody_else() -> None:
    """The others' p99 stays below twice what it is beside a silent stream."""

    async def slow(exchange: Exchange) -> None:
        await asyncio.sleep(0.01)
        await good(exchange)

    now: dict[str, Odd] = {}

    async def noise(exchange: Exchange) -> None:
        await now["play"](exchange)

    async with raw_server(slow) as server, raw_server(noise) as flooding:
        urls = {"eu": f"{server.url}/v1", "noise": f"{flooding.url}/v1"}
        text = policy(*urls, urls=urls).replace(
            "use: [{model: m, on: [eu, noise]}]", "use: [{model: m, on: [eu]}]"
        )
        text = text.replace("routes:\n", NOISE_ROUTE).replace(
            "tasks:\n", "tasks:\n  noise: {bucket: bandwidth}\n"
        )
        async with Router.from_text(text, environ=environ()) as router:
            ratios = []
            for _ in range(PATIENCE):
                now["play"] = quiet
                calm_s = await p99_s(router)
                now["play"] = noisy
                ratios.append(await p99_s(router) / calm_s)
                if ratios[-1] < 2:
                    break
            assert min(ratios) < 2, ratios


NOISE_ROUTE = "routes:\n  - {name: n, when: {task: noise}, use: [{model: m, on: [noise]}]}\n"
