"""The items of a job, taken one by one from whatever the caller gave."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hybridllm.errors import InvalidRequest

_END = object()


@dataclass(frozen=True, slots=True)
class Item:
    """One item as the caller gave it. Its repr shows no content.

    Attributes:
        request: Keywords of a call; or an exception, which is passed on as the item's error.
    """

    index: int
    key: str | None
    request: Any = field(repr=False)


class Source:
    """Takes items from an iterable or an async iterable: never more than it is asked for.

    Raises:
        InvalidRequest: If it is neither.
    """

    def __init__(self, requests: Iterable[Any] | AsyncIterable[Any]) -> None:
        self._taken = 0
        self._asynchronous: Any = None
        self._iterator: Any = None
        if isinstance(requests, str | bytes | Mapping) or not isinstance(
            requests, AsyncIterable | Iterable
        ):
            raise InvalidRequest(
                f"requests: must be an iterable of requests, got {type(requests).__name__}; each request is "
                "a dict of the keywords of a call, or a pair (key, dict)"
            )
        if isinstance(requests, AsyncIterable):
            self._asynchronous = aiter(requests)
        else:
            self._iterator = iter(requests)

    async def next(self) -> Item | None:
        """Return the next item; None at the end. Whatever the caller's iterator raises is raised."""
        if self._asynchronous is not None:
            given = await anext(self._asynchronous, _END)
        else:
            given = next(self._iterator, _END)
        if given is _END:
            return None
        index, self._taken = self._taken, self._taken + 1
        if not isinstance(given, tuple):
            return Item(index, None, given)
        if len(given) == 2 and isinstance(given[0], str | None):
            return Item(index, *given)
        wrong = InvalidRequest(
            f"item {index}: is a tuple of {len(given)}; a request is a dict, or a pair (key, dict) with a "
            "text or None as its key"
        )
        return Item(index, None, wrong)
