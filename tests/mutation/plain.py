"""Runs the tests of a file as plain functions: a mutant's verdict in milliseconds.

Knows `parametrize` and hypothesis; a test that wants a fixture is passed over.
"""

from __future__ import annotations

import importlib.util
import inspect
import itertools
import sys
import unittest
from collections.abc import Iterator, Sequence
from typing import Any


def run_file(path: str, name: str, *, left_out: Sequence[str] = ()) -> int:
    """Run every test of a file; return how many calls that were.

    Raises:
        AssertionError: As the first test that fails does, or whatever it raises.
    """
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    count = 0
    # Tables first, generated ones last: most mutants are found by the former, in no time.
    for key, value in sorted(vars(module).items(), key=lambda one: _generates(one[1])):
        if isinstance(value, type) and issubclass(value, unittest.TestCase):
            value("runTest").runTest()
            count += 1
        elif key.startswith("test_") and not any(words in key for words in left_out):
            count += _run(value)
    return count


def _generates(test: Any) -> bool:
    return isinstance(test, type) or hasattr(test, "hypothesis")


def _run(test: Any) -> int:
    count = 0
    for arguments in _calls(getattr(test, "pytestmark", [])):
        if not hasattr(test, "hypothesis") and not _complete(test, arguments):
            return count
        test(**arguments)
        count += 1
    return count


def _complete(test: Any, arguments: dict[str, Any]) -> bool:
    wanted = inspect.signature(test).parameters.values()
    return all(one.name in arguments or one.default is not one.empty for one in wanted)


def _calls(marks: Sequence[Any]) -> Iterator[dict[str, Any]]:
    """Each call's arguments: the product of all `parametrize` marks."""
    tables = [list(_rows(*mark.args[:2])) for mark in marks if mark.name == "parametrize"]
    for rows in itertools.product(*tables):
        yield {name: value for row in rows for name, value in row.items()}


def _rows(names: str | Sequence[str], rows: Any) -> Iterator[dict[str, Any]]:
    named = [one.strip() for one in names.split(",")] if isinstance(names, str) else list(names)
    for row in rows:
        values = row.values if hasattr(row, "marks") else row
        if not hasattr(row, "marks") and len(named) == 1:
            values = (row,)
        yield dict(zip(named, values, strict=True))
