"""The row of the fault catalogue about memory: C11, in a process of its own."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

from odd_backend import completion
from raw_server import Exchange, raw_server, whole

ROOT = Path(__file__).parents[1]
ANSWER_BYTES = 8 << 20


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_AS holds on Linux only")
async def test_c11_a_process_without_memory_sheds_and_goes_on() -> None:
    """24 answers of 8 MiB at once, and room for a few: some fail, none is corrupt, small ones go on after.

    The limit is set above what Python and the libraries map by themselves, which differs between machines.
    """

    def said(text: str) -> bytes:
        return whole(completion(message={"role": "assistant", "content": text}))

    small, large = (
        said("x"),
        said("x" * ANSWER_BYTES),
    )  # made once: this process has other things to do

    async def play(exchange: Exchange) -> None:
        await exchange.write(large if b"large" in exchange.body else small)

    script = ROOT / "lab" / "small_memory.py"
    async with raw_server(play) as backend:
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(script), f"{backend.url}/v1", "96", str(ANSWER_BYTES),
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            async with asyncio.timeout(60):
                printed, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    assert process.returncode == 0
    told = json.loads(printed)
    outcomes = told["told"]
    assert "corrupt" not in outcomes
    assert outcomes.get("whole", 0) < 24, "there was room for all of them: the limit limits nothing"
    shed = {"MemoryError", "RouteExhausted", "BackendsUnavailable", "DeadlineExceeded"}
    assert set(outcomes) <= {"whole", *shed}
    assert told["in_flight"] == {"own": 0}
    assert told["after"] == ["x"] * 10
