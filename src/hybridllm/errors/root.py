"""The root of the tree, and what is raised before anything of a request was sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hybridllm._core.decide.plan import Dropped
    from hybridllm._core.policy.problems import Problem
    from hybridllm._core.receipt import Receipt


class HybridLLMError(Exception):
    """Root of everything that this package raises on purpose."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (public_class(self), str(self), self._facts())

    def _facts(self) -> dict[str, Any]:
        return {}


class PolicyError(HybridLLMError):
    """A policy file is wrong, or another file of ours that is written as one: a price sheet, a scenario.

    Attributes:
        source: The file's name, as given.
        problems: Every problem found, in the order of the file; at least one.
    """

    def __init__(self, source: str, problems: Sequence[Problem]) -> None:
        lines = "\n".join(f"  {problem}" for problem in problems)
        count = f"{len(problems)} problem{'s' if len(problems) != 1 else ''}"
        super().__init__(f"{source}: {count}\n{lines}")
        self.source = source
        self.problems = tuple(problems)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.source, self.problems)


class InvalidRequest(HybridLLMError, ValueError):
    """The call itself cannot be sent: a hint or a parameter is missing, unknown or of a wrong type."""


class RouterClosed(HybridLLMError, RuntimeError):
    """The router is closed, before the request or during it; or it works in another event loop."""


class BulkFileError(HybridLLMError):
    """A journal or a batch file cannot be used: locked, damaged, of another input, there already.

    Attributes:
        path: As given.
        line: Of the damage, from 1; None: it is about the whole.
    """

    def __init__(self, message: str, *, path: str, line: int | None = None) -> None:
        super().__init__(message)
        self.path, self.line = path, line

    def _facts(self) -> dict[str, Any]:
        return {"path": self.path, "line": self.line}


class OutcomeUnknown(HybridLLMError):
    """An earlier run of a bulk job sent this item and ended before its answer came. It was not sent again."""


class PolicyDenied(HybridLLMError):
    """The policy forbids the request. Nothing was sent to anybody.

    Attributes:
        rule: What denied it: `residency 'phi'`, `route 'default'`, `unknown task 'clasify'`, ...
        residency: The request's residency tag, if it had one.
        dropped: Every candidate that was considered, with the reason it was dropped.
        receipt: Of the request; it has no attempts.
    """

    def __init__(
        self,
        message: str,
        *,
        rule: str,
        residency: str | None = None,
        dropped: Sequence[Dropped] = (),
        receipt: Receipt | None = None,
    ) -> None:
        super().__init__(message)
        self.rule = rule
        self.residency = residency
        self.dropped = tuple(dropped)
        self.receipt = receipt

    def _facts(self) -> dict[str, Any]:
        names = ("rule", "residency", "dropped", "receipt")
        return {name: getattr(self, name) for name in names}


def _rebuild(kind: type[HybridLLMError], message: str, facts: dict[str, Any]) -> HybridLLMError:
    """Make an error again after pickling; keyword-only facts do not survive `Exception` alone."""
    return kind(message, **facts)


def public_class(error: BaseException) -> type[Any]:
    """Return the class of this package that `error` is an instance of; of a foreign one, its own class.

    What is `openai`'s too has a class of its own; what crosses a process, and what is told, is this one.
    """
    ours = (kind for kind in type(error).__mro__ if kind.__module__.startswith("hybridllm.errors"))
    return next(ours, type(error))
