"""How a command that runs for a while is stopped: asked once, it ends in good order; asked twice, at once.

SIGTERM is how a service manager asks, SIGINT how a person does (Ctrl-C).
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

import typer

from hybridllm.cli.exits import Exit

_Result = TypeVar("_Result")
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stop:
    """Whether somebody has asked for the end.

    Attributes:
        signal: With what; None: nobody has.
        asked: Set then.
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self.asked = asyncio.Event()
        self.at_once = False

    async def within(self, seconds: float) -> bool:
        """Wait for so long; return as soon as somebody asks, and whether one has."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.asked.wait()
        return self.asked.is_set()


def run_until_stopped(main: Callable[[Stop], Awaitable[_Result]]) -> _Result:
    """Run `main` in a new event loop, and tell it when it shall end.

    The first signal sets `Stop.asked`; what `main` makes of it is its own affair. The second one, of either
    kind, cancels it.

    Raises:
        Exit: After the second signal, with the code that shells have for it.
    """
    stop: Stop | None = None

    async def stoppable() -> _Result:
        nonlocal stop
        stop = Stop()
        with _heard(stop):
            return await main(stop)

    try:
        return asyncio.run(stoppable())
    except asyncio.CancelledError:
        if stop is None or not stop.at_once:
            raise
        raise ended_by(stop) from None


def ended_by(stop: Stop) -> typer.Exit:
    """Say how the command ended, and return its exit."""
    terminated = stop.signal is signal.SIGTERM
    typer.echo("terminated" if terminated else "interrupted", err=True)
    return typer.Exit(Exit.TERMINATED if terminated else Exit.INTERRUPTED)


@contextmanager
def _heard(stop: Stop) -> Iterator[None]:
    """Listen for signals within the block, where that can be done: in a main thread, and not on Windows."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()

    def hear(number: signal.Signals) -> None:
        stop.signal = number
        if stop.asked.is_set() and task is not None:
            stop.at_once = True
            task.cancel()
        stop.asked.set()

    listening = []
    for number in _SIGNALS:
        with suppress(NotImplementedError, RuntimeError, ValueError):
            loop.add_signal_handler(number, hear, number)
            listening.append(number)
    try:
        yield
    finally:
        for number in listening:
            loop.remove_signal_handler(number)
