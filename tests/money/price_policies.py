"""A policy with two hosted backends and one of one's own, whose prices a test writes."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from hybridllm import Policy, PolicyError, Price
from hybridllm._adapters.policy_files import load_policy_text
from hybridllm._core.policy.compiled import Candidate

_POLICY = """\
version: 1
backends:
  cloud: {{kind: api, base_url: "https://cloud.test/v1"{backend}}}
  other: {{kind: api, base_url: "https://other.test/v1"}}
  own: {{kind: vllm, base_url: "https://own.test/v1", operator: self{own}}}
models:
  {model}: {{{listed}on: {{cloud: {{name: {wire}{pair}}}, other: {wire}, own: {wire}}}}}
routes: [{{name: all, use: {model}}}]
{more}
"""

FLAT = "{input_per_1m: 1, output_per_1m: 2}"


def text_of(
    *,
    pair: str = "",
    backend: str = "",
    own: str = "",
    listed: str = "",
    more: str = "",
    model: str = "m",
    wire: str = "wire-m",
) -> str:
    """Return the policy's text; each argument is the YAML of a price, in its place."""
    return _POLICY.format(
        pair=f", price: {pair}" if pair else "",
        backend=f", price: {backend}" if backend else "",
        own=f", price: {own}" if own else "",
        listed=f"price: {listed}, " if listed else "",
        more=more,
        model=model,
        wire=wire,
    )


def policy_of(**places: str) -> Policy:
    """Return the policy compiled."""
    return load_policy_text(text_of(**places))[0]


def candidate_of(policy: Policy, backend: str = "cloud") -> Candidate:
    """Return who serves its one model on a backend."""
    served = next(iter(policy.candidates.values()))
    return next(one for one in served if one.backend.name == backend)


def problems_of(**places: str) -> list[str]:
    """Return what is wrong with it, each as `line:column path: message`."""
    try:
        policy_of(**places)
    except PolicyError as error:
        return [
            f"{one.line}:{one.column} {one.path}: {one.message}"
            for one in error.problems
            if not one.warning
        ]
    return []


def utc(text: str) -> datetime:
    """Return a point in time: `2026-11-01T09:00`."""
    return datetime.fromisoformat(f"{text}+00:00")


def rates(price: Price | None) -> tuple[Decimal, Decimal] | None:
    """Return the prices of prompt and answer."""
    return None if price is None else (price.usd_per_mtok_in, price.usd_per_mtok_out)


def plain(price: Price | None) -> str:
    """Return them as a text, `1 2`; `unknown` if there is none."""
    if price is None:
        return "unknown"
    told = (price.usd_per_mtok_in, price.usd_per_mtok_out)
    return " ".join(f"{rate.normalize():f}" for rate in told)
