"""What is wrong with a policy file, told so that it can be mended without asking."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable
from dataclasses import dataclass

HINT_COST_MAX = 100_000
"""Of one name, as `hint_cost` has it: 10 ms, for a name of 20 letters among 300 of 15."""


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
    """Return `; did you mean 'x'?` for the nearest allowed name, or nothing; case does not count.

    Nothing, too, where comparing would take long: a name of a megabyte, or one among thousands.
    """
    names = list(allowed)
    if hint_cost(name, names) > HINT_COST_MAX:
        return ""
    # Of two names that differ in case alone, the first.
    folded = {one.casefold(): one for one in reversed(names)}
    close = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.6)
    return f"; did you mean {folded[close[0]]!r}?" if close else ""


def hint_cost(name: str, allowed: Collection[str]) -> int:
    """Return about how long it takes to find the nearest of the allowed names, in units of 0.1 us."""
    return 200 + sum(40 + len(name) * len(one) for one in allowed)
