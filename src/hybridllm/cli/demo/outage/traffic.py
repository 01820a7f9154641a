"""What the first act's callers ask: a mix of tasks, tenants, residency tags and streams, from one seed."""

from __future__ import annotations

import random
from dataclasses import dataclass

from hybridllm.cli.demo.ask import Ask


@dataclass(frozen=True, slots=True)
class _Kind:
    """One kind of request, and its share of the traffic."""

    weight: int
    task: str
    prompt: str
    max_tokens: int
    residency: str | None = None
    stream: bool = False
    denied: bool = False


_MIX = (
    _Kind(32, "classify", "I was charged twice for order 5561. Which queue is this for?", 4),
    _Kind(16, "extract", "Extract name, city and sum: Ada Lovelace, Lyon, 129.90 EUR, paid.", 24),
    _Kind(16, "qa", "How do I rotate an API key without downtime?", 40, stream=True),
    _Kind(10, "summarize", "Summarise the ticket: " + "the customer wrote again. " * 30, 48),
    _Kind(4, "reasoning", "Why do two of our invoices differ by 0.01 EUR?", 64, stream=True),
    _Kind(10, "classify", "Ich wurde zweimal belastet. Welche Abteilung?", 4, residency="eu"),
    _Kind(6, "qa", "Wie lange werden meine Daten gespeichert?", 40, residency="eu", stream=True),
    _Kind(4, "summarize", "Patient reports chest pain since Monday; ECG normal.", 40, "phi"),
    _Kind(2, "classify", "Where may this go?", 4, residency="ue", denied=True),
)
_TENANTS = {"acme": 5, "globex": 3, "initech": 2}  # and their shares


def traffic(*, requests: int, seconds: float, seed: int) -> list[Ask]:
    """Return `requests` requests in the order in which they are sent, evenly spread with some jitter.

    The same numbers give the same traffic. One misspelt residency tag is always among them.
    """
    chance = random.Random(seed)  # noqa: S311 - traffic to look at, not a secret
    kinds = chance.choices(_MIX, weights=[kind.weight for kind in _MIX], k=requests)
    if requests and not any(kind.denied for kind in kinds):
        kinds[-1] = _MIX[-1]
    step_s = seconds / max(requests, 1)
    return [
        Ask(
            at_s=(number + chance.random()) * step_s,
            task=kind.task,
            tenant=chance.choices(list(_TENANTS), list(_TENANTS.values()))[0],
            prompt=kind.prompt,
            max_tokens=kind.max_tokens,
            residency=kind.residency,
            stream=kind.stream,
            denied=kind.denied,
        )
        for number, kind in enumerate(kinds)
    ]
