"""One batch of calls through one client, and what it cost. Runs inside a worker process."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

Messages = list[dict[str, str]]

MODEL = "gpt-4o-mini"  # a model that litellm knows the price of: for others it does extra work
SYSTEM = "You sort the letters of an online shop's customers. Answer in one sentence."
SHORT: Messages = [
    {"role": "system", "content": SYSTEM},
    {"role": "user", "content": "I was charged twice for order 4711. What will you do about it?"},
]
TURN = "This is one turn of a longer conversation about an order that never came. " * 3
HISTORY: Messages = [
    {"role": "system", "content": SYSTEM},
    *(
        {"role": "assistant" if number % 2 else "user", "content": f"{number}: {TURN}"}
        for number in range(48)
    ),
    {"role": "user", "content": "So, when do I get my money back?"},
]
ANSWER_LENGTH = 92  # of upstream.ANSWER: a client that returns less did not do the work
WORD_LENGTH = 5  # of each of upstream.WORDS


@dataclass(frozen=True, slots=True)
class Spec:
    """What a worker needs to build its client.

    Attributes:
        backends: Of the model that the traffic asks for; hybridllm only.
        spans: Whether spans are recorded through the OpenTelemetry SDK; hybridllm only.
        books: Whether a ledger is written and metrics are counted through the SDK; hybridllm only.
    """

    client: str
    port: int
    sick_port: int
    dead_port: int
    backends: int = 2
    spans: bool = False
    books: bool = False

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"


class Client(Protocol):
    """One library under test. `turn` numbers the calls, so that they need not be all alike."""

    async def open(self) -> None: ...

    async def chat(self, messages: Messages, turn: int) -> int:
        """Ask; return the length of the answer's text, read from what the caller gets in hand."""
        ...

    async def stream(self, messages: Messages, turn: int) -> tuple[float, int]:
        """Ask for a stream and read it to its end.

        Returns:
            `perf_counter` when the first text was in hand, and the length of the whole text.
        """
        ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Load:
    """A batch.

    Attributes:
        shape: `chat` (2 messages), `history` (50 messages) or `stream`.
        tokens: Per stream, as the upstream was told.
        budget_s: The batch is sized to last about so long,
        calls_min: but not fewer calls than these,
        calls_max: nor more.
    """

    shape: str
    concurrency: int
    tokens: int = 0
    budget_s: float = 1.0
    calls_min: int = 20
    calls_max: int = 100_000


@dataclass(slots=True)
class Seen:
    """What the calls of a batch reported."""

    latencies_s: list[float]
    first_tokens_s: list[float]


Call = Callable[[int], Awaitable[None]]


def _call(client: Client, load: Load, seen: Seen) -> Call:
    clock = time.perf_counter

    async def stream(turn: int) -> None:
        began = clock()
        first, length = await client.stream(SHORT, turn)
        seen.latencies_s.append(clock() - began)
        seen.first_tokens_s.append(first - began)
        if length != load.tokens * WORD_LENGTH:
            raise AssertionError(f"{length} characters came, not {load.tokens} words")

    messages = HISTORY if load.shape == "history" else SHORT

    async def chat(turn: int) -> None:
        began = clock()
        length = await client.chat(messages, turn)
        seen.latencies_s.append(clock() - began)
        if length != ANSWER_LENGTH:
            raise AssertionError(f"{length} characters came, not {ANSWER_LENGTH}")

    return stream if load.shape == "stream" else chat


async def _drive(call: Call, calls: int, concurrency: int) -> None:
    turns = iter(range(calls))

    async def loop() -> None:
        for turn in turns:
            await call(turn)

    if concurrency == 1:
        await loop()
        return
    async with asyncio.TaskGroup() as group:
        for _ in range(min(concurrency, calls)):
            group.create_task(loop())


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


async def run_load(client: Client, load: Load) -> dict[str, Any]:
    """Warm up, size the batch, run it; CPU is all of this process's, every thread's."""
    seen = Seen([], [])
    call = _call(client, load, seen)
    warm = max(load.concurrency, 4 if load.shape == "stream" else 8)
    await _drive(call, warm, load.concurrency)  # connections open, code paths warm: not counted
    began = time.perf_counter()
    await _drive(call, warm, load.concurrency)
    per_call_s = (time.perf_counter() - began) / warm
    calls = int(min(max(load.budget_s / per_call_s, load.calls_min), load.calls_max))
    seen.latencies_s.clear()
    seen.first_tokens_s.clear()
    gc.collect()
    repeats = getattr(client, "repeats", 0)
    wall, cpu = time.perf_counter(), time.process_time()
    await _drive(call, calls, load.concurrency)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    result: dict[str, Any] = {
        "calls": calls,
        "repeats": getattr(client, "repeats", 0) - repeats,
        "cpu_us": cpu / calls * 1e6,
        "per_s": calls / wall,
        "p50_ms": percentile(seen.latencies_s, 0.50) * 1e3,
        "p99_ms": percentile(seen.latencies_s, 0.99) * 1e3,
    }
    if load.shape == "stream":
        result["chunk_us"] = cpu / (calls * load.tokens) * 1e6
        result["first_token_p50_ms"] = percentile(seen.first_tokens_s, 0.50) * 1e3
    return result
