"""What would have happened without overflow and without a bridge: the same requests, one after the other.

A queue before the machine's slots, first come, first served. Pure: a sum, no simulation in real time.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence

from hybridllm.cli.demo.surge.world import Speed


def first_tokens_s(
    arrivals_s: Sequence[float],
    machine: Speed,
    *,
    away_until_s: float = 0.0,
) -> list[float]:
    """Return how long each request would have waited for its first token, in the order of arrival.

    Args:
        arrivals_s: When each comes, in order.
        machine: Who answers all of them.
        away_until_s: Until when it answers nobody.
    """
    free_s = [away_until_s] * (machine.slots or 1)
    waits_s = []
    for at_s in arrivals_s:
        begin_s = max(at_s, heapq.heappop(free_s))
        heapq.heappush(free_s, begin_s + machine.answer_s)
        waits_s.append(begin_s - at_s + machine.first_token_s)
    return waits_s
