"""The names that a policy file declares, and the one way to tell of a name that it does not.

Taken from the tree, so that a file of the wrong shape in one place has its names told in the others: a
section that cannot be read declares everything, as far as anybody can tell.
"""

from __future__ import annotations

from collections.abc import Collection
from fnmatch import fnmatchcase

from hybridllm._core.money.book import Book
from hybridllm._core.policy.compiled import Bucket
from hybridllm._core.policy.conditions import GLOB_SIGNS
from hybridllm._core.policy.document import (
    Findings,
    MapNode,
    Node,
    Path,
    Scalar,
    child,
    entries,
    listed,
    quoted,
    texts,
)
from hybridllm._core.policy.schema import PolicySpec

_SECTIONS = frozenset(PolicySpec.model_fields)
_BUCKETS = frozenset(bucket.value for bucket in Bucket)


def is_glob(name: str) -> bool:
    """Return whether a name under `when` is a pattern."""
    return not GLOB_SIGNS.isdisjoint(name)


class Names:
    """What is declared in a file; None: not readable, so that no name is unknown.

    Attributes:
        book: The model book.
        findings: Takes what is wrong.
        tiers: Price tiers: the policy's own, else the book's.
        buckets: Those that have an entry under `buckets`.
        served: Backends that serve a model, by model; None: not readable.
    """

    def __init__(self, root: MapNode, book: Book, findings: Findings) -> None:
        self.book = book
        self.findings = findings
        self.backends = _declared(root, "backends")
        self.models = _declared(root, "models")
        # With an unknown section, which may be the misspelt one, nobody knows what is not declared.
        absent = frozenset[str]() if root.entries.keys() <= _SECTIONS else None
        self.tags = _declared(root, "residency", absent=absent)
        buckets = _declared(root, "buckets", absent=absent)
        self.buckets = buckets if buckets is None or buckets <= _BUCKETS else None
        tiers = _declared(root, "tiers", absent=absent)
        known = tiers or tiers is None
        self.tiers = tiers if known else frozenset(tier.name for tier in book.tiers)
        self.served: dict[str, frozenset[str] | None] = {}
        for name, entry in entries(root.get("models")):
            on = child(entry.value, "on")
            readable = on is None or isinstance(on, MapNode)
            self.served[name] = frozenset(dict(entries(on))) if readable else None

    def known(
        self,
        what: str,
        scalar: Scalar,
        declared: Collection[str] | None,
        path: Path,
        *,
        also: tuple[str, ...] = (),
    ) -> bool:
        """Return whether a name is declared; tell of it if it is not."""
        name = str(scalar.value)
        if declared is None or name in declared or self.findings.is_wrong(scalar.place):
            return True
        if not self.findings.full:
            allowed = (*sorted(declared), *also)
            hint = self.findings.hint(name, allowed)
            message = f"unknown {what} {quoted(scalar.written)}; known: {listed(allowed)}{hint}"
            self.findings.error(scalar.place, path, message)
        return False

    def all_known(
        self, what: str, node: Node | None, declared: Collection[str] | None, path: Path
    ) -> None:
        """Tell of every name of a list that is not declared; a pattern must fit one that is."""
        for scalar, where in texts(node, path):
            name = str(scalar.value)
            if is_glob(name) and any(fnmatchcase(one, name) for one in declared or ()):
                continue
            self.known(what, scalar, declared, where)


def _declared(
    root: MapNode, section: str, *, absent: frozenset[str] | None = None
) -> frozenset[str] | None:
    node = root.get(section)
    if node is None:
        return absent
    return frozenset(node.entries) if isinstance(node, MapNode) else None
