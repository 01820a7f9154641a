"""A key, wrapped so that it is shown nowhere by accident.

Its value leaves through `reveal()` only: not by repr, str, format, pickling or comparison.
"""

from __future__ import annotations

import re
from typing import Any, NoReturn, Self, final

# Printable ASCII without spaces: a line break in a key would end the header that carries it.
_KEY = re.compile(r"[\x21-\x7e]{8,512}\Z")


@final
class Secret:
    """The value of an environment variable that holds a key.

    Attributes:
        name: Of the variable; this is what is shown.
    """

    __slots__ = ("_value", "name")

    name: str
    _value: str

    def __init__(self, value: str, *, name: str) -> None:
        object.__setattr__(self, "name", name)
        if not _KEY.match(value):
            del value  # a traceback that shows locals would show it
            raise ValueError(
                f"environment variable {name} does not hold a key: a key has 8 to 512 characters, all "
                "printable ASCII without spaces (the value is not shown)"
            )
        object.__setattr__(self, "_value", value)

    def reveal(self) -> str:
        """Return the key itself. For the one header that needs it."""
        return self._value

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise AttributeError(f"a Secret cannot be changed: {name}")

    def __repr__(self) -> str:
        return f"Secret({self.name})"

    __str__ = __repr__

    def __format__(self, format_spec: str) -> str:
        return repr(self)

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"{self!r} cannot be pickled: name the variable and read it where it is needed"
        )

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self
