"""Whether a ceiling on prices lets anybody through.

A candidate whose price is not known is above every ceiling: it would never be asked, and nobody would
see why.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import NamedTuple

from hybridllm._core.policy.compiled import Candidate
from hybridllm._core.policy.document import Findings, Node, Path, listed, value_place
from hybridllm._core.policy.schema_routes import CeilingsSpec


class _Sorted(NamedTuple):
    """Candidates by what a ceiling says of them."""

    under: list[Candidate]
    over: list[Candidate]
    unpriced: list[Candidate]


def tell_ceilings(
    spec: CeilingsSpec,
    candidates: Iterable[Candidate],
    root: Node,
    path: Path,
    findings: Findings,
    *,
    observe: bool = False,
) -> None:
    """Tell of ceilings that nobody can be under, and of candidates whose price is not known.

    Args:
        spec: What sets the ceilings.
        candidates: Whom they judge.
        root: The file.
        path: Of what sets them.
        findings: Takes what is wrong.
        observe: Whether they drop nobody, so that nothing is an error.
    """
    candidates = tuple(dict.fromkeys(candidates))
    for key, ceiling in (
        ("max_output_price", spec.max_output_price),
        ("max_request_cost", spec.max_request_cost),
    ):
        if ceiling is None or not candidates:
            continue
        found = _sorted(key, ceiling, candidates)
        where = (*path, key)
        place = value_place(root, where)
        if not found.under:
            tell = findings.warn if observe else findings.error
            tell(place, where, _leaves_nobody(ceiling, found))
        elif found.unpriced:
            unpriced = listed([one.name for one in found.unpriced])
            message = f"no price is known of {unpriced}: never asked under {key}; give a price"
            findings.warn(place, where, message)


def _sorted(key: str, ceiling: Decimal, candidates: Iterable[Candidate]) -> _Sorted:
    found = _Sorted([], [], [])
    for one in candidates:
        if one.price is None:
            found.unpriced.append(one)
        elif _may_be_under(key, ceiling, one):
            found.under.append(one)
        else:
            found.over.append(one)
    return found


def _may_be_under(key: str, ceiling: Decimal, candidate: Candidate) -> bool:
    """Return whether some request, however short, would be under the ceiling."""
    price = candidate.price
    if price is None:
        return False
    if key == "max_output_price":
        return price.usd_per_mtok_out <= ceiling
    return ceiling > 0 or price.usd_per_mtok_in == price.usd_per_mtok_out == 0


def _leaves_nobody(ceiling: Decimal, found: _Sorted) -> str:
    told = f"{ceiling:f} leaves nobody to ask"
    if found.over:
        prices = {one.name: one.price.usd_per_mtok_out for one in found.over if one.price}
        cheapest = min(prices, key=prices.__getitem__)
        told += f"; the cheapest is {cheapest}, with {prices[cheapest]:f} USD per 1M output tokens"
    if found.unpriced:
        told += f"; no price is known of {listed([one.name for one in found.unpriced])}"
    return told
