"""How far a long command is: one line on standard error that is drawn over itself; nothing in a pipe."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Self

_WIDTH = 24


class Progress:
    """Counts steps up to `whole`; erases its line at the end of a `with` block, and may go on in the next.

    Who counts for itself says `at` instead of `on`.
    """

    def __init__(self, whole: int = 0) -> None:
        self._whole = whole
        self._done = 0
        self._shown = sys.stderr.isatty()

    def on(self, what: str) -> None:
        """Begin the next step."""
        self.at(self._done, self._whole, what)
        self._done += 1

    def at(self, done: int, whole: int, what: str) -> None:
        """Say that `done` of `whole` are done."""
        if self._shown:
            filled = _WIDTH * done // max(1, whole)
            bar = "#" * filled + "." * (_WIDTH - filled)
            sys.stderr.write(f"\r\x1b[K[{bar}] {done:,}/{whole:,} {what}")
            sys.stderr.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
