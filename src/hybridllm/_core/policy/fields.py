"""The kinds of fields a policy has, each with its own words for what is allowed.

Validators raise `ValueError` with a predicate (`is not a duration; ...`); whoever tells the problem
puts the value before it. So a value is shown, shortened or hidden in one place.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any
from zoneinfo import ZoneInfo, available_timezones

from pydantic import BeforeValidator, Field

from hybridllm._core.policy import units
from hybridllm._core.policy.headers import checked_header_name, checked_header_value
from hybridllm._core.policy.problems import nearest

Reference = Annotated[str, Field(pattern=r"^\$\{")]
"""`${NAME}` where the schema, as an editor reads it, would ask for something else than a string."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}\Z")
_MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._:/@+-]{0,127}(?<! )\Z")
_WIRE_NAME = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,254}[\x21-\x7e])?\Z")
_GLOB = re.compile(r"(?! )[^\x00-\x1f\x7f]{1,128}(?<! )\Z")  # a tenant may have any name
_METADATA_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}\Z")
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]{0,127}\Z")


def _matching(form: re.Pattern[str], what: str) -> Callable[[object], str]:
    def check(value: object) -> str:
        if not isinstance(value, str) or not form.match(value):
            raise ValueError(f"is not {what}")
        return value

    return check


def _flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    if value in ("true", "false"):  # what a variable holds is always a string
        return value == "true"
    raise ValueError("is neither true nor false")


def as_list(value: object) -> object:
    """Return a list of one where a person wrote the one alone."""
    return [value] if isinstance(value, str) else value


def as_empty_mapping(value: object) -> object:
    """Return a mapping where a person wrote the name of an entry and nothing else: `public:`."""
    return {} if value is None else value


def _duration(least: str, most: str) -> BeforeValidator:
    least_s, most_s = units.seconds(least), units.seconds(most)

    def check(value: object) -> Decimal:
        given_s = units.seconds(value)
        if not least_s <= given_s <= most_s:
            raise ValueError(f"is out of range: from {least} to {most}")
        return given_s

    return BeforeValidator(check, json_schema_input_type=str)


def _bounded(read: Callable[[object], Any], least: int, most: int) -> Callable[[object], Any]:
    def check(value: object) -> Any:
        number = read(value)
        if number is not None and not least <= number <= most:
            raise ValueError(f"is out of range: from {least:,} to {most:,}")
        return number

    return check


def _integer(value: object) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 18:
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise ValueError("is not a whole number")


def _decimal(value: object) -> Decimal:
    if isinstance(value, str):
        try:
            value = Decimal(value)
        except InvalidOperation:
            value = None
    if (
        isinstance(value, int | Decimal)
        and not isinstance(value, bool)
        and Decimal(value).is_finite()
    ):
        return Decimal(value)
    raise ValueError("is not a number")


def _weight(value: object) -> Decimal:
    weight = _decimal(value)
    if not 0 < weight <= 1_000_000:
        raise ValueError(
            "is not a weight: a number above 0, up to 1,000,000; leave out a model that is to get nothing"
        )
    return weight


def _bound(value: object) -> Decimal:
    if isinstance(value, str):
        with suppress(ValueError):
            return Decimal(units.context_tokens(value) or 0)
    try:
        return _decimal(value)
    except ValueError:
        raise ValueError("is not a number; write 500 or 8K (8,192)") from None


def _zone(value: object) -> str:
    with suppress(ValueError, OSError, KeyError):  # a name that is a folder, too long, or unknown
        return ZoneInfo(value if isinstance(value, str) else "").key
    close = nearest(str(value), available_timezones()) if isinstance(value, str) else ""
    raise ValueError(f"is not a time zone; write UTC or Europe/Berlin{close}")


def as_text(value: object) -> object:
    """Return a value as metadata are compared: as text, in JSON's spelling."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | Decimal) else value


def _text_globs(value: object) -> object:
    return [as_text(item) for item in value] if isinstance(value, list) else [as_text(value)]


def _whole_number(least: int, most: int) -> BeforeValidator:
    schema = Annotated[int, Field(ge=least, le=most)] | Reference
    return BeforeValidator(_bounded(_integer, least, most), json_schema_input_type=schema)


Name = Annotated[
    str,
    BeforeValidator(
        _matching(
            _NAME, "a name: letters, digits and . _ : - (at most 64, a letter or digit first)"
        ),
        json_schema_input_type=str,
    ),
]
ModelName = Annotated[
    str,
    BeforeValidator(
        _matching(
            _MODEL_NAME, "a model's name: letters, digits, spaces and . _ : / @ + - (at most 128)"
        ),
        json_schema_input_type=str,
    ),
]
WireName = Annotated[
    str,
    BeforeValidator(
        _matching(_WIRE_NAME, "a name to send: printable ASCII, at most 256 characters"),
        json_schema_input_type=str,
    ),
]
Glob = Annotated[
    str,
    BeforeValidator(
        _matching(_GLOB, "a name or a pattern with * and ?"),
        json_schema_input_type=str,
    ),
]
Globs = Annotated[
    tuple[Glob, ...],
    Field(min_length=1),
    BeforeValidator(as_list, json_schema_input_type=str | list[str]),
]
Names = Annotated[
    tuple[Name, ...],
    Field(min_length=1),
    BeforeValidator(as_list, json_schema_input_type=str | list[str]),
]
VariableName = Annotated[
    str,
    BeforeValidator(
        _matching(
            _VARIABLE,
            "the NAME of an environment variable (capital letters, digits and _, without ${}), such as "
            "GLOBAL_API_KEY",
        ),
        json_schema_input_type=Annotated[str, Field(pattern="^[A-Z_][A-Z0-9_]*$")],
    ),
]
Flag = Annotated[bool, BeforeValidator(_flag, json_schema_input_type=bool | Reference)]
ContextTokens = Annotated[
    int | None,
    BeforeValidator(
        _bounded(units.context_tokens, 1, 1 << 30), json_schema_input_type=int | str | None
    ),
]
UsdPerMtok = Annotated[
    Decimal,
    BeforeValidator(_bounded(units.usd, 0, 100_000), json_schema_input_type=float | str),
]
Retention = Annotated[str, BeforeValidator(units.retention, json_schema_input_type=str)]
Retentions = Annotated[
    tuple[Retention, ...],
    Field(min_length=1),
    BeforeValidator(as_list, json_schema_input_type=str | list[str]),
]
ConnectS = Annotated[Decimal, _duration("10ms", "60s")]
WaitS = Annotated[Decimal, _duration("10ms", "1h")]
RequestS = Annotated[Decimal, _duration("10ms", "1d")]
Dimensions = Annotated[int, _whole_number(1, 65_536)]
RetriesMax = Annotated[int, _whole_number(0, 10)]
AttemptsMax = Annotated[int, _whole_number(1, 50)]
HeaderName = Annotated[str, BeforeValidator(checked_header_name, json_schema_input_type=str)]
HeaderValue = Annotated[str, BeforeValidator(checked_header_value, json_schema_input_type=str)]
TextGlobs = Annotated[
    tuple[Glob, ...],
    Field(min_length=1),
    BeforeValidator(
        _text_globs, json_schema_input_type=str | float | bool | list[str | float | bool]
    ),
]
MetadataKey = Annotated[
    str,
    BeforeValidator(
        _matching(_METADATA_KEY, "a metadata key: letters, digits and . _ : - (at most 64)"),
        json_schema_input_type=str,
    ),
]
Bound = Annotated[Decimal, BeforeValidator(_bound, json_schema_input_type=float | str)]
Weight = Annotated[
    Decimal,
    BeforeValidator(
        _weight,
        json_schema_input_type=Annotated[float, Field(gt=0, le=1_000_000)] | Reference,
    ),
]
Milliseconds = Annotated[
    Decimal,
    BeforeValidator(
        _bounded(_decimal, 1, 3_600_000),
        json_schema_input_type=Annotated[float, Field(ge=1, le=3_600_000)] | Reference,
    ),
]
ClockMinute = Annotated[
    int,
    BeforeValidator(
        units.clock_minute,
        json_schema_input_type=Annotated[str, Field(pattern="^[0-2][0-9]:[0-5][0-9]$")] | Reference,
    ),
]
Weekdays = Annotated[
    tuple[int, ...],
    BeforeValidator(units.weekday_numbers, json_schema_input_type=str | list[str]),
]
Zone = Annotated[str, BeforeValidator(_zone, json_schema_input_type=str)]
TaintS = Annotated[float | None, BeforeValidator(units.taint, json_schema_input_type=bool | str)]
Instant = Annotated[datetime, BeforeValidator(units.instant, json_schema_input_type=str)]
Chance = Annotated[Decimal, BeforeValidator(_bounded(_decimal, 0, 1), json_schema_input_type=float)]
Count = Annotated[int, _whole_number(0, 1_000_000_000)]
TokenCount = Annotated[
    int,
    BeforeValidator(
        _bounded(lambda value: units.context_tokens(value) or 0, 0, 1 << 30),
        json_schema_input_type=int | str,
    ),
]
UsdAmount = UsdPerMtok
StickyBy = Annotated[
    str,
    BeforeValidator(
        _matching(
            re.compile(r"(?:session|tenant|feature|metadata\.[A-Za-z0-9][A-Za-z0-9._:-]{0,63})\Z"),
            "what a split can stick to; write session, tenant, feature or metadata.KEY",
        ),
        json_schema_input_type=str,
    ),
]
