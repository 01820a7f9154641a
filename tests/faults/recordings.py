"""What recorded streams say to a plain reader, who knows nothing of the product: the oracle of the harms.

The reader goes by lines and by `json.loads`, trusts what it reads, and keeps each choice's text, its
reasoning and the arguments of its tool calls apart.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from captures import captures

_WHAT = ("content", "reasoning", "reasoning_content", "refusal")
ENDS = {"stop", "length", "tool_calls", "function_call", "content_filter"}


@dataclass
class Said:
    """What was said, by (choice, what): `(0, "content")`, `(0, "tool 1 arguments")`.

    Attributes:
        ends: Each choice's finish_reason; None while it goes on.
    """

    texts: dict[tuple[int, str], str] = field(default_factory=dict)
    ends: dict[int, str | None] = field(default_factory=dict)

    @property
    def whole(self) -> bool:
        """Whether every choice has come to an end that is one."""
        return bool(self.ends) and set(self.ends.values()) <= ENDS

    @property
    def text(self) -> str:
        """The first choice's."""
        return self.texts.get((0, "content"), "")

    def hear(self, chunk: Mapping[str, Any]) -> None:
        """Take in one chunk."""
        for choice in chunk.get("choices") or ():
            index, delta = choice["index"], choice.get("delta") or {}
            self.ends[index] = choice.get("finish_reason") or self.ends.get(index)
            for what in _WHAT:
                self._add(index, what, delta.get(what))
            for call in delta.get("tool_calls") or ():
                of = call.get("function") or {}
                for what in ("name", "arguments"):
                    self._add(index, f"tool {call.get('index')} {what}", of.get(what))

    def hear_object(self, chunk: Any) -> None:
        """The same of a chunk as the caller gets it; going by its dump would take most of the time."""
        for choice in chunk.choices:
            index, delta = choice.index, choice.delta
            self.ends[index] = choice.finish_reason or self.ends.get(index)
            for what in _WHAT:
                self._add(index, what, getattr(delta, what, None))
            for call in delta.tool_calls or ():
                for what in ("name", "arguments"):
                    self._add(index, f"tool {call.index} {what}", getattr(call.function, what))

    def begins(self, other: Said) -> bool:
        """Whether all that was said here is the beginning of what was said there."""
        return all(other.texts.get(key, "").startswith(said) for key, said in self.texts.items())

    def _add(self, index: int, what: str, said: str | None) -> None:
        if said:
            self.texts[index, what] = self.texts.get((index, what), "") + said


def events_of(body: bytes) -> list[bytes]:
    """The blocks of a recorded stream, each with its blank line."""
    return [block + b"\n\n" for block in body.split(b"\n\n") if block]


def read_plainly(blocks: Iterable[bytes]) -> Said:
    """Read whole blocks up to `[DONE]`."""
    said = Said()
    for block in blocks:
        for line in block.split(b"\n"):
            if line.startswith(b"data: [DONE]"):
                return said
            if line.startswith(b"data: "):
                chunk = json.loads(line[6:])
                if "error" in chunk:
                    said.ends[-1] = None  # it can be whole no more
                    return said
                said.hear(chunk)
    return said


@dataclass(frozen=True)
class Recording:
    """One recorded chat stream.

    Attributes:
        answers: How many choices were asked for.
        blocks: Its events.
        said: What a plain reader of all of it reads.
    """

    name: str
    answers: int
    blocks: tuple[bytes, ...]
    said: Said


@cache
def recordings() -> tuple[Recording, ...]:
    """Every recorded chat stream, the broken ones too."""
    found = []
    for name, capture in captures().items():
        if capture.is_stream and capture.path == "/v1/chat/completions":
            blocks = events_of(capture.body)
            answers = (capture.request or {}).get("n", 1)
            found.append(Recording(name, answers, tuple(blocks), read_plainly(blocks)))
    return tuple(found)
