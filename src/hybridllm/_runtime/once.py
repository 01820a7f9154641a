"""What is made when it is first needed, once, whichever thread comes first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

_Made = TypeVar("_Made")


class Once(Generic[_Made]):
    """Makes something at the first call, and returns the same one at every later one.

    Threads that come at the same time may each make one; all get the first. No lock: one that another thread
    holds while the process is forked would never be free in the child.
    """

    __slots__ = ("_made", "_make")

    def __init__(self, make: Callable[[], _Made]) -> None:
        self._make = make
        self._made: dict[None, _Made] = {}

    @property
    def made(self) -> _Made | None:
        """What was made; None: nothing yet."""
        return self._made.get(None)

    def __call__(self) -> _Made:
        """Return it; made now, if it was not yet."""
        made = self._made.get(None)
        return made if made is not None else self._made.setdefault(None, self._make())
