"""A streamed answer while a region dies: before its first token nobody notices; after it, one is told.

Runs as it is: the backends are simulated, on loopback ports.
"""

import asyncio

from hybridllm import Router, StreamInterrupted
from hybridllm.testing import demo_backends


async def main() -> None:
    async with (
        demo_backends() as environ,
        Router.from_file("policies/api-first.yaml", environ=environ) as router,
    ):
        await tell(router)
        environ.backends["global-us"].kill()
        print("\n-- global-us is down --")
        await tell(router)


async def tell(router: Router) -> None:
    """Print an answer as it comes, and its receipt."""
    stream = await router.chat.completions.create(
        task="qa",
        tenant="acme",
        stream=True,
        messages=[{"role": "user", "content": "Why did my bill go up?"}],
        max_tokens=40,
    )
    try:
        async with stream:  # leaving early stops the backend's work too
            async for chunk in stream:
                if chunk.choices:
                    print(chunk.choices[0].delta.content or "", end="", flush=True)
    except StreamInterrupted as broken:
        print(f"\n[cut off after {broken.tokens_seen} tokens: {broken.cause}]")
    print()
    print(stream.receipt)


if __name__ == "__main__":
    asyncio.run(main())
