"""Tells people when a breaker opens or closes."""

from __future__ import annotations

import logging

from hybridllm._core.policy.compiled import Candidate
from hybridllm._core.resilience.breaker import BreakerState, Phase

_logger = logging.getLogger("hybridllm")


def log_transition(candidate: Candidate, before: BreakerState, after: BreakerState) -> None:
    """Log a transition.

    Opening is a warning; a probe that failed, and closing, are information; half-open is for debugging.
    """
    if after.phase is Phase.OPEN:
        seconds = after.until_s - after.changed_at_s
        _logger.log(
            logging.WARNING if before.phase is Phase.CLOSED else logging.INFO,
            "breaker of %s: %s -> open for %.1f s (opening %d)",
            candidate.name,
            before.phase.value,
            seconds,
            after.openings,
        )
    elif after.phase is Phase.CLOSED:
        _logger.info("breaker of %s: %s -> closed", candidate.name, before.phase.value)
    else:
        _logger.debug("breaker of %s: %s -> half_open", candidate.name, before.phase.value)
