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
    looks_like_key,
    quoted,
)
from hybridllm._core.policy.scalars import is_word, resolved_scalar

BYTES_MAX = 524_288
LENGTH_MAX = 4_096  # of one key or value
NODES_MAX = 6_000
DEPTH_MAX = 32
# What YAML 1.2 (chapter 5.1) does not allow; what is a line break to YAML 1.1 and to PyYAML, and none to
# YAML 1.2 and to editors, so that a comment could hold what only the router reads; and what turns the
# direction of writing, so that a person reads something else than stands there (CVE-2021-42574).
_NOT_ALLOWED = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)
_LINE_BREAK = re.compile("\r\n|[\r\n]")
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
    text = ""
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
        _tell_invalid(error, text, findings)
    except yaml.YAMLError:
        findings.error(WHOLE_FILE, (), "not valid YAML")
    return None


def _tell_invalid(error: yaml.MarkedYAMLError, text: str, findings: Findings) -> None:
    mark, begin = error.problem_mark or error.context_mark, error.context_mark
    if mark is None:
        findings.error(WHOLE_FILE, (), "not valid YAML")
        return
    what = str(error.problem or error.context)
    if what == "exceeded maximum nesting depth":  # libyaml looks ahead, and has a limit, too
        message = f"nested more than {DEPTH_MAX} levels deep"
        findings.error(Place(mark.line + 1, mark.column + 1), (), message)
        return
    if looks_like_key(what):  # PyYAML's own parser quotes the names of tags
        what = "this cannot be read"
    context = str(error.context).startswith(("while parsing a flow", "while scanning a quoted"))
    if context and begin is not None and begin.line < mark.line:
        what = f"what begins here does not end; noticed in line {mark.line + 1}: {what}"
        mark = begin
    elif _begins_with_tab(text, mark):
        what = "a tab; YAML is indented with spaces"
    findings.error(Place(mark.line + 1, mark.column + 1), (), f"not valid YAML: {what}")


def _begins_with_tab(text: str, mark: Any) -> bool:
    lines = _LINE_BREAK.split(text)
    before = lines[mark.line][: mark.column + 1] if mark.line < len(lines) else ""
    return "\t" in before and not before.strip()


def _decoded(data: bytes, findings: Findings) -> str:
    if len(data) > BYTES_MAX:
        findings.error(WHOLE_FILE, (), f"the file is larger than {BYTES_MAX} bytes")
        raise _Unreadable
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        place = _place_after(data[: error.start].decode("utf-8-sig", "replace"))
        findings.error(place, (), "the file is not UTF-8 text; save it as UTF-8")
        raise _Unreadable from None
    if refused := _NOT_ALLOWED.search(text):
        place = _place_after(text[: refused.start()])
        findings.error(place, (), _not_allowed(refused[0]))
        raise _Unreadable
    return text


def _place_after(before: str) -> Place:
    lines = _LINE_BREAK.split(before)
    return Place(len(lines), len(lines[-1]) + 1)


def _not_allowed(character: str) -> str:
    return f"control character U+{ord(character):04X} is not allowed"


class _Composer:
    """Builds the tree of one document from its events.

    Asks for the class of an event first: most are plain scalars, and there are thousands of them.
    """

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
        if self._nodes > NODES_MAX or depth > DEPTH_MAX or self._findings.full:
            self._stop(event, path, depth)
        kind = event.__class__
        if kind is yaml.AliasEvent:
            message = f"alias {_name('*', event.anchor)} is not allowed; repeat the value"
            return self._refused(event, path, message)
        if event.anchor is not None or event.tag is not None:
            self._decorated(event, path)
        if kind is yaml.ScalarEvent:
            return self._scalar(event, path)
        if kind is yaml.MappingStartEvent:
            return self._mapping(event, path, depth)
        return self._sequence(event, path, depth)

    def _decorated(self, event: Any, path: Path) -> None:
        if event.anchor is not None:
            anchor = _name("&", event.anchor)
            message = f"anchor {anchor} is not allowed; repeat the value where it is needed"
            self._findings.error(_place(event), path, message)
        if event.tag is not None:
            self._findings.error(_place(event), path, f"tag {_name('', event.tag)} is not allowed")

    def _stop(self, event: Any, path: Path, depth: int) -> NoReturn:
        if self._nodes > NODES_MAX:
            message = f"the file has more than {NODES_MAX} keys and values"
            self._findings.error(_place(event), path[:4], message)
        elif depth > DEPTH_MAX:
            message = f"nested more than {DEPTH_MAX} levels deep"
            self._findings.error(_place(event), path[:4], message)
        raise _Unreadable

    def _mapping(self, event: Any, path: Path, depth: int) -> MapNode:
        entries: dict[str, Entry] = {}
        following = self._next
        while (key_event := following()).__class__ is not yaml.MappingEndEvent:
            key = self._word(key_event, depth) or self._key(key_event, path, depth)
            value_path = path if key is None else (*path, key)
            value = self._node(following(), value_path, depth + 1)
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

    def _word(self, event: Any, depth: int) -> str:
        """Return what nearly every key is, a plain word of which there is nothing to tell; or nothing."""
        if (
            event.__class__ is yaml.ScalarEvent
            and event.implicit[0]
            and is_word(event.value)
            and event.anchor is None
            and event.tag is None
            and self._nodes < NODES_MAX
            and depth < DEPTH_MAX
            and not self._findings.full
        ):
            self._nodes += 1
            return str(event.value)
        return ""

    def _key(self, event: Any, path: Path, depth: int) -> str | None:
        if event.__class__ is not yaml.ScalarEvent:
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
        following = self._next
        while (item := following()).__class__ is not yaml.SequenceEndEvent:
            items.append(self._node(item, (*path, len(items)), depth + 1))
        return ListNode(tuple(items), _place(event))

    def _scalar(self, event: Any, path: Path) -> Scalar:
        text: str = event.value
        if len(text) > LENGTH_MAX:
            message = f"a value of {len(text)} characters; at most {LENGTH_MAX} are read"
            return self._refused(event, path, message)
        if event.implicit[0]:  # plain: not quoted, not a block
            try:
                return Scalar(resolved_scalar(text), _place(event), text)
            except ValueError as error:
                return self._refused(event, path, f"{quoted(text)} {error}")
        # Written out, a character was seen before; an escape in double quotation marks was not.
        if refused := _NOT_ALLOWED.search(text):
            return self._refused(event, path, _not_allowed(refused[0]))
        return Scalar(text, _place(event), text)

    def _refused(self, event: Any, path: Path, message: str) -> Scalar:
        self._findings.settle(_place(event), path, message)
        return Scalar(None, _place(event), "")


def _name(sign: str, name: str) -> str:
    """Return the name of an anchor or a tag as a message may show it."""
    if len(name) > LENGTH_MAX:
        return f"of {len(name)} characters"
    return quoted(sign + name).strip("'") if sign else quoted(name)


def _place(event: Any) -> Place:
    mark = event.start_mark
    return Place(mark.line + 1, mark.column + 1)
