"""Our keywords of a call, apart from OpenAI's; and nothing in between.

A keyword that is neither is refused, with the nearest name. Errors name a hint and its type; a hint's
own value is shown, a field's never.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from hybridllm._core.policy.problems import nearest
from hybridllm._core.policy.units import number_text
from hybridllm._core.request.facts import Hints
from hybridllm._core.request.fields import FIELDS
from hybridllm.errors import InvalidRequest

HINTS = frozenset(Hints.__dataclass_fields__)
TEXT_HINTS = frozenset(
    {"task", "residency", "tenant", "feature", "session", "priority", "vector_space", "user_id"}
)
PRIORITIES = ("interactive", "batch", "background")
"""The most urgent first."""

ON_INTERRUPT = ("fail", "restart", "continue")
CALL_ONLY = frozenset({"on_interrupt"})
"""What no block can say for its calls: only the reader of a stream knows what it can handle."""
HINT_CHARS_MAX = 256
DEADLINE_S_MAX = 86_400.0
TAGS_MAX = 32
METADATA_KEYS_MAX = 64
METADATA_CHARS_MAX = 512

_OPENAI_EXTRAS = frozenset({"extra_headers", "extra_query", "extra_body", "timeout"})
_GIVEN_CLASSES = frozenset({str, int, float, bool, list, dict, type(None)})
_NO_HINTS = Hints()


def split_hints(
    params: dict[str, Any], context: Hints | None, *, operation: str
) -> tuple[dict[str, Any], Hints]:
    """Take our keywords out of a call's, and what was not given; the call's go before the context's.

    Raises:
        InvalidRequest: If a keyword is neither ours nor OpenAI's, or a hint is not of its type.
    """
    fields = FIELDS[operation]
    given: dict[str, Any] = {}
    body: dict[str, Any] = {}
    for name, value in params.items():
        if value.__class__ not in _GIVEN_CLASSES and _absent(value):
            continue
        if name in fields:
            body[name] = value
        elif name in HINTS:
            if value is not None:
                given[name] = value
        elif name not in _OPENAI_EXTRAS:
            known = [*HINTS, *fields, *_OPENAI_EXTRAS]
            raise InvalidRequest(
                f"unknown keyword {name!r}{nearest(name, known)}; hints: {', '.join(sorted(HINTS))}; "
                "a field of the backend's that OpenAI does not have goes into extra_body"
            )
        elif value is None:
            continue
        elif name == "timeout":  # openai's word; here it is the deadline of the whole request
            given.setdefault("deadline_s", deadline_s(value, "timeout"))
        else:
            body[name] = value
    if context is not None:
        given = {n: v for n in HINTS if (v := getattr(context, n)) is not None} | given
    return body, checked_hints(given) if given else _NO_HINTS


def checked_hints(given: dict[str, Any]) -> Hints:
    """Make hints of keywords.

    Raises:
        InvalidRequest: If a hint is unknown or not of its type.
    """
    for name, value in given.items():
        if name in TEXT_HINTS:
            if not isinstance(value, str) or not 0 < len(value) <= HINT_CHARS_MAX:
                raise InvalidRequest(
                    f"{name}: must be a text of 1 to {HINT_CHARS_MAX} characters, "
                    f"got {type(value).__name__} {shown(value)}"
                )
        elif name not in HINTS:
            allowed = ", ".join(sorted(HINTS))
            raise InvalidRequest(f"unknown hint {name!r}; allowed: {allowed}{nearest(name, HINTS)}")
    priority = given.get("priority")
    if priority is not None and priority not in PRIORITIES:
        allowed = ", ".join(PRIORITIES)
        raise InvalidRequest(f"priority: {priority!r} is not one of {allowed}")
    on_interrupt = given.get("on_interrupt")
    if on_interrupt is not None and on_interrupt not in ON_INTERRUPT:
        allowed = ", ".join(ON_INTERRUPT)
        raise InvalidRequest(f"on_interrupt: {shown(on_interrupt)} is not one of {allowed}")
    if "deadline_s" in given:
        given["deadline_s"] = deadline_s(given["deadline_s"], "deadline_s")
    if given.get("tags") is not None:
        given["tags"] = _tags(given["tags"])
    if given.get("metadata") is not None:
        given["metadata"] = _metadata(given["metadata"])
    return Hints(**given)


def _tags(value: Any) -> frozenset[str]:
    """Return the caller's tags; one alone may be given as a text."""
    if isinstance(value, str):
        value = (value,)
    good = isinstance(value, list | tuple | set | frozenset) and len(value) <= TAGS_MAX
    if not good or not all(
        isinstance(tag, str) and 0 < len(tag) <= HINT_CHARS_MAX for tag in value
    ):
        raise InvalidRequest(
            f"tags: must be a list of at most {TAGS_MAX} texts of 1 to {HINT_CHARS_MAX} characters, "
            f"got {shown(value)}"
        )
    return frozenset(value)


def _metadata(value: Any) -> Mapping[str, str]:
    """Return metadata as conditions compare them: as texts, true and false as JSON has them."""
    if not isinstance(value, Mapping):
        raise InvalidRequest(f"metadata: must be a mapping, got {type(value).__name__}")
    if len(value) > METADATA_KEYS_MAX:
        raise InvalidRequest(f"metadata: has {len(value)} keys; at most {METADATA_KEYS_MAX}")
    told: dict[str, str] = {}
    for key, one in value.items():
        text = {True: "true", False: "false"}[one] if isinstance(one, bool) else one
        text = number_text(text) if isinstance(text, int | float | Decimal) else text
        if not isinstance(key, str) or not isinstance(text, str) or len(text) > METADATA_CHARS_MAX:
            raise InvalidRequest(
                f"metadata: {shown(key)} must be a text, a number or a boolean of at most "
                f"{METADATA_CHARS_MAX} characters, under a key that is a text; got {type(one).__name__}"
            )
        told[key] = text
    return told


def deadline_s(value: Any, name: str) -> float:
    """Return a deadline in seconds.

    Raises:
        InvalidRequest: If it is no number of seconds above 0 and up to a day.
    """
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 < value <= DEADLINE_S_MAX:
        raise InvalidRequest(
            f"{name}: must be seconds above 0 and up to {DEADLINE_S_MAX:g}, got {shown(value)}"
        )
    return float(value)


def shown(value: Any) -> str:
    """A hint's value in an error, cut."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _absent(value: Any) -> bool:
    """`NOT_GIVEN` and `omit` of openai, known by name so that openai need not be loaded."""
    return value.__class__.__name__ in ("NotGiven", "Omit")
