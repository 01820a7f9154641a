"""A process that maps over many items is killed again and again, and resumed: nothing is lost.

The backend is in this process, the job in another one, which gets SIGKILL while the backend works for it:
nothing is flushed, closed or said goodbye to.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bulk.paying_server import paying_server
from counted import PartOf

APP = Path(__file__).with_name("killed_app.py")
ITEMS, KILLS, CONCURRENCY = 10_000, 10, 32
ANSWERS_BEFORE_A_KILL = 64  # at most, once it is due: on a busy machine it may come late
RSS_GROWTH_KIB_MAX = 12 * 1024
SECONDS_MAX = 600


@dataclass
class Outcome:
    """What all runs together came to."""

    told: dict[str, Any]
    output: list[list[Any]]
    paid: Counter[int]


async def run_to_the_end(
    folder: Path, *, items: int, kills: list[int], unknown: str, draw: random.Random
) -> Outcome:
    """Run the job; kill it whenever the backend has given so many answers, and run it again."""
    async with paying_server() as server:
        app = await asyncio.create_subprocess_exec(
            *(sys.executable, str(APP), server.url, str(items), str(folder), unknown),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert app.stdin is not None
        async with asyncio.timeout(SECONDS_MAX):
            for kill_at in kills:
                server.go_on(max(kill_at, server.answers) + ANSWERS_BEFORE_A_KILL)
                process = await begun(app)
                server.on_paid = killer(process, kill_at, draw)
                assert await line_of(app) == -signal.SIGKILL, "it ended before it was killed"
            server.on_paid = None
            server.go_on(None)
            await begun(app)
            assert await line_of(app) == 0
            app.stdin.close()  # it waits for the next word to begin
            await app.wait()
    text = (folder / "output.jsonl").read_text(encoding="utf-8")
    told = json.loads((folder / "told.json").read_text(encoding="utf-8"))
    return Outcome(told, [json.loads(line) for line in text.splitlines()], server.paid)


async def begun(app: asyncio.subprocess.Process) -> int:
    """Have the job begun, and return the number of its process."""
    assert app.stdin is not None
    app.stdin.write(b"begin\n")
    return await line_of(app)


async def line_of(app: asyncio.subprocess.Process) -> int:
    assert app.stdout is not None
    return int(await app.stdout.readline())


def killer(process: int, kill_at: int, draw: random.Random) -> Callable[[int], None]:
    """What kills a process a moment after that answer: while it reads, writes, waits or sends."""
    loop = asyncio.get_running_loop()
    due = False

    def on_paid(answers: int) -> None:
        nonlocal due
        if answers >= kill_at and not due:
            due = True
            loop.call_later(draw.random() * 0.02, os.kill, process, signal.SIGKILL)

    return on_paid


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
async def test_kills_among_thousands_of_items_lose_nothing_and_pay_for_nothing_unasked(
    tmp_path: Path, part_of: PartOf
) -> None:
    """Every item answered once, paid once or marked unknown; memory flat.

    With `--full` ten kills in ten thousand items, without four in 2,500.
    """
    draw = random.Random(4)
    items = part_of(ITEMS, 0.25)
    kills = sorted(draw.sample(range(1, items - 500), part_of(KILLS, 0.4)))
    done = await run_to_the_end(tmp_path, items=items, kills=kills, unknown="retry", draw=draw)

    assert [line[0] for line in done.output] == list(range(items))
    assert all(line[1:3] == [f"key-{line[0]}", f"answer {line[0]}"] for line in done.output)
    unknown = {line[0] for line in done.output if line[3]}
    paid_again = {item for item, times in done.paid.items() if times > 1}
    assert set(done.paid) == set(range(items))
    assert paid_again <= unknown
    assert len(unknown) <= len(kills) * CONCURRENCY
    assert done.told["unknown_paid"] == len(unknown)
    assert (done.told["done"], done.told["failed"]) == (items, 0)
    early, late = done.told["rss_kib"]
    assert late - early < RSS_GROWTH_KIB_MAX


async def test_what_is_unknown_is_left_alone_if_that_is_wanted(tmp_path: Path) -> None:
    """Then nothing at all is paid for twice; what is left is told, item by item."""
    draw = random.Random(5)
    done = await run_to_the_end(
        tmp_path, items=400, kills=[100, 150, 300], unknown="skip", draw=draw
    )

    assert [line[0] for line in done.output] == list(range(400))
    assert set(done.paid.values()) == {1}
    left = {line[0] for line in done.output if line[2] is None}
    assert left == {line[0] for line in done.output if line[3]}
    assert done.told["failed"] == len(left) <= 3 * CONCURRENCY
