"""How a router is: which policy is in force, how its reloads went, and what is under way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any

from hybridllm._runtime.in_force import InForce


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
        lines += [f"observed {count} times: {text}" for text, count in self.observed.items()]
        return "\n".join(lines)


def status_of(
    state: InForce, *, file: str | None, watching: bool, in_flight: Mapping[str, int]
) -> Status:
    """Return the status of a router.

    Args:
        state: Its policy, and how its reloads went.
        file: Its policy file.
        watching: Whether that is watched now.
        in_flight: Requests under way, of the backends that have any.
    """
    policy = state.policy
    flying = dict.fromkeys(policy.backends, 0) | dict(in_flight)
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
    )


def _time(at: datetime) -> str:
    return at.isoformat(timespec="seconds")
