"""The course of an act: traffic through the real router, while something happens to its backends."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol, Self

from hybridllm import errors, receipt
from hybridllm.cli.demo.ask import Ask
from hybridllm.cli.demo.tally import Ending, Record, Tally
from hybridllm.cli.signals import Stop

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hybridllm import Receipt, Router

REDRAW_S = 0.2
UNDER_WAY_MAX = 200  # more than this machine can answer at once only makes a queue


@dataclass(slots=True)
class Course:
    """Where an act stands; written by `run` and by the act, read by whoever draws it.

    Attributes:
        requests: That it will send.
        seconds: Over which.
        phase: What is happening to the backends now.
        drain_s: How long requests under way may take when it is stopped.
        stopped: By which signal; None: it was not.
    """

    requests: int
    seconds: float
    phase: StrEnum
    drain_s: float = 5.0
    stopped: str | None = None
    now_s: float = 0.0
    tally: Tally = field(default_factory=Tally)


class Screen(Protocol):
    """Whoever draws the course; entered before the first drawing."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def draw(self, course: Course) -> None:
        """Show where the demo stands now."""
        ...

    def say(self, words: str) -> None:
        """Show a line of text, at once."""
        ...


class Act(Protocol):
    """What happens while the traffic goes on, and how its requests may end."""

    async def weather(self, course: Course) -> None:
        """Let it happen; return at the end."""
        ...

    def ending(self, ask: Ask, error: errors.HybridLLMError | None, made: Receipt | None) -> Ending:
        """Return how a request has ended."""
        ...

    def may_see(self, residency: str | None) -> frozenset[str] | None:
        """Return who may see what a tag marks; None: everybody."""
        ...


async def run(
    router: Router,
    act: Act,
    course: Course,
    asks: Sequence[Ask],
    screen: Screen,
    stop: Stop,
) -> None:
    """Send every request of `asks` at its time, or until it is stopped; return when all have ended."""
    screen.draw(course)
    # Not counted: the first request of a process loads `openai` and opens the connections.
    await router.chat.completions.create(
        messages=[{"role": "user", "content": "Hello"}], max_tokens=1
    )
    loop = asyncio.get_running_loop()
    started_s = loop.time()
    slots = asyncio.Semaphore(UNDER_WAY_MAX)
    async with asyncio.TaskGroup() as helpers:
        drawing = helpers.create_task(_draw(course, screen, started_s))
        weather = helpers.create_task(act.weather(course))
        closing = helpers.create_task(_closed_when_asked(router, course, stop, screen))
        async with asyncio.TaskGroup() as group:
            for ask in asks:
                if await stop.within(max(0.0, started_s + ask.at_s - loop.time())):
                    break
                await slots.acquire()
                sent = group.create_task(_send(router, act, ask, course, started_s))
                sent.add_done_callback(lambda _: slots.release())
        if stop.asked.is_set():
            weather.cancel()
            await closing
        else:
            await weather
            closing.cancel()
        drawing.cancel()
    course.now_s = loop.time() - started_s
    screen.draw(course)


async def _closed_when_asked(router: Router, course: Course, stop: Stop, screen: Screen) -> None:
    """Let what is under way end, for a while, once somebody asks for the end."""
    await stop.asked.wait()
    course.stopped = None if stop.signal is None else stop.signal.name
    screen.say(
        f"{course.stopped}: what is under way may take {course.drain_s:g} s; once more ends it at once"
    )
    await router.aclose(drain_s=course.drain_s)


async def _draw(course: Course, screen: Screen, started_s: float) -> None:
    loop = asyncio.get_running_loop()
    while True:
        course.now_s = loop.time() - started_s
        screen.draw(course)
        await asyncio.sleep(REDRAW_S)


async def _send(router: Router, act: Act, ask: Ask, course: Course, started_s: float) -> None:
    phase = course.phase
    made: Receipt | None = None
    error: errors.HybridLLMError | None = None
    course.tally.under_way += 1
    try:
        made = await _answered(router, ask)
    except errors.HybridLLMError as told:
        error = told
        made = getattr(told, "receipt", None)
    finally:
        course.tally.under_way -= 1
    strayed = _strayed(act.may_see(ask.residency), made)
    course.tally.records.append(
        Record(
            ask=ask,
            phase=phase,
            ending=Ending.UNEXPECTED if strayed else act.ending(ask, error, made),
            ended_s=asyncio.get_running_loop().time() - started_s,
            receipt=made,
            error=_told(ask, error, strayed),
        )
    )


async def _answered(router: Router, ask: Ask) -> Receipt:
    request: dict[str, Any] = {
        "messages": [{"role": "user", "content": ask.prompt}],
        "max_tokens": ask.max_tokens,
        "task": ask.task,
        "tenant": ask.tenant,
        "residency": ask.residency,
    }
    if not ask.stream:
        return receipt(await router.chat.completions.create(**request))
    stream = await router.chat.completions.create(**request, stream=True)
    async with stream:
        async for _ in stream:
            pass
    return receipt(stream)


def _told(ask: Ask, error: errors.HybridLLMError | None, strayed: set[str]) -> str | None:
    if strayed:
        names = ", ".join(sorted(strayed))
        return f"a request with residency {ask.residency!r} was sent to {names}"
    return None if error is None else f"{type(error).__name__}: {error}"


def _strayed(may_see: frozenset[str] | None, made: Receipt | None) -> set[str]:
    """Return the backends that were sent a request whose tag keeps it from them."""
    if may_see is None or made is None:
        return set()
    return {attempt.backend for attempt in made.attempts} - may_see


def was_stopped(error: errors.HybridLLMError | None) -> bool:
    """Return whether a request failed because the demo ended before it."""
    return isinstance(error, errors.RouterClosed) or (
        isinstance(error, errors.StreamInterrupted) and error.cause == "router_closed"
    )
