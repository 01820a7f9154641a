"""Whether a constraint names what there is, and restricts anything."""

from __future__ import annotations

from hybridllm._core.policy.document import (
    Findings,
    ListNode,
    MapNode,
    Node,
    Path,
    Scalar,
    child,
    entries,
    plain,
    quoted,
    texts,
)
from hybridllm._core.policy.names import Names

_CEILINGS = ("max_output_price", "max_request_cost")


def check_constraint(constraint: Node, path: Path, names: Names) -> None:
    """Tell of unknown names, of names both allowed and denied, and of a constraint that does nothing."""
    if not isinstance(constraint, MapNode):
        return
    for side in ("allow", "deny"):
        holder = child(constraint, side)
        names.all_known(
            "backend", child(holder, "backends"), names.backends, (*path, side, "backends")
        )
        names.all_known("model", child(holder, "models"), names.models, (*path, side, "models"))
    for key in ("backends", "models"):
        _check_not_both(constraint, key, path, names)
    if not _restricts(constraint, names.findings):
        name = child(constraint, "name")
        place = name.place if isinstance(name, Scalar) else constraint.place
        message = (
            f"restricts nothing; it takes at least one of allow, deny, {' and '.join(_CEILINGS)}"
        )
        names.findings.error(place, path, message)


def _check_not_both(constraint: MapNode, key: str, path: Path, names: Names) -> None:
    allowed = {str(one.value) for one, _ in texts(child(child(constraint, "allow"), key), ())}
    denied = child(child(constraint, "deny"), key)
    for scalar, where in texts(denied, (*path, "deny", key)):
        if scalar.value in allowed and not names.findings.is_wrong(scalar.place):
            both = quoted(scalar.written)
            message = f"{both} is allowed and denied by the same constraint; leave it out of one"
            names.findings.error(scalar.place, where, message)


def _restricts(constraint: MapNode, findings: Findings) -> bool:
    for key in _CEILINGS:
        ceiling = constraint.get(key)
        if ceiling is not None and (plain(ceiling) is not None or findings.is_wrong(ceiling.place)):
            return True
    for side in ("allow", "deny"):
        holder = constraint.get(side)
        if holder is not None and not isinstance(holder, MapNode):
            return True  # of the wrong shape: the schema tells it
        if any(
            not isinstance(entry.value, ListNode) or entry.value.items
            for _, entry in entries(holder)
        ):
            return True
    return False
