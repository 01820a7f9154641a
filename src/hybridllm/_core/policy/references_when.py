"""Whether the names under a `when` are names that there are, however deep.

Tasks, tenants, features and the like come with requests: any name may be right. Residency tags, buckets
and capabilities are known here.
"""

from __future__ import annotations

from collections.abc import Iterator

from hybridllm._core.policy.compiled import Bucket, Capability
from hybridllm._core.policy.document import (
    Findings,
    MapNode,
    Node,
    Path,
    Scalar,
    child,
    items,
    quoted,
    texts,
)
from hybridllm._core.policy.names import Names
from hybridllm._core.policy.zones import zone_of, zones_like

_BUCKETS = frozenset(bucket.value for bucket in Bucket)
_CAPABILITIES = frozenset(capability.value for capability in Capability)


def check_when(when: Node | None, path: Path, names: Names) -> None:
    """Tell of every name that no request can have."""
    if not isinstance(when, MapNode):
        return
    for key, what, known in (
        ("residency", "residency tag", names.tags),
        ("bucket", "bucket", _BUCKETS),
        ("capability", "capability", _CAPABILITIES),
    ):
        names.all_known(what, when.get(key), known, (*path, key))
    check_zone(child(when.get("time"), "zone"), (*path, "time", "zone"), names.findings)
    if (inner := when.get("not")) is not None:
        _check_inner(inner, (*path, "not"), names)
    for index, one in enumerate(items(when.get("any"))):
        _check_inner(one, (*path, "any", index), names)


def names_under(when: Node | None, path: Path) -> Iterator[tuple[str, Scalar, Path]]:
    """Yield every name of a task and of a bucket under a `when`, however deep: (key, name, its path)."""
    for key in ("task", "bucket"):
        for scalar, where in texts(child(when, key), (*path, key)):
            yield key, scalar, where
    if (inner := child(when, "not")) is not None:
        yield from names_under(inner, (*path, "not"))
    for index, one in enumerate(items(child(when, "any"))):
        yield from names_under(one, (*path, "any", index))


def check_zone(zone: Node | None, path: Path, findings: Findings) -> None:
    """Tell if this machine knows no such time zone."""
    if not isinstance(zone, Scalar) or not isinstance(zone.value, str) or findings.full:
        return
    if not findings.is_wrong(zone.place) and zone_of(zone.value) is None:
        hint = findings.hint(zone.value, zones_like(zone.value))
        message = f"{quoted(zone.written)} is not a time zone; write UTC or Europe/Berlin{hint}"
        findings.error(zone.place, path, message)


def _check_inner(when: Node, path: Path, names: Names) -> None:
    if isinstance(when, MapNode) and not when.entries:
        message = "has no condition, so it holds always; name at least one, or leave it out"
        names.findings.error(when.place, path, message)
    check_when(when, path, names)
