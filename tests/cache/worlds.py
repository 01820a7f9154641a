"""A route that keeps answers, over one scripted backend `a` and a second one, `b`, that it falls back to."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any

from runtime.world import Replies, Script, scripted

ASKED = {"temperature": 0}
PRICE = "price: {input_per_1m: 1, output_per_1m: 2}"


def cached(cache: str = "{}", *, route: str = "", top: str = "", use: str = "[m, n]") -> str:
    """A policy's text: model `m` on `a`, `n` on `b`, one route with this cache.

    Args:
        cache: As the route has it.
        route: Anything else of the route.
        top: Anything else, at the top level.
        use: Whom it asks.
    """
    terms = "operator: third_party, retention: none, health: off, api_key_env: KEY"
    return f"""
version: 1
backends:
  a: {{kind: api, base_url: 'https://a.test/v1', region: eu, {terms}}}
  b: {{kind: api, base_url: 'https://b.test/v1', region: eu, {terms}}}
models:
  m: {{{PRICE}, capabilities: [tools, json_schema, logprobs], on: {{a: m}}}}
  n: {{{PRICE}, capabilities: [tools, json_schema, logprobs], on: {{b: n}}}}
  v: {{{PRICE}, capabilities: [embeddings], on: {{a: v}}}}
residency:
  free: {{cache: true}}
  phi: {{regions: [eu], taint: true}}
  eu: {{regions: [eu], cache: true}}
tasks:
  t: {{bucket: bandwidth}}
routes:
  - {{name: vectors, when: {{capability: embeddings}}, use: [v], cache: {cache}}}
  - {{name: all, use: {use}, cache: {cache}{route}}}
{top}
"""


def cache(
    rule: str = "{}", *, policy: dict[str, Any] | None = None, **replies: Replies
) -> AbstractAsyncContextManager[Script]:
    """A router over that policy."""
    return scripted(cached(rule, **policy or {}), **replies)


def begin(work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    """Begin a call beside others."""
    return asyncio.get_running_loop().create_task(work)


async def ends(*works: Coroutine[Any, Any, Any] | asyncio.Task[Any]) -> list[Any]:
    """What each returned or raised, in order; they are done side by side."""
    tasks = [work if isinstance(work, asyncio.Task) else begin(work) for work in works]
    await asyncio.wait(tasks)
    return [
        asyncio.CancelledError() if task.cancelled() else task.exception() or task.result()
        for task in tasks
    ]
