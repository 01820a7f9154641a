"""Spans on the console: one for the request, one for each attempt, failed ones included.

    pip install 'hybridllm[otel]'

Runs as it is: the backends are simulated, and one region is down. In production the application
installs its provider with `trace.set_tracer_provider`, and the router finds it there by itself.
"""

import asyncio

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

from hybridllm import Router
from hybridllm.testing import demo_backends


async def main() -> None:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter()))
    async with (
        demo_backends() as environ,
        Router.from_file(
            "policies/api-first.yaml", environ=environ, tracer_provider=provider
        ) as router,
    ):
        environ.backends["global-us"].kill()
        await router.chat.completions.create(
            task="classify",
            tenant="acme",
            messages=[{"role": "user", "content": "I was charged twice"}],
            max_tokens=8,
        )
    provider.shutdown()


if __name__ == "__main__":
    asyncio.run(main())
