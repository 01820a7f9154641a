"""Wakes backends before they are needed: when a volume comes near to where a route begins that uses them."""

from __future__ import annotations

from dataclasses import dataclass

from hybridllm._core.policy.compiled import Backend, Policy
from hybridllm._core.policy.conditions import leaves
from hybridllm._core.policy.hybrid import Volume
from hybridllm._runtime.fleet import Fleet
from hybridllm._runtime.volumes import Volumes

_REST_SHARE = 0.9  # of the share at which it is woken: below that, it may be woken once more


@dataclass(frozen=True, slots=True)
class _Watched:
    """A volume, and a backend that a route uses once it is reached."""

    volume: Volume
    backend: Backend
    at: float


class WakeAhead:
    """Looks once a second, while anything is counted.

    Args:
        fleet: Whose backends are woken.
        volumes: Who counts.
        policy: The one in force.
    """

    def __init__(self, fleet: Fleet, volumes: Volumes, policy: Policy) -> None:
        self._fleet = fleet
        self._volumes = volumes
        self._woken: set[tuple[Volume, str]] = set()
        self._watched: tuple[_Watched, ...] = ()
        self.follow(policy)

    def follow(self, policy: Policy) -> None:
        """Look at the routes of another policy."""
        found: dict[tuple[Volume, str], _Watched] = {}
        for route in policy.routes:
            volumes = [one for one in leaves(route.when, negated=False) if isinstance(one, Volume)]
            backends = [one.backend for use in route.use for one in use.candidates]
            for volume in volumes:
                for backend in backends:
                    if backend.cold_start is not None and not volume.below:
                        at = backend.cold_start.wake_at
                        found[volume, backend.name] = _Watched(volume, backend, at)
        self._watched = tuple(found.values())
        self._woken &= found.keys()
        self._volumes.on_beat = self.look if found else None

    def look(self) -> None:
        """Wake who will be needed soon; each once, until its volume has been well below again."""
        for one in self._watched:
            key = (one.volume, one.backend.name)
            near = self._volumes.near(one.volume)
            if near < one.at * _REST_SHARE:
                self._woken.discard(key)
            elif near >= one.at and key not in self._woken:
                self._woken.add(key)
                if not self._fleet.warmths.answers(one.backend.name):
                    self._fleet.warmths.wake(one.backend)
