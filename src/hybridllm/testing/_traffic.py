"""Traffic through a router: who asks what and when, and what became of it.

An open loop: requests come at their times, whether or not the ones before have ended, as users do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from itertools import accumulate
from random import Random
from typing import Any, Protocol

from hybridllm._core.receipt import Receipt
from hybridllm._runtime.receipts import receipt
from hybridllm.errors import HybridLLMError, PolicyDenied, StreamInterrupted

_MESSAGES = [{"role": "user", "content": "I was charged twice. Which queue is this for?"}]


@dataclass(frozen=True, slots=True)
class Ask:
    """One request of some traffic.

    Attributes:
        at_s: When it is sent, in the event loop's time.
        params: Of `chat.completions.create`.
        kind: What it is, for whoever counts.
    """

    at_s: float
    params: Mapping[str, Any] = field(repr=False)
    kind: str = ""


class Ending(StrEnum):
    """How a request ended for its caller."""

    ANSWERED = "answered"
    FAILED = "failed"
    CUT = "cut"  # a stream broke after its first token: the caller is told, and has what had come
    DENIED = "denied"  # by the policy; nothing was sent


@dataclass(frozen=True, slots=True)
class Try:
    """One attempt of a request.

    Attributes:
        after_s: Seconds from the request's start to its own.
        error: In one word: `503`, `connect`; None: it served.
    """

    backend: str
    model: str
    after_s: float
    duration_s: float
    error: str | None


@dataclass(frozen=True, slots=True)
class Journey:
    """What became of one `Ask`.

    Attributes:
        error: Name of the exception; None: answered.
        ended_s: When its caller had the whole answer, or an error.
        first_token_s: Seconds to the first token of a stream, the waits for others included.
        tries: Its attempts, in order.
    """

    ask: Ask
    ending: Ending
    error: str | None
    ended_s: float
    first_token_s: float | None
    tries: tuple[Try, ...]
    cost_usd: Decimal | None
    cost_wasted_usd: Decimal

    @property
    def duration_s(self) -> float:
        """Seconds from asking to the whole answer, or to the error."""
        return self.ended_s - self.ask.at_s

    @property
    def served_by(self) -> str | None:
        """Who answered; None: nobody did."""
        served = self.ending is Ending.ANSWERED and bool(self.tries)
        return self.tries[-1].backend if served else None


class CanBeAsked(Protocol):
    """A `Router`, as far as traffic needs one."""

    @property
    def chat(self) -> Any:
        """Whose `completions.create` is called."""
        ...


def poisson(rate: float, *, from_s: float, until_s: float, chance: Random) -> Iterator[float]:
    """Yield times of arrival, `rate` a second on average and independent of each other."""
    at_s = from_s + chance.expovariate(rate)
    while at_s < until_s:
        yield at_s
        at_s += chance.expovariate(rate)


def traffic(
    rate: float,
    *,
    until_s: float,
    seed: int = 1,
    from_s: float = 0.0,
    mix: Mapping[str, Mapping[str, Any]] | None = None,
    weights: Sequence[float] | None = None,
    streams: float = 0.5,
) -> list[Ask]:
    """Return requests that come at random, `rate` a second on average.

    Args:
        rate: Requests a second.
        until_s: When the last one may come, in the event loop's time.
        seed: The same gives the same traffic.
        from_s: When the first one may come.
        mix: Kinds of requests: a name, and parameters of the call; messages need not be given.
            Default: one kind without a hint.
        weights: Of each kind. Default: all alike.
        streams: The share of requests that want a stream, unless their kind says.
    """
    chance = Random(f"traffic/{seed}")  # noqa: S311 - a simulation, no secret
    kinds = mix or {"": {}}
    asked = {
        (kind, stream): {"messages": _MESSAGES, "stream": stream, **params}
        for kind, params in kinds.items()
        for stream in (False, True)
    }
    names, sums = list(kinds), list(accumulate(weights)) if weights else None
    made = []
    for at_s in poisson(rate, from_s=from_s, until_s=until_s, chance=chance):
        kind = chance.choices(names, cum_weights=sums)[0]
        stream = chance.random() < streams
        made.append(Ask(at_s, asked[kind, stream], kind))
    return made


async def send_all(
    router: CanBeAsked,
    asks: Iterable[Ask],
    *,
    until_s: float | None = None,
    look: Callable[[float], None] | None = None,
    every_s: float = 0.1,
) -> list[Journey]:
    """Send every request at its time, and return what became of each, in the order of their ends.

    Args:
        router: A `Router`.
        asks: In the order of their times.
        until_s: Go on looking until then, if the last answer comes earlier.
        look: Called every `every_s` seconds with the time, to look at whatever changes.
        every_s: See `look`.
    """
    loop = asyncio.get_running_loop()
    journeys: list[Journey] = []

    async def one(ask: Ask) -> None:
        journeys.append(await _sent(router, ask, loop))

    async def looking() -> None:
        while look is not None:
            look(loop.time())
            await asyncio.sleep(every_s)

    async with asyncio.TaskGroup() as lookers:
        looker = lookers.create_task(looking())
        async with asyncio.TaskGroup() as group:
            for ask in asks:
                wait_s = ask.at_s - loop.time()
                if wait_s > 0:
                    await asyncio.sleep(wait_s)
                group.create_task(one(ask))
        if until_s is not None and until_s > loop.time():
            await asyncio.sleep(until_s - loop.time())
        looker.cancel()
    return journeys


async def _sent(router: CanBeAsked, ask: Ask, loop: asyncio.AbstractEventLoop) -> Journey:
    error: HybridLLMError | None = None
    made: Receipt | None
    try:
        answer = await router.chat.completions.create(**ask.params)
        if ask.params.get("stream"):
            async with answer:
                async for _ in answer:
                    pass
        made = receipt(answer)
    except HybridLLMError as raised:
        error = raised
        made = getattr(raised, "receipt", None)
    return _journey(ask, error, made, ended_s=loop.time())


def _journey(
    ask: Ask, error: HybridLLMError | None, made: Receipt | None, *, ended_s: float
) -> Journey:
    if error is None:
        ending = Ending.ANSWERED
    elif isinstance(error, PolicyDenied):
        ending = Ending.DENIED
    else:
        ending = Ending.CUT if isinstance(error, StreamInterrupted) else Ending.FAILED
    return Journey(
        ask=ask,
        ending=ending,
        error=None if error is None else type(error).__name__,
        ended_s=ended_s,
        first_token_s=None if made is None else made.first_token_s,
        tries=() if made is None else _tries(made),
        cost_usd=None if made is None else made.cost_usd,
        cost_wasted_usd=Decimal(0) if made is None else made.cost_wasted_usd,
    )


def _tries(made: Receipt) -> tuple[Try, ...]:
    began = made.started_at
    return tuple(
        [
            Try(
                one.backend,
                one.model,
                (one.started_at - began).total_seconds(),
                one.duration_s,
                one.error,
            )
            for one in made.attempts
        ]
    )
