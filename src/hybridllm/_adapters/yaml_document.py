"""YAML, as far as a policy needs it: the only door to PyYAML.

Reads parser events and builds the tree itself. PyYAML's own constructors never run, so that no tag can
make an object, no alias can grow a small file into a huge tree, and every scalar means what YAML 1.2
says. Limits hold while the file is read, not afterwards.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NoReturn

import yaml

from hybridllm._core.policy.document import (
    WHOLE_FILE,
    Entry,
    Findings,
    ListNode,
    MapNode,
    Node,
    Path,
    Place,
    Scalar,
    ScalarValue,
    quoted,
)
from hybridllm._core.policy.scalars import resolved_scalar

BYTES_MAX = 1_048_576
NODES_MAX = 10_000
DEPTH_MAX = 32
_PROBLEMS_MAX = 100  # more help nobody, and a hostile file could hold ten thousand
# YAML 1.2 chapter 5.1, without the two that are line breaks only in YAML 1.1.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")
_FAST_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Unreadable(Exception):
    """The file cannot be read any further; its problem stands in the findings."""


def read_document(data: bytes, findings: Findings, *, pure: bool = False) -> Node | None:
    """Return the tree of a YAML file, or None if there is no telling what it says.

    What can be left out (an alias, a second key of the same name) is told in `findings` and left out.
    Nothing is raised: the frames of an exception would hold the text, and with it a key that somebody
    wrote into the file.

    Args:
        data: The file; UTF-8, with or without a byte order mark.
        findings: Takes what is wrong.
        pure: Whether to read with PyYAML's Python parser even where the C one is there.
    """
    try:
        text = _decoded(data, findings)
        loader = (yaml.SafeLoader if pure else _FAST_LOADER)(text)
        try:
            return _Composer(loader.get_event, findings).document()
        finally:
            loader.dispose()
    except _Unreadable:
        pass
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(mark.line + 1, mark.column + 1) if mark else WHOLE_FILE
        findings.error(place, (), f"not valid YAML: {error.problem or error.context}")
    except yaml.YAMLError:
        findings.error(WHOLE_FILE, (), "not valid YAML")
    return None


def _decoded(data: bytes, findings: Findings) -> str:
    if len(data) > BYTES_MAX:
        findings.error(WHOLE_FILE, (), f"the file is larger than {BYTES_MAX} bytes")
        raise _Unreadable
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line = before.count(b"\n") + 1
        column = len(before.rpartition(b"\n")[2].decode("utf-8", "replace")) + 1
        findings.error(Place(line, column), (), "the file is not UTF-8 text; save it as UTF-8")
        raise _Unreadable from None
    if unprintable := _UNPRINTABLE.search(text):
        line = text.count("\n", 0, unprintable.start()) + 1
        column = unprintable.start() - text.rfind("\n", 0, unprintable.start())
        character = f"U+{ord(unprintable[0]):04X}"
        findings.error(Place(line, column), (), f"control character {character} is not allowed")
        raise _Unreadable
    return text


class _Composer:
    """Builds the tree of one document from its events."""

    def __init__(self, next_event: Callable[[], Any], findings: Findings) -> None:
        self._next = next_event
        self._findings = findings
        self._nodes = 0

    def document(self) -> Node:
        self._next()  # StreamStart
        start = self._next()
        if isinstance(start, yaml.StreamEndEvent):
            return Scalar(None, Place(1, 1), "")
        if start.tags or (start.version and tuple(start.version) != (1, 2)):
            self._findings.error(_place(start), (), "directives are not allowed (YAML 1.2 is read)")
        root = self._node(self._next(), (), 1)
        self._next()  # DocumentEnd
        following = self._next()
        if isinstance(following, yaml.DocumentStartEvent):
            message = "a second document begins here; a policy is one document"
            self._findings.error(_place(following), (), message)
            raise _Unreadable
        return root

    def _node(self, event: Any, path: Path, depth: int) -> Node:
        self._nodes += 1
        if self._nodes > NODES_MAX or depth > DEPTH_MAX or len(self._findings) >= _PROBLEMS_MAX:
            self._stop(event, path, depth)
        if isinstance(event, yaml.AliasEvent):
            return self._refused(
                event, path, f"alias *{event.anchor} is not allowed; repeat the value"
            )
        if event.anchor is not None:
            message = f"anchor &{event.anchor} is not allowed; repeat the value where it is needed"
            self._findings.error(_place(event), path, message)
        if event.tag is not None:
            self._findings.error(_place(event), path, f"tag {quoted(event.tag)} is not allowed")
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, path)
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(event, path, depth)
        return self._sequence(event, path, depth)

    def _stop(self, event: Any, path: Path, depth: int) -> NoReturn:
        if self._nodes > NODES_MAX:
            message = f"the file has more than {NODES_MAX} values"
        elif depth > DEPTH_MAX:
            message = f"nested more than {DEPTH_MAX} levels deep"
        else:
            message = f"more than {_PROBLEMS_MAX} problems; the rest is not read"
        self._findings.error(_place(event), path[:4], message)
        raise _Unreadable

    def _mapping(self, event: Any, path: Path, depth: int) -> MapNode:
        entries: dict[str, Entry] = {}
        while not isinstance(key_event := self._next(), yaml.MappingEndEvent):
            key = self._key(key_event, path, depth)
            value_path = path if key is None else (*path, key)
            value = self._node(self._next(), value_path, depth + 1)
            if key is None:
                continue
            if first := entries.get(key):
                message = (
                    f"key {quoted(key)} stands here twice; first in line {first.key_place.line}"
                )
                self._findings.error(_place(key_event), value_path, message)
                continue
            entries[key] = Entry(key, _place(key_event), value)
        return MapNode(entries, _place(event))

    def _key(self, event: Any, path: Path, depth: int) -> str | None:
        if not isinstance(event, yaml.ScalarEvent):
            node = self._node(event, path, depth + 1)
            if node.place not in self._findings.settled:
                self._findings.error(
                    node.place, path, "a key must be a word, not a list or a mapping"
                )
            return None
        if event.implicit[0] and event.value == "<<":
            message = "merge key '<<' is not allowed; write the keys out"
            self._findings.error(_place(event), path, message)
            self._nodes += 1
            return None
        node = self._node(event, path, depth + 1)
        value = node.value if isinstance(node, Scalar) else None
        if isinstance(value, str):
            return value
        if node.place not in self._findings.settled:
            message = f"key {quoted(event.value)} is not a string; put it in quotation marks"
            self._findings.error(node.place, path, message)
        return None

    def _sequence(self, event: Any, path: Path, depth: int) -> ListNode:
        items: list[Node] = []
        while not isinstance(item := self._next(), yaml.SequenceEndEvent):
            items.append(self._node(item, (*path, len(items)), depth + 1))
        return ListNode(tuple(items), _place(event))

    def _scalar(self, event: Any, path: Path) -> Scalar:
        text: str = event.value
        value: ScalarValue = text
        if unprintable := _UNPRINTABLE.search(text):
            message = f"control character U+{ord(unprintable[0]):04X} is not allowed"
            return self._refused(event, path, message)
        if event.implicit[0]:  # plain: not quoted, not a block
            try:
                value = resolved_scalar(text)
            except ValueError as error:
                return self._refused(event, path, f"{quoted(text)} {error}")
        return Scalar(value, _place(event), text)

    def _refused(self, event: Any, path: Path, message: str) -> Scalar:
        self._findings.settle(_place(event), path, message)
        return Scalar(None, _place(event), "")


def _place(event: Any) -> Place:
    mark = event.start_mark
    return Place(mark.line + 1, mark.column + 1)
