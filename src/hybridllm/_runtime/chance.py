"""Chance; the only place that draws it, with `os.urandom` for names of requests."""

from __future__ import annotations

import os
import random


class Chance:
    """Draws numbers in [0, 1]; each process its own ones.

    A copy made by `fork` would draw what its parent draws: all workers of a server would wait, retry and
    split their traffic in step.
    """

    def __init__(self) -> None:
        self._seed()

    def __call__(self) -> float:
        """Draw one."""
        if self._pid != os.getpid():
            self._seed()
        return self._random.random()

    def _seed(self) -> None:
        self._pid = os.getpid()
        self._random = random.Random()  # noqa: S311 - jitter is no secret
