"""Whether the names in a policy fit together: every name used is declared, every name declared once.

Works on the tree, not on the schema's models: a file with a wrong key here and a wrong name there has
both told in one run. What has the wrong shape is passed over; the schema tells it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase

from hybridllm._core.money.book import Book
from hybridllm._core.policy.document import (
    Entry,
    Findings,
    ListNode,
    MapNode,
    Node,
    Path,
    Scalar,
    quoted,
)
from hybridllm._core.policy.problems import nearest

DENY = "deny"
_NAMES_SHOWN_MAX = 20
_GLOB_CHARACTERS = frozenset("*?[")


def check_references(root: Node, book: Book, findings: Findings) -> None:
    """Tell of every name that is used and not declared, and of every name declared twice."""
    if not isinstance(root, MapNode):
        return
    checker = _Checker(root, book, findings)
    checker.models()
    checker.residency_tags()
    checker.routes()


def is_glob(name: str) -> bool:
    """Return whether a name under `when` is a pattern."""
    return not _GLOB_CHARACTERS.isdisjoint(name)


class _Checker:
    def __init__(self, root: MapNode, book: Book, findings: Findings) -> None:
        self._root = root
        self._book = book
        self._findings = findings
        self._backends = self._declared("backends")
        self._models = self._declared("models")
        self._tags = self._declared("residency", absent=frozenset())
        # Served backends by model; None: not readable, so that nothing is told of it.
        self._served: dict[str, frozenset[str] | None] = {}

    def _declared(
        self, section: str, *, absent: frozenset[str] | None = None
    ) -> frozenset[str] | None:
        """Return the names a section declares; None if that cannot be told, so that none is unknown."""
        node = self._root.get(section)
        if node is None:
            return absent
        return frozenset(node.entries) if isinstance(node, MapNode) else None

    def models(self) -> None:
        for name, entry in _entries(self._root.get("models")):
            on = _child(entry.value, "on")
            self._served[name] = frozenset(on.entries) if isinstance(on, MapNode) else frozenset()
            if on is not None and not isinstance(on, MapNode):
                self._served[name] = None
            for backend, served in _entries(on):
                place, path = served.key_place, ("models", name, "on", backend)
                self._known(
                    "backend", backend, self._backends, Scalar(backend, place, backend), path
                )
            like = _child(entry.value, "like")
            if isinstance(like, Scalar) and isinstance(like.value, str):
                self._check_like(like, name)

    def _check_like(self, like: Scalar, name: str) -> None:
        if self._book.get(str(like.value)) is None:
            hint = nearest(str(like.value).lower(), self._book.names())
            message = (
                f"unknown model {quoted(like.written)}; `like` names one of the model book{hint}"
            )
            self._findings.error(like.place, ("models", name, "like"), message)

    def residency_tags(self) -> None:
        for tag, entry in _entries(self._root.get("residency")):
            if tag == DENY:
                message = "'deny' is what default_residency says for no tag at all; name the tag otherwise"
                self._findings.error(entry.key_place, ("residency", tag), message)
        default = self._root.get("default_residency")
        if default is not None and not (isinstance(default, Scalar) and default.value == DENY):
            self._check_tags(default, ("default_residency",), also=(DENY,))
        for name, task in _entries(self._root.get("tasks")):
            self._check_tags(_child(task.value, "residency"), ("tasks", name, "residency"))

    def _check_tags(self, node: Node | None, path: Path, *, also: tuple[str, ...] = ()) -> None:
        for scalar, where in _names(node, path):
            tag = str(scalar.value)
            if is_glob(tag) and any(fnmatchcase(known, tag) for known in self._tags or ()):
                continue
            self._known("residency tag", tag, self._tags, scalar, where, also=also)

    def routes(self) -> None:
        routes = self._root.get("routes")
        first_lines: dict[str, int] = {}
        for index, route in enumerate(routes.items if isinstance(routes, ListNode) else ()):
            path: Path = ("routes", index)
            name = _child(route, "name")
            if isinstance(name, Scalar) and isinstance(name.value, str):
                first = first_lines.setdefault(name.value, name.place.line)
                if first != name.place.line:
                    message = (
                        f"route {quoted(name.written)} stands here twice; first in line {first}"
                    )
                    self._findings.error(name.place, (*path, "name"), message)
            self._check_tags(
                _child(_child(route, "when"), "residency"), (*path, "when", "residency")
            )
            self._check_uses(route, path)

    def _check_uses(self, route: Node, path: Path) -> None:
        candidates: set[str] = set()
        for section in ("use", "fallbacks"):
            node = _child(route, section)
            items = node.items if isinstance(node, ListNode) else (node,) if node else ()
            for index, use in enumerate(items):
                self._check_use(use, (*path, section, index), candidates)

    def _check_use(self, use: Node, path: Path, candidates: set[str]) -> None:
        model = use if isinstance(use, Scalar) else _child(use, "model")
        if not isinstance(model, Scalar) or not isinstance(model.value, str):
            return
        name = model.value
        model_path = path if model is use else (*path, "model")
        if not self._check_model(model, model_path):
            return
        served = self._served.get(name)
        if served is None:
            return
        on = _child(use, "on")
        asked = sorted(served) if on is None else [str(s.value) for s, _ in _names(on, ())]
        for scalar, where in _names(on, (*path, "on")):
            backend = str(scalar.value)
            if (
                self._known("backend", backend, self._backends, scalar, where)
                and backend not in served
            ):
                message = (
                    f"backend {quoted(backend)} does not serve {quoted(name)}; these do: "
                    f"{_listed(served)}{nearest(backend, served)}"
                )
                self._findings.error(scalar.place, where, message)
        self._check_once([f"{backend}/{name}" for backend in asked], candidates, model, model_path)

    def _check_once(
        self, asked: Iterable[str], candidates: set[str], model: Scalar, path: Path
    ) -> None:
        again = []
        for candidate in asked:
            if candidate in candidates:
                again.append(candidate)
            candidates.add(candidate)
        if again:
            message = f"{', '.join(again)}: named twice in this route; the second is never asked"
            self._findings.error(model.place, path, message)

    def _check_model(self, model: Scalar, path: Path) -> bool:
        name = str(model.value)
        if self._models is None or name in self._models:
            if self._served.get(name) == frozenset():
                message = f"nobody serves model {quoted(name)}; name its backends under models, in its `on`"
                self._findings.error(model.place, path, message)
                return False
            return True
        if self._book.get(name) and not nearest(name, self._models):
            message = (
                f"model {quoted(name)} is in the model book, but this policy does not say who serves "
                f"it; add it under models, with `on`. Declared models: {_listed(self._models)}"
            )
            self._findings.error(model.place, path, message)
            return False
        return self._known("model", name, self._models, model, path)

    def _known(
        self,
        what: str,
        name: str,
        declared: frozenset[str] | None,
        scalar: Scalar,
        path: Path,
        *,
        also: tuple[str, ...] = (),
    ) -> bool:
        if declared is None or name in declared or self._findings.is_wrong(scalar.place):
            return True
        allowed = (*sorted(declared), *also)
        known = f"known: {_listed(allowed)}{nearest(name, allowed)}"
        message = f"unknown {what} {quoted(scalar.written)}; {known}"
        self._findings.error(scalar.place, path, message)
        return False


def _entries(node: Node | None) -> Iterator[tuple[str, Entry]]:
    if isinstance(node, MapNode):
        yield from node.entries.items()


def _child(node: Node | None, key: str) -> Node | None:
    return node.get(key) if isinstance(node, MapNode) else None


def _names(node: Node | None, path: Path) -> Iterator[tuple[Scalar, Path]]:
    """Yield the strings of a node that is one string or a list of them, each with its path."""
    if isinstance(node, Scalar) and isinstance(node.value, str):
        yield node, path
    elif isinstance(node, ListNode):
        for index, item in enumerate(node.items):
            if isinstance(item, Scalar) and isinstance(item.value, str):
                yield item, (*path, index)


def _listed(names: Iterable[str]) -> str:
    ordered = sorted(names)
    more = f" and {len(ordered) - _NAMES_SHOWN_MAX} more" if len(ordered) > _NAMES_SHOWN_MAX else ""
    return ", ".join(ordered[:_NAMES_SHOWN_MAX]) + more if ordered else "none"
