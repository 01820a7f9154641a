"""A thousand tickets put into categories, killed in the middle, and resumed: nothing is paid for twice.

Runs as it is: the backends are simulated, on loopback ports.
"""

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hybridllm import Router
from hybridllm.testing import demo_backends

TICKETS = 1_000


def requests() -> Iterator[tuple[str, dict[str, Any]]]:
    """One by one, as they are asked for: a cursor of a database would do."""
    for number in range(TICKETS):
        yield (
            f"ticket-{number}",
            {
                "task": "classify",
                "tenant": "acme",
                "max_tokens": 4,
                "messages": [{"role": "user", "content": f"Ticket {number}: I was charged twice"}],
            },
        )


async def main() -> None:
    journal = Path(tempfile.mkdtemp()) / "tickets.journal"
    async with (
        demo_backends() as environ,
        Router.from_file("policies/api-first.yaml", environ=environ) as router,
    ):
        async with router.map(requests(), concurrency=64, journal=journal) as job:
            async for result in job:
                if result.index == TICKETS // 2:
                    print("-- the process dies --")
                    break

        async with router.map(requests(), concurrency=64, journal=journal, total=TICKETS) as job:
            async for result in job:
                if not result.ok:
                    print(f"{result.key}: {result.error}")
                if result.index % 250 == 249:
                    now = job.progress
                    print(f"{now.done} of {now.total}, {now.cost_usd:f} USD, {now.left_s} s left")
        told = job.progress
    print(f"{told.done} answered, {told.failed} failed, {told.cost_usd:f} USD in all")
    print(f"{told.resumed} of them by the first run, {told.unknown_paid} perhaps paid for twice")


if __name__ == "__main__":
    asyncio.run(main())
