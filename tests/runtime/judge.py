"""Who may see a request's data, worked out a second time: from the document, by nothing of the package."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

Document = Mapping[str, Any]
Hints = Mapping[str, Any]

_TERMS = {"regions": "region", "operators": "operator", "retention": "retention"}
_SIZES = {10: 10, 1_000: 1_000, "2K": 2_048}


def tags_of(policy: Document, hints: Hints, carried: Iterable[str] = ()) -> list[str]:
    """The tags that hold: the request's and its task's, or the default; and its session's."""
    task = task_of(policy, hints)
    own = policy.get("tasks", {}).get(task, {}).get("residency")
    tags = [tag for tag in (hints.get("residency"), own) if tag is not None]
    default = policy.get("default_residency")
    return [*(tags or ([default] if default is not None else [])), *carried]


def task_of(policy: Document, hints: Hints) -> str | None:
    """The request's task; a task's name may stand in the model's place."""
    task = hints.get("task")
    if task is None and hints.get("model") in policy.get("tasks", {}):
        return str(hints["model"])
    return task


def kept_tags(policy: Document, carried: Iterable[str]) -> list[str]:
    """Those of the tags that a session has carried which this policy makes it keep."""
    known = policy.get("residency", {})
    return [tag for tag in carried if known.get(tag, {}).get("taint")]


def allowed_backends(
    policy: Document, request: Mapping[str, Any], carried: Iterable[str] = ()
) -> set[str]:
    """The backends that a request's data may go to: by every tag, the environment, every constraint."""
    hints, known = request["hints"], policy.get("residency", {})
    tags = tags_of(policy, hints, kept_tags(policy, carried))
    if any(tag not in known for tag in tags):
        return set()  # `deny`, or a tag that nobody has declared
    constraints = [
        one
        for one in policy.get("constraints", ())
        if one.get("mode") != "observe" and fits(one.get("when", {}), policy, request)
    ]
    return {
        name
        for name, backend in policy["backends"].items()
        if (not tags or any(field in backend for field in _TERMS.values()))
        and all(_allows(known[tag], backend) for tag in tags)
        and policy["environment"] in backend.get("environments", (policy["environment"],))
        and all(_allows(one.get("allow", {}), backend) for one in constraints)
        and all(name in one.get("allow", {}).get("backends", (name,)) for one in constraints)
        and all(name not in one.get("deny", {}).get("backends", ()) for one in constraints)
    }


def _allows(terms: Mapping[str, Any], backend: Mapping[str, Any]) -> bool:
    return all(
        term not in terms or backend.get(field) in terms[term] for term, field in _TERMS.items()
    )


def fits(when: Mapping[str, Any], policy: Document, request: Mapping[str, Any]) -> bool:
    """Whether conditions hold; hours are none of this judge's business."""
    return all(_one_fits(key, asked, policy, request) for key, asked in when.items())


def _one_fits(key: str, asked: Any, policy: Document, request: Mapping[str, Any]) -> bool:
    hints = request["hints"]
    if key == "not":
        return not fits(asked, policy, request)
    if key == "any":
        return any(fits(one, policy, request) for one in asked)
    if key == "stream":
        return bool(request["stream"]) is asked
    if key == "input_tokens":
        ((bound, at),) = asked.items()
        length = request["input_tokens"]
        return bool(length >= _SIZES[at] if bound == "gte" else length < _SIZES[at])
    if key == "metadata":
        ((name, test),) = asked.items()
        value = hints.get("metadata", {}).get(name)
        if isinstance(test, dict):
            return value is not None and float(value) >= test["gte"]
        return value in test
    values = {
        "task": [task_of(policy, hints)],
        "bucket": [policy.get("tasks", {}).get(task_of(policy, hints), {}).get("bucket")],
        "environment": [policy["environment"]],
        "capability": request["needs"],
        "tags": hints.get("tags", ()),
    }.get(key, [hints.get(key)])
    patterns = [asked] if isinstance(asked, str) else asked
    return any(
        value is not None and fnmatchcase(value, pattern)
        for value in values
        for pattern in patterns
    )
