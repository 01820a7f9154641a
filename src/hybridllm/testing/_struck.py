"""Which fault strikes which request.

Owns the limits of faults: probability, times, path. Chance depends on a seed alone.
"""

from __future__ import annotations

from collections.abc import Sequence

from hybridllm.testing._faults import Fault, FaultKind
from hybridllm.testing._tokens import draw


class Struck:
    """Some faults, and how often each has struck. Of several, a request gets the first one that does."""

    def __init__(self, faults: Fault | Sequence[Fault] | None) -> None:
        self.faults = as_faults(faults)
        self._times = [0] * len(self.faults)

    def fault_for(
        self, *, path: str, seed: int, number: int, fresh_connection: bool
    ) -> Fault | None:
        """Return what strikes a request, and count it.

        Args:
            path: Of its URL.
            seed: With the number it decides, where a fault has a probability.
            number: Of the request, in the order of arrival.
            fresh_connection: Whether it is the first one on its connection.
        """
        for index, fault in enumerate(self.faults):
            if fault.path is not None and not path.endswith(fault.path):
                continue
            if fault.times is not None and self._times[index] >= fault.times:
                continue
            if fault.kind is FaultKind.STALE_KEEP_ALIVE and fresh_connection:
                continue
            if draw(seed, index, number) < fault.probability:
                self._times[index] += 1
                return fault
        return None


def as_faults(faults: Fault | Sequence[Fault] | None) -> tuple[Fault, ...]:
    """Return one, some or no faults as what they are: some."""
    if faults is None:
        return ()
    return (faults,) if isinstance(faults, Fault) else tuple(faults)
