"""What shadow traffic tells, from the ledger's rows: the table of a comparison, of live traffic."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from hybridllm._core.compare.parity import lower_bound
from hybridllm._core.latency import nearest_rank
from hybridllm._core.ledger.rows import RequestRow
from hybridllm._core.money.pico import usd_of

_KEPT = 100_000
"""Of requests whose copies have not come yet; a copy comes within minutes."""


@dataclass(frozen=True, slots=True)
class ShadowSummary:
    """One route, the model that answered, and the one that answered a copy.

    Attributes:
        copies: That were sent; `answered`: that brought an answer; `compared`: both were there to compare.
        agreement: Share of those compared that agree; None: none was. `agreement_low`: the lower end of its
            95 % interval.
        cost_usd: Of the requests that were copied; `shadow_cost_usd`: of their copies; None: not known.
    """

    route: str | None
    model: str
    shadow_model: str
    copies: int
    answered: int
    compared: int
    agreement: float | None
    agreement_low: float | None
    cost_usd: Decimal | None
    shadow_cost_usd: Decimal | None
    p50_s: float | None
    shadow_p50_s: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON; money as text."""
        told = {name: getattr(self, name) for name in self.__dataclass_fields__}
        for name in ("cost_usd", "shadow_cost_usd"):
            told[name] = None if told[name] is None else f"{told[name]:f}"
        return told


@dataclass(slots=True)
class _Pair:
    copies: int = 0
    answered: int = 0
    compared: int = 0
    agreed: int = 0
    pico: int | None = None
    shadow_pico: int | None = None
    durations_us: list[int] = field(default_factory=list)
    shadow_durations_us: list[int] = field(default_factory=list)


def shadow_summaries(rows: Iterable[RequestRow]) -> list[ShadowSummary]:
    """Add up copies and what they are copies of, by route and both models; rows come in order."""
    originals: dict[str, RequestRow] = {}
    pairs: dict[tuple[str | None, str, str], _Pair] = {}
    for row in rows:
        if row.shadow_of is None:
            if len(originals) >= _KEPT:
                del originals[next(iter(originals))]
            originals[row.request_id] = row
            continue
        original = originals.get(row.shadow_of)
        if original is not None and original.served_model and row.model_pinned:
            key = (original.route, original.served_model, row.model_pinned)
            _add(pairs.setdefault(key, _Pair()), original, row)
    return [_summary(key, pair) for key, pair in sorted(pairs.items(), key=lambda one: str(one[0]))]


def _add(pair: _Pair, original: RequestRow, copy: RequestRow) -> None:
    pair.copies += 1
    if copy.agreed is not None:
        pair.compared += 1
        pair.agreed += copy.agreed
    if original.cost_pico is not None:
        pair.pico = (pair.pico or 0) + original.cost_pico
    if copy.cost_pico is not None:
        pair.shadow_pico = (pair.shadow_pico or 0) + copy.cost_pico
    pair.durations_us.append(original.duration_us)
    if copy.outcome == "ok":
        pair.answered += 1
        pair.shadow_durations_us.append(copy.duration_us)


def _summary(key: tuple[str | None, str, str], pair: _Pair) -> ShadowSummary:
    route, model, shadow_model = key
    return ShadowSummary(
        route=route,
        model=model,
        shadow_model=shadow_model,
        copies=pair.copies,
        answered=pair.answered,
        compared=pair.compared,
        agreement=pair.agreed / pair.compared if pair.compared else None,
        agreement_low=lower_bound(pair.agreed, pair.compared) if pair.compared else None,
        cost_usd=None if pair.pico is None else usd_of(pair.pico),
        shadow_cost_usd=None if pair.shadow_pico is None else usd_of(pair.shadow_pico),
        p50_s=_p50_s(pair.durations_us),
        shadow_p50_s=_p50_s(pair.shadow_durations_us),
    )


def _p50_s(durations_us: list[int]) -> float | None:
    return nearest_rank(sorted(durations_us), 50) / 1e6 if durations_us else None
