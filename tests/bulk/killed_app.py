"""An application that maps over many requests with a journal, and is killed: run as a process of its own.

    python killed_app.py URL ITEMS FOLDER UNKNOWN

For each line on standard input it begins the job in a new process, a fork of this one (so that `openai` is
loaded once, which would take longer than the job), tells its number, and then how it ended. The job writes
each result to FOLDER/output.jsonl, which it begins anew, and what it saw to FOLDER/told.json at the end.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# What the first request of a process would load.
import hybridllm._adapters.aiohttp_wire
import hybridllm._adapters.openai_types
import hybridllm._compose.bulk
import hybridllm._runtime.retry  # noqa: F401
from hybridllm import Router

RSS_AT = 2_000
POLICY = """
version: 1
backends: {{near: {{kind: api, base_url: "{url}"}}}}
models: {{m: {{price: {{input_per_1m: 1, output_per_1m: 2}}, on: {{near: m}}}}}}
routes: [{{name: all, use: [m]}}]
"""


def requests(count: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """One after the other: they are never all there."""
    for index in range(count):
        yield f"key-{index}", {"messages": [{"role": "user", "content": f"item {index}"}]}


def rss_kib() -> int:
    """What this process holds of the machine's memory."""
    gc.collect()
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.partition("VmRSS:")[2].split()[0])


async def main() -> None:
    url, count, folder, unknown = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), sys.argv[4]
    rss: list[int] = []
    with (folder / "output.jsonl").open("w", encoding="utf-8", buffering=1) as output:
        async with (
            Router.from_text(POLICY.format(url=url), environ={}) as router,
            router.map(
                requests(count), journal=folder / "journal", unknown=unknown, total=count
            ) as job,
        ):
            async for result in job:
                text = None if result.answer is None else result.answer.choices[0].message.content
                line = [result.index, result.key, text, result.unknown_paid, result.resumed]
                output.write(json.dumps(line) + "\n")
                if result.index + 1 == min(RSS_AT, count):
                    rss.append(rss_kib())
            progress = job.progress
    rss.append(rss_kib())
    told = {"done": progress.done, "failed": progress.failed, "cost_usd": str(progress.cost_usd)}
    told |= {"unknown_paid": progress.unknown_paid, "rss_kib": rss}
    (folder / "told.json").write_text(json.dumps(told), encoding="utf-8")


def begin_and_wait() -> None:
    """Run the job in a fork; tell its number, and how it ended: minus the signal that killed it."""
    process = os.fork()
    if not process:
        asyncio.run(main())
        os._exit(0)
    print(process, flush=True)
    _, status = os.waitpid(process, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    for _ in sys.stdin:
        begin_and_wait()
