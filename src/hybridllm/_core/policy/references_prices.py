"""Whether what prices name is there: currencies, backends, time zones; and that nothing is priced twice."""

from __future__ import annotations

from collections.abc import Iterator

from hybridllm._core.policy.document import (
    Findings,
    ListNode,
    MapNode,
    Node,
    Path,
    Place,
    Scalar,
    child,
    entries,
    items,
    listed,
    quoted,
    texts,
)
from hybridllm._core.policy.names import Names
from hybridllm._core.policy.references_when import check_zone

USD = "USD"


def check_prices(root: MapNode, names: Names) -> None:
    """Tell of every name in a policy's prices that is not declared."""
    currencies = _currencies(root)
    for price, path in _prices(root):
        _check_price(price, path, currencies, names.findings)
    check_sheet(root, names.findings)
    for index, entry in enumerate(items(root.get("prices"))):
        for scalar, where in texts(child(entry, "backend"), ("prices", index, "backend")):
            names.known("backend", scalar, names.backends, where)


def check_sheet(root: MapNode, findings: Findings) -> None:
    """Tell the same of a price sheet, where backends are whatever policy it is used with has."""
    currencies = _currencies(root)
    own = child(root.get("currencies"), USD)
    if own is not None:
        message = "'USD' needs no rate: it is what all amounts become"
        findings.error(own.place, ("currencies", USD), message)
    firsts: dict[tuple[object, ...], Place] = {}
    for index, entry in enumerate(items(root.get("prices"))):
        _check_price(entry, ("prices", index), currencies, findings)
        _check_once(entry, ("prices", index), firsts, findings)


def _prices(root: MapNode) -> Iterator[tuple[Node, Path]]:
    """Yield every price of a pair, a backend or a model."""
    for name, backend in entries(root.get("backends")):
        yield from _dated(child(backend.value, "price"), ("backends", name, "price"))
    for name, model in entries(root.get("models")):
        yield from _dated(child(model.value, "price"), ("models", name, "price"))
        for backend_name, served in entries(child(model.value, "on")):
            path: Path = ("models", name, "on", backend_name, "price")
            yield from _dated(child(served.value, "price"), path)


def _dated(price: Node | None, path: Path) -> Iterator[tuple[Node, Path]]:
    if isinstance(price, ListNode):
        for index, one in enumerate(price.items):
            yield one, (*path, index)
    elif price is not None:
        yield price, path


def _currencies(root: MapNode) -> frozenset[str] | None:
    """The currencies that have a rate; None: not readable."""
    node = root.get("currencies")
    if node is None:
        return frozenset({USD})
    return frozenset({USD, *node.entries}) if isinstance(node, MapNode) else None


def _check_price(
    price: Node, path: Path, currencies: frozenset[str] | None, findings: Findings
) -> None:
    for scalar, where in texts(child(price, "currency"), (*path, "currency")):
        name = str(scalar.value)
        if currencies is None or name in currencies or findings.is_wrong(scalar.place):
            continue
        hint = findings.hint(name, currencies)
        message = (
            f"currency {quoted(scalar.written)} has no rate, so nobody knows what it comes to in USD; write "
            f"it under `currencies`, such as {{EUR: 1.08}}; known: {listed(currencies)}{hint}"
        )
        findings.error(scalar.place, where, message)
    for index, window in enumerate(items(child(price, "hours"))):
        check_zone(child(window, "zone"), (*path, "hours", index, "zone"), findings)


def _check_once(
    entry: Node, path: Path, firsts: dict[tuple[object, ...], Place], findings: Findings
) -> None:
    """Of two prices for the same model from the same day nobody could tell which holds."""
    keys = [child(entry, key) for key in ("model", "backend", "from")]
    values = tuple(one.value if isinstance(one, Scalar) else None for one in keys)
    if values[0] is None or findings.is_wrong(entry.place):
        return
    first = firsts.setdefault(values, entry.place)
    if first != entry.place:
        message = (
            f"a price of {quoted(str(values[0]))} for the same backend and from the same day stands in line "
            f"{first.line} already"
        )
        findings.error(entry.place, path, message)
