"""A policy file as a plain tree in which every node knows where it stands.

The tree is what a YAML adapter hands in; this module knows nothing of YAML. A path is a tuple of keys
and indices, as pydantic gives it; `found` follows it as far as the tree goes, because a person may
write `use: qwen3-8b` where the schema thinks of a list of mappings.

Nodes are named tuples, not dataclasses: there are thousands of them, and every command loads them.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any, NamedTuple

from hybridllm._core.policy.problems import Problem

Path = tuple[str | int, ...]
ScalarValue = str | int | Decimal | bool | None

_PLAIN_KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*\Z")
_SHOWN_MAX = 80
_USER_INFO = re.compile(r"//.*@", re.DOTALL)  # user name and password of a URL
# What API keys look like. Rather a name too many refused than one key kept in a file or printed.
_KEY_LIKE = re.compile(
    r"(?<![A-Za-z0-9])(?:(?:sk|rk|pk)[-_][A-Za-z0-9_-]{8,}|gsk_[A-Za-z0-9]{16,}|hf_[A-Za-z0-9]{16,}"
    r"|xai-[A-Za-z0-9]{16,}|gh[pousr]_[A-Za-z0-9]{16,}|AIza[A-Za-z0-9_-]{20,}|AKIA[A-Z0-9]{12,}"
    r"|eyJ[A-Za-z0-9_-]{16,}|[Bb]earer\s+\S{8,})"
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
        self._problems: dict[Problem, None] = {}  # in order, each once

    def error(self, place: Place, path: Path, message: str) -> None:
        """Tell of something wrong."""
        self._wrong.add(place)
        self._add(place, path, message, warning=False)

    def is_wrong(self, place: Place) -> bool:
        """Return whether something is wrong at just this place."""
        return place in self._wrong

    def settle(self, place: Place, path: Path, message: str) -> None:
        """Tell of something wrong with a value that is of no further use."""
        self.settled.add(place)
        self.error(place, path, message)

    def warn(self, place: Place, path: Path, message: str) -> None:
        """Tell of something doubtful."""
        self._add(place, path, message, warning=True)

    def _add(self, place: Place, path: Path, message: str, *, warning: bool) -> None:
        where = path_text(path)
        problem = Problem(self.source, place.line, place.column, where, message, warning)
        self._problems[problem] = None

    def __len__(self) -> int:
        return len(self._problems)

    @property
    def failed(self) -> bool:
        """Whether the file cannot be used."""
        return bool(self._wrong)

    def in_order(self) -> tuple[Problem, ...]:
        """Return all problems in the order of the file."""
        return tuple(sorted(self._problems, key=lambda problem: (problem.line, problem.column)))


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
    return None


def path_text(path: Path) -> str:
    """Return a path as messages show it: `routes[2].use[0]`; keys that may be secrets are left out."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif _PLAIN_KEY.match(step) and not looks_like_key(step):
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
    text = _USER_INFO.sub("//…@", text)
    return repr(text if len(text) <= _SHOWN_MAX else text[: _SHOWN_MAX - 1] + "…")


def looks_like_key(text: str) -> bool:
    """Return whether `text` holds what may be an API key."""
    return _KEY_LIKE.search(text) is not None
