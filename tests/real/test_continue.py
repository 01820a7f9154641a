"""A stream that breaks on the way to a real server goes on where it stopped: the same words as without."""

from __future__ import annotations

from typing import Any

import pytest

from hybridllm import Continued, Router
from hybridllm.testing import Toxic, ToxicProxy
from real.routers import ENDLESS, history
from real.server import KEY, RealServer, messages
from runtime.seams import read

# One server by two ways, of which the first breaks.
POLICY = """
version: 1
retries: {{same_backend_max: 0}}
backends:
  far: {{kind: vllm, base_url: '{far}', api_key_env: KEY, prefill: true}}
  near: {{kind: vllm, base_url: '{near}', api_key_env: KEY, prefill: true}}
models:
  tiny: {{context: auto, on: {{far: tiny, near: tiny}}}}
tasks:
  chat: {{bucket: bandwidth}}
routes:
  - {{name: all, use: [{{model: tiny, on: [far, near]}}]}}
"""


TOKENS = 80


@pytest.mark.parametrize("after_bytes", [2_000, 5_000, 12_000])
@pytest.mark.parametrize("text", ["Say something about the router.", "What is a queue for?"])
async def test_the_joined_text_is_that_of_an_answer_that_never_broke(
    server: RealServer, text: str, after_bytes: int
) -> None:
    """Without chance the model writes on as it would have: no word is lost, none comes twice.

    The tokens that are left are counted by chunks. A server that is short of time puts two into one, so that
    the joined text may be a few words longer than the limit; they are those that follow.
    """
    call: dict[str, Any] = {"messages": messages(text), "task": "chat", "temperature": 0, **ENDLESS}
    reset = Toxic.reset(after_bytes=after_bytes)
    async with ToxicProxy(server.base_url, to_client=reset) as proxy:
        policy = POLICY.format(far=proxy.base_url, near=server.base_url)
        async with Router.from_text(policy, environ={"KEY": KEY}) as router:
            stream = await router.chat.completions.create(
                stream=True, on_interrupt="continue", max_tokens=TOKENS, **call
            )
            found = await read(stream)
            proxy.to_client = ()
            exact, longer = [
                (await router.chat.completions.create(max_tokens=tokens, **call)).choices[0]
                for tokens in (TOKENS, 2 * TOKENS)
            ]
    assert (found.error, found.whole, found.ended) == (None, True, "length")
    assert history(stream)[-1] == ("near", None)
    (seam,) = found.seams
    assert isinstance(seam, Continued)
    assert seam.kept_text
    assert len(seam.kept_text) < len(found.text)
    assert found.text.startswith(exact.message.content)
    assert longer.message.content.startswith(found.text)
