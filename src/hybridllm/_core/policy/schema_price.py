"""What tokens cost, as a policy file writes it: the shape only."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field, ValidatorFunctionWrapHandler, WrapValidator

from hybridllm._core.policy.fields import UsdPerMtok
from hybridllm._core.policy.spec import Spec


class PriceSpec(Spec):
    """What tokens cost."""

    input_per_1m: UsdPerMtok = Field(description="USD per 1,000,000 prompt tokens.")
    output_per_1m: UsdPerMtok = Field(
        description="USD per 1,000,000 completion tokens, reasoning included."
    )
    cached_input_per_1m: UsdPerMtok | None = Field(
        default=None,
        description="USD per 1,000,000 prompt tokens that the backend had cached. Default: the input price.",
    )


FREE = PriceSpec.model_construct(input_per_1m=Decimal(0), output_per_1m=Decimal(0))
"""`price: free`. Compared by identity, so that a receipt can tell it from a price of 0."""


def _price(value: object, read: ValidatorFunctionWrapHandler) -> PriceSpec | None:
    if value is None or value == "free":
        return FREE if value else None
    if not isinstance(value, dict):
        message = "is not a price; write free or {input_per_1m: 0.18, output_per_1m: 0.28}"
        raise ValueError(message)  # noqa: TRY004  # pydantic tells of a ValueError, not of a TypeError
    return read(value)  # type: ignore[no-any-return]  # pydantic types every handler as Any


MaybePrice = Annotated[
    PriceSpec | None,
    WrapValidator(_price, json_schema_input_type=PriceSpec | Literal["free"] | None),
]
