"""Where a policy is that a user names: a file, or one of the policies that we ship.

The wheel carries them in `hybridllm/policies/`; in a checkout they lie in `policies/` at its root.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import typer

_TESTS = (".test.yaml", ".test.yml")
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


def policy_paths(names: Iterable[str]) -> list[Path]:
    """Return the files that a user means, each once.

    A folder stands for every policy in it, a file of tests for the policy that it lies beside.

    Raises:
        typer.BadParameter: If there is no such file.
    """
    paths: dict[Path, None] = {}
    for name in names:
        path = Path(name)
        if path.is_dir():
            found = _policies_in(path)
            if not found:
                raise typer.BadParameter(f"there is no policy file in the folder {path}")
            paths |= dict.fromkeys(found)
        elif name.endswith(_TESTS) and path.exists():
            paths[
                policy_path(str(path.with_name(f"{path.stem.removesuffix('.test')}{path.suffix}")))
            ] = None
        else:
            paths[policy_path(name)] = None
    return list(paths)


def shipped_policies() -> dict[str, Path]:
    """Return the shipped policies by name."""
    from importlib.resources import files

    folders = (Path(str(files("hybridllm"))) / "policies", _CHECKOUT)
    found = next((folder for folder in folders if folder.is_dir()), None)
    if found is None:
        return {}
    return {path.stem: path for path in _policies_in(found)}


def _policies_in(folder: Path) -> list[Path]:
    """Return the policy files of a folder, without the files of tests beside them."""
    return sorted(path for path in folder.glob("*.y*ml") if not path.name.endswith(_TESTS))


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
