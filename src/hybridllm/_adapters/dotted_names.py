"""The application's own functions, which a policy or a command names: `package.module.function`.

Who names one is trusted as code is: it may be any function of this process.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any


def function_named(name: str) -> Callable[..., Any] | str:
    """Return a function by its dotted name, or why there is none."""
    module_name, _, attribute = name.rpartition(".")
    if not module_name:
        return f"{name!r} is no dotted name; write package.module.function"
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        missing = error.name or module_name
        return (
            f"{name!r} cannot be imported: no module {missing!r} here; write package.module.function, and "
            "put its folder into PYTHONPATH"
        )
    except (Exception, SystemExit) as error:  # noqa: BLE001 - it may raise anything, or be a script that ends
        return f"{name!r} cannot be imported: its module raised {type(error).__name__}"
    function = getattr(module, attribute, None)
    if function is None:
        return f"{name!r}: module {module_name!r} has no {attribute!r}"
    if not callable(function):
        return f"{name!r} is no function but {type(function).__name__}"
    return function  # type: ignore[no-any-return]  # getattr knows no more than that it can be called
