"""Splits whose weights are others now: told by how often each was drawn.

A ledger keeps what was drawn and not what might have been. As long as the draws may be of the weights at
hand they all stand; if they cannot be, as many leave whoever was drawn too often as that takes.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import sqrt

from hybridllm._core.backtest.groups import Alike
from hybridllm._core.backtest.judge import Destination
from hybridllm._core.policy.compiled import Candidate

SIGMAS = 5.0
"""Draws further away than this from what is expected are none of these weights."""

_Of = tuple[Destination, ...]


class Drawn:
    """Which draws of a ledger's splits stand.

    Attributes:
        reweighed: True if some do not.
    """

    def __init__(self, groups: Iterable[Alike]) -> None:
        self._counts: dict[_Of, dict[Candidate, int]] = {}
        for group in groups:
            verdict = group.same.verdict
            if verdict.drew is not None:
                counts = self._counts.setdefault(verdict.drawn, {})
                counts[verdict.drew] = counts.get(verdict.drew, 0) + group.requests
        self._off = {of for of, counts in self._counts.items() if _are_others(of, counts)}
        self.reweighed = bool(self._off)

    def leaving(self, group: Alike) -> list[tuple[float, Destination]]:
        """Return which shares of a group's requests go to whom else; nothing: all of them stand."""
        verdict = group.same.verdict
        of, drew = verdict.drawn, verdict.drew
        if drew is None or of not in self._off:
            return []
        counts = self._counts[of]
        whole = sum(counts.values())
        lacking = {one: one.share - counts.get(one.candidate, 0) / whole for one in of}
        had = counts[drew] / whole
        due = next((one.share for one in of if one.candidate is drew), 0.0)
        missing = sum(share for share in lacking.values() if share > 0)
        if had <= due or not missing:
            return []
        away = (had - due) / had
        return [(away * share / missing, one) for one, share in lacking.items() if share > 0]


def _are_others(of: _Of, counts: dict[Candidate, int]) -> bool:
    whole = sum(counts.values())
    return any(
        abs(counts.get(one.candidate, 0) - whole * one.share)
        > SIGMAS * sqrt(whole * one.share * (1 - one.share)) + 1
        for one in of
    )
