"""A simulated month: the real router in virtual time, and the ledger that comes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

from hybridllm import HybridLLMError, Receipt, Router, receipt
from hybridllm._adapters.policy_files import load_policy_text
from hybridllm.testing import (
    Ask,
    LoopClock,
    Service,
    SimulatedFleet,
    VllmService,
    run_in_virtual_time,
)

DAY_S = 86_400.0
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
Services = Mapping[str, Service | VllmService]


@dataclass(frozen=True, slots=True)
class Told:
    """A request and what became of it."""

    ask: Ask
    receipt: Receipt


def asks_of_a_month(
    count: int,
    kinds: Sequence[Mapping[str, Any]],
    *,
    seed: int = 1,
    days: float = 30.0,
) -> list[Ask]:
    """Return requests that come at random over a month, with answers of many lengths."""
    chance = Random(seed)
    times = sorted(chance.uniform(0, days * DAY_S) for _ in range(count))
    asks = []
    for at_s in times:
        words = " ".join(["charged"] * chance.randint(5, 60))
        params = {
            "messages": [{"role": "user", "content": words}],
            "max_tokens": chance.randint(20, 120),
            "stream": chance.random() < 0.3,
            **chance.choice(kinds),
        }
        asks.append(Ask(at_s, params))
    return asks


def played(
    policy: str,
    asks: Sequence[Ask],
    *,
    services: Services | None = None,
    strike: Any = None,
    seed: int = 1,
    ledger: Path | None = None,
) -> list[Told]:
    """Send requests through a router, in virtual time, and return what became of each."""
    fleet = SimulatedFleet.of(load_policy_text(policy)[0], seed=seed, service=services)
    if strike is not None:
        strike(fleet)

    async def run() -> list[Told]:
        told: list[Told] = []
        router = Router.from_text(
            policy,
            name="played",
            clock=LoopClock(utc=BEGAN),
            environ=fleet.environ,
            wire=fleet,
            chance=Random(seed).random,
            ledger=ledger,
        )
        async with router, asyncio.TaskGroup() as group:
            for ask in asks:
                wait_s = ask.at_s - asyncio.get_running_loop().time()
                if wait_s > 0:
                    await asyncio.sleep(wait_s)
                group.create_task(_sent(router, ask, told))
        return told

    return run_in_virtual_time(run)


async def _sent(router: Router, ask: Ask, told: list[Told]) -> None:
    try:
        answer = await router.chat.completions.create(**ask.params)
        if ask.params.get("stream"):
            async with answer:
                async for _ in answer:
                    pass
        told.append(Told(ask, receipt(answer)))
    except HybridLLMError as error:
        told.append(Told(ask, error.receipt))  # type: ignore[attr-defined]
