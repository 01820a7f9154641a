"""What a route says of its cascade: whose answers are checked, how, and who is asked if one does not pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from hybridllm._core.cascade.said import CascadeAnswer

DEFAULT_PHRASES = ("i'm not sure", "i don't know", "could you clarify")
"""What small models say when they are lost."""

Escalates = Callable[["CascadeAnswer"], Any]
"""An application's own check: True if a better model is to answer."""

Misfit = Callable[[Any, Any], str | None]
"""Says of a JSON value and a schema how the one does not fit the other; None: it does."""


class OutsideChecks(NamedTuple):
    """What cascades check with that is not in the core.

    Attributes:
        functions: The application's own checks, by their dotted names.
        misfit: Judges JSON by its schema; None: nobody asked for that.
    """

    functions: Mapping[str, Escalates] = MappingProxyType({})
    misfit: Misfit | None = None


NO_CHECKS = OutsideChecks()


_APOSTROPHES = str.maketrans(dict.fromkeys("\u2018\u2019\u02bc\u02b9\u2032\uff07`\u00b4", "'"))


@dataclass(frozen=True, slots=True, eq=False)
class Cascade:
    """A cascade, names resolved. A check that is None, empty or False is not made.

    Attributes:
        first: The model whose answers are checked; `then`: the one that is asked if a check fails.
        phrases: Folded, as `folded` has them.
        min_chars: Of a text; answers in JSON and calls of tools may be as short as they are.
        low_logprob: The mean log-probability of an answer's tokens below which it does not pass.
        schema_invalid: Whether JSON that was asked for must be what was asked for.
        misfit: Tells whether it is; None: any JSON will do.
        python: Dotted name of `function`, the application's own check.
    """

    first: str
    then: str
    phrases: tuple[str, ...] = ()
    min_chars: int | None = None
    low_logprob: float | None = None
    schema_invalid: bool = False
    python: str | None = None
    function: Escalates | None = field(default=None, repr=False)
    misfit: Misfit | None = field(default=None, repr=False)

    @property
    def checks(self) -> tuple[str, ...]:
        """The checks in words, in the order in which they are made."""
        told = {
            f"phrases {', '.join(map(repr, self.phrases))}": bool(self.phrases),
            f"min_chars {self.min_chars}": self.min_chars is not None,
            f"low_logprob {self.low_logprob}": self.low_logprob is not None,
            "schema_invalid": self.schema_invalid,
            f"python {self.python}": self.python is not None,
        }
        return tuple(words for words, made in told.items() if made)


def folded(text: str) -> str:
    """Return a text as phrases are looked for in it: case, kinds of apostrophe and of space do not count."""
    return " ".join(text.translate(_APOSTROPHES).casefold().split())
