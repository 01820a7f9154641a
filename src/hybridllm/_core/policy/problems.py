"""What is wrong with a policy file, told so that it can be mended without asking."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong, or doubtful, in a policy file.

    Attributes:
        file: As given to the loader.
        line: From 1; 0 if the whole file is meant.
        column: From 1.
        path: Where in the document: `backends.global-us.kind`.
        message: The value, what is allowed, and the nearest right name.
        warning: True if the policy loads all the same.
    """

    file: str
    line: int
    column: int
    path: str
    message: str
    warning: bool = False

    def __str__(self) -> str:
        kind = "warning: " if self.warning else ""
        where = f"{self.path}: " if self.path else ""
        return f"{self.file}:{self.line}:{self.column}: {kind}{where}{self.message}"


def nearest(name: str, allowed: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` for the nearest allowed name, or nothing."""
    close = difflib.get_close_matches(name, list(allowed), n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""
