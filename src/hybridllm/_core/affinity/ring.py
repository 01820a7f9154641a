"""In which order replicas take the requests of one prefix, and how many each may have of all of them.

Rendezvous hashing: every prefix has an order of its own over all replicas. If one goes, only its own
prefixes move, each to the next in its order; if one comes, it takes its share, and nobody else moves. A
bound on load is laid over it: who has more of the requests under way is passed over for the next in the
order.

Sources: Thaler and Ravishankar, "Using Name-Based Mappings to Increase Hit Rates", 1998 (rendezvous);
Mirrokni, Thorup and Zadimoghaddam, "Consistent Hashing with Bounded Loads", 2016 (the bound).
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b
from math import ceil

LOAD_BOUND = 1.25
"""Nobody is asked who has so many times its share of the requests under way, the new one counted in."""

IDLE_REQUESTS = 3
"""Fewer than that are no load for anybody: a server works on dozens at once. Without it two requests that
happen to meet would be parted in a fleet that has nothing to do."""

_MASK = (1 << 64) - 1


def place(prefix: int, backend: str) -> int:
    """Return where a replica stands in a prefix's order: the lowest number takes it.

    Both are hashes already; both halves of their product, laid over each other, are one of the two.
    """
    product = prefix * _seed(backend)
    return (product >> 64 ^ product) & _MASK


def requests_max(under_way: float, share: float) -> int:
    """Return from how many requests under way on a replica it is passed over.

    Args:
        under_way: Requests on all replicas together.
        share: Of them, that is this replica's: 0.25 of four alike.
    """
    return max(IDLE_REQUESTS, ceil(LOAD_BOUND * (under_way + 1.0) * share))


@lru_cache(maxsize=4_096)
def _seed(backend: str) -> int:
    name = backend.encode("utf-8", "surrogatepass")
    digest = blake2b(name, digest_size=8, person=b"hybridllm ring").digest()
    return int.from_bytes(digest, "big") | 1  # an odd factor loses nothing of the other
