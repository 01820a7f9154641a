"""An application that maps over many requests with a journal, and is killed: run as a process of its own.

    python killed_app.py URL ITEMS FOLDER UNKNOWN

Writes each result to FOLDER/output.jsonl, which it begins anew, and prints what it saw as JSON at the end.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    asyncio.run(main())
