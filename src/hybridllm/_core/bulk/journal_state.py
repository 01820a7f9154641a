"""Where every item stands by its journal: read line by line, kept in a few bytes an item.

Owns what may follow what. Answers are not kept, only where in the file they are, so that a journal of
many gigabytes is resumed in little memory (29 bytes an item).
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from decimal import Decimal
from enum import IntEnum

from hybridllm._core.bulk.fingerprint import DIGEST_BYTES
from hybridllm._core.bulk.journal_lines import Entry, Kind

_NO_DIGEST = bytes(DIGEST_BYTES)
_UNKNOWN_BEFORE = 0x10  # a flag beside the phase: a try before the last one had no ending


class Phase(IntEnum):
    """What the last line of an item said."""

    NEW = 0  # none
    SENT = 1  # it was to be sent, and nothing more is known
    DONE = 2
    FAILED = 3


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one item stands.

    Attributes:
        digest: Of the request that the last intent was for.
        unknown_before: True if a try before the last one may have been paid for without an answer.
        offset: Where its answer is in the file, if it has one; `length` bytes of it.
    """

    phase: Phase
    digest: bytes = _NO_DIGEST
    unknown_before: bool = False
    offset: int = 0
    length: int = 0


NEW = Standing(Phase.NEW)


class JournalState:
    """All items of a journal.

    Attributes:
        done: How many have an answer.
        unknown: How many were to be sent, without an ending.
        failed: How many failed, the last time they were tried.
        failed_usd: What failures have cost.
    """

    def __init__(self) -> None:
        self._phases = bytearray()
        self._digests = bytearray()
        self._offsets = array("Q")
        self._lengths = array("I")
        self._counts = [0, 0, 0, 0]
        self.failed_usd = Decimal(0)
        self.failed_cost_complete = True

    def __len__(self) -> int:
        return len(self._phases)

    @property
    def done(self) -> int:
        return self._counts[Phase.DONE]

    @property
    def unknown(self) -> int:
        return self._counts[Phase.SENT]

    @property
    def failed(self) -> int:
        return self._counts[Phase.FAILED]

    def add(self, entry: Entry, *, offset: int, length: int) -> None:
        """Take in the next line.

        Args:
            entry: What it says.
            offset: Where it begins in the file.
            length: Of the line in bytes.

        Raises:
            ValueError: If it cannot follow what the lines before it say.
        """
        index = entry.index
        if index > len(self):
            raise ValueError(f"item {index} comes before item {len(self)}")
        if index == len(self):
            self._phases.append(Phase.NEW)
            self._digests += _NO_DIGEST
            self._offsets.append(0)
            self._lengths.append(0)
            self._counts[Phase.NEW] += 1
        before = self.of(index)
        if before.phase is Phase.DONE:
            raise ValueError(f"item {index} has an answer already")
        flag = _UNKNOWN_BEFORE if before.unknown_before else 0
        if entry.kind is Kind.SENT:
            flag = _UNKNOWN_BEFORE if flag or before.phase is Phase.SENT else 0
            start = index * DIGEST_BYTES
            self._digests[start : start + DIGEST_BYTES] = entry.digest or _NO_DIGEST
            self._set(index, before.phase, Phase.SENT, flag)
        elif entry.kind is Kind.DONE:
            if before.phase is not Phase.SENT:
                raise ValueError(f"item {index} has an answer, and was never sent")
            self._offsets[index], self._lengths[index] = offset, length
            self._set(index, before.phase, Phase.DONE, flag)
        else:
            if entry.paid is not None:
                self.failed_usd += entry.paid.cost_usd or 0
                self.failed_cost_complete &= entry.paid.cost_complete
            self._set(index, before.phase, Phase.FAILED, flag)

    def of(self, index: int) -> Standing:
        """Return where an item stands."""
        if index >= len(self):
            return NEW
        phase = self._phases[index]
        start = index * DIGEST_BYTES
        return Standing(
            Phase(phase & ~_UNKNOWN_BEFORE),
            bytes(self._digests[start : start + DIGEST_BYTES]),
            bool(phase & _UNKNOWN_BEFORE),
            self._offsets[index],
            self._lengths[index],
        )

    def _set(self, index: int, before: Phase, phase: Phase, flag: int) -> None:
        self._counts[before] -= 1
        self._counts[phase] += 1
        self._phases[index] = phase | flag
