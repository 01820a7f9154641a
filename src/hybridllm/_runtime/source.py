"""What a reload needs of the outside, as protocols and values. Apart from `ports.py`, which loads more."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from hybridllm._core.policy.compiled import Policy
from hybridllm.errors import PolicyError


@dataclass(frozen=True, slots=True)
class Taken:
    """What a policy file came to: a policy, or why there is none.

    Attributes:
        content: Tells one content from another; shows nothing of it.
        look: The file from outside, as it was when it was read; None: it was not there.
    """

    content: str
    look: tuple[int, ...] | None
    policy: Policy | None = None
    error: PolicyError | None = None


@dataclass(frozen=True, slots=True)
class Glimpse:
    """What was in a policy file at one moment; its writer may be at work. Compared by value.

    Attributes:
        data: Of the file; None: it could not be read.
        tests: Of the file with its tests beside it; None: there is none.
        trouble: Why it could not be read.
        look: The file from outside.
    """

    data: bytes | None = field(repr=False)
    tests: bytes | None = field(repr=False)
    trouble: str | None
    look: tuple[int, ...] | None


class PolicySource(Protocol):
    """Where a policy is read again. Touches the disk: called in a thread, one call at a time."""

    @property
    def file(self) -> str:
        """Its name, as it was given."""
        ...

    def look(self) -> tuple[int, ...] | None:
        """What the file looks like from outside: equal as long as nobody touched it; None: not there."""
        ...

    def take(self, seen: Glimpse | None) -> Taken | Glimpse:
        """Read the file, and load it if that is safe.

        It is if its content is known from before, or the same as it was in `seen`, some time ago.
        Otherwise what was seen now is returned, to be handed in again a little later.
        """
        ...


class ReloadListener(Protocol):
    """Who is told of reloads. Must not raise."""

    def reloaded(self, outcome: str, policy: str) -> None:
        """A reload is over: `ok`, `failed` or `unchanged`; and the name of the policy."""
        ...
