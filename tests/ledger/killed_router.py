"""An application whose routers write one ledger, and which is killed: run as a process of its own.

    python killed_router.py FOLDER

For each line on standard input it begins to ask in a new process, a fork of this one (so that all is loaded
once), and tells its number; at `end` it ends. Each process writes down every receipt that it has seen, in
FOLDER/seen, with one system call, before it goes on.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import sys
from pathlib import Path

# What the first request of a process would load.
import hybridllm._adapters.ledger.journal
import hybridllm._adapters.ledger.store
import hybridllm._adapters.openai_types
import hybridllm._compose.build
import hybridllm._runtime.ledger.keeper
import hybridllm._runtime.retry  # noqa: F401
from hybridllm import Ledger, Receipt, RequestFailed, Router, receipt
from hybridllm.testing import Reply, ScriptedWire, SentRequest

AT_ONCE = 24
POLICY = """
version: 1
backends:
  near: {kind: api, base_url: "https://near.test/v1"}
  far: {kind: api, base_url: "https://far.test/v1"}
models: {m: {price: {input_per_1m: 1, output_per_1m: 2}, on: {near: m, far: m}}}
routes: [{name: all, use: [m]}]
"""


def seen(fd: int, got: Receipt) -> None:
    """Write down a receipt: the request, its cost, and how many attempts it took."""
    os.write(fd, f"{got.request_id} {got.cost_usd} {len(got.attempts)}\n".encode())


async def ask(router: Router, fd: int) -> None:
    while True:
        try:
            answer = await router.chat.completions.create(
                messages=[{"role": "user", "content": "Is it?"}], tenant="acme", max_tokens=50
            )
        except RequestFailed as error:
            if error.receipt is not None:
                seen(fd, error.receipt)
        else:
            seen(fd, receipt(answer))


async def main(folder: Path, seed: int) -> None:
    draw = random.Random(seed)
    fd = os.open(folder / "seen", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def near(_: SentRequest) -> Reply:
        if draw.random() < 0.1:
            return Reply.status(503)
        return Reply.chat("yes", usage=(draw.randrange(1, 999), 5)).after(draw.random() * 0.02)

    wire = ScriptedWire({"near.test": near, "far.test": Reply.chat("no", usage=(7, 3)).after(0.01)})
    async with (
        Router.from_text(
            POLICY, environ={}, wire=wire, ledger=Ledger(folder / "ledger.db")
        ) as router,
        asyncio.TaskGroup() as group,
    ):
        for _ in range(AT_ONCE):
            group.create_task(ask(router, fd))


def begun(folder: Path, seed: int) -> int:
    """Begin to ask in a fork; return its number."""
    process = os.fork()
    if not process:
        logging.basicConfig(filename=folder / "log", level=logging.INFO)
        asyncio.run(main(folder, seed))
        os._exit(0)
    return process


if __name__ == "__main__":
    for number, line in enumerate(sys.stdin):
        if line.strip() == "wait":
            _, status = os.wait()
            print(os.waitstatus_to_exitcode(status), flush=True)
        else:
            print(begun(Path(sys.argv[1]), number), flush=True)
