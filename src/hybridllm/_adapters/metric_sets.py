"""How many different sets of attributes a metric may have, and sums that are exact.

An SDK of OpenTelemetry keeps 2,000 sets per metric and folds all further ones into one, silently. Ours are
fewer: what comes later keeps its backend and its outcome, and calls the rest `other`; that is logged.
Knows nothing of OpenTelemetry.
"""

from __future__ import annotations

import logging
from collections import Counter
from threading import get_ident
from typing import Final, TypeAlias

from hybridllm._adapters import semconv

Attributes: TypeAlias = dict[str, str | int]
Key: TypeAlias = tuple[tuple[str, str | int], ...]

OTHER: Final = "other"
SETS_MAX: Final = 1_500
FOLDED_MAX: Final = 400  # together fewer than an SDK keeps
# What a backend or a caller chose; all else is a name of the policy or a word of ours.
_CHOSEN: Final = frozenset(
    {
        semconv.GEN_AI_RESPONSE_MODEL,
        semconv.TENANT_ID,
        semconv.FEATURE,
        semconv.TASK_CLASS,
        semconv.ERROR_TYPE,
    }
)
_logger: Final = logging.getLogger("hybridllm.metrics")


class Sets:
    """The sets of attributes that one metric has had.

    Args:
        metric: Its name.
        sets_max: From how many on further ones are folded.
    """

    def __init__(self, metric: str, sets_max: int = SETS_MAX) -> None:
        self._metric = metric
        self._max = sets_max
        self._seen: set[Key] = set()

    def within(self, attributes: Attributes) -> Attributes:
        """Return the attributes to count under: these, or with `other` in place of what was chosen."""
        if self._has_room(attributes, self._max):
            return attributes
        folded = {n: OTHER if n in _CHOSEN else value for n, value in attributes.items()}
        if self._has_room(folded, self._max + FOLDED_MAX):
            return folded
        return {n: OTHER if isinstance(value, str) else 0 for n, value in attributes.items()}

    def _has_room(self, attributes: Attributes, sets_max: int) -> bool:
        key = tuple(sorted(attributes.items()))
        if key in self._seen:
            return True
        if len(self._seen) >= sets_max:
            return False
        self._seen.add(key)
        if len(self._seen) == self._max:
            _logger.warning(
                "the metric %s has %d different sets of attributes; in further ones, what a caller or a "
                "backend chose is called 'other' (the ledger keeps all of it apart)",
                self._metric,
                self._max,
            )
        return True


class Sum:
    """Whole numbers added up under sets of attributes. Adding costs no lock: each thread has sums of its own.

    Args:
        metric: Its name.
        unit: How many of what is added make one of what is told: 10^12 for USD.
    """

    def __init__(self, metric: str, unit: int = 1) -> None:
        self.metric = metric
        self.sets = Sets(metric)
        self._unit = unit
        self._by_thread: dict[int, dict[Key, int]] = {}

    def key(self, attributes: Attributes) -> Key:
        """Return under what to add for these attributes; worth keeping."""
        return tuple(self.sets.within(attributes).items())

    def add(self, key: Key, amount: int = 1) -> None:
        """Add."""
        sums = self._by_thread.get(thread := get_ident())
        if sums is None:
            sums = self._by_thread[thread] = {}
        sums[key] = sums.get(key, 0) + amount

    def totals(self) -> list[tuple[float, Attributes]]:
        """Return what is there so far; any thread may ask. The only place where an amount becomes a float."""
        found: Counter[Key] = Counter()
        for sums in list(self._by_thread.values()):
            found.update(dict(sums))
        unit = self._unit
        return [(n if unit == 1 else n / unit, dict(key)) for key, n in found.items()]
