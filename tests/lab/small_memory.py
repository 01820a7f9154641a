"""A router in a process that may have little memory; run by a test, tells in JSON what became of it.

python small_memory.py BASE_URL MIB_MORE ANSWER_BYTES

"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from hybridllm import RequestFailed, Router

PAGE_BYTES = 4096
POLICY = """
version: 1
backends: {own: {kind: vllm, base_url: "${OWN}", region: eu, operator: self}}
models: {small: {on: {own: simulated-model}}}
tasks: {t: {bucket: bandwidth, timeouts: {total: 20s, attempt: 10s}}}
routes: [{name: all, use: small}]
"""


async def asked(router: Router, content: str) -> str:
    answer = await router.chat.completions.create(
        messages=[{"role": "user", "content": content}], task="t"
    )
    return str(answer.choices[0].message.content)


async def served_again(router: Router) -> None:
    """Wait until its breaker, which may have opened, lets somebody through."""
    for _ in range(100):
        try:
            await asked(router, "small")
        except RequestFailed:
            await asyncio.sleep(0.2)
        else:
            return


def limit_memory(mib_more: int) -> None:
    """From here on the process may map so much more than it does now."""
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * PAGE_BYTES
    limit = mapped + (mib_more << 20)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


async def main(base_url: str, mib_more: int, answer_bytes: int) -> dict[str, Any]:
    async with Router.from_text(POLICY, environ={"OWN": base_url}) as router:
        assert await asked(router, "small") == "x"  # everything is loaded
        limit_memory(mib_more)
        told: Counter[str] = Counter()

        async def one() -> None:
            try:
                text = await asked(router, "large")
            except Exception as error:  # noqa: BLE001 - whatever it is, it is counted
                told[type(error).__name__] += 1
            else:
                whole = len(text) == answer_bytes and text.count("x") == answer_bytes
                told["whole" if whole else "corrupt"] += 1

        async with asyncio.TaskGroup() as group:
            for _ in range(24):
                group.create_task(one())
        in_flight = router.status().in_flight
        await served_again(router)
        after = [await asked(router, "small") for _ in range(10)]
    return {"told": told, "in_flight": dict(in_flight), "after": after}


if __name__ == "__main__":
    url, more, size = sys.argv[1:]
    print(json.dumps(asyncio.run(main(url, int(more), int(size)))))
