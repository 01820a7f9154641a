"""What a policy declares, as paths and texts, so that two can be compared line by line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from hybridllm._core.money.price import Price
from hybridllm._core.policy.compiled import Backend, Candidate, Policy
from hybridllm._core.policy.hybrid import DEFAULT_SATURATION


@dataclass(frozen=True, slots=True)
class Declared:
    """Something declared that two policies do not declare alike.

    Attributes:
        what: `backend vllm-fra: region`; of a whole that one of them lacks: `backend vllm-fra`.
        old: In words; None: it is not there. So is `new`.
    """

    what: str
    old: str | None
    new: str | None

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return {"what": self.what, "old": self.old, "new": self.new}


def declared_changes(old: Policy, new: Policy) -> tuple[Declared, ...]:
    """Return what is declared otherwise, in the order of the policies."""
    mine, theirs = _declared(old), _declared(new)
    found = []
    for what in dict.fromkeys((*mine, *theirs)):
        before, after = mine.get(what), theirs.get(what)
        if before is None or after is None:
            there = [None if one is None else "declared" for one in (before, after)]
            found.append(Declared(what, *there))
            continue
        for name in dict.fromkeys((*before, *after)):
            if before.get(name) != after.get(name):
                whole = f"{what}: {name}" if what else name
                found.append(Declared(whole, before.get(name), after.get(name)))
    return tuple(found)


def _declared(policy: Policy) -> dict[str, dict[str, str]]:
    default = "deny" if policy.deny_untagged else policy.default_residency
    told = {"": _filled({"environment": policy.environment, "default_residency": default})}
    told |= {f"backend {name}": _backend(one) for name, one in policy.backends.items()}
    for name, model in policy.models.items():
        told[f"model {name}"] = _filled(
            {
                "capabilities": _names(model.capabilities),
                "context": model.context_tokens,
                "dimensions": model.dimensions,
                "vector_space": model.vector_space,
                "tier": model.tier,
                **{
                    f"on {one.backend.name}": _served(one)
                    for one in policy.candidates.get(name, ())
                },
            }
        )
    for tag, terms in policy.residency.items():
        told[f"residency {tag}"] = _filled(
            {
                "regions": _names(terms.regions),
                "operators": _names(terms.operators),
                "retention": _names(terms.retention),
                "taint": _kept(terms.taint_s),
            }
        )
    for name, task in policy.tasks.items():
        bucket = None if task.bucket is None else task.bucket.value
        told[f"task {name}"] = _filled({"bucket": bucket, "residency": task.residency})
    return told


def _backend(backend: Backend) -> dict[str, str]:
    terms = ("base_url", "api_key_env", "region", "operator", "retention")
    return _filled(
        {
            "kind": backend.kind.value,
            **{name: getattr(backend, name) for name in terms},
            "environments": _names(backend.environments),
            "capacity": backend.capacity,
            "cold_start": backend.cold_start,
            "saturation": backend.saturation if backend.saturation != DEFAULT_SATURATION else None,
        }
    )


def _served(candidate: Candidate) -> str:
    price, tariff = candidate.price, candidate.tariff
    if tariff is not None and tariff.entries:
        prices = "; ".join(f"{_price(one)} ({one.price_id})" for one in tariff.prices)
        return f"{candidate.wire_model}, {prices}"
    if price is None:
        return f"{candidate.wire_model}, price unknown"
    return f"{candidate.wire_model}, {_price(price)}"


def _price(price: Price) -> str:
    """The rates in words, those that are there."""
    rates = (
        (price.usd_per_mtok_in, "in"),
        (price.usd_per_mtok_out, "out"),
        (price.usd_per_mtok_cached_in, "cached"),
        (price.usd_per_mtok_cache_write, "cache write"),
        (price.usd_per_request, "per request"),
    )
    return ", ".join(f"{rate:f} {word}" for rate, word in rates if rate is not None)


def _kept(taint_s: float | None) -> str | None:
    if taint_s is None:
        return None
    return "for ever" if taint_s == float("inf") else f"{taint_s / 86_400:g} days"


def _names(names: Iterable[str]) -> str | None:
    return ", ".join(sorted(names)) or None


def _filled(values: dict[str, Any]) -> dict[str, str]:
    return dict(_texts(values))


def _texts(values: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if value is not None and value != "":
            yield name, str(value)
