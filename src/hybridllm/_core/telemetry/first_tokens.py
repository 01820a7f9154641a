"""How soon a first token comes where nobody waits in the queue, by the length of the prompt.

A prompt that is twice as long takes about twice as long to read, so lengths are told apart by powers of two.
A queue only ever adds to it: the figure follows quick first tokens fast and slow ones slowly, and so stays
near what is usual without one.
"""

from __future__ import annotations

_LENGTHS = 15  # up to 128 tokens, up to 256, ... beyond a million
_SHORT_BITS = 7
_DOWN, _UP = 0.25, 0.04
_OVERDUE_TIMES, _OVERDUE_S_MIN = 3.0, 0.5


class FirstTokens:
    """What is usual at one backend; a change takes one step, so any thread may look."""

    __slots__ = ("_usual_s",)

    def __init__(self) -> None:
        self._usual_s = [0.0] * _LENGTHS  # 0: not measured

    def came(self, prompt_tokens: int, seconds: float) -> None:
        """A first token came after so many seconds."""
        place = _place(prompt_tokens)
        usual_s = self._usual_s[place]
        if usual_s == 0.0:
            self._usual_s[place] = seconds
        else:
            self._usual_s[place] += (seconds - usual_s) * (_DOWN if seconds < usual_s else _UP)

    def usual_s(self, prompt_tokens: int) -> float | None:
        """Return what is usual for a prompt of that length; None: no length was measured.

        Where this one was not, by the nearest: half as long takes half as long, at least.
        """
        place = _place(prompt_tokens)
        for distance in range(_LENGTHS):
            for other in (place - distance, place + distance):
                if 0 <= other < _LENGTHS and self._usual_s[other] > 0.0:
                    shorter = max(0, place - other)
                    return self._usual_s[other] * 2.0**shorter
        return None

    def overdue_after_s(self, prompt_tokens: int) -> float:
        """Return after how long a first token is overdue; infinite while nothing was measured."""
        usual_s = self.usual_s(prompt_tokens)
        if usual_s is None:
            return float("inf")
        return max(_OVERDUE_S_MIN, _OVERDUE_TIMES * usual_s)


def _place(prompt_tokens: int) -> int:
    return min(_LENGTHS - 1, max(0, (prompt_tokens - 1).bit_length() - _SHORT_BITS))
