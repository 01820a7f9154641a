"""Who was promised a slot and does not take it at once lets the next one have it.

In virtual time, through a router.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hybridllm import receipt
from hybridllm.testing import Reply, SentRequest, run_in_virtual_time
from runtime.test_slots import at_once, nothing_promised, say
from runtime.world import scripted

TWO_MODELS = """
version: 1
retries: {same_backend_max: 0}
backends:
  eu: {kind: api, base_url: "https://eu.test/v1", api_key_env: KEY, region: eu, concurrency: 1}
models:
  m: {on: {eu: one}}
  n: {on: {eu: two}}
tasks:
  t: {bucket: bandwidth}
routes:
  - {name: all, use: [m], fallbacks: [n]}
"""


def test_who_waits_a_little_before_another_attempt_does_not_keep_its_slot_idle() -> None:
    """A fallback on the same backend waits some milliseconds; meanwhile the others go, and then it does."""

    async def main() -> None:
        def reply(sent: SentRequest) -> Reply:
            bad = sent.json["model"] == "one" and sent.json["messages"][0]["content"] == "bad"
            return (Reply.status(503) if bad else Reply.chat("fine")).after(0.1)

        async def later() -> Any:
            await asyncio.sleep(0.15)
            return await say(here, "good")

        async with scripted(TWO_MODELS, eu=reply) as here:
            began = asyncio.get_running_loop().time()
            found = await at_once(say(here, "bad"), say(here, "good"), later())
            assert not [one for one in found if isinstance(one, Exception)]
            assert [one.model for one in receipt(found[0]).attempts] == ["m", "n"]
            assert asyncio.get_running_loop().time() - began == pytest.approx(0.4, abs=0.03)
            assert nothing_promised(here)

    run_in_virtual_time(main)
