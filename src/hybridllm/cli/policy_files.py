"""Where a policy is that a user names: a file, or one of the policies that we ship.

The wheel carries them in `hybridllm/policies/`; in a checkout they lie in `policies/` at its root.
"""

from __future__ import annotations

from pathlib import Path

import typer

_CHECKOUT = Path(__file__).parents[3] / "policies"


def policy_path(name: str) -> Path:
    """Return the file that a user means by `name`; a file of that name wins over a shipped policy.

    Raises:
        typer.BadParameter: If there is none; it lists what would have been right.
    """
    path = Path(name)
    if path.exists() and not path.is_dir():  # a pipe of the shell, `<(...)`, is no regular file
        return path
    shipped = shipped_policies()
    if name in shipped:
        return shipped[name]
    raise typer.BadParameter(_not_there(path, shipped))


def shipped_policies() -> dict[str, Path]:
    """Return the shipped policies by name."""
    from importlib.resources import files

    folders = (Path(str(files("hybridllm"))) / "policies", _CHECKOUT)
    found = next((folder for folder in folders if folder.is_dir()), None)
    if found is None:
        return {}
    return {path.stem: path for path in sorted(found.glob("*.yaml"))}


def _not_there(path: Path, shipped: dict[str, Path]) -> str:
    from difflib import get_close_matches

    parts = [f"{path} is a folder" if path.is_dir() else f"there is no file {path}"]
    folder = path if path.is_dir() else path.parent
    beside = sorted(p.name for p in folder.glob("*.y*ml")) if folder.is_dir() else []
    close = get_close_matches(path.name, [*beside, *shipped], n=1, cutoff=0.6)
    if close:
        near = str(folder / close[0]) if close[0] in beside else close[0]
        parts.append(f"did you mean {near!r}?")
    elif path.is_dir() and beside:
        parts.append(f"policy files in it: {', '.join(beside)}")
    if shipped:
        parts.append(f"shipped policies: {', '.join(shipped)}")
    return "; ".join(parts)
