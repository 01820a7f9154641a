"""The base of every mapping of a policy file."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Spec(BaseModel):
    """A mapping of the policy file: no key but those named here.

    Defaults of nested mappings are made without validation: calling a class would build a validator for
    it alone, which costs a command line's start more than reading the file.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", defer_build=True, hide_input_in_errors=True
    )
