"""A service that ends in good order: after SIGTERM it takes no more work, and lets what is under way finish.

    python examples/worker.py          # stop it with Ctrl-C, or with kill

Runs as it is: the backends are simulated, on loopback ports. A web application does the same in its
lifespan, see fastapi_app.py.
"""

import asyncio
import signal

from hybridllm import Router, RouterClosed
from hybridllm.testing import demo_backends

DRAIN_S = 10.0  # less than what the service manager grants: Kubernetes kills after 30 s


async def main() -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with (
        demo_backends() as environ,
        Router.from_file("policies/api-first.yaml", environ=environ) as router,
        asyncio.TaskGroup() as jobs,
    ):
        number = 0
        while not stop.is_set():
            number += 1
            jobs.create_task(answer(router, number))
            await asyncio.sleep(0.1)
        print("stopping: no more work is taken", flush=True)
        await router.aclose(drain_s=DRAIN_S)
    print(f"done: {number} jobs", flush=True)


async def answer(router: Router, number: int) -> None:
    """Do one job; say what became of it."""
    try:
        reply = await router.chat.completions.create(
            task="qa",
            messages=[{"role": "user", "content": f"Question {number}"}],
            max_tokens=20,
        )
    except RouterClosed:
        print(f"job {number}: broken off, to be done again", flush=True)
    else:
        print(f"job {number}: {reply.choices[0].finish_reason}", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
