"""Whether a cascade names two models that there are, and not one twice."""

from __future__ import annotations

from hybridllm._core.policy.document import Node, Path, Scalar, child, quoted
from hybridllm._core.policy.names import Names


def check_cascade(cascade: Node | None, path: Path, names: Names) -> None:
    """Tell of what is wrong with the models that a cascade names."""
    found = {}
    for side in ("first", "then"):
        model = child(cascade, side)
        if isinstance(model, Scalar) and isinstance(model.value, str):
            known = names.known("model", model, names.models, (*path, side))
            found[side] = model.value if known else None
    then = child(cascade, "then")
    if isinstance(then, Scalar) and found.get("then") and found.get("then") == found.get("first"):
        message = f"{quoted(then.written)} is `first` as well: a cascade goes on to another model"
        names.findings.error(then.place, (*path, "then"), message)
