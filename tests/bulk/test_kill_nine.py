"""A process that maps over many items is killed again and again, and resumed: nothing is lost.

The backend is in this process, the job in another one, which gets SIGKILL while the backend works for it:
nothing is flushed, closed or said goodbye to.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from bulk.paying_server import PayingServer, paying_server

APP = Path(__file__).with_name("killed_app.py")
ITEMS, KILLS, CONCURRENCY = 10_000, 10, 32
RSS_GROWTH_KIB_MAX = 12 * 1024
SECONDS_MAX = 300


@dataclass
class Outcome:
    """What all runs together came to."""

    told: dict[str, Any]
    output: list[list[Any]]
    server: PayingServer
    kills: int
    notes: dict[str, float] = field(default_factory=dict)


async def run_to_the_end(
    folder: Path, *, items: int, kills: list[int], unknown: str, draw: random.Random
) -> Outcome:
    """Run the application; kill it whenever the backend has given so many answers, and run it again."""
    async with paying_server() as server:
        for number, kill_at in enumerate([*kills, None]):
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, str(APP), server.url, str(items), str(folder), unknown),
                stdout=asyncio.subprocess.PIPE,
            )
            server.on_paid = None if kill_at is None else _killer(process, kill_at, draw)
            async with asyncio.timeout(SECONDS_MAX):
                printed, _ = await process.communicate()
            if kill_at is None:
                assert process.returncode == 0
                text = (folder / "output.jsonl").read_text(encoding="utf-8")
                output = [json.loads(line) for line in text.splitlines()]
                return Outcome(json.loads(printed), output, server, number)
            assert process.returncode == -9, "it ended before it was killed"
    raise AssertionError


def _killer(process: asyncio.subprocess.Process, kill_at: int, draw: random.Random) -> Any:
    loop = asyncio.get_running_loop()

    def on_paid(answers: int) -> None:
        if answers == kill_at:  # the moment after it: while it reads, writes, or waits
            loop.call_later(draw.random() * 0.02, _kill, process)

    return on_paid


def _kill(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
async def test_ten_kills_in_ten_thousand_items_lose_nothing_and_pay_for_nothing_unasked(
    tmp_path: Path,
) -> None:
    """Every item answered once, paid once or marked unknown; memory flat."""
    draw = random.Random(4)
    kills = sorted(draw.sample(range(1, ITEMS - 500), KILLS))
    began_s = time.perf_counter()
    done = await run_to_the_end(
        tmp_path, items=ITEMS, kills=kills, unknown="retry", draw=draw
    )
    print(f"{time.perf_counter() - began_s:.1f} s, {done.told}")

    assert [line[0] for line in done.output] == list(range(ITEMS))
    assert all(line[1:3] == [f"key-{line[0]}", f"answer {line[0]}"] for line in done.output)
    unknown = {line[0] for line in done.output if line[3]}
    paid_again = {item for item, times in done.server.paid.items() if times > 1}
    assert set(done.server.paid) == set(range(ITEMS))
    assert paid_again <= unknown
    assert len(unknown) <= KILLS * CONCURRENCY
    assert done.told["unknown_paid"] == len(unknown)
    assert (done.told["done"], done.told["failed"]) == (ITEMS, 0)
    early, late = done.told["rss_kib"]
    assert late - early < RSS_GROWTH_KIB_MAX
