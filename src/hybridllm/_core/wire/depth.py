"""How deep a JSON text is nested, told without parsing it.

A parser that recurses dies of 100,000 brackets, so bodies are looked at before they are parsed. The
answer is right for every text that is JSON up to the place where it goes too deep; any other text
fails in the parser before it gets there. The text must then be parsed as UTF-8, never in an encoding
guessed from its first bytes: other brackets would count.
"""

from __future__ import annotations

from functools import cache
from itertools import accumulate

NESTING_MAX = 64

_MARKS = b'[]{}"'
_OTHERS = bytes(byte for byte in range(256) if byte not in _MARKS)
_STEPS = bytes.maketrans(b"[{]}", b"1100")  # 1: one level in, 0: one level out
_BLOCK = 1 << 16


def nesting_exceeds(body: bytes, limit: int = NESTING_MAX) -> bool:
    """Whether arrays and objects are nested more than `limit` deep; brackets in strings aside."""
    if body.count(b"[") + body.count(b"{") <= limit:
        return False
    # Without its escaped backslashes and quotes, every quote that is left begins or ends a string.
    marks = body.replace(b"\\\\", b"").replace(b'\\"', b"").translate(_STEPS, _OTHERS)
    steps = _outside_strings(marks)
    steps += b"0" * (-len(steps) % 8)
    net, highest = _walks()
    depth = 0
    for walk in int(steps or b"0", 2).to_bytes(len(steps) // 8, "big"):  # eight steps at a time
        if depth + highest[walk] > limit:
            return True
        depth += net[walk]
    return False


def _outside_strings(marks: bytes) -> bytes:
    """The steps without those between quotes; block by block, as there may be millions of strings."""
    pieces = []
    in_string = 0
    for start in range(0, len(marks), _BLOCK):
        parts = marks[start : start + _BLOCK].split(b'"')
        pieces.append(b"".join(parts[in_string::2]))
        in_string ^= (len(parts) - 1) & 1
    return b"".join(pieces)


@cache
def _walks() -> tuple[list[int], list[int]]:
    """Where each walk of eight steps ends, and how high it comes, seen from its start."""
    heights = [
        list(accumulate(1 if walk >> bit & 1 else -1 for bit in range(7, -1, -1)))
        for walk in range(256)
    ]
    return [height[-1] for height in heights], [max(height) for height in heights]
