"""How deep a JSON text is nested, told without parsing it.

A parser that recurses dies of 100,000 brackets, so bodies are looked at before they are parsed. The
answer is right for every text that is JSON up to the place where it goes too deep; any other text
fails in the parser before it gets there. The text must then be parsed as UTF-8, never in an encoding
guessed from its first bytes: other brackets would count.
"""

from __future__ import annotations

from itertools import accumulate

NESTING_MAX = 64

_MARKS = b'[]{}"'
_OTHERS = bytes(byte for byte in range(256) if byte not in _MARKS)
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")  # one level in, one level out (-1 as a byte)
_BLOCK = 1 << 16
_STRIDE = 64


def nesting_exceeds(body: bytes, limit: int = NESTING_MAX) -> bool:
    """Whether arrays and objects are nested more than `limit` deep; brackets in strings aside."""
    if body.count(b"[") + body.count(b"{") <= limit:
        return False
    # Without its escaped backslashes and quotes, every quote that is left begins or ends a string.
    marks = body.replace(b"\\\\", b"").replace(b'\\"', b"").translate(_STEPS, _OTHERS)
    depth = 0
    in_string = 0
    for start in range(0, len(marks), _BLOCK):
        parts = marks[start : start + _BLOCK].split(b'"')
        steps = b"".join(parts[in_string::2])
        in_string ^= (len(parts) - 1) & 1
        for place in range(0, len(steps), _STRIDE):
            stride = steps[place : place + _STRIDE]
            opened = stride.count(b"\x01")
            if depth + opened > limit and depth + _highest(stride) > limit:
                return True
            depth += 2 * opened - len(stride)
    return False


def _highest(steps: bytes) -> int:
    """How far above its start a walk of these steps comes."""
    return max(accumulate(memoryview(steps).cast("b"), initial=0))
