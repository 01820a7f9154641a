"""HTTP header fields as a mapping whose names are looked up in any case."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping


class Headers(Mapping[str, str]):
    """Header fields, in their order; a name that came twice gives the last value."""

    __slots__ = ("_by_name", "items_sent")

    def __init__(self, fields: Mapping[str, str] | Iterable[tuple[str, str]] = ()) -> None:
        pairs = fields.items() if isinstance(fields, Mapping) else fields
        self.items_sent: tuple[tuple[str, str], ...] = tuple(pairs)
        self._by_name = {name.lower(): value for name, value in self.items_sent}

    def __getitem__(self, name: str) -> str:
        return self._by_name[name.lower()]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._by_name

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self._by_name)

    def __repr__(self) -> str:
        """Names only: a value may be a key."""
        return f"Headers({', '.join(self._by_name)})"
