"""One server for all tests of this folder; those that need one of their own, or break it, are told apart.

The ordinary test command leaves this folder out (`tests/conftest.py`); `nox -s vllm` runs it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from real.server import RealServer, real_server


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: needs a server of its own; run with `-m slow`")
    config.addinivalue_line(
        "markers", "last: breaks the server that all others use; runs after them"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("-m"):
        slow = [item for item in items if item.get_closest_marker("slow")]
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if item not in slow]
    items.sort(key=lambda item: item.get_closest_marker("last") is not None)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    """The server. Its cache, its counters and its queue are everybody's: look at differences."""
    with real_server(tmp_path_factory.mktemp("vllm") / "log") as running:
        yield running


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Where a server of a test's own prints to."""
    return tmp_path / "log"
