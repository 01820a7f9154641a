"""A policy file as a plain tree in which every node knows where it stands.

The tree is what a YAML adapter hands in; this module knows nothing of YAML. A path is a tuple of keys
and indices, as pydantic gives it; `found` follows it as far as the tree goes, because a person may
write `use: qwen3-8b` where the schema thinks of a list of mappings.

Nodes are named tuples, not dataclasses: there are thousands of them, and every command loads them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from decimal import Decimal
from typing import Any, NamedTuple

from hybridllm._core.policy.problems import Problem, hint_cost, nearest

Path = tuple[str | int, ...]
ScalarValue = str | int | Decimal | bool | None

_PLAIN_KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*\Z")
_SHOWN_MAX = 80
_NAMES_SHOWN_MAX = 20
_LIST_LENGTH_MAX = 600  # characters
_NAME_LENGTH_MAX = 128
PROBLEMS_MAX = 100
"""Errors told of one file, and as many warnings: more help nobody, and a file could hold thousands."""
_HINTING_MAX = 60_000  # for all of a file, as `hint_cost` has it: 6 ms
_KEY_LENGTH_MIN = 11  # of the shortest text that looks like an API key
# What API keys look like. Rather a name too many refused than one key kept in a file or printed.
_KEY_LIKE = re.compile(
    r"(?<![A-Za-z0-9])(?:(?:sk|rk|pk)[-_][A-Za-z0-9_-]{8,}|gsk_[A-Za-z0-9]{16,}|hf_[A-Za-z0-9]{16,}"
    r"|(?:xai|nvapi|pplx|glpat|xox[abprs])-[A-Za-z0-9_-]{16,}|r8_[A-Za-z0-9]{16,}|gh[pousr]_[A-Za-z0-9]{16,}|AIza[A-Za-z0-9_-]{20,}|AKIA[A-Z0-9]{12,}"
    r"|eyJ[A-Za-z0-9_-]{16,}|[Bb]earer\s+\S{8,})|-----BEGIN [A-Z ]{0,40}PRIVATE KEY"
)


class Place(NamedTuple):
    """Line and column, from 1; line 0 means the whole file."""

    line: int
    column: int


WHOLE_FILE = Place(0, 1)


class Scalar(NamedTuple):
    """A value.

    Attributes:
        written: As it stands in the file, variables unresolved; what messages show.
    """

    value: ScalarValue
    place: Place
    written: str


class Entry(NamedTuple):
    """A key of a mapping, and its value."""

    key: str
    key_place: Place
    value: Node


class MapNode(NamedTuple):
    """A mapping, in the order of the file; keys are unique."""

    entries: dict[str, Entry]
    place: Place

    def get(self, key: str) -> Node | None:
        """Return the value under `key`, if there is one."""
        entry = self.entries.get(key)
        return entry.value if entry else None


class ListNode(NamedTuple):
    """A list."""

    items: tuple[Node, ...]
    place: Place


Node = Scalar | MapNode | ListNode


class Findings:
    """The problems of one file, collected while it is read.

    Attributes:
        source: What problems call the file.
        settled: Places whose problem is told already, so that nobody tells a consequence of it.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self.settled: set[Place] = set()
        self._wrong: set[Place] = set()
        self._errors: dict[Problem, None] = {}  # in order, each once
        self._warnings: dict[Problem, None] = {}
        self._hinting_left = _HINTING_MAX

    def error(self, place: Place, path: Path, message: str) -> None:
        """Tell of something wrong."""
        self._wrong.add(place)
        self._add(self._errors, place, path, message)

    def is_wrong(self, place: Place) -> bool:
        """Return whether something is wrong at just this place."""
        return place in self._wrong

    def settle(self, place: Place, path: Path, message: str) -> None:
        """Tell of something wrong with a value that is of no further use."""
        self.settled.add(place)
        self.error(place, path, message)

    def warn(self, place: Place, path: Path, message: str) -> None:
        """Tell of something doubtful."""
        self._add(self._warnings, place, path, message)

    def _add(self, told: dict[Problem, None], place: Place, path: Path, message: str) -> None:
        if len(told) > PROBLEMS_MAX:
            return
        warning = told is self._warnings
        where = path_text(path)
        if len(told) == PROBLEMS_MAX:
            kind = "warnings" if warning else "problems"
            where, message = "", f"more than {PROBLEMS_MAX} {kind}; the rest is not told"
        told[Problem(self.source, place.line, place.column, where, message, warning)] = None

    def hint(self, name: str, allowed: Collection[str]) -> str:
        """Return `; did you mean 'x'?`, or nothing, as long as looking for it stays cheap.

        A name that may be a key is never proposed.
        """
        cost = hint_cost(name, allowed)
        if cost > self._hinting_left:
            return ""
        self._hinting_left -= cost
        return nearest(name, [one for one in allowed if not looks_like_key(one)])

    @property
    def full(self) -> bool:
        """Whether no further error would be told, so that nobody need look for one."""
        return len(self._errors) > PROBLEMS_MAX

    @property
    def full_of_warnings(self) -> bool:
        """Whether no further warning would be told."""
        return len(self._warnings) > PROBLEMS_MAX

    @property
    def failed(self) -> bool:
        """Whether the file cannot be used."""
        return bool(self._wrong)

    def in_order(self) -> tuple[Problem, ...]:
        """Return all problems in the order of the file."""
        told = (*self._errors, *self._warnings)
        return tuple(sorted(told, key=lambda problem: (problem.line, problem.column)))


def plain(node: Node) -> Any:
    """Return the tree as dicts, lists and values."""
    if isinstance(node, MapNode):
        return {key: plain(entry.value) for key, entry in node.entries.items()}
    if isinstance(node, ListNode):
        return [plain(item) for item in node.items]
    return node.value


def found(root: Node, path: Path) -> Node:
    """Return the node at `path`, or the last one on the way to it."""
    node = root
    for step in path:
        below = _below(node, step)
        if below is None:
            break
        node = below
    return node


def value_place(root: Node, path: Path) -> Place:
    """Return where the value at `path` stands, or the last node on the way to it."""
    return found(root, path).place


def key_place(root: Node, path: Path) -> Place:
    """Return where the key at the end of `path` stands; a list item has no key, but a place."""
    place, node = root.place, root
    for step in path:
        below = _below(node, step)
        if below is None:
            break
        if isinstance(node, MapNode) and isinstance(step, str):
            place = node.entries[step].key_place
        else:
            place = below.place
        node = below
    return place


def _below(node: Node, step: str | int) -> Node | None:
    if isinstance(node, MapNode) and isinstance(step, str):
        return node.get(step)
    if isinstance(node, ListNode) and isinstance(step, int) and step < len(node.items):
        return node.items[step]
    # What a person wrote without its brackets is the one item of its list.
    return node if step == 0 and not isinstance(node, ListNode) else None


def child(node: Node | None, key: str) -> Node | None:
    """Return the value under `key`, if the node is a mapping that has it."""
    return node.get(key) if isinstance(node, MapNode) else None


def entries(node: Node | None) -> Iterator[tuple[str, Entry]]:
    """Yield the keys of a node that is a mapping."""
    if isinstance(node, MapNode):
        yield from node.entries.items()


def items(node: Node | None) -> tuple[Node, ...]:
    """Return the items of a list; of what a person wrote without its brackets, the one alone."""
    if isinstance(node, ListNode):
        return node.items
    return () if node is None else (node,)


def texts(node: Node | None, path: Path) -> Iterator[tuple[Scalar, Path]]:
    """Yield the strings of a node that is one string or a list of them, each with its path."""
    if isinstance(node, Scalar) and isinstance(node.value, str):
        yield node, path
    elif isinstance(node, ListNode):
        for index, item in enumerate(node.items):
            if isinstance(item, Scalar) and isinstance(item.value, str):
                yield item, (*path, index)


def path_text(path: Path) -> str:
    """Return a path as messages show it: `routes[2].use[0]`; keys that may be secrets are left out."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif len(step) <= _SHOWN_MAX and _PLAIN_KEY.match(step) and not looks_like_key(step):
            text += f".{step}" if text else step
        else:
            text += f"[{quoted(step)}]"
    return text


def shown(node: Node) -> str:
    """Return a value as a message may show it: short, on one line, and never a key.

    What came from an environment variable is shown as the file has it: `'${NAME}'`.
    """
    if isinstance(node, MapNode):
        return "a mapping"
    if isinstance(node, ListNode):
        return "a list"
    if node.value is None:
        return "an empty value"
    return quoted(node.written) if isinstance(node.value, str) else node.written


def quoted(text: str) -> str:
    """Return `text` in quotation marks, shortened, or words in its place if it may be a key."""
    if looks_like_key(text):
        return "(a value that looks like an API key)"
    text = _without_credentials(text)
    return repr(text if len(text) <= _SHOWN_MAX else text[: _SHOWN_MAX - 1] + "…")


def _without_credentials(text: str) -> str:
    """Return a URL without its user name, password and query; anything else as it is.

    By plain searches: a regular expression would take a minute for a megabyte of slashes.
    """
    start = text.find("//")
    if start < 0:
        return text
    at = text.rfind("@")
    if at > start:
        text = f"{text[:start]}//…@{text[at + 1 :]}"
    query = text.find("?", start)
    return text if query < 0 else text[: query + 1] + "…"


def looks_like_key(text: str) -> bool:
    """Return whether `text` holds what may be an API key."""
    return len(text) >= _KEY_LENGTH_MIN and _KEY_LIKE.search(text) is not None


def listed(names: Collection[str]) -> str:
    """Return names as a message lists them: in order, not too many, and none that may be a key."""
    shown: list[str] = []
    length = 0
    for name in sorted(names)[: 2 * _NAMES_SHOWN_MAX]:
        if len(shown) < _NAMES_SHOWN_MAX and length < _LIST_LENGTH_MAX and not looks_like_key(name):
            shown.append(name if len(name) <= _NAME_LENGTH_MAX else f"{name[:_NAME_LENGTH_MAX]}…")
            length += len(shown[-1])
    more = f" and {len(names) - len(shown)} more" if len(names) > len(shown) else ""
    return ", ".join(shown) + more if shown else "none"
