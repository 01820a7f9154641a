"""How a router is: which policy is in force, how its reloads went, and how every backend fares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from hybridllm._compose.status_budgets import BudgetStatus
from hybridllm._compose.status_cache import CacheStatus, cache_rows
from hybridllm._compose.status_cascade import CascadeStatus, cascade_rows
from hybridllm._compose.status_ledger import LedgerStatus, ledger_status
from hybridllm._compose.status_overflow import OverflowStatus, overflow_rows
from hybridllm._compose.status_rows import (
    BackendStatus,
    CandidateStatus,
    backend_rows,
    candidate_rows,
    models_in_panic,
)
from hybridllm._compose.status_shadows import ShadowStatus, shadow_rows
from hybridllm._compose.status_text import candidate_lines, load_lines
from hybridllm._compose.status_volumes import VolumeStatus, volume_rows

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hybridllm._adapters.status_socket import StatusSocket
    from hybridllm._runtime.engine import Engine
    from hybridllm._runtime.in_force import InForce
    from hybridllm._runtime.ledger.keeper import LedgerKeeper
    from hybridllm._runtime.volumes import Volumes

_READS = 5


@dataclass(frozen=True, slots=True)
class Status:
    """A router at one moment.

    Attributes:
        policy: Name of the policy in force.
        version: Of its content: `sha256:` and 12 hex digits.
        file: The policy file, as it was given; None: the router was made of a text or a policy.
        loaded_at: When the policy was put in force, UTC.
        reloads: How often another policy took the place of the one before.
        failed: How often a reload failed, and the policy stayed.
        last_error: Why the last reload failed; None if it went well, or there was none.
        last_error_at: When a reload last failed, UTC; None: none has.
        watching: Whether the file is looked at now.
        observed: What rules in `mode: observe` would have done, in words, and how often.
        in_flight: Requests under way per backend: those of the policy, and former ones still at work.
        candidates: Every backend and model of the policy, in its order.
        backends: The policy's backends, in its order.
        overflows: The routes of the policy that overflow, in its order.
        caches: The routes of the policy that keep answers, in its order.
        cascades: The routes of the policy that cascade, in its order.
        volumes: The conditions of the policy on volume and break-even, in its order.
        shadows: The routes of the policy that have copies of requests sent to another model, in its order.
        ledger: How the ledger stands; None: there is none.
        budgets: The budgets of the policy, in its order; of those that each has for itself, the most used.
        panic: Models of which every candidate is refused by a breaker or a gate: requests for them are let
            through in part, see "When everybody is refused" in the documentation.
        requests: That were decided since this router began, denied ones included.
        retry_budget_left: How many attempts beyond the first of each request could be made now.
    """

    policy: str
    version: str
    file: str | None
    loaded_at: datetime
    reloads: int = 0
    failed: int = 0
    last_error: str | None = None
    last_error_at: datetime | None = None
    watching: bool = False
    observed: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    in_flight: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    candidates: tuple[CandidateStatus, ...] = ()
    backends: tuple[BackendStatus, ...] = ()
    overflows: tuple[OverflowStatus, ...] = ()
    caches: tuple[CacheStatus, ...] = ()
    cascades: tuple[CascadeStatus, ...] = ()
    volumes: tuple[VolumeStatus, ...] = ()
    shadows: tuple[ShadowStatus, ...] = ()
    ledger: LedgerStatus | None = None
    budgets: tuple[BudgetStatus, ...] = ()
    panic: tuple[str, ...] = ()
    requests: int = 0
    retry_budget_left: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON; times are ISO 8601."""
        return {
            "policy": self.policy,
            "version": self.version,
            "file": self.file,
            "loaded_at": self.loaded_at.isoformat(),
            "reloads": self.reloads,
            "failed": self.failed,
            "last_error": self.last_error,
            "last_error_at": None if self.last_error_at is None else self.last_error_at.isoformat(),
            "watching": self.watching,
            "observed": dict(self.observed),
            "in_flight": dict(self.in_flight),
            "candidates": [row.to_dict() for row in self.candidates],
            "backends": [row.to_dict() for row in self.backends],
            "overflows": [row.to_dict() for row in self.overflows],
            "caches": [row.to_dict() for row in self.caches],
            "cascades": [row.to_dict() for row in self.cascades],
            "volumes": [row.to_dict() for row in self.volumes],
            "shadows": [row.to_dict() for row in self.shadows],
            "ledger": None if self.ledger is None else self.ledger.to_dict(),
            "budgets": [row.to_dict() for row in self.budgets],
            "panic": list(self.panic),
            "requests": self.requests,
            "retry_budget_left": self.retry_budget_left,
        }

    def __str__(self) -> str:
        where = f", from {self.file}" if self.file is not None else ""
        watched = ", watched" if self.watching else ""
        lines = [
            f"policy {self.policy} {self.version}{where}{watched}",
            f"in force since {_time(self.loaded_at)}; reloads: {self.reloads}, failed: {self.failed}",
        ]
        if self.last_error_at is not None:
            still = "  " + self.last_error.replace("\n", "\n  ") if self.last_error else None
            after = ", and went well since" if still is None else ":"
            lines.append(f"a reload failed at {_time(self.last_error_at)}{after}")
            lines += [still] if still is not None else []
        flying = ", ".join(f"{name} {count}" for name, count in self.in_flight.items())
        lines.append(f"requests under way: {flying or 'none'}")
        lines.append(f"retry budget: {self.retry_budget_left:.0f} attempts left")
        for row in self.backends:
            if row.limit is not None:
                lines.append(f"limit of {row.backend}: {row.limit} at once, {row.waiting} waiting")
        lines += [
            str(row)
            for row in (
                *self.overflows,
                *self.cascades,
                *self.caches,
                *self.volumes,
                *self.shadows,
                *self.budgets,
            )
        ]
        lines += [] if self.ledger is None else [str(self.ledger)]
        lines += load_lines(self.backends)
        if self.panic:
            lines.append(f"PANIC: everybody is refused for {', '.join(self.panic)}")
        lines += [f"observed {count} times: {text}" for text, count in self.observed.items()]
        lines += candidate_lines(self.candidates)
        return "\n".join(lines)


def status_of(
    state: InForce,
    engine: Engine | None,
    volumes: Volumes | None,
    ledger: LedgerKeeper | None,
    *,
    file: str | None,
    watching: bool,
) -> Status:
    """Return the status of a router.

    Args:
        state: Its policy, and how its reloads went.
        engine: What has sent requests; None: nothing was sent yet.
        volumes: What is counted; None: nothing is yet.
        ledger: Where it is written down; None: nowhere.
        file: Its policy file.
        watching: Whether that is watched now.
    """
    for _ in range(_READS - 1):
        try:
            return _read(state, engine, volumes, ledger, file=file, watching=watching)
        except (
            KeyError,
            RuntimeError,
        ):  # asked in another thread, while the event loop changed a dict
            continue
    return _read(state, engine, volumes, ledger, file=file, watching=watching)


def status_socket(folder: str | Path, status: Callable[[], Status]) -> StatusSocket:
    """Return the socket that tells this status, once it is opened.

    Raises:
        InvalidRequest: If sockets cannot be put into the folder, or should not.
    """
    from hybridllm._adapters.status_socket import StatusSocket, status_folder

    return StatusSocket(status_folder(folder), lambda: status().to_dict())


def _read(
    state: InForce,
    engine: Engine | None,
    volumes: Volumes | None,
    ledger: LedgerKeeper | None,
    *,
    file: str | None,
    watching: bool,
) -> Status:
    policy = state.policy
    flying, now_s = dict.fromkeys(policy.backends, 0), 0.0
    if engine is not None:
        flying |= engine.fleet.in_flight_by_backend
        try:
            now_s = engine.now_s
        except RuntimeError:  # its clock follows an event loop, and none runs here
            engine = None
    if engine is None:
        rows, backends = candidate_rows(policy, None, now_s=now_s), backend_rows(policy, None)
        budget_left = policy.budget.reserve_max
    else:
        rows = candidate_rows(policy, engine.fleet, now_s=now_s)
        backends = backend_rows(policy, engine.fleet)
        budget_left = engine.turns.spending.left(policy.budget, now_s)
    return Status(
        policy=policy.name,
        version=policy.version,
        file=file,
        loaded_at=state.loaded_at,
        reloads=state.reloads,
        failed=state.failed,
        last_error=state.last_error,
        last_error_at=state.last_error_at,
        watching=watching,
        observed=state.observed.counts,
        in_flight=MappingProxyType(flying),
        candidates=rows,
        backends=backends,
        overflows=overflow_rows(policy, engine, now_s=now_s),
        caches=cache_rows(policy, engine),
        cascades=cascade_rows(policy, engine),
        volumes=volume_rows(policy, volumes),
        shadows=shadow_rows(policy, engine),
        ledger=ledger_status(ledger),
        panic=models_in_panic(rows),
        requests=0 if engine is None else engine.fleet.totals.requests,
        retry_budget_left=round(budget_left, 1),
    )


def _time(at: datetime) -> str:
    return at.isoformat(timespec="seconds")
