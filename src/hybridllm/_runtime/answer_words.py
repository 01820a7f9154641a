"""What is kept of an answer's own words beside its usage: names, no content."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hybridllm._core.resilience.outcome import Failure

NAME_MAX = 256


def name_of(said: str | None) -> str | None:
    """Return a backend's own word for something; what is too long for a name may be anything, content too."""
    return said if said is None or len(said) <= NAME_MAX else None


def status_of(failure: Failure | None, *, answered: bool) -> int | None:
    """Return the status of the answer's head; a stream that broke later had begun with a 200."""
    said = failure.status_code if failure is not None else None
    return said if said is not None or not answered else 200
