"""Whether what a policy says of overflow, volumes and break-even names what there is.

Works on the tree, as all references. Whether an overflow fits its route, and whether its causes can ever
hold, depends on what the route comes to: `doubts_hybrid.py` tells that.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from fnmatch import fnmatchcase

from hybridllm._core.policy.document import (
    Entry,
    MapNode,
    Node,
    Path,
    Scalar,
    child,
    entries,
    items,
    quoted,
    texts,
)
from hybridllm._core.policy.names import Names

LIVE = ("volume", "break_even")
_ABOUT_DATA = ("regions", "operators", "retention")
_HOW_TO_WRITE = "such as capacity: {usd_per_month: 1500}"


class HybridNames:
    """Checks the names that overflows, volumes and break-evens use."""

    def __init__(self, root: MapNode, names: Names) -> None:
        self._names = names
        self._routes = _named_in(root.get("routes"))
        self._tasks = _tasks_in(root)
        backends = root.get("backends")
        self._with_capacity = {
            name for name, entry in entries(backends) if child(entry.value, "capacity") is not None
        }
        self._readable = isinstance(backends, MapNode)

    def check_route(self, route: Node, path: Path) -> None:
        """Tell of what is wrong with whom the overflows of a route name."""
        for index, overflow in enumerate(items(child(route, "overflow"))):
            where = (*path, "overflow", index)
            for side in ("from", "to"):
                backends = child(overflow, side)
                self._names.all_known("backend", backends, self._names.backends, (*where, side))
            left = {str(one.value) for one, _ in texts(child(overflow, "from"), ())}
            for scalar, there in texts(child(overflow, "to"), (*where, "to")):
                if scalar.value in left and not self._names.findings.is_wrong(scalar.place):
                    message = (
                        f"{quoted(scalar.written)} stands under `from` as well: what leaves a backend goes "
                        "to another one"
                    )
                    self._names.findings.error(scalar.place, there, message)

    def check_when(self, when: Node | None, path: Path) -> None:
        """Tell of what is wrong with what live conditions name, however deep."""
        for key, entry, where in live_under(when, path):
            if key == "volume":
                self._check_volume(entry.value, where)
            else:
                self._check_break_even(entry, where)

    def check_constraint(self, constraint: Node, path: Path) -> None:
        """Tell of a constraint on where data may go that looks at volume: it would open with the load."""
        allow = child(constraint, "allow")
        about = [key for key in _ABOUT_DATA if child(allow, key) is not None]
        if not about:
            return
        for key, entry, where in live_under(child(constraint, "when"), (*path, "when")):
            message = (
                f"{quoted(key)} does not fit a constraint on {' and '.join(about)}: where data may go never "
                "depends on volume; write task, residency, tenant or another fact of the request"
            )
            self._names.findings.error(entry.key_place, where, message)

    def _check_volume(self, volume: Node, path: Path) -> None:
        scope = child(volume, "of")
        if not isinstance(scope, Scalar) or not isinstance(scope.value, str):
            return
        kind, colon, name = scope.value.partition(":")
        known: dict[str, Collection[str] | None] = {
            "backend": self._names.backends,
            "model": self._names.models,
            "route": self._routes,
            "task": self._tasks or None,  # a policy that names none takes any
        }
        declared = known.get(kind)
        if not colon or declared is None or any(fnmatchcase(name, one) for one in declared):
            return
        written = scope.written.partition(":")[2] or scope.written
        self._names.known(kind, Scalar(name, scope.place, written), declared, (*path, "of"))

    def _check_break_even(self, entry: Entry, path: Path) -> None:
        findings = self._names.findings
        if self._readable and not self._with_capacity:
            message = (
                "no backend has a capacity, so there is nothing to weigh; write under backends what your own "
                f"machines cost, {_HOW_TO_WRITE}"
            )
            findings.error(entry.key_place, path, message)
            return
        for scalar, where in texts(child(entry.value, "of"), (*path, "of")):
            known = self._names.known("backend", scalar, self._names.backends, where)
            if known and self._readable and scalar.value not in self._with_capacity:
                message = (
                    f"backend {quoted(scalar.written)} has no capacity, so that nobody knows what it costs; "
                    f"write one under backends, {_HOW_TO_WRITE}"
                )
                findings.error(scalar.place, where, message)


def live_under(when: Node | None, path: Path) -> Iterator[tuple[str, Entry, Path]]:
    """Yield every condition on volume and on break-even under a `when`, however deep: (key, entry, path)."""
    for key, entry in entries(when):
        if key in LIVE:
            yield key, entry, (*path, key)
        elif key == "not":
            yield from live_under(entry.value, (*path, "not"))
        elif key == "any":
            for index, one in enumerate(items(entry.value)):
                yield from live_under(one, (*path, "any", index))


def _named_in(rules: Node | None) -> frozenset[str]:
    names = (child(rule, "name") for rule in items(rules))
    return frozenset(str(name.value) for name in names if isinstance(name, Scalar))


def _tasks_in(root: MapNode) -> frozenset[str]:
    """Return the tasks and patterns that a file names: under `tasks`, and in conditions."""
    found = {name for name, _ in entries(root.get("tasks"))}
    waiting = [
        child(rule, "when")
        for section in ("routes", "constraints")
        for rule in items(root.get(section))
    ]
    while waiting:
        when = waiting.pop()
        found |= {str(one.value) for one, _ in texts(child(when, "task"), ())}
        waiting += items(child(when, "any"))
    return frozenset(found)
