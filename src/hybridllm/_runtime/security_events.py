"""What may be somebody's attempt to lead requests elsewhere, told to the log.

Once per backend and kind: a name or a server that does it does it to every request. What is told is ours:
the backend's name, a status, a host and its address; never where a redirect points, which is the server's
text.
"""

from __future__ import annotations

import logging

from hybridllm._core.resilience.outcome import Failure, FailureKind

_logger = logging.getLogger("hybridllm.security")


class SecurityEvents:
    """Warns of redirects and of addresses that may not be asked."""

    __slots__ = ("_told",)

    def __init__(self) -> None:
        self._told: set[tuple[str, FailureKind]] = set()

    def look(self, backend: str, failure: Failure) -> None:
        """Warn, if the failure is such an attempt and was not told of before."""
        event = (backend, failure.kind)
        if event in self._told:
            return
        if failure.kind is FailureKind.REDIRECT:
            _logger.warning(
                "security event: backend %r answered with a redirect (%s); it was not followed",
                backend,
                failure.label,
            )
        elif failure.kind is FailureKind.ADDRESS_REFUSED:
            _logger.warning(
                "security event: backend %r was not connected to: %s", backend, failure.message
            )
        else:
            return
        self._told.add(event)
