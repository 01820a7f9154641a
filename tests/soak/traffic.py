"""Callers of every kind, each of whom looks at what it gets."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from typing import Any

from hybridllm import DeadlineExceeded, receipt
from hybridllm.errors import HybridLLMError
from runtime.world import World

_SAMPLES_MAX = 100_000


class WrongText(AssertionError):
    """Something was reported as a whole answer that is not the answer to the request."""


def answer_to(request: dict[str, Any]) -> str:
    """What a backend says: so long that it comes in pieces, and each request has its own."""
    return said(str(request["messages"][0]["content"]))


def said(question: str) -> str:
    """The answer to a question."""
    return f"{question} " * (10 + len(question) * int(question[-1]) % 7)


class Traffic:
    """Asks until it is told to stop.

    Attributes:
        counts: Of what became of the requests.
        took_s: How long the answered ones took.
        attempts: Of the requests that have a receipt.
        begun: Requests.
    """

    def __init__(self, here: World, *, seed: int) -> None:
        self._here = here
        self._rng = random.Random(seed)
        self._going = True
        self.counts: Counter[str] = Counter()
        self.took_s: list[float] = []
        self.attempts = 0
        self.begun = 0

    def stop(self) -> None:
        """Begin nothing more; what is under way goes on to its end."""
        self._going = False

    async def run(self, at_once: int) -> None:
        """Ask, so many at a time, until stopped."""
        self._going = True
        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(self._caller())

    async def _caller(self) -> None:
        while self._going:
            self.begun += 1
            self.counts[await self._one(f"question {self.begun}")] += 1
            await asyncio.sleep(self._rng.uniform(0, 0.02))

    async def _one(self, question: str) -> str:
        """One request; one word for what became of it."""
        ways = (self._whole, self._whole, self._stream, self._stream, self._left_early)
        ask = self._rng.choice(ways)(question)
        if self._rng.random() < 0.15:
            return await self._cancelled(ask, self._rng.uniform(0, 0.2))
        began_s = time.perf_counter()
        try:
            told = await ask
        except DeadlineExceeded as error:
            self._billed(error)
            return "deadline"
        except HybridLLMError as error:
            self._billed(error)
            return type(error).__name__
        if len(self.took_s) < _SAMPLES_MAX:
            self.took_s.append(time.perf_counter() - began_s)
        return str(told)

    async def _cancelled(self, ask: Any, after_s: float) -> str:
        task = asyncio.get_running_loop().create_task(ask)
        await asyncio.sleep(after_s)
        task.cancel()
        await asyncio.wait([task])
        if task.cancelled():
            return "cancelled"
        error = task.exception()
        if error is not None and not isinstance(error, HybridLLMError):
            raise error
        return "over before it was cancelled"

    async def _whole(self, question: str) -> str:
        answer = await self._here.chat(messages=_messages(question))
        if answer.choices[0].message.content != said(question):
            raise WrongText(f"{question}: {answer.choices[0].message.content[:200]!r}")
        self._billed(answer)
        return "answered"

    async def _stream(self, question: str) -> str:
        stream = await self._here.stream(messages=_messages(question))
        pieces = []
        async with stream:
            async for chunk in stream:
                pieces += [c.delta.content or "" for c in chunk.choices]
        if "".join(pieces) != said(question):
            raise WrongText(f"{question}: {''.join(pieces)[:200]!r}")
        self._billed(stream)
        return "streamed"

    async def _left_early(self, question: str) -> str:
        async with await self._here.stream(messages=_messages(question)) as stream:
            await anext(stream)
        self._billed(stream)
        return "left early"

    def _billed(self, told: Any) -> None:
        """Look at a receipt: its sum is the sum of its attempts."""
        found = receipt(told)
        if found is None:
            raise AssertionError(f"no receipt: {told!r}")
        self.attempts += len(found.attempts)
        costs = [a.cost_usd for a in found.attempts if a.cost_usd is not None]
        if costs and found.cost_usd != sum(costs):
            raise AssertionError(f"the sum is wrong: {found}")


def _messages(question: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": question}]
