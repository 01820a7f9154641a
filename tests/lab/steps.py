"""A loop in virtual time that counts its turns, so that something can happen at each of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from hybridllm.testing import VirtualTimeLoop

_Result = TypeVar("_Result")


class SteppingLoop(VirtualTimeLoop):
    """Counts the turns of the loop: between two of them every task stands still.

    Attributes:
        turns: How many there were.
    """

    def __init__(self) -> None:
        super().__init__()
        self.turns = 0
        self._due: tuple[int, Callable[[], Any]] | None = None

    def after_turns(self, turns: int, then: Callable[[], Any]) -> None:
        """Call a function that many turns from now."""
        self._due = (self.turns + turns, then)

    def _run_once(self) -> None:
        super()._run_once()  # type: ignore[misc]  # asyncio's own, since ever
        self.turns += 1
        if self._due is not None and self._due[0] <= self.turns:
            _, then = self._due
            self._due = None
            then()


def run_in_steps(main: Callable[[SteppingLoop], Coroutine[Any, Any, _Result]]) -> _Result:
    """Run an async function in a new `SteppingLoop`, which it is handed."""

    async def handed() -> _Result:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SteppingLoop)
        return await main(loop)

    with asyncio.Runner(loop_factory=SteppingLoop) as runner:
        return runner.run(handed())
