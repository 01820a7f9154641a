"""Files that nobody should have to load, and some that only look like it.

`FILES` has all of them. `HOSTILE` holds those that are refused, as parameters for a test: whoever is
given one keeps what it had before.
"""

from __future__ import annotations

from typing import NamedTuple

import pytest

from policy.hostile_hybrid import HYBRID
from policy.hostile_policies import POLICIES
from policy.hostile_shapes import AN_API_KEY, ENVIRON, SHAPES

__all__ = ["AN_API_KEY", "ENVIRON", "FILES", "HOSTILE", "HostileFile"]


class HostileFile(NamedTuple):
    """A file.

    Attributes:
        says: A part of what is said of it; empty: it loads.
    """

    name: str
    data: bytes
    says: str


FILES = tuple(
    HostileFile(name, text if isinstance(text, bytes) else text.encode(), says)
    for name, text, says in (*SHAPES, *POLICIES, *HYBRID)
)
HOSTILE = [pytest.param(file.data, id=file.name) for file in FILES if file.says]
