"""What a bulk job needs of the outside, as protocols; `_adapters` and `_compose` implement them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from hybridllm._core.bulk.journal_state import JournalState
from hybridllm._core.request.read import Call
from hybridllm.errors import HybridLLMError


class JournalFile(Protocol):
    """A journal on disk. Called in one thread, one call at a time."""

    @property
    def name(self) -> str:
        """The path as it was given."""
        ...

    def open(self, operation: str) -> JournalState:
        """Lock it, read it, cut off a torn last line; make it if it is not there.

        Raises:
            BulkFileError: If it is locked, damaged, of another operation, or cannot be read.
        """
        ...

    def append(self, lines: bytes) -> None:
        """Hand lines to the operating system: from then on they outlive this process.

        Raises:
            BulkFileError: If that fails.
        """
        ...

    def sync(self) -> None:
        """Have what was appended outlive the machine, too.

        Raises:
            BulkFileError: If that fails.
        """
        ...

    def read(self, places: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return the bytes at each (offset, length).

        Raises:
            BulkFileError: If that fails.
        """
        ...

    def close(self) -> None:
        """Unlock it. Safe to call twice."""
        ...


@dataclass(frozen=True, slots=True)
class Prepared:
    """An item that can be sent. Its repr shows no content.

    Attributes:
        digest: Of its content; None where nobody asks for it.
        budget_s: How long it may take, with all its waits.
    """

    call: Call = field(repr=False)
    digest: bytes | None
    budget_s: float


class Answerer(Protocol):
    """Who reads, answers and remembers the items of a job."""

    def prepared(self, request: Any, *, with_digest: bool) -> Prepared | HybridLLMError:
        """Read a request; the error of one that cannot be sent is returned."""
        ...

    async def answer(self, call: Call) -> Any:
        """Return the answer to a call.

        Raises:
            HybridLLMError: If there is none.
        """
        ...

    def raised(self, error: HybridLLMError) -> HybridLLMError:
        """Return an error as the caller should see it."""
        ...

    def written(self, answer: Any) -> bytes:
        """Return an answer as JSON without a line break.

        Raises:
            ValueError: If that cannot be done.
        """
        ...

    def read(self, answer: bytes) -> Any:
        """Return the answer that `written` wrote.

        Raises:
            ValueError: If it is none.
        """
        ...
