"""Which residency tags sessions have carried: a session that has once carried a tag keeps it.

Bounded, and closed when full: a session that found no room cannot be told from one that never carried
anything, so until the longest of them is over every unknown session is taken to have carried every
tag that taints.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from hashlib import blake2b

from hybridllm._core.policy.compiled import Policy

SESSIONS_MAX = 1_000_000
SWEPT_EVERY_S = 60.0

_logger = logging.getLogger(__name__)


class Taints:
    """The tags that sessions keep.

    Args:
        now_s: The clock's monotonic seconds.
        sessions_max: More than these are not remembered one by one.
    """

    def __init__(self, now_s: Callable[[], float], *, sessions_max: int = SESSIONS_MAX) -> None:
        self._now_s = now_s
        self._sessions_max = sessions_max
        self._carried: dict[
            bytes, dict[str, float]
        ] = {}  # tag -> when last; session ids are not kept
        self._swept_s = float("-inf")
        self._lost_s: dict[str, float] = {}  # tag -> when a session with it last found no room

    def of(self, session: str | None, policy: Policy) -> tuple[str, ...]:
        """Return the tags that a session keeps under a policy, in the order of the policy."""
        if session is None or not policy.taints:
            return ()
        carried = self._carried.get(_key(session))
        if carried is None:
            if not self._lost_s:
                return ()
            carried = self._lost_s
        now_s = self._now_s()
        return tuple(
            tag
            for tag, keeps_s in policy.taints.items()
            if tag in carried and now_s - carried[tag] <= keeps_s
        )

    def carry(self, session: str | None, tags: Iterable[str], policy: Policy) -> None:
        """Remember that a session carries these tags now, those of them that taint."""
        tainting = [tag for tag in tags if tag in policy.taints]
        if session is None or not tainting:
            return
        key, now_s = _key(session), self._now_s()
        carried = self._carried.get(key)
        if carried is None:
            if len(self._carried) >= self._sessions_max and not self._made_room(policy, now_s):
                if not self._lost_s:
                    _logger.error(
                        "more than %d sessions carry a residency tag that they keep; unknown sessions are "
                        "restricted as if they had carried it",
                        self._sessions_max,
                    )
                self._lost_s |= dict.fromkeys(tainting, now_s)
                return
            carried = self._carried[key] = {}
        for tag in tainting:
            carried[tag] = now_s

    def _made_room(self, policy: Policy, now_s: float) -> bool:
        """Forget the sessions that keep nothing any more; return whether there were any.

        Looked for now and then only: it walks through all of them.
        """
        if now_s - self._swept_s < SWEPT_EVERY_S:
            return False
        self._swept_s = now_s
        forever = float("inf")
        over = [
            key
            for key, carried in self._carried.items()
            if all(now_s - at_s > policy.taints.get(tag, forever) for tag, at_s in carried.items())
        ]
        for key in over:
            del self._carried[key]
        return bool(over)


def _key(session: str) -> bytes:
    return blake2b(session.encode("utf-8", "surrogatepass"), digest_size=16).digest()
