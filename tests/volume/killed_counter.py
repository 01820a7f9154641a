"""A process that counts, and is killed before it has written all: run as a script by `test_routers.py`.

python killed_counter.py VOLUME_FILE      five requests that are written, two that are not
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from hybridllm import Router
from hybridllm.testing import LoopClock, Reply, ScriptedWire, run_in_virtual_time
from volume.counted import text


async def main() -> None:
    reply = Reply.chat("yes", usage=(1_000, 0))
    wire = ScriptedWire({"api.test": reply, "own.test": reply})
    async with Router.from_text(
        text("volume: {tokens_per_day: {gte: 500M}, sustained: 3d}"),
        environ={},
        wire=wire,
        clock=LoopClock(),
        volume_file=sys.argv[1],
    ) as router:
        for count in (5, 2):
            for _ in range(count):
                await router.chat.completions.create(
                    messages=[{"role": "user", "content": "Is it?"}]
                )
            if count == 5:
                await asyncio.sleep(15)
        os.kill(os.getpid(), signal.SIGKILL)


run_in_virtual_time(main)
