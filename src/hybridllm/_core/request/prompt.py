"""What a prompt needs of a model, and how long it is: messages, parts, tools and embedding inputs.

The caller's own objects are never changed; what is not a list becomes one, read once. Errors name the
place, never what stands there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hybridllm._core.policy.compiled import Capability
from hybridllm._core.request.tokens import (
    FILE_TOKENS,
    MESSAGE_TOKENS,
    PICTURE_TOKENS,
    SOUND_TOKENS,
    text_tokens,
    value_tokens,
)
from hybridllm.errors import InvalidRequest

_PARTS = {
    "image_url": (Capability.VISION, PICTURE_TOKENS),
    "input_image": (Capability.VISION, PICTURE_TOKENS),
    "video_url": (Capability.VISION, PICTURE_TOKENS),
    "input_audio": (Capability.AUDIO, SOUND_TOKENS),
    "audio_url": (Capability.AUDIO, SOUND_TOKENS),
    "file": (None, FILE_TOKENS),
}
# Fields that `parse` adds to a message for the caller; no backend knows them.
_PARSED_FIELDS = ("parsed", "parsed_arguments")


def read_messages(messages: Any, needs: set[Capability]) -> tuple[list[Any], int]:
    """Return messages as a list of mappings and their length in tokens; add to `needs`.

    Raises:
        InvalidRequest: If something in them is no message.
    """
    if messages.__class__ is not list and not _is_list(messages):
        kind = type(messages).__name__
        raise InvalidRequest(f"messages: must be a list of messages, got {kind}")
    out: list[Any] = []
    tokens = 0
    for message in messages:
        if message.__class__ is not dict:
            message = _plain(message)  # noqa: PLW2901 - an answer handed back as it came
        content = message.get("content")
        if isinstance(content, str):
            tokens += text_tokens(content) + MESSAGE_TOKENS
        elif content is not None:
            if not _is_list(content):
                kind = type(content).__name__
                raise InvalidRequest(f"messages: content must be a text or a list, got {kind}")
            parts = content if isinstance(content, list) else list(content)
            if parts is not content:
                message = {**message, "content": parts}  # noqa: PLW2901 - a generator is read once
            tokens += _parts_tokens(parts, needs) + MESSAGE_TOKENS
        if (
            len(message) > 2 or content is None
        ):  # more than role and content, or something in its place
            tool_calls = message.get("tool_calls")
            if tool_calls:
                tokens += value_tokens(tool_calls)
        out.append(message)
    return out, tokens


def read_tools(body: dict[str, Any], needs: set[Capability]) -> int:
    """Return the length of a call's tools in tokens; add to `needs`."""
    tokens = 0
    for name in ("tools", "functions"):
        tools = body.get(name)
        if tools is not None:
            if not isinstance(tools, list):
                if not _is_list(tools):
                    raise InvalidRequest(f"{name}: must be a list, got {type(tools).__name__}")
                tools = body[name] = list(tools)
            if tools:
                needs.add(Capability.TOOLS)
                tokens += value_tokens(tools)
    return tokens


def read_input(given: Any) -> tuple[Any, int, int]:
    """Return an embedding's input, its longest piece in tokens, and all pieces together.

    Raises:
        InvalidRequest: If it is no text, list of texts, tokens or list of tokens, or is empty.
    """
    if isinstance(given, str):
        tokens = text_tokens(given)
        if not given:
            raise InvalidRequest("input: is empty")
        return given, tokens, tokens
    if not _is_list(given):
        raise InvalidRequest(f"input: must be a text or a list, got {type(given).__name__}")
    pieces = given if isinstance(given, list) else list(given)
    if not pieces:
        raise InvalidRequest("input: is empty; give at least one text")
    if isinstance(pieces[0], int):
        return pieces, len(pieces), len(pieces)
    lengths = [_piece_tokens(piece) for piece in pieces]
    return pieces, max(lengths), sum(lengths)


def _piece_tokens(piece: Any) -> int:
    if isinstance(piece, str):
        return text_tokens(piece)
    if not _is_list(piece):
        raise InvalidRequest(f"input: a piece must be a text or tokens, got {type(piece).__name__}")
    return len(piece) if isinstance(piece, list | tuple) else 1


def _parts_tokens(parts: list[Any], needs: set[Capability]) -> int:
    tokens = 0
    for part in parts:
        kind = part.get("type") if isinstance(part, Mapping) else None
        known = _PARTS.get(kind) if isinstance(kind, str) else None
        if known is None:
            tokens += value_tokens(part)
            continue
        need, length = known
        tokens += length
        if need is not None:
            needs.add(need)
    return tokens


def _is_list(value: Any) -> bool:
    return isinstance(value, Iterable) and not isinstance(value, str | bytes | bytearray | Mapping)


def _plain(value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    dump = getattr(value, "model_dump", None)
    if dump is None:
        raise InvalidRequest(f"messages: an entry is a {type(value).__name__}, not a mapping")
    plain: dict[str, Any] = dump(exclude_unset=True, mode="json", by_alias=True, warnings=False)
    if "parsed" in plain:
        plain = {k: v for k, v in plain.items() if k not in _PARSED_FIELDS and v is not None}
    for call in plain.get("tool_calls") or ():
        function = call.get("function")
        if isinstance(function, dict):
            function.pop("parsed_arguments", None)
    return plain
