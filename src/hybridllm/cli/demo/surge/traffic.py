"""What the second act's callers ask, and when: calm, three times what the machine can take, calm."""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import count

from hybridllm.cli.demo.ask import Ask
from hybridllm.cli.demo.surge.world import ANSWER_TOKENS, MACHINE

CALM, BURST = 0.5, 3.0  # of what the machine can answer
PHI_EVERY = 8  # every eighth request may be seen by the own machine alone

_PROMPTS = (
    "Summarise the ticket: the customer was charged twice and wrote three times.",
    "Which of our plans fits a team of twelve?",
    "How do I rotate an API key without downtime?",
    "Draft a polite answer: the parcel is late by two days.",
)
_PHI = "Patient reports chest pain since Monday; ECG normal. What is to be asked next?"


@dataclass(frozen=True, slots=True)
class Timetable:
    """When what happens, in seconds from the start.

    Attributes:
        burst_s: The burst begins; `after_s`: it ends.
        quiet_s: From here on nobody asks, and the machine falls asleep.
        again_s: Somebody asks again.
        end_s: The last one has asked.
    """

    burst_s: float
    after_s: float
    quiet_s: float
    again_s: float
    end_s: float


def timetable(seconds: float) -> Timetable:
    """Return the timetable of an act of this length."""
    return Timetable(*(share * seconds for share in (0.15, 0.42, 0.55, 0.6, 1.0)))


def traffic(times: Timetable, *, seed: int) -> list[Ask]:
    """Return every request, in the order in which they are sent. The same numbers give the same traffic."""
    chance = random.Random(seed)  # noqa: S311 - traffic to look at, not a secret
    can = MACHINE.requests_per_s
    spells = (
        (0.0, times.burst_s, CALM * can),
        (times.burst_s, times.after_s, BURST * can),
        (times.after_s, times.quiet_s, CALM * can),
        (times.again_s, times.end_s, CALM * can),
    )
    numbers = count()
    asks = []
    for begin_s, end_s, per_s in spells:
        number = round((end_s - begin_s) * per_s)
        for place in range(number):
            at_s = begin_s + (place + chance.random()) / per_s
            phi = next(numbers) % PHI_EVERY == PHI_EVERY // 2
            asks.append(
                Ask(
                    at_s=min(at_s, end_s),
                    task="chat",
                    tenant="acme",
                    prompt=_PHI if phi else chance.choice(_PROMPTS),
                    max_tokens=ANSWER_TOKENS,
                    residency="phi" if phi else None,
                    stream=True,
                )
            )
    return asks
