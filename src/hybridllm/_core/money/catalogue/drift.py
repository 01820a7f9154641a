"""Where a policy's prices are not those of a catalogue."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from hybridllm._core.money.catalogue.entry import jsonable
from hybridllm._core.money.price import Price
from hybridllm._core.money.tariff import SheetEntry, Tariff
from hybridllm._core.policy.compiled import Candidate, Policy

_RATES = (
    ("input", "usd_per_mtok_in"),
    ("output", "usd_per_mtok_out"),
    ("cached input", "usd_per_mtok_cached_in"),
    ("cache write", "usd_per_mtok_cache_write"),
    ("per request", "usd_per_request"),
)


@dataclass(frozen=True, slots=True)
class PriceDrift:
    """A rate of a candidate that is another one in a catalogue.

    Attributes:
        candidate: `backend/model`.
        rate: `input`, `output`, `cached input`, `cache write` (USD per 1,000,000 tokens) or `per request`; of
            a step with its bound: `input above 200000`.
        price_id: Of the policy's price; None: it has none.
        ours: In the policy; None: it says nothing.
        theirs: In the catalogue; None: it says nothing.
    """

    candidate: str
    rate: str
    price_id: str | None
    ours: Decimal | None
    theirs: Decimal | None

    @property
    def share(self) -> float | None:
        """How far ours is from theirs, as a share of that; None: one of them is missing, or theirs is 0."""
        if self.ours is None or not self.theirs:
            return None
        return float(self.ours / self.theirs - 1)

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON; amounts are texts."""
        told: dict[str, Any] = jsonable(asdict(self))
        return told | {"share": self.share}


@dataclass(frozen=True, slots=True)
class PriceComparison:
    """A policy's prices beside those of a catalogue.

    Attributes:
        at: When both were looked at.
        drifts: Every rate that differs.
        equal: `backend/model` of those whose rates are all the same.
        unknown: Those that the catalogue does not know, own machines apart.
    """

    at: datetime
    drifts: tuple[PriceDrift, ...]
    equal: tuple[str, ...]
    unknown: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return {
            "at": self.at.isoformat(),
            "same": not self.drifts,
            "drifts": [one.to_dict() for one in self.drifts],
            "equal": list(self.equal),
            "unknown": list(self.unknown),
        }


def hosted(policy: Policy) -> Iterator[Candidate]:
    """Yield the candidates that somebody else runs."""
    for served in policy.candidates.values():
        yield from (one for one in served if not one.backend.own)


def compared(policy: Policy, catalogue: Sequence[SheetEntry], at: datetime) -> PriceComparison:
    """Compare each hosted candidate's price with a catalogue's: standard tier, every step of both."""
    drifts: list[PriceDrift] = []
    equal, unknown = [], []
    for candidate in hosted(policy):
        names = (candidate.wire_model, candidate.model.name)
        theirs = Tariff(names, candidate.backend.name, sheet=tuple(catalogue))
        if theirs.window(at) is None:
            unknown.append(candidate.name)
            continue
        found = list(_drifts(candidate, theirs, at))
        drifts += found
        if not found:
            equal.append(candidate.name)
    return PriceComparison(at, tuple(drifts), tuple(equal), tuple(unknown))


def _drifts(candidate: Candidate, theirs: Tariff, at: datetime) -> Iterator[PriceDrift]:
    bounds = {-1, *_bounds(theirs, at)}
    if candidate.tariff is not None:
        bounds.update(_bounds(candidate.tariff, at))
    before: set[tuple[str, Decimal | None, Decimal | None]] = set()
    for bound in sorted(bounds):
        one = candidate.price_at(at, bound + 1)
        other = theirs.price(at, input_tokens=bound + 1)
        where = f" above {bound}" if bound >= 0 else ""
        for word, name in _RATES:
            ours, their = _rate(one, name), _rate(other, name)
            if ours != their and (word, ours, their) not in before:
                before.add((word, ours, their))
                price_id = one.price_id if one is not None else None
                yield PriceDrift(candidate.name, word + where, price_id, ours, their)


def _rate(price: Price | None, name: str) -> Decimal | None:
    rate: Decimal | None = None if price is None else getattr(price, name)
    return rate


def _bounds(tariff: Tariff, at: datetime) -> Iterator[int]:
    window = tariff.window(at)
    for step in window.standard if window is not None else ():
        yield step.above
