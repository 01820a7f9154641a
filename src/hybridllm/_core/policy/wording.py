"""pydantic's errors in our words, each at its place in the file.

A message begins with the value as the file has it, says what is allowed, and names the nearest right
name. Validators of ours raise the predicate only (`fields.py`).
"""

from __future__ import annotations

import re
from typing import TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from hybridllm._core.policy.document import (
    Findings,
    ListNode,
    MapNode,
    Node,
    Path,
    Scalar,
    entries,
    found,
    key_place,
    plain,
    quoted,
    shown,
)
from hybridllm._core.policy.schema import BackendTimeoutsSpec, BesideSpec, PolicySpec
from hybridllm._core.policy.schema_paths import keys_of, model_at
from hybridllm._core.policy.schema_price import PriceSheetSpec
from hybridllm._core.policy.schema_tests import CaseSpec
from hybridllm._core.policy.schema_when import UNWRITTEN
from hybridllm._core.policy.spec import Spec

_Schema = TypeVar("_Schema", bound=Spec)
_NOT_YET = frozenset({"limits"})
_HOLDS_A_SECRET = re.compile(
    r"(?:api_?)?key|token|secret|password|authorization|bearer", re.IGNORECASE
)
# A value that a person may well have put in place of the name of a variable is a key; this is none.
_NAME_OF_A_VARIABLE = re.compile(r"\$\{.*|[A-Za-z _-]{1,32}", re.DOTALL)
_NAMED_ALONE = frozenset(
    {"models", "residency", "tasks"}
)  # `public:` is an entry with nothing to say
_QUOTED_WORD = re.compile(r"'([^']*)'")
_SHORT_FORMS = {
    "ServedSpec": "the backend's name for the model, or ",
    "UseSpec": "a model's name, or ",
}
_IN_WORDS = {
    "BoundsSpec": "this test",
    "CacheSpec": "this cache",
    "CapacitySpec": "this capacity",
    "CascadeSpec": "this cascade",
    "CausesSpec": "this condition",
    "ConstraintSpec": "this constraint",
    "ContextTierSpec": "this step",
    "EscalateIfSpec": "this list of checks",
    "ExpectSpec": "this case",
    "GivenVolumeSpec": "this volume",
    "MetadataTestSpec": "this test",
    "PercentilesSpec": "this objective",
    "PriceHoursSpec": "this window",
    "PriceSpec": "this price",
    "ServiceTierSpec": "this tier",
    "SheetEntrySpec": "this price",
    "ScenarioSpec": "this scenario",
    "SloSpec": "this objective",
    "SpendSpec": "this budget",
    "TimeSpec": "this time",
    "UseSpec": "this entry",
    "VolumeBoundSpec": "this bound",
    "VolumeSpec": "this volume",
}
_WHAT_IS_EXPECTED = {
    "string_type": "must be a string; put it in quotation marks",
    "string_unicode": "must be a string of valid Unicode",
    "dict_type": "must be a mapping (name: value)",
    "tuple_type": "must be a list",
    "too_long": "has more than {max_length} entries",
    "string_too_long": "is longer than {max_length} characters",
}


def validated(root: Node, findings: Findings) -> PolicySpec | None:
    """Return the policy's schema filled in, or None with every problem of its shape in `findings`."""
    return validated_as(PolicySpec, root, findings)


def validated_as(schema: type[_Schema], root: Node, findings: Findings) -> _Schema | None:
    """Return a schema filled in by a file, or None with every problem of its shape in `findings`."""
    spec = None
    try:
        spec = schema.model_validate(plain(root))
    except ValidationError as error:
        _tell_all(root, error, findings, schema)
    _tell_blanks(root, (), findings)
    return spec


def validated_sheet(root: Node, findings: Findings) -> PriceSheetSpec | None:
    """Return a price sheet filled in, or None with every problem of its shape in `findings`.

    Its keys are those of a policy, so that all is told in the same words.
    """
    spec = None
    known = tuple(PriceSheetSpec.model_fields)
    for name, entry in entries(root):
        if name not in known:
            hint = findings.hint(name, known)
            message = (
                f"unknown key {quoted(name)}; a price sheet has the keys {', '.join(known)}{hint}"
            )
            findings.error(entry.key_place, (name,), message)
    if isinstance(root, MapNode):
        root = MapNode({k: v for k, v in root.entries.items() if k in known}, root.place)
    try:
        spec = PriceSheetSpec.model_validate(plain(root))
    except ValidationError as error:
        _tell_all(root, error, findings, PolicySpec)
    _tell_blanks(root, (), findings)
    return spec


def validated_tests(root: Node, findings: Findings) -> tuple[CaseSpec, ...]:
    """Return the cases of a file beside a policy; none, and every problem, if its shape is wrong.

    Below its one key it is made as a policy is, so that all is told in the same words.
    """
    if not isinstance(root, MapNode):
        findings.error(root.place, (), f"{shown(root)} must be a mapping with the one key tests")
        return ()
    for name, entry in root.entries.items():
        if name != "tests":
            hint = findings.hint(name, ("tests",))
            message = f"unknown key {quoted(name)}; a file of tests has the one key tests{hint}"
            findings.error(entry.key_place, (name,), message)
    known = MapNode({k: v for k, v in root.entries.items() if k == "tests"}, root.place)
    cases: tuple[CaseSpec, ...] = ()
    try:
        cases = BesideSpec.model_validate(plain(known)).tests
    except ValidationError as error:
        _tell_all(known, error, findings, PolicySpec)
    _tell_blanks(known, (), findings)
    return cases


def _tell_blanks(node: Node, path: Path, findings: Findings) -> None:
    """Tell of keys without a value: `regions:` with nothing behind it must not mean "all regions"."""
    if isinstance(node, ListNode):
        for index, item in enumerate(node.items):
            _tell_blanks(item, (*path, index), findings)
        return
    for key, entry in entries(node):
        value, where = entry.value, (*path, key)
        if not isinstance(value, Scalar):
            _tell_blanks(value, where, findings)
        elif (
            value.value is None
            and not (len(path) == 1 and path[0] in _NAMED_ALONE)
            and not findings.is_wrong(value.place)
        ):
            message = f"{quoted(key)} has no value; write one, or leave the key out"
            findings.error(entry.key_place, where, message)


def _tell_all(root: Node, error: ValidationError, findings: Findings, schema: type[Spec]) -> None:
    for details in error.errors(include_url=False, include_input=False):
        if findings.full:
            return
        _tell(root, details, findings, schema)


def _tell(root: Node, error: ErrorDetails, findings: Findings, schema: type[Spec]) -> None:
    kind = error["type"]
    path: Path = tuple(step for step in error["loc"] if step != UNWRITTEN)
    where = _as_written(root, path)
    if kind == "extra_forbidden":
        findings.error(key_place(root, where), where, _unknown_key(path, findings, schema))
        return
    if kind == "reserved":
        findings.error(key_place(root, where), where, _not_yet(str(path[-1])))
        return
    if kind == "missing":
        _tell_missing(root, path, findings, schema)
        return
    if path[-1:] == ("[key]",):
        path = path[:-1]
        place, key = key_place(root, path), str(path[-1])
        if place not in findings.settled:
            predicate = _predicate(error, path, key, findings, schema)
            findings.error(place, path, f"{quoted(key)} {predicate}")
        return
    node = found(root, path)
    if node.place in findings.settled:
        return
    if kind == "too_short":
        of_a_list = error.get("ctx", {}).get("field_type") == "Tuple"
        alone = of_a_list and isinstance(node, MapNode)  # the one item, without its brackets
        if _length(node) == 0 and not alone:  # otherwise its entries are wrong, and told one by one
            findings.error(
                node.place, where, "must not be empty; leave it out or name at least one"
            )
        return
    model = model_at(path, schema) if kind == "value_error" and isinstance(node, MapNode) else None
    if model is not None and model.__name__ in _IN_WORDS:  # of the mapping as a whole
        subject = f"{_IN_WORDS[model.__name__]} {_predicate(error, path, '', findings, schema)}"
        findings.error(key_place(root, where), where, subject)
        return
    written = node.written if isinstance(node, Scalar) else ""
    predicate = _predicate(error, path, written, findings, schema)
    findings.error(node.place, where, f"{_value(node, path)} {predicate}")


def _as_written(root: Node, path: Path) -> Path:
    """Return a path as people read it: the one price of a `price` has no number."""
    return tuple(
        step
        for at, step in enumerate(path)
        if not (
            step == 0 and path[at - 1] == "price" and isinstance(found(root, path[:at]), MapNode)
        )
    )


def _value(node: Node, path: Path) -> str:
    """Return a value as a message may show it; not where keys end up by mistake."""
    if not isinstance(node, Scalar) or node.value is None:
        return shown(node)
    if path[-1:] == ("api_key_env",) and not _NAME_OF_A_VARIABLE.fullmatch(node.written):
        return "this value (not shown)"
    return "this value (not shown)" if path[-2:-1] == ("headers",) else shown(node)


def _tell_missing(root: Node, path: Path, findings: Findings, schema: type[Spec]) -> None:
    holder = found(root, path[:-1])
    if holder.place in findings.settled:
        return
    name = str(path[-1])
    model = model_at(path[:-1], schema)
    description = keys_of(model)[name].description if model else None
    where = _as_written(root, path)
    findings.error(key_place(root, where[:-1]), where, f"key {name!r} is missing: {description}")


def _length(node: Node) -> int:
    if isinstance(node, MapNode):
        return len(node.entries)
    return len(node.items) if isinstance(node, ListNode) else 1


def _predicate(
    error: ErrorDetails, path: Path, written: str, findings: Findings, schema: type[Spec]
) -> str:
    """Return what follows the value in a message."""
    kind, context = error["type"], error.get("ctx", {})
    if kind == "value_error":
        return str(context["error"])
    if kind in ("enum", "literal_error"):
        words = _QUOTED_WORD.findall(str(context["expected"])) or [str(context["expected"])]
        hint = findings.hint(written, words)
        return f"is not allowed here; allowed: {', '.join(words)}{hint}"
    if kind == "model_type":
        model = model_at(path, schema)
        keys = ", ".join(keys_of(model)) if model else ""
        short_form = _SHORT_FORMS.get(model.__name__, "") if model else ""
        return f"must be {short_form}a mapping with the keys {keys}"
    if kind == "tuple_type" and path[-1:] in (("use",), ("fallbacks",)):
        return "must be a model's name, a mapping, or a list of them"
    return _WHAT_IS_EXPECTED.get(kind, "is not allowed here").format_map(context)


def _unknown_key(path: Path, findings: Findings, schema: type[Spec]) -> str:
    name = str(path[-1])
    if name in _NOT_YET:
        return _not_yet(name)
    model = model_at(path[:-1], schema)
    if _HOLDS_A_SECRET.fullmatch(name):
        return (
            f"unknown key {name!r}: a policy never holds a key or password; put it into an environment "
            "variable and name that under api_key_env"
        )
    if model is BackendTimeoutsSpec and name == "total":
        return "'total' limits a request, not a backend; set it under a task's timeouts"
    allowed = tuple(keys_of(model)) if model else ()
    hint = findings.hint(name, allowed)
    return f"unknown key {quoted(name)}; allowed: {', '.join(allowed)}{hint}"


def _not_yet(name: str) -> str:
    return f"{name!r} is not supported yet in this version"
