"""Which environment variables are there. What they hold is nobody's business here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hybridllm._adapters.environment import environment_of


def variables_set(
    names: Iterable[str], *, environ: Mapping[str, str] | None = None
) -> frozenset[str]:
    """Return which of these environment variables are set and not empty; their values stay where they are.

    Args:
        names: Of variables, such as those that `api_key_env` names.
        environ: Where to look. Default: this process's environment.
    """
    environment = environment_of(environ)
    return frozenset(name for name in names if environment.get(name))
