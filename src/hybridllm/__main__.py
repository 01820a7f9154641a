"""`python -m hybridllm`, and the console script `hybridllm`."""

from __future__ import annotations

import sys
from importlib.util import find_spec


def main() -> None:
    """Run the command line; if its libraries are not installed, say how to install them."""
    try:
        import typer  # noqa: F401 - only to know whether it is there
    except ModuleNotFoundError:
        there = False
    else:
        there = find_spec("rich") is not None
    if not there:
        sys.stderr.write(
            "error: the command line needs typer and rich, which the library alone does not install:\n"
            "       pip install 'hybridllm[cli]'\n"
        )
        sys.exit(2)

    from hybridllm.cli.app import run

    run()


if __name__ == "__main__":
    main()
