"""One request of the demo."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ask:
    """One request of the demo.

    Attributes:
        at_s: When it is sent, in seconds from the start.
        denied: True if the policy must refuse it.
    """

    at_s: float
    task: str
    tenant: str
    prompt: str
    max_tokens: int
    residency: str | None = None
    stream: bool = False
    denied: bool = False
