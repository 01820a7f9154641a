"""Whether routes and buckets name models, backends, tiers and buckets that there are.

An entry names one of them, or splits among several models. Who a tier comes to depends on prices and is
not known here; an entry whose candidates are known is followed down to `backend/model`.
"""

from __future__ import annotations

from collections.abc import Iterable

from hybridllm._core.policy.compiled import Bucket
from hybridllm._core.policy.document import (
    ListNode,
    MapNode,
    Node,
    Path,
    Scalar,
    child,
    entries,
    items,
    listed,
    quoted,
    texts,
)
from hybridllm._core.policy.names import Names

ENTRIES_MAX = 6_000
"""Of all routes together, with their buckets written out: a bucket may name a bucket, and that another."""
_BUCKETS = frozenset(bucket.value for bucket in Bucket)
_Step = tuple[str, Scalar, Path]
"""A bucket, the name of the next one where it stands in it, and the path of that name."""


class RouteNames:
    """Checks whom the routes and buckets of a file ask.

    Buckets may name buckets: what is known of each is worked out once.
    """

    def __init__(self, root: MapNode, names: Names) -> None:
        self._buckets = root.get("buckets")
        self._names = names
        self._cyclic = False
        self._splits: dict[str, Node | None] = {}
        self._sizes: dict[str, int] = {}
        self._entries_left = ENTRIES_MAX

    def check_buckets(self) -> None:
        """Tell of what is wrong with whom buckets ask, and of buckets that lead back to themselves."""
        told: set[str] = set()
        for name, bucket in entries(self._buckets):
            _check_entries(bucket.value, ("use",), ("buckets", name), self._names)
            cycle = _cycle_from(name, self._buckets)
            steps = [step for step, _, _ in cycle]
            if cycle and told.isdisjoint(steps):
                told.update(steps)
                _, scalar, path = cycle[0]
                message = (
                    f"bucket {quoted(name)} leads back to itself: {' -> '.join([*steps, name])}"
                )
                self._names.findings.error(scalar.place, path, message)
        self._cyclic = bool(told)

    def _check_inner_orders(self, use: Node | None, path: Path) -> None:
        """An entry's own order would be passed over: the route's is that of all entries together."""
        for index, entry in enumerate(use.items if isinstance(use, ListNode) else ()):
            inner = child(entry, "order_by")
            if inner is not None:
                message = (
                    "has no effect: the route's own order_by orders all entries of `use` together"
                )
                self._names.findings.error(inner.place, (*path, "use", index, "order_by"), message)

    def check_route(self, route: Node, path: Path) -> None:
        """Tell of what is wrong with whom a route asks."""
        _check_entries(route, ("use", "fallbacks"), path, self._names)
        shadowed = child(child(route, "shadow"), "model")
        if isinstance(shadowed, Scalar) and isinstance(shadowed.value, str):
            where = (*path, "shadow", "model")
            self._names.known("model", shadowed, self._names.models, where)
        if self._cyclic:
            return
        findings = self._names.findings
        use, order = child(route, "use"), child(route, "order_by")
        split = self._split_in(use)
        if isinstance(order, Scalar) and order.value is not None and split is not None:
            message = (
                "does not fit a split, which is ordered by its weights; `use` has one in line "
                f"{split.place.line}"
            )
            findings.error(order.place, (*path, "order_by"), message)
        elif isinstance(order, Scalar) and order.value is not None:
            self._check_inner_orders(use, path)
        self._entries_left -= self._size(use) + self._size(child(route, "fallbacks"))
        if self._entries_left < 0 and not findings.full:
            message = (
                f"with their buckets written out, the routes up to this one have more than {ENTRIES_MAX} "
                "entries"
            )
            findings.error(route.place, path, message)

    def _split_in(self, use: Node | None) -> Node | None:
        """Return the first split among entries, or in the buckets that they name."""
        for entry in items(use):
            split, bucket = child(entry, "split"), child(entry, "bucket")
            if split is None and isinstance(bucket, Scalar):
                name = str(bucket.value)
                if name not in self._splits:
                    self._splits[name] = self._split_in(child(child(self._buckets, name), "use"))
                split = self._splits[name]
            if split is not None:
                return split
        return None

    def _size(self, use: Node | None) -> int:
        """Return how many entries a list has with its buckets written out."""
        size = 0
        for entry in items(use):
            bucket = child(entry, "bucket")
            if isinstance(bucket, Scalar):
                name = str(bucket.value)
                if name not in self._sizes:
                    self._sizes[name] = self._size(child(child(self._buckets, name), "use"))
                size += self._sizes[name]
            else:
                size += 1
        return size


def _cycle_from(name: str, buckets: Node | None) -> list[_Step]:
    """Return the way from a bucket back to itself; nothing if there is none."""
    seen: set[str] = set()
    waiting: list[list[_Step]] = [[step] for step in _steps_of(name, buckets)]
    while waiting:
        way = waiting.pop(0)
        following = str(way[-1][1].value)
        if following == name:
            return way
        if following not in seen:
            seen.add(following)
            waiting += [[*way, step] for step in _steps_of(following, buckets)]
    return []


def _steps_of(name: str, buckets: Node | None) -> list[_Step]:
    steps: dict[str, _Step] = {}  # the first for each bucket that is named
    for index, entry in enumerate(items(child(child(buckets, name), "use"))):
        scalar = child(entry, "bucket")
        if isinstance(scalar, Scalar) and isinstance(scalar.value, str):
            path: Path = ("buckets", name, "use", index, "bucket")
            steps.setdefault(scalar.value, (name, scalar, path))
    return list(steps.values())


def _check_entries(holder: Node, keys: Iterable[str], path: Path, names: Names) -> None:
    candidates: set[str] = set()
    for key in keys:
        for index, entry in enumerate(items(child(holder, key))):
            _check_entry(entry, (*path, key, index), names, candidates)


def _check_entry(entry: Node, path: Path, names: Names, candidates: set[str]) -> None:
    if isinstance(entry, Scalar):
        _check_models([(entry, path)], None, path, names, candidates)
        return
    on = child(entry, "on")
    model, split = child(entry, "model"), child(entry, "split")
    if isinstance(model, Scalar):
        _check_models([(model, (*path, "model"))], on, path, names, candidates)
    elif isinstance(split, MapNode):
        _check_split(split, on, path, names, candidates)
    else:
        _check_group(entry, on, path, names, candidates)


def _check_group(
    entry: Node, on: Node | None, path: Path, names: Names, candidates: set[str]
) -> None:
    """Check an entry that names a tier or a bucket."""
    for kind in ("tier", "bucket"):
        scalar = child(entry, kind)
        if not isinstance(scalar, Scalar) or not isinstance(scalar.value, str):
            continue
        where = (*path, kind)
        if kind == "tier":
            known = names.known("tier", scalar, names.tiers, where)
        else:
            known = scalar.value in _BUCKETS and _has_entry(scalar, where, names)
        narrowed = ", ".join(str(one.value) for one, _ in texts(on, ()))
        if known:
            _check_once([f"{kind} {scalar.value}"], narrowed, scalar, where, names, candidates)
    names.all_known("backend", on, names.backends, (*path, "on"))


def _has_entry(bucket: Scalar, path: Path, names: Names) -> bool:
    if names.buckets is None or bucket.value in names.buckets:
        return True
    there = listed(names.buckets)
    message = f"bucket {quoted(bucket.written)} has no entry under `buckets`; there are: {there}"
    names.findings.error(bucket.place, path, message)
    return False


def _check_split(
    split: MapNode, on: Node | None, path: Path, names: Names, candidates: set[str]
) -> None:
    models: list[tuple[Scalar, Path]] = [
        (Scalar(name, entry.key_place, name), (*path, "split", name))
        for name, entry in split.entries.items()
    ]
    _check_models(models, on, path, names, candidates)
    if len(models) == 1:
        scalar, where = models[0]
        message = f"a split of one model sends everything to {quoted(str(scalar.value))}"
        names.findings.warn(scalar.place, where, message)


def _check_models(
    models: list[tuple[Scalar, Path]],
    on: Node | None,
    path: Path,
    names: Names,
    candidates: set[str],
) -> None:
    """Tell of models that nobody serves, of backends that serve none of them, and of both asked twice."""
    served = _served_by(models, names)
    called = " and ".join(quoted(str(model.value)) for model, _ in models[:3])
    asked = []
    for scalar, where in texts(on, (*path, "on")):
        asked.append(str(scalar.value))
        known = names.known("backend", scalar, names.backends, where)
        if served is None or scalar.value in served or not known:
            continue
        if not names.findings.is_wrong(scalar.place):
            hint = names.findings.hint(str(scalar.value), served)
            message = (
                f"backend {quoted(scalar.written)} does not serve {called}; these do: "
                f"{listed(served)}{hint}"
            )
            names.findings.error(scalar.place, where, message)
    if served is None:
        return
    for model, where in models:
        own = names.served.get(str(model.value)) or frozenset()
        reached = sorted(own) if on is None else [one for one in asked if one in own]
        pairs = [f"{backend}/{model.value}" for backend in reached]
        _check_once(pairs, "", model, where, names, candidates)


def _served_by(models: list[tuple[Scalar, Path]], names: Names) -> set[str] | None:
    """Return the backends that serve one of the models; None: a model is wrong, or not readable."""
    served: set[str] = set()
    readable = True
    for model, path in models:
        right = isinstance(model.value, str) and _is_served(model, path, names)
        own = names.served.get(str(model.value)) if right else None
        readable = readable and own is not None
        served |= own or frozenset()
    return served if readable else None


def _check_once(
    asked: list[str], on: str, scalar: Scalar, path: Path, names: Names, candidates: set[str]
) -> None:
    """Tell of what is asked a second time, on the same backends."""
    again = [one for one in asked if f"{one} {on}" in candidates]
    candidates.update(f"{one} {on}" for one in asked)
    if again and not names.findings.is_wrong(scalar.place):
        holder = "route" if path[0] == "routes" else "bucket"
        message = f"{listed(again)}: named twice in this {holder}; the second is never asked"
        names.findings.error(scalar.place, path, message)


def _is_served(model: Scalar, path: Path, names: Names) -> bool:
    name, findings = str(model.value), names.findings
    if names.models is None or name in names.models:
        if names.served.get(name) == frozenset() and not findings.is_wrong(model.place):
            message = (
                f"nobody serves model {quoted(name)}; name its backends under models, in its `on`"
            )
            findings.error(model.place, path, message)
            return False
        return True
    if findings.full or findings.is_wrong(model.place):
        return False
    hint = findings.hint(name, names.models)
    if names.book.get(name):
        message = (
            f"model {quoted(name)} is in the model book, but this policy does not say who serves "
            f"it; add it under models, with `on`. Declared models: {listed(names.models)}{hint}"
        )
    else:
        message = f"unknown model {quoted(model.written)}; known: {listed(names.models)}{hint}"
    findings.error(model.place, path, message)
    return False
