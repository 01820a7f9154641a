"""Random traffic of all that costs money: failovers, hedges, cascades, cut streams, and callers that leave.

Backends answer by chance: with cached, written and reasoning tokens, service tiers, costs of their own, or
without any usage; or they fail. One seed gives one traffic.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from random import Random
from typing import Any

from hybridllm import Receipt, Router, receipt
from hybridllm.errors import HybridLLMError
from hybridllm.testing import Reply, SentRequest

TENANTS = ("acme", "clinic", "initech", "other-a", "other-b")
NAMED = TENANTS[:3]  # which the metric tells apart
TASKS = ("plain", "hedged", "checked")
POLICY = f"""
version: 1
retries: {{same_backend_max: 1, attempts_max: 4, budget: {{reserve_max: 100000}}}}
currencies: {{EUR: 1.08}}
backends:
  us: {{kind: api, base_url: "https://us.test/v1", region: us, health: off}}
  eu: {{kind: api, base_url: "https://eu.test/v1", region: eu, health: off}}
  odd: {{kind: api, base_url: "https://odd.test/v1", region: eu, health: off}}
  own: {{kind: vllm, base_url: "https://own.test/v1", region: eu, operator: self, health: off, price: free}}
models:
  small:
    price:
      input_per_1m: 0.07
      output_per_1m: 0.13
      cached_input_per_1m: 0.007
      cache_write_per_1m: 0.0875
      service_tiers: {{flex: {{factor: 0.5}}, priority: {{factor: 1.75}}}}
      context_tiers: [{{above: 2K, input_per_1m: 0.14, output_per_1m: 0.26}}]
    on: {{us: small, eu: small, own: small}}
  big:
    price: {{input_per_1m: 1.23, output_per_1m: 4.56, per_request: 0.0001, currency: EUR}}
    on: {{eu: big, us: big}}
  unpriced: {{on: {{odd: nobody-knows}}}}
tasks:
  plain: {{bucket: bandwidth, timeouts: {{attempt: 20s}}}}
  hedged: {{bucket: bandwidth, hedge: {{after: 300ms}}}}
  checked: {{bucket: judgment}}
routes:
  - name: checked
    when: {{task: checked}}
    use: [{{model: small, on: [us, eu]}}]
    fallbacks: [big]
    cascade: {{first: small, then: big, escalate_if: {{phrases: default}}}}
  - name: rest
    use: [small]
    fallbacks: [big, unpriced]
telemetry:
  metrics: {{attribution: [feature, task], tenants: [{", ".join(NAMED)}]}}
  dialects: [mlflow, openinference, langfuse, logfire]
attribution: {{keys: [team]}}
"""


class Backends:
    """What the backends say; a step of a script for each host."""

    def __init__(self, seed: int) -> None:
        self._chance = Random(f"{seed}/backends")

    def __call__(self, request: SentRequest) -> Reply:
        chance, body = self._chance, request.json
        drawn = chance.random()
        if drawn < 0.08:
            return Reply.status(chance.choice((500, 503, 529))).after(0.05)
        if drawn < 0.10:
            return Reply.fail(chance.choice(("connect", "reset")))
        if drawn < 0.12:
            return Reply.chat("<html>", finish_reason=None)
        if body.get("stream"):
            return self._stream(str(body["model"]))
        reply = Reply.chat(self._text(), model=self._served(body["model"]))
        answer = json.loads(reply.chunks[0])
        answer["usage"] = self._usage()
        if (tier := self._tier()) is not None:
            answer["service_tier"] = tier
        if answer["usage"] is None:
            del answer["usage"]
        return Reply.json(answer).after(chance.lognormvariate(-1.5, 0.8))

    def _stream(self, model: str) -> Reply:
        chance = self._chance
        reply = Reply.chat_stream(
            [self._text()] * chance.randint(1, 4), usage=None, model=self._served(model)
        )
        usage = self._usage()
        if usage is not None:
            head = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": model}
            event = json.dumps({**head, "choices": [], "usage": usage})
            chunks = (*reply.chunks[:-1], f"data: {event}\n\n".encode(), reply.chunks[-1])
            reply = replace(reply, chunks=chunks)
        if chance.random() < 0.1:
            cut = replace(reply, chunks=reply.chunks[: chance.randint(1, len(reply.chunks) - 2)])
            reply = cut.then_fail("reset")
        return reply.after(chance.lognormvariate(-1.5, 0.8)).paced(0.05)

    def _text(self) -> str:
        return "I'm not sure." if self._chance.random() < 0.3 else "It is Paris, on the Seine."

    def _served(self, model: Any) -> str:
        return f"{model}-2026-11" if self._chance.random() < 0.5 else str(model)

    def _tier(self) -> str | None:
        return self._chance.choice((None, None, "default", "flex", "priority", "batch"))

    def _usage(self) -> dict[str, Any] | None:
        """Tokens as a backend may count them; None: it says nothing."""
        chance = self._chance
        if chance.random() < 0.08:
            return None
        tokens_in, tokens_out = chance.randint(1, 5_000), chance.randint(1, 900)
        cached = chance.randint(0, tokens_in) if chance.random() < 0.4 else 0
        usage: dict[str, Any] = {
            "prompt_tokens": tokens_in,
            "completion_tokens": tokens_out,
            "total_tokens": tokens_in + tokens_out,
            "prompt_tokens_details": {
                "cached_tokens": cached,
                "cache_write_tokens": chance.randint(0, tokens_in - cached),
            },
        }
        if chance.random() < 0.3:
            reasoning = chance.randint(0, tokens_out)
            usage["completion_tokens_details"] = {"reasoning_tokens": reasoning}
        if chance.random() < 0.1:
            usage["cost"] = round(chance.random() / 1000, 9)
        return usage


class Callers:
    """Who asks: 20 a second, in the event loop's time.

    Attributes:
        receipts: Of all whose caller saw one.
        unseen: How many left before.
    """

    def __init__(self, router: Router, seed: int) -> None:
        self._router = router
        self._chance = Random(f"{seed}/callers")
        self.receipts: list[Receipt] = []
        self.unseen = 0

    async def ask(self, count: int) -> None:
        """Send so many requests, and wait until all have ended."""
        async with asyncio.TaskGroup() as group:
            for _ in range(count):
                params = self._params()
                leaves_s = self._chance.uniform(0.01, 1.5) if self._chance.random() < 0.1 else None
                group.create_task(self._one(params, leaves_s))
                await asyncio.sleep(self._chance.expovariate(20))

    def _params(self) -> dict[str, Any]:
        chance = self._chance
        return {
            "messages": [{"role": "user", "content": "Where is the capital of France?"}],
            "task": chance.choice(TASKS),
            "tenant": chance.choice((*TENANTS, None)),
            "feature": chance.choice(("triage", "chat", None)),
            "metadata": {"team": chance.choice("ab")},
            "stream": chance.random() < 0.4,
            "max_tokens": 900,
        }

    async def _one(self, params: dict[str, Any], leaves_s: float | None) -> None:
        try:
            async with asyncio.timeout(leaves_s):
                answer = await self._router.chat.completions.create(**params)
                if params["stream"]:
                    async with answer:
                        async for _ in answer:
                            pass
        except TimeoutError:
            self.unseen += 1
        except HybridLLMError as error:
            self.receipts.append(receipt(error))
        else:
            self.receipts.append(receipt(answer))
