"""How many cases are tried where a published figure counts them by the thousand.

Every run tries a part, always the same one: enough to show that something broke. `pytest --full`, which is
`nox -s proofs`, tries them all.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PartOf:
    """Tells a test how many to try; call it with how many there are.

    Attributes:
        full: Whether it is all of them.
    """

    full: bool

    def __call__(self, count: int, share: float = 0.1) -> int:
        """Return `count`, or its share, rounded up."""
        return count if self.full else -int(-count * share // 1)
