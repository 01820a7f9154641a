"""Which residency tags sessions have carried: a session that has once carried a tag keeps it.

Bounded, and closed when full: a session that found no room cannot be told from one that never carried
anything, so until the longest of them is over every unknown session is taken to have carried what
they carried.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from hashlib import blake2b

from hybridllm._core.policy.compiled import Policy

SESSIONS_MAX = 250_000  # about 70 MiB
_LOOKED_AT_EACH_TIME = 4  # so that room is made without ever walking through all of them

_logger = logging.getLogger(__name__)

Carried = tuple[tuple[str, float], ...]
"""(tag, when it was last carried)."""


class Taints:
    """The tags that sessions keep.

    Args:
        now_s: The clock's monotonic seconds.
        sessions_max: More than these are not remembered one by one.
    """

    def __init__(self, now_s: Callable[[], float], *, sessions_max: int = SESSIONS_MAX) -> None:
        self._now_s = now_s
        self._sessions_max = sessions_max
        # By a hash: session names are not kept. The longest unused first.
        self._carried: dict[bytes, Carried] = {}
        self._lost_s: dict[str, float] = {}  # tag -> when a session with it last found no room

    def of(self, session: str | None, policy: Policy) -> tuple[str, ...]:
        """Return the tags that a session keeps under a policy, in the order of the policy."""
        if session is None or not policy.taints:
            return ()
        carried = self._carried.get(_key(session))
        if carried is None and not self._lost_s:
            return ()
        held = self._held(self._lost_s.items() if carried is None else carried, policy)
        return tuple(tag for tag in policy.taints if tag in held)

    def carry(self, session: str | None, tags: Iterable[str], policy: Policy) -> None:
        """Remember that a session carries these tags now, and still those that it keeps.

        Args:
            session: Its name.
            tags: What its request brings: its own tags, its task's, or the policy's default.
            policy: Says which of them a session keeps.
        """
        if session is None:
            return
        key, now_s = _key(session), self._now_s()
        before = self._carried.pop(key, ())
        carried = {tag for tag in tags if tag in policy.taints} | self._held(before, policy)
        if not carried:
            if before:
                self._carried[key] = before  # another policy may know its tags again
            return
        self._make_room(policy)
        if len(self._carried) < self._sessions_max:
            others = dict(before) | dict.fromkeys(carried, now_s)
            self._carried[key] = tuple(others.items())
            return
        if not self._lost_s:
            _logger.error(
                "more than %d sessions carry a residency tag that they keep; unknown sessions are "
                "restricted as if they had carried it",
                self._sessions_max,
            )
        self._lost_s |= dict.fromkeys(carried, now_s)

    def _held(self, carried: Iterable[tuple[str, float]], policy: Policy) -> set[str]:
        now_s, taints = self._now_s(), policy.taints
        return {tag for tag, at_s in carried if now_s - at_s <= taints.get(tag, -1.0)}

    def _make_room(self, policy: Policy) -> None:
        """Forget some of the longest unused, if they keep nothing any more."""
        now_s, forever = self._now_s(), float("inf")
        for _ in range(_LOOKED_AT_EACH_TIME):
            key = next(iter(self._carried), None)
            if key is None:
                break
            carried = self._carried[key]
            if any(now_s - at_s <= policy.taints.get(tag, forever) for tag, at_s in carried):
                break
            del self._carried[key]


def _key(session: str) -> bytes:
    return blake2b(session.encode("utf-8", "surrogatepass"), digest_size=16).digest()
