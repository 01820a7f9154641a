"""The kinds of fields a policy has, each with its own words for what is allowed.

Validators raise `ValueError` with a predicate (`is not a duration; ...`); whoever tells the problem
puts the value before it. So a value is shown, shortened or hidden in one place.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from hybridllm._core.policy import units
from hybridllm._core.policy.base_url import checked_wake_url
from hybridllm._core.policy.headers import checked_header_name, checked_header_value

Reference = Annotated[str, Field(pattern=r"^\$\{")]
"""`${NAME}` where the schema, as an editor reads it, would ask for something else than a string."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}\Z")
_MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._:/@+-]{0,127}(?<! )\Z")
_WIRE_NAME = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,254}[\x21-\x7e])?\Z")
# A tenant may have any name, but for spaces that nobody sees.
_GLOB = re.compile(
    "(?! )[^\x00-\x1f\x7f-\xa0\xad\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff]{1,128}(?<! )\\Z"
)
LIST_LENGTH_MAX = 1_000
_STARS_MAX = 8  # in one pattern
_METADATA_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}\Z")
_NUMBER = re.compile(r"[-+]?[0-9]{1,15}(?:\.[0-9]{1,12})?\Z")
_BOUND_MAX = 10**15
_ZONE = re.compile(r"(?=.{1,64}\Z)[A-Za-z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+){0,2}\Z")
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]{0,127}\Z")


def _matching(form: re.Pattern[str], what: str) -> Callable[[object], str]:
    def check(value: object) -> str:
        if not isinstance(value, str) or not form.match(value):
            raise ValueError(f"is not {what}")
        return value

    return check


def _glob(value: object) -> str:
    if not isinstance(value, str) or not _GLOB.match(value):
        raise ValueError(
            "is not a name or a pattern with *, ? and [abc]: visible, at most 128 characters"
        )
    if value.count("*") > _STARS_MAX:
        raise ValueError(f"is a pattern with more than {_STARS_MAX} *")
    return value


def _flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    if value in ("true", "false"):  # what a variable holds is always a string
        return value == "true"
    raise ValueError("is neither true nor false")


def as_list(value: object) -> object:
    """Return a list of one where a person wrote the one alone."""
    return [value] if isinstance(value, str | int | Decimal) else value


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
    if isinstance(value, str) and _NUMBER.match(value):  # what a variable holds is always a string
        return Decimal(value)
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
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
    try:
        bound = _decimal(value)
    except ValueError:
        tokens = None
        with suppress(ValueError):
            tokens = units.context_tokens(value)
        if tokens is None:
            raise ValueError("is not a number; write 500 or 8K (8,192)") from None
        bound = Decimal(tokens)
    if abs(bound) > _BOUND_MAX:
        raise ValueError(f"is out of range: from {-_BOUND_MAX:,} to {_BOUND_MAX:,}")
    return bound


def as_text(value: object) -> object:
    """Return a value as metadata are compared: as text, in JSON's spelling."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return units.number_text(value) if isinstance(value, int | Decimal) else value


def _text_globs(value: object) -> object:
    return [as_text(item) for item in value] if isinstance(value, list) else [as_text(value)]


def _whole_number(least: int, most: int) -> BeforeValidator:
    schema = Annotated[int, Field(ge=least, le=most)] | Reference
    return BeforeValidator(_bounded(_integer, least, most), json_schema_input_type=schema)


def _number(least: int, most: int) -> BeforeValidator:
    schema = Annotated[float, Field(ge=least, le=most)] | Reference
    return BeforeValidator(_bounded(_decimal, least, most), json_schema_input_type=schema)


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
Glob = Annotated[str, BeforeValidator(_glob, json_schema_input_type=str)]
Globs = Annotated[
    tuple[Glob, ...],
    Field(min_length=1, max_length=LIST_LENGTH_MAX),
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
    BeforeValidator(
        _bounded(units.usd, 0, 100_000),
        json_schema_input_type=Annotated[float, Field(ge=0, le=100_000)] | str,
    ),
]
BudgetUsd = Annotated[
    Decimal,
    BeforeValidator(
        _bounded(units.usd, 0, 9_000_000),  # its sums in 10^-12 USD are integers of 64 bits
        json_schema_input_type=Annotated[float, Field(ge=0, le=9_000_000)] | str,
    ),
]
UsdMonthly = Annotated[
    Decimal,
    BeforeValidator(
        _bounded(units.usd, 0, 1_000_000_000),
        json_schema_input_type=Annotated[float, Field(ge=0, le=1_000_000_000)] | str,
    ),
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
Concurrent = Annotated[int, _whole_number(1, 100_000)]
Share = Annotated[Decimal, _number(0, 1)]
Percent = Annotated[Decimal, _number(1, 100)]
Above = Annotated[Decimal, _number(0, 10_000_000)]
QueueMs = Annotated[Decimal, _number(0, 600_000)]
Share100 = Annotated[Decimal, _number(0, 100)]
WaitMs = Annotated[Decimal, _number(0, 3_600_000)]
LoadName = Annotated[
    str,
    BeforeValidator(
        _matching(
            re.compile(rf"\*\Z|{_NAME.pattern}"),
            "a backend's name, or * for every backend of your own",
        ),
        json_schema_input_type=str,
    ),
]
QueueDepth = Annotated[int, _whole_number(0, 100_000)]
WakeUrl = Annotated[str, AfterValidator(checked_wake_url)]
Reserve = Annotated[Decimal, _number(0, 100_000)]
HeaderName = Annotated[str, BeforeValidator(checked_header_name, json_schema_input_type=str)]
HeaderValue = Annotated[str, BeforeValidator(checked_header_value, json_schema_input_type=str)]
TextGlobs = Annotated[
    tuple[Glob, ...],
    Field(min_length=1, max_length=LIST_LENGTH_MAX),
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
Milliseconds = Annotated[Decimal, _number(1, 3_600_000)]
ClockMinute = Annotated[
    int,
    BeforeValidator(
        units.clock_minute,
        json_schema_input_type=Annotated[str, Field(pattern="^[0-2][0-9]:[0-5][0-9]$")] | Reference,
    ),
]
FirstMinute = Annotated[
    int,
    BeforeValidator(
        units.first_minute,
        json_schema_input_type=Annotated[str, Field(pattern="^[0-2][0-9]:[0-5][0-9]$")] | Reference,
    ),
]
Weekdays = Annotated[
    tuple[int, ...],
    BeforeValidator(units.weekday_numbers, json_schema_input_type=str | list[str]),
]
Zone = Annotated[
    str,
    BeforeValidator(
        # Whether there is such a zone is asked in `references_when.py`, of so many as are worth telling.
        _matching(_ZONE, "a time zone; write UTC or Europe/Berlin"),
        json_schema_input_type=str,
    ),
]
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
