"""What may stand in a route's `cascade`, as pydantic models: the shape only."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from hybridllm._core.cascade.rule import DEFAULT_PHRASES, folded
from hybridllm._core.policy.fields import Count, Flag, ModelName
from hybridllm._core.policy.spec import Spec

PHRASES_MAX = 100
PHRASE_CHARS = (2, 200)
LOGPROB_MIN = -100
_DOTTED = re.compile(r"(?=.{3,200}\Z)[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)+\Z")
_NUMBER = re.compile(r"-?[0-9]{1,3}(?:\.[0-9]{1,12})?\Z")


def _phrases(value: object) -> tuple[str, ...]:
    if value == "default":
        return DEFAULT_PHRASES
    if isinstance(value, list):
        return tuple(dict.fromkeys(_phrase(one) for one in value))
    raise ValueError(
        'is not a list of phrases; write ["i\'m not sure", "i don\'t know"], or default'
    )


def _phrase(value: object) -> str:
    """Return a phrase as it is looked for; what is no text is refused: `yes` is one, `true` is not."""
    if isinstance(value, str):
        least, most = PHRASE_CHARS
        phrase = folded(value)
        if least <= len(phrase) <= most:
            return phrase
        raise ValueError(f"holds a phrase of {len(phrase)} characters; write {least} to {most}")
    told = "null" if value is None else str(value)[:20]
    told = told.lower() if isinstance(value, bool) else told
    raise ValueError(
        f'holds {told}, which is no text; a phrase that reads so stands in quotes: "{told}"'
    )


def _low_logprob(value: object) -> Decimal:
    text = str(value) if isinstance(value, str | int | Decimal) else ""
    if not _NUMBER.match(text):
        raise ValueError("is not a mean log-probability; write a number below 0, such as -1.5")
    if not LOGPROB_MIN <= Decimal(text) < 0:
        raise ValueError(f"is out of range: from {LOGPROB_MIN} to below 0, which is certainty")
    return Decimal(text)


def _dotted(value: object) -> str:
    if not isinstance(value, str) or not _DOTTED.match(value):
        raise ValueError("is not the dotted name of a function; write package.module.function")
    return value


Phrases = Annotated[
    tuple[str, ...],
    Field(min_length=1, max_length=PHRASES_MAX),
    BeforeValidator(_phrases, json_schema_input_type=Literal["default"] | list[str]),
]
LowLogprob = Annotated[
    Decimal,
    BeforeValidator(
        _low_logprob, json_schema_input_type=Annotated[float, Field(ge=LOGPROB_MIN, lt=0)] | str
    ),
]
Dotted = Annotated[str, BeforeValidator(_dotted, json_schema_input_type=str)]


class EscalateIfSpec(Spec):
    """Why an answer does not do; any one is enough, and only those that are written count."""

    phrases: Phrases | None = Field(
        default=None,
        description="Its text holds one of these, whatever the case: [i'm not sure, no idea]. default: "
        f"{', '.join(DEFAULT_PHRASES)}.",
    )
    min_chars: Count | None = Field(
        default=None,
        description="Its text is shorter. Says nothing of JSON that was asked for, nor of calls of tools.",
    )
    low_logprob: LowLogprob | None = Field(
        default=None,
        description="The mean log-probability of its tokens is lower: -1.5. Asked for where the model has "
        "the capability logprobs, otherwise not checked.",
    )
    schema_invalid: Flag = Field(
        default=False,
        description="JSON was asked for, and it is none or does not fit the schema; arguments of tools "
        "are judged so, too.",
    )
    python: Dotted | None = Field(
        default=None,
        description="A function of yours, package.module.function, says so. Imported when the policy is "
        "loaded; called with a `CascadeAnswer`, it returns True or False.",
    )

    @model_validator(mode="after")
    def _some(self) -> EscalateIfSpec:
        if not any(getattr(self, name) for name in type(self).model_fields):
            raise ValueError("names no check; write {phrases: default}, or {min_chars: 50}")
        return self


_BY_DEFAULT = EscalateIfSpec.model_construct(phrases=DEFAULT_PHRASES)


class CascadeSpec(Spec):
    """A cheap answer, checked; if it does not pass, a better model is asked as well."""

    first: ModelName = Field(description="The model whose answers are checked.")
    then: ModelName = Field(description="The model that is asked when one does not pass.")
    escalate_if: EscalateIfSpec = Field(
        default=_BY_DEFAULT,
        description="Why an answer does not pass. Default: {phrases: default}.",
    )
