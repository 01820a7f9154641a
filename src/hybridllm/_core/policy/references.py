"""Whether the names in a policy fit together: every name used is declared, every name declared once.

Works on the tree, not on the schema's models: a file with a wrong key here and a wrong name there has
both told in one run. What has the wrong shape is passed over; the schema tells it. What depends on
prices and environments is told once the policy is compiled (`doubts.py`).
"""

from __future__ import annotations

from hybridllm._core.money.book import Book
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
    quoted,
    shown,
)
from hybridllm._core.policy.names import Names, is_glob
from hybridllm._core.policy.references_budgets import check_budgets
from hybridllm._core.policy.references_cascade import check_cascade
from hybridllm._core.policy.references_constraints import check_constraint
from hybridllm._core.policy.references_hybrid import HybridNames
from hybridllm._core.policy.references_prices import check_prices
from hybridllm._core.policy.references_routes import RouteNames
from hybridllm._core.policy.references_when import check_when

__all__ = ["DENY", "check_references", "is_glob"]

DENY = "deny"
PATTERNS_MAX = 256
"""Different patterns under all `when`; each costs about 0.1 ms when it is first looked at."""


def check_references(root: Node, book: Book, findings: Findings) -> None:
    """Tell of every name that is used and not declared, and of every name declared twice."""
    if not isinstance(root, MapNode):
        return
    names = Names(root, book, findings)
    _check_models(root, names)
    _check_residency(root, names)
    route_names = RouteNames(root, names)
    route_names.check_buckets()
    hybrid_names = HybridNames(root, names)
    for section in ("routes", "constraints"):
        rules = _rules(root, section)
        _check_named_once(rules, section, findings)
        for index, rule in enumerate(rules):
            if findings.full:
                return
            path: Path = (section, index)
            if section == "routes":
                route_names.check_route(rule, path)
                hybrid_names.check_route(rule, path)
                check_cascade(child(rule, "cascade"), (*path, "cascade"), names)
            else:
                check_constraint(rule, path, names)
                hybrid_names.check_constraint(rule, path)
            check_when(child(rule, "when"), (*path, "when"), names)
            hybrid_names.check_when(child(rule, "when"), (*path, "when"))
    check_budgets(root, names, routes=_named(root, "routes"))
    _check_patterns(root, findings)
    check_prices(root, names)


def _rules(root: MapNode, section: str) -> tuple[Node, ...]:
    rules = root.get(section)
    return rules.items if isinstance(rules, ListNode) else ()


def _named(root: MapNode, section: str) -> frozenset[str] | None:
    """Return the names of a section's rules; None: not readable."""
    if not isinstance(root.get(section), ListNode):
        return None
    names = (child(rule, "name") for rule in _rules(root, section))
    return frozenset(str(one.value) for one in names if isinstance(one, Scalar))


def _check_models(root: MapNode, names: Names) -> None:
    for name, entry in entries(root.get("models")):
        for backend, served in entries(child(entry.value, "on")):
            scalar = Scalar(backend, served.key_place, backend)
            names.known("backend", scalar, names.backends, ("models", name, "on", backend))
        like, tier = child(entry.value, "like"), child(entry.value, "tier")
        if isinstance(like, Scalar) and isinstance(like.value, str):
            _check_like(like, name, names)
        if isinstance(tier, Scalar) and isinstance(tier.value, str):
            names.known("tier", tier, names.tiers, ("models", name, "tier"))


def _check_like(like: Scalar, model: str, names: Names) -> None:
    if names.book.get(str(like.value)) is None and not names.findings.full:
        hint = names.findings.hint(str(like.value), names.book.names())
        message = f"unknown model {quoted(like.written)}; `like` names one of the model book{hint}"
        names.findings.error(like.place, ("models", model, "like"), message)


def _check_residency(root: MapNode, names: Names) -> None:
    for tag, entry in entries(root.get("residency")):
        if tag == DENY:
            message = (
                "'deny' is what default_residency says for no tag at all; name the tag otherwise"
            )
            names.findings.error(entry.key_place, ("residency", tag), message)
    default = root.get("default_residency")
    if isinstance(default, Scalar) and isinstance(default.value, str) and default.value != DENY:
        names.known("residency tag", default, names.tags, ("default_residency",), also=(DENY,))
    for name, task in entries(root.get("tasks")):
        own = child(task.value, "residency")
        if isinstance(own, Scalar) and isinstance(own.value, str):
            names.known("residency tag", own, names.tags, ("tasks", name, "residency"))


def _check_named_once(rules: tuple[Node, ...], section: str, findings: Findings) -> None:
    what = section.removesuffix("s")
    firsts: dict[str, Place] = {}
    for index, rule in enumerate(rules):
        name = child(rule, "name")
        if not isinstance(name, Scalar) or not isinstance(name.value, str):
            continue
        first = firsts.setdefault(name.value, name.place)
        if first != name.place:
            message = f"{what} {shown(name)} stands here twice; first in line {first.line}"
            findings.error(name.place, (section, index, "name"), message)


def _check_patterns(root: MapNode, findings: Findings) -> None:
    """Tell if there are so many patterns that the first decisions would take seconds."""
    seen: set[str] = set()
    for section in ("routes", "constraints"):
        for index, rule in enumerate(_rules(root, section)):
            for pattern in _patterns(child(rule, "when")):
                seen.add(str(pattern.value))
                if len(seen) > PATTERNS_MAX:
                    message = (
                        f"more than {PATTERNS_MAX} different patterns in all; name what they have in common "
                        "in `metadata` or `tags`, or list the names themselves"
                    )
                    findings.error(pattern.place, (section, index, "when"), message)
                    return


def _patterns(node: Node | None) -> list[Scalar]:
    """Return every text with a pattern's characters under a `when`, however deep."""
    found: list[Scalar] = []
    waiting = [node] if node is not None else []
    while waiting:
        one = waiting.pop()
        if isinstance(one, MapNode):
            waiting += reversed([entry.value for entry in one.entries.values()])
        elif isinstance(one, ListNode):
            waiting += reversed(items(one))
        elif isinstance(one.value, str) and is_glob(one.value):
            found.append(one)
    return found
